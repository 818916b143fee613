"""How quickly 100,000 rows are reviewed: a page of rows, a page of decisions, one decision, and a row as it is drawn.

    python -m benchmarks.review.speed [--rows 100000] [--repeats 30]

The real server on SQLite and loopback. Pages hold 1,000 rows, at places drawn by chance. "Drawn" is the time that the
script of the page takes for one key: the decision, the next row, and what stands beside it, until the page is laid out.
Every figure is the median, with the 95th percentile after it.
"""

from __future__ import annotations

import argparse
import io
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import structlog
from playwright.sync_api import Page, sync_playwright

from hposvc.db import migrate
from hposvc.run.artifacts import parquet
from tests.support.browser import CHROMIUM
from tests.support.serving import RESULT, Server, answer, succeeded

PAGE = 1000
KINDS = np.array(["setosa", "versicolor", "virginica"])
WORDS = np.array([f"word{i}" for i in range(2000)])
DRAW = """() => {
  const began = performance.now();
  document.querySelector("#row").dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", bubbles: true }));
  document.querySelector("#row").getBoundingClientRect();
  return performance.now() - began;
}"""


def table(rows: int) -> dict[str, np.ndarray]:
    """Eight columns of numbers, one of categories, one of free text, and the label."""
    draw = np.random.default_rng(0)
    columns = {f"x{i}": draw.normal(size=rows).round(4) for i in range(8)}
    texts = [" ".join(draw.choice(WORDS, 12)) for _ in range(rows)]
    return {
        "id": np.array([f"r{i}" for i in range(rows)]),
        **columns,
        "town": draw.choice(["Rome", "Oslo", "Lima"], rows),
        "note": np.array(texts),
        "kind": KINDS[draw.integers(0, 3, rows)],
    }


def job(server: Server, client: httpx.Client, rows: int) -> tuple[str, str]:
    """A finished job about so many rows; returns its path and that of its data set."""
    columns = table(rows)
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    sent = client.post(
        "/v1/datasets",
        params={"name": "rows.parquet", "label": "kind"},
        content=buffer.getvalue(),
        headers={"Content-Type": "application/vnd.apache.parquet"},
    ).raise_for_status()
    wrong = np.sort(np.random.default_rng(1).beta(0.3, 2, rows))[::-1]
    ranked = {
        "row_id": columns["id"],
        "part": np.repeat("train", rows),
        "rank": np.arange(1, rows + 1),
        "weight": 1 - wrong,
        "label": columns["kind"],
        "predicted": np.where(wrong > 0.5, np.roll(columns["kind"], 1), columns["kind"]),
        "probability": np.full(rows, 0.9),
        "probability_wrong": wrong,
        **{name: values for name, values in columns.items() if name != "id"},
    }
    kept = answer(server.settings.data_dir, {"row_id": ["0"]}, "rows")
    Path(kept.url.removeprefix("file://")).write_bytes(parquet(pa.table(ranked)))
    result = RESULT | {"noise": None, "suspects": [], "suspects_total": 0}
    dataset = {"id": sent.json()["id"], "label": "kind", "id_column": "id", "trusted": "unknown"}
    found = succeeded(server.engine, result, [kept], name="many rows", dataset=dataset)
    return f"/v1/jobs/{found.id}", sent.json()["links"]["self"]


def timed(repeats: int, work: Callable[[], object]) -> str:
    """Median and 95th percentile in milliseconds."""
    work()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return figures(1000 * np.array(seconds))


def figures(milliseconds: np.ndarray) -> str:
    return f"{np.median(milliseconds):.0f} ms, 95 %: {np.quantile(milliseconds, 0.95):.0f} ms"


def drawn(page: Page, repeats: int) -> str:
    """One key after the other."""
    page.wait_for_selector("#row h2")
    found = [page.evaluate(DRAW) for _ in range(repeats + 3)]
    return figures(np.array(found[3:]))


def main() -> None:
    """Measure, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=30)
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    draw = np.random.default_rng(2)
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/hposvc.db"
        migrate.upgrade(url)
        with (
            Server(url, Path(folder)) as server,
            httpx.Client(base_url=server.url, trust_env=False, timeout=60) as client,
        ):
            path, dataset = job(server, client, options.rows)

            def rows(order: str) -> Callable[[], object]:
                def read() -> object:
                    offset = int(draw.integers(0, options.rows - PAGE))
                    query = {"format": "json", "limit": PAGE, "offset": offset, "order": order}
                    items = client.get(f"{path}/rows", params=query).raise_for_status().json()["items"]
                    assert len(items) == PAGE
                    return items

                return read

            print(f"a page of rows, most suspicious first: {timed(options.repeats, rows('suspicious'))}")
            print(f"a page of rows, most worth checking first: {timed(options.repeats, rows('worth_checking'))}")

            def decide() -> object:
                row = f"r{draw.integers(0, options.rows)}"
                return client.put(f"{dataset}/reviews/{row}", json={"decision": "right"}).raise_for_status()

            print(f"one decision: {timed(options.repeats, decide)}")
            many = [{"row": f"r{i}", "decision": "right"} for i in range(0, options.rows, 20)]
            client.put(f"{dataset}/reviews", json={"decisions": many}).raise_for_status()
            page_of = {"limit": PAGE, "label": "kind"}
            print(
                f"a page of {len(many):,} decisions: "
                + timed(options.repeats, lambda: client.get(f"{dataset}/reviews", params=page_of).raise_for_status())
            )
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
                page = browser.new_page(base_url=server.url)
                page.goto(f"{path.removeprefix('/v1')}/review")
                print(f"a row is drawn: {drawn(page, options.repeats)}")
                browser.close()


if __name__ == "__main__":
    main()
