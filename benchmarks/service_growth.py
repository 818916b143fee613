"""What jobs cost in rows, bytes and time, measured on some and carried on to a million jobs of 10,000 iterations.

    python -m benchmarks.service_growth [--jobs 200] [--iterations 10000] [--light-jobs 100000]

On a PostgreSQL of its own: so many whole jobs, and so many more without iterations, to see what the lists and the
counts cost. Then the same iterations in a table that is partitioned by the hash of the job, to compare. Sizes grow in
proportion to the rows; the queries of one job go by an index and grow with its logarithm.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from hposvc.db import migrate
from hposvc.db.engine import create_engine, write
from hposvc.db.tables import metadata
from hposvc.fleet import counts
from hposvc.jobs import queries, removal
from hposvc.jobs.iterations import downsampling
from hposvc.schema.states import State
from hposvc.storage.store import Store
from tests.support.harness import UncheckedJobs, tiny_spec
from tests.support.postgresql import PostgreSQL
from tests.support.serving import curve

MILLION = 1_000_000
PARTITION = Path(__file__).parents[1] / "deploy" / "partition.sql"
COPY_JOB = """
INSERT INTO jobs SELECT (jsonb_populate_record(j, jsonb_build_object(
    'id', 'job_' || {hexadecimal}, 'state', 'succeeded', 'created_at', j.created_at - 60 * n,
    'finished_at', j.created_at - 60 * n + 50, 'iteration', {iterations}, 'iterations', {iterations}))).*
FROM jobs j, generate_series({first}, {last}) n WHERE j.id = :id
"""
COPY_ITERATIONS = """
INSERT INTO iterations (job_id, iteration, attempt, upper_loss, hypergradient_norm, lower_loss, upper_score,
                        selection_loss, seconds)
