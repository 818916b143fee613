"""Migrations forward on a database with a million iterations, while the release before them is at work."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from hposvc.db import migrate
from hposvc.db.engine import create_engine, read, write
from hposvc.db.tables import artifacts, attempts, events, iterations, jobs
from hposvc.schema.states import State
from tests.support.harness import Service, tiny_spec
from tests.support.release_0001 import BATCHES, ROWS
from workers.timing import Timing

pytestmark = [pytest.mark.durability, pytest.mark.slow]

MILLION = 1_000_000
COLUMNS = "job_id, iteration, attempt, upper_loss, hypergradient_norm, lower_loss, seconds"
SERIES = {
    "sqlite": f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MILLION}) "
    f"INSERT INTO iterations ({COLUMNS}) SELECT 'job_long', i, 1, 1.0 / i, 0.5, 0.25, 0.001 FROM n",
    "postgresql": f"INSERT INTO iterations ({COLUMNS}) "
    f"SELECT 'job_long', i, 1, 1.0 / i, 0.5, 0.25, 0.001 FROM generate_series(1, {MILLION}) AS n(i)",
}
LONG_JOB = (
    "INSERT INTO jobs (id, tenant_id, kind, tags, priority, spec, state, attempt, losses, max_attempts, iteration, "
    "iterations, last_event, version, created_at, queued_at, finished_at) VALUES ('job_long', 'default', "
    f"'data_reweighting', '[]', 0, '{{}}', 'succeeded', 1, 0, 3, {MILLION}, {MILLION}, 0, 1, 0, 0, 1)"
)


@pytest.mark.long
def test_every_migration_on_a_million_iterations_while_the_first_release_is_at_work(
    empty_database_url: str, tmp_path: Path
) -> None:
    first, *later = migrate.revisions()
    migrate.upgrade(empty_database_url, first)
    engine = create_engine(empty_database_url)
    with write(engine) as connection:
        connection.execute(sa.text(LONG_JOB))
        connection.execute(sa.text(SERIES[engine.dialect.name]))
    command = [sys.executable, "-m", "tests.support.release_0001", empty_database_url, str(Timing().lease)]
    with (tmp_path / "release.log").open("w") as log:
        release = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True)
    assert release.stdin is not None
    assert release.stdout is not None
    try:
        assert release.stdout.readline(), (tmp_path / "release.log").read_text()
        took = {}
        for revision in [*later, "head"]:  # the last one changes nothing, and must not be in the way either
            begun = time.monotonic()
            migrate.upgrade(empty_database_url, revision)
            took[revision] = round(time.monotonic() - begun, 2)
            assert release.stdout.readline(), (tmp_path / "release.log").read_text()  # it has ended a job since
    finally:
        release.stdin.close()  # it ends with the job at hand
    *_, last = release.stdout.read().splitlines()
    assert release.wait(60) == 0, (tmp_path / "release.log").read_text()
    said = json.loads(last)

    migrate.check(empty_database_url)
    per_job = ROWS * BATCHES
    with read(engine) as connection:
        total = connection.execute(sa.select(sa.func.count()).select_from(iterations)).scalar_one()
        assert total == MILLION + per_job * len(said["jobs"]), "iterations were lost"
        for job_id in said["jobs"]:
            assert (
                connection.execute(sa.select(jobs.c.state).where(jobs.c.id == job_id)).scalar_one() == State.SUCCEEDED
            )
            for table, expected in ((iterations, per_job), (artifacts, BATCHES), (attempts, 1), (events, 4)):
                found = connection.execute(sa.select(sa.func.count()).where(table.c.job_id == job_id)).scalar_one()
                assert found == expected, f"{table.name} of {job_id}"
    engine.dispose()
    service = Service(empty_database_url, tmp_path)
    try:
        service.worker()
        service.assert_succeeded_exactly(service.jobs.submit(tiny_spec()).id)
    finally:
        service.close()
    print(
        f"{engine.dialect.name}: migrations took {took} s beside {total:,} iterations; {len(said['jobs'])} jobs of the "
        f"first release meanwhile: 0 lost, longest write {said['longest']:.2f} s, {said['retried']} tried again"
    )
