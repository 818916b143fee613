"""What a review is worth: a reviewer who always tells the truth, in rounds."""