SELECT j.id, i, 1, random(), random(), random(), random(), random(), random()
FROM jobs j, generate_series(1, {iterations}) i WHERE j.state = 'succeeded' ORDER BY {order}
"""


def milliseconds(action: Callable[[], object], times: int = 20) -> float:
    """The median over so many calls, after one that warms the caches."""
    action()
    taken = []
    for _ in range(times):
        begun = time.perf_counter()
        action()
        taken.append(1000 * (time.perf_counter() - begun))
    return statistics.median(taken)


def fill(engine: sa.Engine, first: int, last: int, iterations: int) -> None:
    """Finished jobs numbered ``first`` to ``last``, without their iterations."""
    model = UncheckedJobs(engine).submit(tiny_spec(stop={"iterations": max(1, iterations)})).id
    hexadecimal = "substr(md5(n::text), 1, 20)"
    statement = COPY_JOB.format(hexadecimal=hexadecimal, iterations=iterations, first=first, last=last)
    with write(engine) as connection:
        connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
        connection.execute(sa.text(statement), {"id": model})
        connection.execute(sa.text("DELETE FROM jobs WHERE id = :id"), {"id": model})


def sizes(engine: sa.Engine) -> dict[str, tuple[int, int, int]]:
    """Rows, bytes of the table, bytes of its indexes, by table."""
    found = {}
    with engine.connect() as connection:
        for name in metadata.tables:
            rows = connection.execute(sa.text(f"SELECT count(*) FROM {name}")).scalar_one()
            query = f"SELECT pg_table_size('{name}'), pg_indexes_size('{name}')"
            found[name] = (rows, *connection.execute(sa.text(query)).one())
    return found


def analyze(engine: sa.Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("SET statement_timeout = 0"))
        connection.execute(sa.text("VACUUM ANALYZE"))


def questions(engine: sa.Engine, job_id: str) -> dict[str, float]:
    """Milliseconds of what users ask."""
    return {
        "a job": milliseconds(lambda: queries.get(engine, job_id)),
        "list, first page": milliseconds(lambda: queries.list_(engine)),
        "list, one state": milliseconds(lambda: queries.list_(engine, state=State.SUCCEEDED)),
        "tail of iterations": milliseconds(lambda: queries.iterations(engine, job_id, after=9_900)),
        "chart, 1,000 buckets": milliseconds(
            lambda: downsampling.iterations(engine, job_id, start=None, stop=None, max_points=1000), 5
        ),
        "/metrics": milliseconds(lambda: counts.take(engine), 5),
    }


def partition(engine: sa.Engine) -> float:
    """Move the iterations into a table that is partitioned by the hash of the job; the seconds that it took."""
    begun = time.perf_counter()
    with write(engine) as connection:
        connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
        connection.exec_driver_sql(PARTITION.read_text().replace("%", "%%"))
    return time.perf_counter() - begun


def show(title: str, times: dict[str, float]) -> None:
    print(f"{title}: " + ", ".join(f"{name} {value:.1f} ms" for name, value in times.items()), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--iterations", type=int, default=10_000)
    parser.add_argument("--light-jobs", type=int, default=100_000)
    options = parser.parse_args()
    server = PostgreSQL()
    server.start()
    try:
        measure(server.create("growth"), options)
    finally:
        server.remove()
    return 0


def measure(url: str, options: argparse.Namespace) -> None:
    migrate.upgrade(url)
    engine = create_engine(url)
    begun = time.perf_counter()
    fill(engine, 1, options.jobs, options.iterations)
    with write(engine) as connection:
        connection.execute(sa.text("SET LOCAL statement_timeout = 0"))
        connection.execute(sa.text(COPY_ITERATIONS.format(iterations=options.iterations, order="i, j.id")))
        job_id = connection.execute(sa.text("SELECT id FROM jobs ORDER BY id LIMIT 1")).scalar_one()
    analyze(engine)
    print(f"filled in {time.perf_counter() - begun:.0f} s", flush=True)
    found = sizes(engine)
    rows, table, indexes = found["iterations"]
    each = (table + indexes) / rows
    print(f"iterations: {rows:,} rows, {table / rows:.0f} bytes each and {indexes / rows:.0f} in the index", flush=True)
    show(f"with {options.jobs:,} jobs", questions(engine, job_id))

    fill(engine, options.jobs + 1, options.jobs + options.light_jobs, 0)
    analyze(engine)
    number, *bytes_ = sizes(engine)["jobs"]
    print(f"jobs: {number:,} rows, {sum(bytes_) / number:,.0f} bytes each with indexes (no result)", flush=True)
    show(f"with {number:,} jobs", questions(engine, job_id))

    total = MILLION * 10_000
    print(
        f"a million jobs of 10,000 iterations: {total:,} rows of iterations, {total * each / 1e12:.2f} TB; "
        f"jobs {MILLION * sum(bytes_) / number / 1e9:.1f} GB",
        flush=True,
    )

    store = Store(Path(tempfile.gettempdir()).as_uri())
    print(f"insert of 50 iterations: {insert(engine, job_id):.1f} ms", flush=True)
    doomed = [f"'{name}'" for name in ids(engine, 5)]
    with write(engine) as connection:
        connection.execute(sa.text(f"UPDATE jobs SET finished_at = 1 WHERE id IN ({', '.join(doomed)})"))
    begun = time.perf_counter()
    removal.Removal(engine, store).expire(older_than=3e7)
    seconds = (time.perf_counter() - begun) / len(doomed)
    print(f"removing a job of {options.iterations:,} iterations: {1000 * seconds:.0f} ms", flush=True)

    print(f"partitioned into 64 by hash in {partition(engine):.0f} s", flush=True)
    migrate.check(url)  # the service starts on it as on any other
    analyze(engine)
    job_id = ids(engine, 1)[0]
    show("partitioned", questions(engine, job_id))
    print(f"insert of 50 iterations: {insert(engine, job_id):.1f} ms", flush=True)
    engine.dispose()


def ids(engine: sa.Engine, number: int) -> list[str]:
    """Jobs that have iterations."""
    with engine.connect() as connection:
        query = f"SELECT id FROM jobs WHERE iteration > 0 ORDER BY id LIMIT {number}"
        return list(connection.execute(sa.text(query)).scalars())


def insert(engine: sa.Engine, job_id: str) -> float:
    """Milliseconds of one batch of 50, as a worker writes them."""
    start = [20_000]

    def batch() -> None:
        start[0] += 50
        rows = [{"job_id": job_id, "attempt": 1, "nonfinite": None, **row} for row in curve(start[0], start[0] + 49)]
        with write(engine) as connection:
            connection.execute(metadata.tables["iterations"].insert(), rows)

    return milliseconds(batch)


if __name__ == "__main__":
    sys.exit(main())
