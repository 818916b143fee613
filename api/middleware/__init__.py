"""What stands around every route: hosts and sites, keys, rate limits, logs."""
