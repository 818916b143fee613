"""The worker: a supervisor that owns the database side, and the runner, its child, that solves."""
