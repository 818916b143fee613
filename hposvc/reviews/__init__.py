"""What people decided about the labels of rows: kept in the database, and made into new versions of data sets."""
