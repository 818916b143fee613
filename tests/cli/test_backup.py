"""A backup that is taken while jobs run, and brought back elsewhere, where they go on."""

from __future__ import annotations

import json
import secrets
import subprocess
from pathlib import Path

import pytest

from hposvc.db import migrate
from hposvc.faults import Fault
from hposvc.jobs import queries
from hposvc.operate import backup as archive
from hposvc.settings import Settings
from tests.support.commands import HPOSVC
from tests.support.environment import without_settings
from tests.support.harness import Service, tiny_spec
from tests.support.postgresql import PostgreSQL


def elsewhere(request: pytest.FixtureRequest, url: str, directory: Path) -> str:
    """The URL of an empty database of the same kind."""
    if url.startswith("sqlite"):
        return f"sqlite:///{directory / 'elsewhere.sqlite3'}"
    server: PostgreSQL = request.getfixturevalue("postgresql")
    return server.create(f"restored_{secrets.token_hex(6)}")


def hposvc(*arguments: object, url: str, store: Path, data_dir: Path) -> subprocess.CompletedProcess[str]:
    variables = without_settings(
        HPOSVC_DATABASE_URL=url, HPOSVC_STORE_URL=store.as_uri(), HPOSVC_DATA_DIR=str(data_dir)
    )
    command = [HPOSVC, *map(str, arguments)]
    return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)


def test_jobs_of_a_backup_go_on_elsewhere(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    service = Service(database_url, here)
    try:
        service.worker()
        done = service.jobs.submit(tiny_spec()).id
        service.assert_succeeded_exactly(done)
        under_way = service.jobs.submit(tiny_spec("slow=0.12", checkpoint_every=5)).id  # longer than a backup takes
        waiting = service.jobs.submit(tiny_spec(solver={"seed": 3})).id
        service.until_iteration(under_way, 12)
        taken = hposvc("db", "backup", tmp_path / "copy", url=database_url, store=here / "store", data_dir=here)
        assert taken.returncode == 0, taken.stderr
        assert taken.stdout.startswith(f"{tmp_path / 'copy'}: 3 jobs")
        service.until_iteration(under_way, 20)  # the service went on
    finally:
        service.close()
    url = elsewhere(request, database_url, tmp_path)
    back = hposvc("db", "restore", tmp_path / "copy", url=url, store=there / "store", data_dir=there)
    assert back.returncode == 0, back.stderr
    (here / "store").rename(tmp_path / "burnt")  # nothing of the old place is needed
    restored = Service(url, there)
    try:
        artifacts = queries.artifacts(restored.engine, done)
        assert artifacts
        assert all(artifact.url.startswith((there / "store").as_uri()) for artifact in artifacts)
        restored.worker()
        for job_id in (done, under_way, waiting):
            restored.assert_succeeded_exactly(job_id)
        assert any(attempt["resumed_from"] for attempt in restored.attempts(under_way)), "it went on from a checkpoint"
        restored.assert_history_is_sound([done, under_way, waiting])
    finally:
        restored.close()


def test_what_cannot_be_restored_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path / "a", database_url=f"sqlite:///{tmp_path}/a.sqlite3", store_url=(tmp_path / "s").as_uri()
    )
    migrate.upgrade(settings.database_url)
    copied = archive.backup(settings, tmp_path / "copy")
    assert (copied.jobs, copied.files, copied.missing) == (0, 0, 0)
    assert (tmp_path / "copy").stat().st_mode & 0o077 == 0  # it may hold other people's data
    with pytest.raises(Fault, match="is there already"):
        archive.backup(settings, tmp_path / "copy")
    with pytest.raises(Fault, match="is there already"):
        archive.restore(settings, tmp_path / "copy")
    with pytest.raises(Fault, match="not a complete backup"):
        archive.restore(settings, tmp_path / "nothing")
    other = settings.model_copy(update={"database_url": "postgresql+psycopg://x@127.0.0.1:9/x"})
    with pytest.raises(Fault, match="the backup is of sqlite"):
        archive.restore(other, tmp_path / "copy")


def test_a_backup_of_an_older_version_is_upgraded(tmp_path: Path) -> None:
    def settings(name: str) -> Settings:
        return Settings(
            data_dir=tmp_path, database_url=f"sqlite:///{tmp_path}/{name}.sqlite3", store_url=(tmp_path / "s").as_uri()
        )

    migrate.upgrade(settings("now").database_url)
    archive.backup(settings("now"), tmp_path / "copy")
    (tmp_path / "copy" / archive.SQLITE).unlink()
    migrate.upgrade(f"sqlite:///{tmp_path / 'copy' / archive.SQLITE}", "0001")  # as the first version left it
    archive.restore(settings("new"), tmp_path / "copy")
    migrate.check(settings("new").database_url)


def test_old_jobs_are_removed_by_command_and_only_counted_when_asked(tmp_path: Path) -> None:
    url, store = f"sqlite:///{tmp_path}/x.sqlite3", tmp_path / "store"
    migrate.upgrade(url)
    where = {"url": url, "store": store, "data_dir": tmp_path}
    assert hposvc("db", "expire", "--older-than", "30", "--dry-run", **where).stdout == "0 jobs would be removed\n"
    nowhere = hposvc("db", "backup", tmp_path / "copy", **where | {"url": f"sqlite:///{tmp_path}/none.sqlite3"})
    assert nowhere.returncode == 5
    assert "there is no database at" in nowhere.stderr
    assert not (tmp_path / "none.sqlite3").exists()
    away = hposvc("db", "expire", "--older-than", "1", **where | {"url": "postgresql+psycopg://x@127.0.0.1:9/x"})
    assert away.returncode == 5
    assert "HPOSVC_DATABASE_URL" in away.stderr
    asked = hposvc("db", "expire", **where)
    assert asked.returncode == 2
    assert "HPOSVC_RETENTION_DAYS" in asked.stderr


def test_the_manifest_says_what_the_backup_is(tmp_path: Path) -> None:
    settings = Settings(
        data_dir=tmp_path, database_url=f"sqlite:///{tmp_path}/a.sqlite3", store_url=(tmp_path / "s").as_uri()
    )
    migrate.upgrade(settings.database_url)
    archive.backup(settings, tmp_path / "copy", files=False)
    manifest = json.loads((tmp_path / "copy" / archive.MANIFEST).read_text())
    assert manifest["revision"] == migrate.head()
    assert manifest["backend"] == "sqlite"
    assert manifest["files"] is False
