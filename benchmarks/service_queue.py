"""How the service behaves with many jobs in the queue: submitting, listing, and the wait of an idle worker.

    python -m benchmarks.service_queue --jobs 10000 [--database-url postgresql+psycopg://…]

Submits so many jobs, then 20 a second for a while; reads lists; and lets a consumer take deliveries.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise

from hposvc.db import migrate
from hposvc.db.engine import create_engine
from hposvc.jobs import queries
from hposvc.jobs.service import Jobs
from hposvc.jobs.spec import JobSpec
from hposvc.jobs.states import State
from hposvc.queue import Consumer

SPEC = JobSpec.model_validate({"kind": "data_reweighting", "dataset": {"id": "sklearn:iris"}, "tags": ["benchmark"]})


def timed(action: Callable[[], object]) -> float:
    """Milliseconds that the action took."""
    begun = time.perf_counter()
    action()
    return 1000 * (time.perf_counter() - begun)


def summary(name: str, times: list[float]) -> str:
    """Median, 95th and 99th percentile."""
    cuts = statistics.quantiles(times, n=100)
    return f"{name}: median {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms, p99 {cuts[98]:.1f} ms, {len(times)} measured"


def main() -> int:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=20.0, help="submissions a second, of which 200 are measured")
    parser.add_argument("--database-url")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        url = options.database_url or f"sqlite:///{directory}/hposvc.sqlite3"
        migrate.upgrade(url)
        engine = create_engine(url)
        jobs = Jobs(engine, check=lambda spec: None)
        for _ in range(options.jobs):
            jobs.submit(SPEC)
        submits = []
        for _ in range(200):
            submits.append(timed(lambda: jobs.submit(SPEC)))
            time.sleep(max(0.0, 1 / options.rate - submits[-1] / 1000))
        print(summary(f"submit at {options.rate:g} a second, {options.jobs} queued", submits))
        page = queries.list_(engine, limit=50).next_page
        print(summary("list, first page", [timed(lambda: queries.list_(engine, limit=50)) for _ in range(200)]))
        print(summary("list, next page", [timed(lambda: queries.list_(engine, page_token=page)) for _ in range(200)]))
        queued = [timed(lambda: queries.list_(engine, state=State.QUEUED, tag="benchmark")) for _ in range(200)]
        print(summary("list, by state and tag", queued))

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
