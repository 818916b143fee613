import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from hposvc.db import migrate
from hposvc.db.engine import create_engine, read, write
from hposvc.db.tables import iterations, jobs, metadata


def test_upgrade_makes_every_table_and_may_be_repeated(empty_database_url: str) -> None:
    with pytest.raises(migrate.SchemaError, match="has no tables yet; run `hposvc db upgrade`"):
        migrate.check(empty_database_url)
    migrate.upgrade(empty_database_url)
    migrate.upgrade(empty_database_url)
    migrate.check(empty_database_url)
    engine = create_engine(empty_database_url)
    assert set(metadata.tables) <= set(sa.inspect(engine).get_table_names())
    with read(engine) as connection:
        assert migrate.current(connection) == migrate.head()
        assert connection.execute(sa.text("SELECT id FROM tenants")).scalars().all() == ["default", "~deleted"]
    engine.dispose()


def test_processes_that_upgrade_at_once_do_not_disturb_each_other(empty_database_url: str) -> None:
    errors: list[Exception] = []

    def upgrade() -> None:
        try:
            migrate.upgrade(empty_database_url)
        except Exception as error:  # noqa: BLE001 - the threads have nobody else to tell
            errors.append(error)

    threads = [threading.Thread(target=upgrade) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    migrate.check(empty_database_url)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("ALTER TABLE jobs ADD COLUMN surprise INTEGER", "surprise"),
        ("ALTER TABLE jobs DROP COLUMN traceparent", "traceparent"),
        ("DROP TABLE sessions", "sessions"),
        ("DROP INDEX ix_jobs_state_lease", "ix_jobs_state_lease"),
    ],
)
def test_tables_that_were_changed_by_hand_are_noticed_at_start(database_url: str, change: str, what: str) -> None:
    engine = create_engine(database_url)
    with write(engine) as connection:
        connection.execute(sa.text(change))
    engine.dispose()
    with pytest.raises(migrate.SchemaError, match=what):
        migrate.check(database_url)


REBUILDS_JOBS = """
import sqlalchemy as sa
from alembic import op
revision, down_revision, branch_labels, depends_on = "9001", "{head}", None, None
def upgrade():
    with op.batch_alter_table("jobs", recreate="{recreate}") as batch:
        batch.add_column(sa.Column("surprise", sa.Integer(), nullable=False, server_default="0"))
    op.execute("{then}")
"""


@pytest.fixture
def another_migration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Add a migration to those of the code."""
    config = migrate._config()
    versions = Path(config.get_main_option("script_location") or "", "versions")
    head = migrate.head()

    def add(**words: str) -> None:
        (tmp_path / "9001.py").write_text(REBUILDS_JOBS.format(head=head, **words))
        config.set_main_option("path_separator", "os")
        config.set_main_option("version_locations", os.pathsep.join((str(versions), str(tmp_path))))
        monkeypatch.setattr(migrate, "_config", lambda: config)

    return add


def fill(url: str) -> None:
    engine = create_engine(url)
    with write(engine) as connection:
        connection.execute(
            jobs.insert().values(
                id="job_1", tenant_id="default", kind="k", tags=[], priority=0, spec={}, state="queued", attempt=1,
                max_attempts=3, iterations=1,
            )
        )  # fmt: skip
        connection.execute(iterations.insert().values(job_id="job_1", iteration=1, attempt=1))
    engine.dispose()


def test_a_migration_that_copies_a_table_keeps_what_refers_to_it(
    database_url: str, another_migration: Callable[..., None]
) -> None:
    """SQLite drops the first copy, which would delete every iteration of every job by its foreign key."""
    fill(database_url)
    another_migration(recreate="always" if database_url.startswith("sqlite") else "auto", then="SELECT 1")
    migrate.upgrade(database_url)
    engine = create_engine(database_url)
    with read(engine) as connection:
        assert migrate.current(connection) == "9001"
        assert connection.execute(sa.select(iterations.c.iteration)).scalars().all() == [1]
    with pytest.raises(sa.exc.IntegrityError), write(engine) as connection:
        connection.execute(iterations.insert().values(job_id="job_none", iteration=1, attempt=1))
    engine.dispose()


def test_a_migration_that_fails_leaves_everything_as_it_was(
    database_url: str, another_migration: Callable[..., None]
) -> None:
    fill(database_url)
    head = migrate.head()
    another_migration(recreate="auto", then="DELETE FROM jobs_that_are_not_there")
    with pytest.raises(sa.exc.DBAPIError):
        migrate.upgrade(database_url)
    engine = create_engine(database_url)
    with read(engine) as connection:
        assert migrate.current(connection) == head
        assert "surprise" not in {column["name"] for column in sa.inspect(connection).get_columns("jobs")}
    engine.dispose()


def test_a_migration_that_would_orphan_rows_is_undone(
    empty_database_url: str, another_migration: Callable[..., None]
) -> None:
    migrate.upgrade(empty_database_url)
    fill(empty_database_url)
    another_migration(recreate="auto", then="UPDATE iterations SET job_id = 'job_none'")
    with pytest.raises((migrate.SchemaError, sa.exc.IntegrityError), match=r"refer to nothing|violates foreign key"):
        migrate.upgrade(empty_database_url)
    engine = create_engine(empty_database_url)
    with read(engine) as connection:
        assert connection.execute(sa.select(iterations.c.job_id)).scalars().all() == ["job_1"]
    engine.dispose()


def test_a_database_of_a_newer_version_is_left_alone(database_url: str) -> None:
    engine = create_engine(database_url)
    with write(engine) as connection:
        connection.execute(sa.text(f"UPDATE {migrate.VERSION_TABLE} SET version_num = '9999'"))
    engine.dispose()
    for action in (migrate.check, migrate.upgrade):
        with pytest.raises(migrate.SchemaError, match="9999, which this version does not know; upgrade hposvc"):
            action(database_url)


def test_the_migrations_are_found_from_any_directory(tmp_path: Path) -> None:
    """As they are from an installed wheel: by the package, not by the working directory."""
    script = f"from hposvc.db import migrate; migrate.upgrade('sqlite:///{tmp_path}/x.sqlite3'); print(migrate.head())"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == [migrate.head()], done.stderr
