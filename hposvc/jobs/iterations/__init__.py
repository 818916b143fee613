"""Iterations of jobs as they are stored and drawn: in blocks, in buckets, as a sparkline."""
