"""How long the page of a search with many trials takes: ``python -m benchmarks.experiments.page --trials 1000``.

The trials are written into the database, as they are kept when they have ended. Prints, for several visits, the
milliseconds from the navigation until table, curves and parallel coordinates are drawn.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
import time
from pathlib import Path

import structlog
from playwright.sync_api import sync_playwright

from hposvc.db import migrate
from hposvc.db.engine import write
from hposvc.db.tables import experiment_trials, experiments
from hposvc.experiments import sampling
from tests.support.browser import CHROMIUM
from tests.support.experimenting import SEARCH, UPPER, Laboratory, experiment
from tests.support.serving import RESULT, Server

DRAWN = """count => document.querySelectorAll('svg.parallel polyline').length === count
  && document.querySelector('#best .plot .main-svg')
  && document.querySelectorAll('.trials tbody tr').length === Math.min(100, count)"""


def stage(server: Server, number: int) -> str:
    """The id of a search whose trials have all ended."""
    settings = SEARCH["parameters"] | {UPPER: {"low": 0.01, "high": 1.0}}
    plan = SEARCH | {"parameters": settings, "sampler": "random", "jobs": number}
    spec = experiment(plan)
    lab = Laboratory(server.engine)
    found = lab.experiments.submit(spec).id
    models = RESULT["models"]
    with write(server.engine) as connection:
        connection.execute(experiment_trials.delete())
        rows = []
        for n in range(number):
            loss = 0.1 + (n * 7919 % 1000) / 1000
            summary = {"iteration": 54, "iterations": 54, "seconds": 4.2, "score_name": "accuracy", "models": models}
            rows.append(
                {
                    "experiment_id": found,
                    "number": n,
                    "parameters": sampling.ask(spec.plan, n, [], 1),  # type: ignore[arg-type]
                    "job_id": f"job_{n:020x}",
                    "state": "succeeded",
                    "value": loss,
                    "curve": [loss + 1 / step for step in range(1, 28)],
                    "summary": summary,
                }
            )
        connection.execute(experiment_trials.insert(), rows)
        ended = {"made": number, "ended": number, "state": "succeeded", "best_trial": 0, "best_value": 0.1}
        connection.execute(experiments.update().values(version=experiments.c.version + 1, **ended))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--visits", type=int, default=5)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        url = f"sqlite:///{data}/hposvc.sqlite3"
        migrate.upgrade(url)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        with Server(url, Path(data)) as server:
            path = f"{server.url}/experiments/{stage(server, options.trials)}"
            page = browser.new_page()
            for _ in range(options.visits):
                begun = time.monotonic()
                page.goto(path)
                page.wait_for_function(DRAWN, arg=options.trials)
                print(f"{options.trials} trials: {1000 * (time.monotonic() - begun):.0f} ms", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
