"""The iterations in partitions, as docs/operations.md says for large databases: nobody can tell the difference."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from hposvc.db import migrate
from hposvc.db.engine import create_engine, read
from hposvc.db.tables import DEFAULT_TENANT, iterations
from hposvc.jobs import queries, removal
from hposvc.jobs.iterations import downsampling
from hposvc.jobs.service import Jobs
from hposvc.storage.store import Store
from tests.support.postgresql import PostgreSQL
from tests.support.serving import curve, running

SCRIPT = Path(__file__).parents[2] / "deploy" / "partition.sql"


@pytest.fixture
def url(postgresql: PostgreSQL, migrated_postgresql: str) -> Iterator[str]:
    name = f"partitioned_{secrets.token_hex(6)}"
    yield postgresql.create(name, template=migrated_postgresql)
    postgresql.drop(name)


@pytest.mark.postgres
def test_jobs_go_on_in_a_partitioned_table(url: str, tmp_path: Path) -> None:
    engine = create_engine(url)
    job, attempt = running(engine, 30)
    before = queries.iterations(engine, job.id)
    with engine.begin() as connection:
        connection.exec_driver_sql(SCRIPT.read_text().replace("%", "%%"))
    migrate.check(url)
    assert queries.iterations(engine, job.id) == before
    attempt.record(curve(26, 60))  # as after a resume: some are written again
    attempt.succeed({}, [])
    assert queries.iterations(engine, job.id).iteration == list(range(1, 61))
    assert downsampling.iterations(engine, job.id, start=None, stop=None, max_points=10).total == 60
    with read(engine) as connection:
        count = sa.select(sa.func.count()).select_from(sa.text("pg_inherits"))
        assert connection.execute(count.where(sa.text("inhparent = 'iterations'::regclass"))).scalar_one() == 64
    Jobs(engine).delete(job.id, tenant=DEFAULT_TENANT)
    removal.Removal(engine, Store(tmp_path.as_uri())).purge()
    with read(engine) as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(iterations)).scalar_one() == 0
    engine.dispose()
