import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from hposvc.db import migrate
from hposvc.db.engine import create_engine, read, write
from hposvc.db.tables import metadata


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
