import math
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from hposvc.db.clock import now
from hposvc.db.engine import DatabaseURLError, create_engine, parse_url, read, write
from hposvc.db.numbers import pack, unpack
from hposvc.db.tables import iterations, jobs


@pytest.mark.parametrize(
    ("url", "what"),
    [
        ("nonsense", "not a database URL"),
        ("mysql://localhost/x", "mysql is not supported"),
        ("sqlite://", "cannot be shared"),
        ("sqlite:///:memory:", "cannot be shared"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_with_one_that_can(url: str, what: str) -> None:
    with pytest.raises(DatabaseURLError, match=what) as caught:
        create_engine(url)
    assert "sqlite:///path" in str(caught.value)


def test_postgresql_is_spoken_to_through_psycopg_3() -> None:
    assert parse_url("postgresql://me@host/db").drivername == "postgresql+psycopg"


def test_the_time_is_that_of_the_database(engine: sa.Engine) -> None:
    with read(engine) as connection:
        before = connection.execute(sa.text("SELECT CAST(CURRENT_TIMESTAMP AS varchar)")).scalar_one()
        seconds = connection.execute(sa.select(now())).scalar_one()
    stated = datetime.fromisoformat(before)
    assert abs((stated if stated.tzinfo else stated.replace(tzinfo=UTC)).timestamp() - seconds) < 2


def test_foreign_keys_are_enforced(engine: sa.Engine) -> None:
    with pytest.raises(sa.exc.IntegrityError), write(engine) as connection:
        connection.execute(iterations.insert().values(job_id="job_none", iteration=1, attempt=1))


def test_an_exception_leaves_nothing_behind(engine: sa.Engine) -> None:
    def interrupted() -> None:
        with write(engine) as connection:
            connection.execute(sa.text("INSERT INTO tenants (id, name, created_at) VALUES ('t', 'T', 0)"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with read(engine) as connection:
        assert connection.execute(sa.text("SELECT id FROM tenants")).scalars().all() == ["default", "~deleted"]


def test_writers_wait_for_each_other_instead_of_failing(engine: sa.Engine) -> None:
    """Read, then write, from many threads at once: on SQLite that fails at once without BEGIN IMMEDIATE."""
    with write(engine) as connection:
        connection.execute(sa.text("INSERT INTO tenants (id, name, created_at) VALUES ('n', 'N', 0)"))
    errors: list[Exception] = []

    def count() -> None:
        for _ in range(10):
            try:
                with write(engine) as connection:
                    lock = " FOR UPDATE" if engine.dialect.name == "postgresql" else ""
                    value = connection.execute(
                        sa.text(f"SELECT created_at FROM tenants WHERE id = 'n'{lock}")
                    ).scalar_one()
                    connection.execute(sa.text("UPDATE tenants SET created_at = :v WHERE id = 'n'"), {"v": value + 1})
            except sa.exc.DBAPIError as error:
                errors.append(error)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with read(engine) as connection:
        assert connection.execute(sa.text("SELECT created_at FROM tenants WHERE id = 'n'")).scalar_one() == 80


def test_sqlite_is_opened_for_several_processes_and_for_power_cuts(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/deep/down/hposvc.sqlite3")
    with read(engine) as connection:
        for pragma, value in {
            "journal_mode": "wal",
            "foreign_keys": 1,
            "synchronous": 2,
            "busy_timeout": 30_000,
        }.items():
            assert connection.execute(sa.text(f"PRAGMA {pragma}")).scalar_one() == value
    engine.dispose()


def test_numbers_that_are_not_finite_survive_the_database(engine: sa.Engine) -> None:
    values = {"upper_loss": math.nan, "best_upper_loss": 1.5, "hypergradient_norm": -math.inf}
    kept = pack({name: values[name] for name in ("upper_loss", "hypergradient_norm")})
    assert kept == {
        "upper_loss": None,
        "hypergradient_norm": None,
        "nonfinite": {"upper_loss": "nan", "hypergradient_norm": "-inf"},
    }
    with write(engine) as connection:
        connection.execute(
            jobs.insert().values(
                id="job_1", tenant_id="default", kind="k", tags=[], priority=0, spec={}, state="queued", attempt=1,
                max_attempts=3, iterations=1, best_upper_loss=1.5, **kept,
            )
        )  # fmt: skip
        row = connection.execute(jobs.select()).mappings().one()
    found = unpack(row, ("upper_loss", "hypergradient_norm", "best_upper_loss"))
    assert math.isnan(found["upper_loss"] or 0)
    assert found["hypergradient_norm"] == -math.inf
    assert found["best_upper_loss"] == 1.5


def test_another_connection_of_this_process_ends_no_locks(tmp_path: Path) -> None:
    """A process that leaves the database must not take it for its own: it would remove the log that others write to."""
    engine = create_engine(f"sqlite:///{tmp_path / 'db.sqlite3'}")
    first = engine.raw_connection()
    first.cursor().execute("CREATE TABLE numbers (n INTEGER)")
    second = engine.raw_connection()
    leaving = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('INSERT INTO numbers VALUES (1)')"
    script = f"{leaving}; c.commit(); c.close()"
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "db.sqlite3")], check=True)
    assert (tmp_path / "db.sqlite3-wal").exists()
    assert second.cursor().execute("SELECT n FROM numbers").fetchall() == [(1,)]
    first.close()
    second.close()
    engine.dispose()
