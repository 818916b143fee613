"""Runs the migrations on the connection that ``hposvc.db.migrate`` hands over."""

from alembic import context

from hposvc.db.migrate import VERSION_TABLE
from hposvc.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,  # SQLite alters a table by copying it
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
