"""Removing finished jobs: everything of a job goes, nothing of another, and a crash in between leaves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from hposvc.db.clock import now
from hposvc.db.engine import read, write
from hposvc.db.tables import DEFAULT_TENANT, doomed_files, experiment_trials, experiments, iterations, jobs, metadata
from hposvc.jobs import removal
from hposvc.jobs.attempt import Attempt
from hposvc.jobs.queue import deliveries
from hposvc.jobs.service import Jobs
from hposvc.jobs.stored_file import StoredFile
from hposvc.schema.job import JobResource
from hposvc.storage.store import Store
from tests.support.experimenting import REPEATS, Laboratory, experiment, found
from tests.support.serving import running

DAY = 86400.0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store((tmp_path / "store").as_uri())


def put(store: Store, job: JobResource, directory: Path, name: str) -> StoredFile:
    file = directory / name
    file.write_bytes(b"x" * 10)
    return StoredFile(name, "model", 10, "0" * 64, store.put(file, f"jobs/{job.id}/1/{name}"))


def finished(engine: sa.Engine, store: Store, directory: Path, *, days_ago: float, length: int = 30) -> JobResource:
    job, attempt = running(engine, length)
    attempt.succeed({}, [put(store, job, directory, f"{name}.bin") for name in ("model", "report")])
    with write(engine) as connection:
        connection.execute(jobs.update().where(jobs.c.id == job.id).values(finished_at=now() - days_ago * DAY))
    return job


def files(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "store").rglob("*"))


def traces(engine: sa.Engine, job: JobResource) -> list[str]:
    """Where the database still mentions the job."""
    found = []
    with read(engine) as connection:
        for table in metadata.tables.values():
            column = table.c.id if table.name == "jobs" else table.c.get("job_id")
            if column is not None and connection.execute(sa.select(column).where(column == job.id)).first():
                found.append(table.name)
        delivered = deliveries(connection)
        if connection.execute(
            sa.select(delivered.c.status).where(delivered.c.workflow_uuid.startswith(job.id))
        ).first():
            found.append("deliveries")
    return found


def test_old_jobs_go_with_all_that_is_theirs_and_others_stay(engine: sa.Engine, store: Store, tmp_path: Path) -> None:
    old = [finished(engine, store, tmp_path, days_ago=days) for days in (31, 90)]
    recent = finished(engine, store, tmp_path, days_ago=29)
    live, _ = running(engine, 10)
    assert set(traces(engine, old[0])) >= {"jobs", "iterations", "events", "attempts", "artifacts", "deliveries"}
    assert removal.Removal(engine, store).expire(older_than=30 * DAY, dry_run=True) == 2
    assert traces(engine, old[0])
    assert removal.Removal(engine, store).expire(older_than=30 * DAY) == 2
    assert [traces(engine, job) for job in old] == [[], []]
    left = [path.relative_to(tmp_path / "store").as_posix() for path in files(tmp_path)]
    here = f"jobs/{recent.id}"
    assert left == ["jobs", here, f"{here}/1", f"{here}/1/model.bin", f"{here}/1/report.bin"]
    assert "iterations" in traces(engine, recent)
    assert "jobs" in traces(engine, live)
    assert removal.Removal(engine, store).expire(older_than=30 * DAY) == 0


def test_experiments_go_once_all_their_jobs_have_gone(engine: sa.Engine, store: Store) -> None:
    lab = Laboratory(engine)
    old, recent, running_ = (lab.experiments.submit(experiment(REPEATS | {"repeats": 2})).id for _ in range(3))
    for each in (old, recent):
        lab.run(each, lambda _: found())
    with write(engine) as connection:
        before = {"finished_at": now() - 31 * DAY}
        connection.execute(experiments.update().where(experiments.c.id.in_([old, recent])).values(before))
        connection.execute(jobs.update().where(jobs.c.experiment_id == old).values(before))
        theirs = sa.select(jobs.c.id).where(jobs.c.experiment_id == recent)
        one, other = connection.execute(theirs).scalars()
        connection.execute(jobs.update().where(jobs.c.id == one).values(before))
    assert removal.Removal(engine, store).expire(older_than=30 * DAY) == 3
    with read(engine) as connection:
        left = connection.execute(sa.select(experiments.c.id)).scalars().all()
        trials = connection.execute(sa.select(experiment_trials.c.experiment_id).distinct()).scalars().all()
        assert connection.execute(theirs).scalars().all() == [other]
    assert sorted(left) == sorted([recent, running_])
    assert old not in trials


def test_many_jobs_go_in_chunks(
    engine: sa.Engine, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk is small in jobs and in iterations, but a single long job goes, too."""
    monkeypatch.setattr(removal, "CHUNK_JOBS", 3)
    monkeypatch.setattr(removal, "CHUNK_ROWS", 25)
    gone = [
        finished(engine, store, tmp_path, days_ago=40 + n, length=length) for n, length in enumerate([5] * 4 + [60])
    ]
    sizes: list[int] = []
    real = removal._remove_rows
    monkeypatch.setattr(removal, "_remove_rows", lambda c, rows: (sizes.append(len(rows)), real(c, rows))[1])
    assert removal.Removal(engine, store).expire(older_than=30 * DAY) == 5
    assert sizes == [1, 3, 1, 0]  # the oldest is the long one
    assert all(traces(engine, job) == [] for job in gone)
    assert [path for path in files(tmp_path) if path.is_file()] == []


def test_files_that_were_left_by_a_crash_go_the_next_time(
    engine: sa.Engine, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = finished(engine, store, tmp_path, days_ago=40)
    with monkeypatch.context() as patched:
        patched.setattr(Store, "remove", lambda *_: (_ for _ in ()).throw(OSError("the store is away")))
        assert removal.Removal(engine, store).expire(older_than=30 * DAY) == 1
    assert traces(engine, job) == []
    assert len([path for path in files(tmp_path) if path.is_file()]) == 2
    removal.Removal(engine, store).expire(older_than=30 * DAY)
    assert [path for path in files(tmp_path) if path.is_file()] == []
    with read(engine) as connection:
        assert connection.execute(sa.select(doomed_files.c.url)).all() == []


def test_a_transaction_that_fails_removes_nothing(
    engine: sa.Engine, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = finished(engine, store, tmp_path, days_ago=40)

    def fail(name: str) -> None:
        if name == "retention.before_commit":
            raise RuntimeError("a crash")

    monkeypatch.setattr(removal, "failpoint", fail)
    with pytest.raises(RuntimeError, match="a crash"):
        removal.Removal(engine, store).expire(older_than=30 * DAY)
    with read(engine) as connection:
        count = sa.select(sa.func.count()).where(iterations.c.job_id == job.id)
        assert connection.execute(count).scalar_one() == 30
    assert len([path for path in files(tmp_path) if path.is_file()]) == 2


def test_a_late_write_to_a_removed_job_is_fenced(engine: sa.Engine, store: Store, tmp_path: Path) -> None:
    from hposvc.jobs.attempt import Fenced

    job, attempt = running(engine, 10)
    assert isinstance(attempt, Attempt)
    attempt.succeed({}, [])
    Jobs(engine).delete(job.id, tenant=DEFAULT_TENANT)
    removal.Removal(engine, store).purge()
    with pytest.raises(Fenced):
        attempt.record([{"iteration": 11, "upper_loss": 0.1, "hypergradient_norm": 0.1}])
