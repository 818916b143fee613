"""Many jobs as one question: repeats of a job, grids and searches over its settings."""
