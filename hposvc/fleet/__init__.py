"""The workers of the service, and the counts of jobs, queue and workers."""
