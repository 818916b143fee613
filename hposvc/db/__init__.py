"""The database: tables, connections and migrations, the same on SQLite and PostgreSQL."""
