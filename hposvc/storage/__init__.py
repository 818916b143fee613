"""Files of the service: on the local disk or in an object store."""
