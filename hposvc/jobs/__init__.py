"""The life of a job: what a person posts, which states it goes through, and how it is read back."""
