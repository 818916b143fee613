"""Alembic's migrations; a package, so that an installed wheel finds them too."""
