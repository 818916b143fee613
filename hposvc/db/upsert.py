"""Insert rows, or replace those that are there: the same statement for SQLite and for PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

Insert = sqlite.Insert | postgresql.Insert


def upsert(
    connection: sa.Connection, table: sa.Table, *, replace: Collection[str] | None = None, add: Collection[str] = ()
) -> Insert:
    """An insert into ``table``, still without values. Where the primary key is there already, it updates that row.

    ``replace``: the columns that get the new value, by default all but those of the key and of ``add``; ``add``: the
    columns whose new value is added to the old one.
    """
    insert: Insert = (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
    key = [column.name for column in table.primary_key]
    if replace is None:
        replace = [column.name for column in table.c if column.name not in {*key, *add}]
    values: dict[str, sa.ColumnElement[Any]] = {name: insert.excluded[name] for name in replace}
    values |= {name: table.c[name] + insert.excluded[name] for name in add}
    return insert.on_conflict_do_update(index_elements=key, set_=values)
