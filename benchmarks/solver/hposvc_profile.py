"""Where the time of an iteration of this solver goes: ``python hposvc_profile.py CASE_JSON``, called by ``--profile``.

Kernels are timed within Jittor's ``jt.profile_scope``, which slows them a little; the iteration is timed without.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import median

import numpy as np
from hposvc_contender import prepare

from hposvc.bilevel.runtime import jt

ROUNDS, SECONDS = 7, 0.3
OTHERS, GRAPH = "Jittor's own element-wise kernels and sums", "everything else: Python, Jittor's graph, waiting"
_NAME = re.compile(r'"kernel: (.*)"')


def part(kernel: str, file: str) -> str:
    """What a kernel belongs to, from its key and, for one of ours, its source."""
    if kernel.startswith("mkl_matmul"):
        return "products in oneDNN"
    source = Path(file)
    if kernel.startswith("code") and source.exists() and (found := _NAME.search(source.read_text())):
        return found[1]
    return "rows of a mini-batch, gathered" if kernel.startswith("getitem") else OTHERS


def main() -> None:
    case = json.loads(sys.argv[1])
    with np.load(case["path"]) as file:
        iterate = prepare({name: file[name] for name in file.files}, case)
    iterate(3)
    started = time.perf_counter()
    iterate(3)
    count = max(3, min(200, int(SECONDS / ((time.perf_counter() - started) / 3))))
    walls = []
    kernels: dict[str, list[float]] = defaultdict(list)
    calls: dict[str, float] = defaultdict(float)
    for turn in range(ROUNDS):
        started = time.perf_counter()
        iterate(count)
        walls.append(1e3 * (time.perf_counter() - started) / count)
        with jt.profile_scope() as report:
            iterate(count)
        header, *rows = report
        name, file, times, total = (header.index(column) for column in ("Name", "FileName", "Count", "TotalTime"))
        spent: dict[str, float] = defaultdict(float)
        for row in rows:
            spent[part(row[name], row[file])] += float(row[total]) / count / 1e6
            if turn == 0:
                calls[part(row[name], row[file])] += float(row[times]) / count
        for key, value in spent.items():
            kernels[key].append(value)
    wall, medians = median(walls), {key: median(values) for key, values in kernels.items()}
    print(f"| {case['name']}, an iteration of {wall:.2f} ms | kernels | ms |")
    print("|---|---:|---:|")
    for key, value in sorted(medians.items(), key=lambda item: -item[1]):
        print(f"| {key} | {calls[key]:.0f} | {value:.2f} |")
    print(f"| {GRAPH} | | {wall - sum(medians.values()):.2f} |")


if __name__ == "__main__":
    main()
