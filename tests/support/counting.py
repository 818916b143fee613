"""How many rows and deliveries a service holds."""

from __future__ import annotations

import sqlalchemy as sa

from hposvc.db.tables import metadata
from tests.support.serving import Server


def rows(server: Server) -> dict[str, int]:
    """How many rows each of our tables has."""
    with server.engine.connect() as connection:
        return {
            table.name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in metadata.sorted_tables
        }


def queued(server: Server) -> int:
    """How many deliveries the queue holds."""
    schema = "" if server.engine.dialect.name == "sqlite" else "dbos."
    with server.engine.connect() as connection:
        return int(connection.execute(sa.text(f"SELECT count(*) FROM {schema}workflow_status")).scalar_one())
