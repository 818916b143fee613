"""How long a large CSV takes to be sent, checked and kept, and how much memory that takes.

    python -m benchmarks.upload --rows 200000 --columns 50

A service of its own on loopback; memory is the resident set, looked at every 20 ms: of the API alone, and of the
process that reads the file for it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from hposvc.client import Client
from hposvc.db import migrate
from hposvc.operate.embedded import announced
from hposvc.settings import Settings


def write(path: Path, rows: int, columns: int) -> None:
    """A CSV of ids, numbers with holes, categories, and a label."""
    rng = np.random.default_rng(0)
    table = {"id": [f"row-{i}" for i in range(rows)]}
    for i in range(columns - 8):
        values = np.round(rng.normal(size=rows), 6)
        table[f"number {i}"] = pa.array(values, mask=rng.random(rows) < 0.02)
    for i in range(4):
        table[f"category {i}"] = rng.choice(["red", "green", "blue", "black", "white"], rows)
    table |= {f"count {i}": rng.integers(0, 1000, rows) for i in range(2)}
    table["label"] = rng.choice(["yes", "no"], rows)
    pyarrow.csv.write_csv(pa.table(table), path)


class Memory(threading.Thread):
    """The largest resident sets, in MB, of a process and of what it starts."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.own, self.children, self.stop = pid, 0.0, 0.0, threading.Event()

    def run(self) -> None:
        while not self.stop.wait(0.02):
            self.own = max(self.own, resident(self.pid))
            for task in Path(f"/proc/{self.pid}/task").glob("*/children"):
                try:
                    self.children = max([self.children, *(resident(int(child)) for child in task.read_text().split())])
                except OSError:
                    continue


def resident(pid: int) -> float:
    """The resident set of a process, in MB."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--columns", type=int, default=50)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path, data_dir = Path(folder, "large.csv"), Path(folder, "data")
        write(path, options.rows, options.columns)
        settings = Settings(data_dir=data_dir)
        migrate.upgrade(f"sqlite:///{data_dir / 'hposvc.sqlite3'}")
        environment = os.environ | {"HPOSVC_DATA_DIR": str(data_dir)}
        api = subprocess.Popen(
            [sys.executable, "-m", "hposvc", "api", "--port", "0"], env=environment, stderr=subprocess.DEVNULL
        )
        try:
            while not announced(settings).get("url"):
                time.sleep(0.1)
            with Client(announced(settings)["url"]) as client:
                while not client.is_ready():
                    time.sleep(0.1)
                memory = Memory(api.pid)
                memory.start()
                before, start = resident(api.pid), time.perf_counter()
                dataset = client.add_dataset(path, label="label", id_column="id")
                uploaded = time.perf_counter() - start
                peak, start = memory.own, time.perf_counter()
                client.check({"kind": "data_reweighting", "dataset": {"id": dataset.id}})
                checked = time.perf_counter() - start
                memory.stop.set()
                memory.join()
        finally:
            api.terminate()
            api.wait()
        print(f"{dataset.rows:,} rows x {len(dataset.columns or [])} columns, {path.stat().st_size / 1e6:.0f} MB")
        print(f"sent, checked, kept: {uploaded:.1f} s; a job on it checked: {checked:.1f} s")
        print(
            f"API: {before:.0f} MB before, at most {peak:.0f} MB during the upload, "
            f"{memory.own:.0f} MB with the check of the job"
        )
        print(f"the process that reads the file: at most {memory.children:.0f} MB")


if __name__ == "__main__":
    main()
