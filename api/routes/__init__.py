"""The calls of the interface, a module for each noun. A route parses, calls a service or a query, and returns."""
