"""Do trials slow the list of jobs? ``python -m benchmarks.experiments.listing --jobs 10000 --trials 1000``.

On a database of each kind: the first page of so many jobs, in every order of the list. Then so many of them are trials
of a search, and the same again. Prints milliseconds, medians of 20, of what the list asks of the database; a page of
trials alone comes last.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path
from typing import Any, get_args

import sqlalchemy as sa
import structlog

from benchmarks.service_growth import milliseconds
from hposvc.db import migrate
from hposvc.db.engine import create_engine, write
from hposvc.db.tables import jobs
from hposvc.jobs import queries
from tests.support.harness import UncheckedJobs, tiny_spec
from tests.support.postgresql import PostgreSQL

EXPERIMENT = "exp_" + "0" * 20
BATCH = 1000


def fill(engine: sa.Engine, number: int) -> None:
    """Finished jobs, each with a name of its own, a gain, and one of 500 data sets."""
    model = UncheckedJobs(engine).submit(tiny_spec()).id
    with write(engine) as connection:
        row: dict[str, Any] = dict(connection.execute(jobs.select().where(jobs.c.id == model)).mappings().one())
        connection.execute(jobs.delete().where(jobs.c.id == model))
        for first in range(0, number, BATCH):
            rows = [
                row
                | {
                    "id": f"job_{n * 7919 % number:020x}",
                    "state": "succeeded",
                    "created_at": row["created_at"] + n,
                    "name": f"job {n * 104729 % number}",
                    "dataset_id": f"ds_{n % 500:020x}",
                    "best_upper_loss": n * 31 % 1009 / 1009,
                    "gain": n * 17 % 997 / 997,
                    "gain_in": "score",
                }
                for n in range(first, min(number, first + BATCH))
            ]
            connection.execute(jobs.insert(), rows)


def make_trials(engine: sa.Engine, number: int) -> None:
    """Let the newest of the jobs be trials of a search."""
    newest = sa.select(jobs.c.id).order_by(jobs.c.created_at.desc()).limit(number).scalar_subquery()
    with write(engine) as connection:
        connection.execute(jobs.update().where(jobs.c.id.in_(newest)).values(experiment_id=EXPERIMENT))


def analyze(engine: sa.Engine) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("ANALYZE"))


def pages(engine: sa.Engine) -> list[float]:
    """Milliseconds of the first page in each order."""
    return [milliseconds(lambda order=order: queries.list_(engine, order=order)) for order in get_args(queries.Order)]


def measure(name: str, url: str, options: argparse.Namespace) -> None:
    migrate.upgrade(url)
    engine = create_engine(url)
    fill(engine, options.jobs)
    analyze(engine)
    before = pages(engine)
    make_trials(engine, options.trials)
    analyze(engine)
    for order, alone, among in zip(get_args(queries.Order), before, pages(engine), strict=True):
        print(f"| {name} | {order} | {alone:.1f} | {among:.1f} |", flush=True)
    trials = milliseconds(lambda: queries.list_(engine, experiment=EXPERIMENT))
    print(f"| {name} | trials of the search alone | | {trials:.1f} |", flush=True)
    engine.dispose()


def main() -> None:
    """Print a line for each order on each database."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--trials", type=int, default=1_000)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    print(f"| {options.jobs:,} jobs | order | ms, no trials | ms, {options.trials:,} trials |\n|---|---|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        measure("SQLite", f"sqlite:///{Path(folder) / 'jobs.sqlite3'}", options)
    server = PostgreSQL()
    server.start()
    try:
        measure("PostgreSQL", server.create("listing"), options)
    finally:
        server.remove()


if __name__ == "__main__":
    main()
