"""How quickly the dashboard draws: a job of a million iterations, and a list of ten thousand jobs, without and
with a search of a thousand trials among them.

    python -m benchmarks.dashboard --iterations 1000000 --jobs 10000 --trials 1000

The real server serves a real Chromium on loopback. "Drawn" counts from the navigation to the frame after the last
chart was drawn, as the page's own clock has it; "query" is what the database and Python need, without HTTP. Every
figure is the median of ``--repeats`` with a fresh browser context (nothing cached) after one that is not counted.
PostgreSQL is started for the benchmark, as the tests do it; ``--database sqlite`` leaves it out.
"""

from __future__ import annotations

import argparse
import logging
import math
import secrets
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
import structlog
from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.experiments.page import stage
from hposvc.db import migrate
from hposvc.db.engine import write
from hposvc.db.tables import jobs as jobs_table
from hposvc.jobs import queries
from hposvc.jobs.iterations import downsampling
from hposvc.jobs.queries import METRICS
from tests.support.browser import CHROMIUM, REMEDY
from tests.support.postgresql import PostgreSQL
from tests.support.serving import RESULT, Server, running, submit, watch_lambda

BATCH = 5000
DRAWN = """() => ["losses", "norm", "history"].every((id) => document.querySelector(`#${id} .main-svg`)
  && document.querySelector(`#${id} .caption`).textContent)"""
