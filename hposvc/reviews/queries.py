"""Decisions, as they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from hposvc.db.engine import read
from hposvc.db.tables import api_keys, reviews
from hposvc.schema.paging import InvalidPageToken, decode_page, encode_page
from hposvc.schema.reviews import Decision, DecisionPage

LARGEST = 2**62


def decision(row: sa.RowMapping) -> Decision:
    """A decision, from its row in the database beside the name of its key."""
    return Decision(
        row=row["row_id"],
        decision=row["decision"],
        relabelled_to=row["relabelled_to"],
        version=row["version"],
        decided_at=datetime.fromtimestamp(row["decided_at"], UTC),
        decided_by=row["key_name"],
        job=row["job_id"],
        batch=row["batch"],
        undone_at=None if row["undone_at"] is None else datetime.fromtimestamp(row["undone_at"], UTC),
    )


def selected(*where: sa.ColumnElement[bool]) -> sa.Select[Any]:
    """Decisions with the names of their keys."""
    named = reviews.outerjoin(api_keys, api_keys.c.id == reviews.c.key_id)
    return sa.select(reviews, api_keys.c.name.label("key_name")).select_from(named).where(*where)


def counts() -> sa.ColumnElement[bool]:
    """Whether a decision is the newest one about its row that is not undone."""
    later = reviews.alias("later")
    newer = sa.select(later.c.version).where(
        later.c.dataset_id == reviews.c.dataset_id,
        later.c.label == reviews.c.label,
        later.c.number == reviews.c.number,
        later.c.version > reviews.c.version,
        later.c.undone_at.is_(None),
    )
    return sa.and_(reviews.c.undone_at.is_(None), ~newer.exists())


def of_column(dataset_id: str, label: str) -> tuple[sa.ColumnElement[bool], sa.ColumnElement[bool]]:
    """The condition that a decision is about this column."""
    return reviews.c.dataset_id == dataset_id, reviews.c.label == label


def page(
    engine: sa.Engine, dataset_id: str, label: str, *, limit: int = 1000, page_token: str | None = None
) -> DecisionPage:
    """The decisions that count, in the order of the rows in the file. Raises InvalidPageToken."""
    after = -1 if page_token is None else _number_of(page_token)
    query = selected(*of_column(dataset_id, label), reviews.c.number > after, counts())
    with read(engine) as connection:
        rows = connection.execute(query.order_by(reviews.c.number).limit(limit + 1)).mappings().all()
    more = encode_page(rows[limit - 1]["number"]) if len(rows) > limit else None
    return DecisionPage(items=[decision(row) for row in rows[:limit]], next_page=more)


def history(engine: sa.Engine, dataset_id: str, label: str, number: int) -> list[Decision]:
    """All decisions about one row, newest first."""
    query = selected(*of_column(dataset_id, label), reviews.c.number == number).order_by(reviews.c.version.desc())
    with read(engine) as connection:
        return [decision(row) for row in connection.execute(query).mappings()]


def counting(engine: sa.Engine, dataset_id: str, label: str) -> Iterator[tuple[int, Decision]]:
    """Every decision that counts, with the place of its row in the file."""
    with read(engine) as connection:
        for row in connection.execute(selected(*of_column(dataset_id, label), counts())).mappings():
            yield row["number"], decision(row)


def versions(
    connection: sa.Connection, dataset_id: str, label: str, numbers: Iterable[int]
) -> dict[int, tuple[int, int]]:
    """By row: the version of its newest decision, and of the one that counts (0: none)."""
    counted = sa.func.max(sa.case((reviews.c.undone_at.is_(None), reviews.c.version), else_=0))
    query = (
        sa.select(reviews.c.number, sa.func.max(reviews.c.version), counted)
        .where(*of_column(dataset_id, label), reviews.c.number.in_(list(numbers)))
        .group_by(reviews.c.number)
    )
    return {number: (newest, counts_) for number, newest, counts_ in connection.execute(query)}


def _number_of(token: str) -> int:
    parts = decode_page(token)
    if len(parts) != 1 or type(parts[0]) is not int or not 0 <= parts[0] < LARGEST:
        raise InvalidPageToken
    return parts[0]
