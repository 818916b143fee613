"""The data sets of the service: those that people uploaded, in the store and the database, beside the bundled ones."""