FRAME = "() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(() => resolve(performance.now()))))"
PAINT = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def long_job(server: Server, iterations: int) -> str:
    """A finished job of so many iterations, one of which is a spike."""
    job, attempt = running(server.engine, 0, name="a long one", stop={"iterations": iterations})
    spike = iterations * 2 // 3
    for begin in range(1, iterations + 1, BATCH):
        rows = []
        for number in range(begin, min(begin + BATCH, iterations + 1)):
            loss = 0.2 + math.exp(-number / iterations * 5) + 0.02 * math.sin(number * 12.9898)
            row = dict.fromkeys(METRICS) | {
                "iteration": number,
                "upper_loss": 50.0 if number == spike else loss,
                "hypergradient_norm": 0.2 * math.exp(-number / iterations * 7),
                "lower_loss": 1.4 * loss,
                "selection_loss": 1.1 * loss,
                "upper_score": 0.9,
                "seconds": number * 0.002,
            }
            rows.append(row)
        attempt.record(rows)
    watch_lambda(attempt, range(0, iterations + 1, iterations // 50))
    attempt.succeed(RESULT, [])
    return job.id


def many_jobs(server: Server, jobs: int) -> None:
    """So many jobs, most of them finished, copied from one."""
    first, attempt = running(server.engine, 100, name="copied", tags=["digits"])
    attempt.succeed(RESULT | {"suspects": RESULT["suspects"][:10]}, [])
    submit(server.engine, name="waiting")
    with write(server.engine) as connection:
        row = dict(connection.execute(jobs_table.select().where(jobs_table.c.id == first.id)).mappings().one())
        copies = [
            row
            | {"id": f"job_{secrets.token_hex(10)}", "name": f"job {number}", "created_at": row["created_at"] - number}
            for number in range(jobs)
        ]
        for begin in range(0, jobs, 500):
            connection.execute(jobs_table.insert(), copies[begin : begin + 500])


def timed(action: Callable[[], object], repeats: int) -> float:
    """The median of so many times, in milliseconds, after one that is not counted."""
    times = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        action()
        times.append(1000 * (time.perf_counter() - begun))
    return statistics.median(times[1:])


@contextmanager
def fresh(browser: Browser, server: Server) -> Iterator[Page]:
    context = browser.new_context(base_url=server.url, viewport={"width": 1280, "height": 900}, locale="en-US")
    yield context.new_page()
    context.close()


def in_browser(browser: Browser, server: Server, measure: Callable[[Page], list[float]], repeats: int) -> list[float]:
    """The medians of what ``measure`` returns."""
    runs = []
    for _ in range(repeats + 1):
        with fresh(browser, server) as page:
            runs.append(measure(page))
    return [statistics.median(column) for column in zip(*runs[1:], strict=True)]


def job_page(job_id: str) -> Callable[[Page], list[float]]:
    def measure(page: Page) -> list[float]:
        page.goto(f"/jobs/{job_id}", wait_until="commit")
        page.wait_for_function(DRAWN, polling="raf")
        drawn = page.evaluate(FRAME)
        return [page.wait_for_function(PAINT).json_value(), drawn]

    return measure


def jobs_page(page: Page) -> list[float]:
    page.goto("/", wait_until="commit")
    page.wait_for_function("() => document.querySelectorAll('#jobs tbody tr').length === 50", polling="raf")
    listed = page.evaluate(FRAME)
    begun = page.evaluate("() => performance.now()")
    page.locator("input[name=text]").fill("job 99")
    only = "() => [...document.querySelectorAll('#jobs .name a')].every((name) => name.textContent.includes('job 99'))"
    page.wait_for_function(only, polling="raf")
    return [page.wait_for_function(PAINT).json_value(), listed, page.evaluate(FRAME) - begun]


def measure(name: str, url: str, browser: Browser, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder, Server(url, Path(folder)) as server:
        print(f"\n{name}: a job of {options.iterations:,} iterations")
        begun = time.perf_counter()
        job_id = long_job(server, options.iterations)
        print(f"  written in {time.perf_counter() - begun:.0f} s, in transactions of {BATCH:,}")
        engine, n = server.engine, options.iterations

        def stretch(start: int | None, stop: int | None) -> Callable[[], object]:
            return lambda: downsampling.iterations(engine, job_id, start=start, stop=stop, max_points=1000)

        for what, start, stop in (
            ("whole", None, None),
            ("the middle half", n // 4 + 7, 3 * n // 4 + 7),
            ("a tenth", n // 2 + 7, n // 2 + n // 10 + 6),
            ("a hundredth", n // 2 + 7, n // 2 + n // 100 + 6),
        ):
            columns = downsampling.iterations(engine, job_id, start=start, stop=stop, max_points=1000)
            spent = timed(stretch(start, stop), options.repeats)
            print(f"  query, {what}: {spent:.0f} ms, {len(columns.iteration):,} points")
        painted, drawn = in_browser(browser, server, job_page(job_id), options.repeats)
        print(f"  page: first paint {painted:.0f} ms, all charts drawn {drawn:.0f} ms")
        print(f"{name}: a list of {options.jobs:,} jobs")
        many_jobs(server, options.jobs)
        print(f"  query, first page: {timed(lambda: queries.list_(engine), options.repeats):.0f} ms")
        print(f"  query, by name: {timed(lambda: queries.list_(engine, text='job 99'), options.repeats):.0f} ms")
        print(f"  query, by tag: {timed(lambda: queries.list_(engine, tag='digits'), options.repeats):.0f} ms")
        nothing = timed(lambda: queries.list_(engine, text="not there"), options.repeats)
        print(f"  query, by a name that no job has: {nothing:.0f} ms")
        print(f"  page: {list_drawn(browser, server, options.repeats)}")
        experiment = stage(server, options.trials)
        with write(engine) as connection:
            newest = sa.select(jobs_table.c.id).order_by(jobs_table.c.created_at.desc()).limit(options.trials)
            mine = jobs_table.c.id.in_(newest.scalar_subquery())
            connection.execute(jobs_table.update().where(mine).values(experiment_id=experiment))
        print(f"{name}: the same list, where {options.trials:,} are the trials of a search")
        print(f"  query, first page: {timed(lambda: queries.list_(engine), options.repeats):.0f} ms")
        print(f"  page: {list_drawn(browser, server, options.repeats)}")


def list_drawn(browser: Browser, server: Server, repeats: int) -> str:
    painted, listed, filtered = in_browser(browser, server, jobs_page, repeats)
    return f"first paint {painted:.0f} ms, listed {listed:.0f} ms, filtered by name {filtered:.0f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iterations", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--database", choices=["both", "sqlite", "postgresql"], default="both")
    options = parser.parse_args()
    if not CHROMIUM:
        sys.exit(REMEDY)
    # A line for each request, as the service writes them, without drawing them into the figures.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        if options.database != "postgresql":
            with tempfile.TemporaryDirectory() as folder:
                url = f"sqlite:///{folder}/hposvc.sqlite3"
                migrate.upgrade(url)
                measure("SQLite", url, browser, options)
        if options.database != "sqlite":
            server = PostgreSQL()
            server.start()
            try:
                url = server.create("benchmark")
                migrate.upgrade(url)
                measure("PostgreSQL", url, browser, options)
            finally:
                server.remove()
        browser.close()


if __name__ == "__main__":
    main()
