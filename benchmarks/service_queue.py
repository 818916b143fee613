"""How the service behaves with many jobs in the queue: submitting, listing, and the wait of an idle worker.

    python -m benchmarks.service_queue --jobs 10000 [--postgresql]

Over HTTP, from a client of its own process: submits 20 jobs a second for a while behind so many that wait, and reads
lists. Then a consumer takes deliveries. PostgreSQL is started for the benchmark, as the tests do it.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

from hposvc.client import Client
from hposvc.db import migrate
from hposvc.db.engine import create_engine
from hposvc.jobs.queue import Consumer
from hposvc.operate.embedded import announced
from hposvc.schema.spec import JobSpec
from hposvc.settings import Settings
from tests.support.harness import UncheckedJobs
from tests.support.postgresql import PostgreSQL

SPEC = JobSpec.model_validate({"kind": "data_reweighting", "dataset": {"id": "sklearn:iris"}, "tags": ["benchmark"]})
MEASURED = 200


def timed(action: Callable[[], object]) -> float:
    """Milliseconds that the action took."""
    begun = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - begun)


def summary(name: str, times: list[float]) -> str:
    """Median, 95th and 99th percentile."""
    cuts = statistics.quantiles(times, n=100)
    return f"{name}: median {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms, p99 {cuts[98]:.1f} ms, {len(times)} measured"


@contextmanager
def database(directory: Path, postgresql: bool) -> Iterator[str]:
    """The URL of an empty database."""
    if not postgresql:
        yield f"sqlite:///{directory / 'hposvc.sqlite3'}"
        return
    server = PostgreSQL()
    server.start()
    try:
        yield server.create("benchmark")
    finally:
        server.remove()


@contextmanager
def api(directory: Path, url: str) -> Iterator[Client]:
    """A client of an API process on that database."""
    settings = {"HPOSVC_DATA_DIR": str(directory), "HPOSVC_DATABASE_URL": url, "HPOSVC_QUOTA_QUEUED_JOBS": "1000000"}
    command = [sys.executable, "-m", "hposvc", "api", "--port", "0"]
    process = subprocess.Popen(command, env=os.environ | settings, stderr=subprocess.DEVNULL)
    try:
        while not announced(Settings(data_dir=directory)).get("url"):
            time.sleep(0.1)
        with Client(announced(Settings(data_dir=directory))["url"]) as client:
            while not client.is_ready():
                time.sleep(0.1)
            yield client
    finally:
        process.terminate()
        process.wait()


def ask(client: Client, jobs: int, rate: float) -> None:
    """Print how long submissions and lists take, behind so many jobs."""
    client.submit(SPEC)
    gc.freeze()  # the service is measured, not this process's search for garbage
    submits = []
    for _ in range(MEASURED):
        submits.append(timed(lambda: client.submit(SPEC)))
        time.sleep(max(0.0, 1 / rate - submits[-1] / 1000))
    print(summary(f"submit at {rate:g} a second, {jobs:,} queued", submits))
    page = client.jobs_page(limit=50).next_page
    lists: dict[str, Callable[[], object]] = {
        "list, first page": lambda: client.jobs_page(limit=50),
        "list, next page": lambda: client.jobs_page(limit=50, page=page),
        "list, by state and tag": lambda: client.jobs_page(limit=50, state="queued", tag="benchmark"),
    }
    for name, action in lists.items():
        print(summary(name, [timed(action) for _ in range(MEASURED)]))


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument(
        "--rate", type=float, default=20.0, help=f"submissions a second, of which {MEASURED} are measured"
    )
    parser.add_argument("--postgresql", action="store_true", help="instead of SQLite")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, database(Path(folder), options.postgresql) as url:
        migrate.upgrade(url)
        engine = create_engine(url)
        jobs = UncheckedJobs(engine)
        for _ in range(options.jobs):
            jobs.submit(SPEC)
        with api(Path(folder), url) as client:
            ask(client, options.jobs, options.rate)

        received: list[float] = []
        begun = time.perf_counter()
        consumer = Consumer(engine.url, "benchmark", lambda job_id, attempt: received.append(time.perf_counter()))
        while len(received) < 21:
            time.sleep(0.01)
        consumer.close()
        gaps = [1000 * (after - before) for before, after in pairwise(received)]
        print(f"first delivery {1000 * (received[0] - begun):.0f} ms after the consumer started; "
              f"then one every {statistics.median(gaps):.0f} ms")  # fmt: skip
        engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
