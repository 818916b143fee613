"""Requests in and responses out: bodies, formats, errors."""
