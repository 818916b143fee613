"""What people post and what the service returns: every model of the interface. Imports nothing else of hposvc."""
