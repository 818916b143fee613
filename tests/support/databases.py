"""Which tests run on which database: on one of the two in `make test`, on the other one in `make long`.

A test that asks for a database has one on SQLite and one on PostgreSQL. Where the database itself is what is tested,
both run in `make test`. Of all others one is marked ``long``: always the same one, and each database keeps about half.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from zlib import crc32

import pytest

DATABASES = ("sqlite", "postgresql")
ON_BOTH = ("tests/db/", "tests/jobs/", "tests/durability/test_databases.py", "tests/experiments/test_advance.py")


def mark_twins(items: Sequence[pytest.Item]) -> None:
    """Mark as long one of each two tests that differ by their database only."""
    found: dict[str, dict[str, pytest.Item]] = defaultdict(dict)
    for item in items:
        test, _, arguments = item.nodeid.partition("[")
        for database in {*arguments.removesuffix("]").split("-")} & {*DATABASES}:
            found[f"{test}[{arguments.replace(database, '*')}"][database] = item
    for pattern, twins in found.items():
        if len(twins) == len(DATABASES) and not pattern.startswith(ON_BOTH):
            turn = crc32(pattern.partition("[")[0].encode()) % 2
            twins[DATABASES[turn]].add_marker(pytest.mark.long)
