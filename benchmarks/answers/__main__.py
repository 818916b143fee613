"""How good is what a job returns, beside what people would do instead?

Real tables, with wrong labels planted in them or columns of noise added; each cell is sent, read and run like a job,
and the rivals get the arrays that the job learned from. One process for each core; what is done is kept in a file, so
that a run that was stopped goes on. With --write it makes the page ``quality`` of the documentation, with its picture.

python -m benchmarks.answers [--seeds 5] [--tables oj,chile] [--only labels] [--kept cells.jsonl] [--write]

Needs ``make peers``, which makes the rivals' environment.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import traceback
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.answers import cells
from benchmarks.answers.both import PEERS, solve_one

HERE = Path(__file__).parent
KEPT = Path(".hposvc/answers")
CELLS = {"labels": cells.Cell, "strengths": cells.StrengthCell}


def done(kept: Path) -> list[dict[str, Any]]:
    """The cells that an earlier run has finished: each with its question, cell, ours and rivals."""
    return [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []


def main() -> None:
    """Run the cells that are not done, then print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tables", default="", help="names from tables.py, with commas; all of them by default")
    parser.add_argument("--only", choices=tuple(CELLS))
    parser.add_argument("--kept", type=Path, default=KEPT / "cells.jsonl", help="where finished cells are kept")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--write", action="store_true", help="write the page and its picture into docs as well")
    options = parser.parse_args()
    if not PEERS.exists():
        sys.exit("The rivals have no environment yet: run `make peers`.")
    options.kept.parent.mkdir(parents=True, exist_ok=True)
    _run(options)
    report = [str(PEERS), str(HERE / "report.py"), str(options.kept), *(["docs"] if options.write else [])]
    subprocess.run(report, check=True)


def _run(options: argparse.Namespace) -> None:
    known_tables = names()
    wanted = [name for name in options.tables.split(",") if name]
    questions = {
        "labels": lambda: cells.of_labels(_some(known_tables["classes"], wanted), options.seeds),
        "strengths": lambda: cells.of_strengths(
            _some([*known_tables["numbers"], *known_tables["few"]], wanted), options.seeds
        ),
    }
    known = {(each["question"], CELLS[each["question"]](**each["cell"])) for each in done(options.kept)}
    todo = [
        (question, cell)
        for question, of in questions.items()
        if options.only in (None, question)
        for cell in of()
        if (question, cell) not in known
    ]
    if not todo:
        return
    folder = options.kept.parent
    write_tables(folder, {cell.table for _, cell in todo})
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    with (
        ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool,
        options.kept.open("a") as file,
    ):
        waiting = {pool.submit(solve_one, question, cell, folder): (question, cell) for question, cell in todo}
        for number, future in enumerate(as_completed(waiting), 1):
            question, cell = waiting[future]
            try:
                print(json.dumps(future.result()), file=file, flush=True)
            except Exception:  # noqa: BLE001 - one cell that fails is told, and the others go on
                traceback.print_exc()
            print(f"{number}/{len(todo)} {question} {cell}", file=sys.stderr, flush=True)


def write_tables(folder: Path, tables: set[str]) -> None:
    """Write those tables into ``folder`` that are not there yet."""
    missing = {table for table in tables if not (folder / f"{table}.csv").exists()}
    if missing:
        subprocess.run([PEERS, HERE / "tables.py", folder, *sorted(missing)], check=True)


def names() -> dict[str, list[str]]:
    """The tables by what their label is: ``classes``, ``numbers``, and the ``few`` of classes with few features."""
    code = "import json, tables as t; print(json.dumps({'classes': list(t.CLASSES), 'numbers': list(t.NUMBERS)}))"
    told = subprocess.run([PEERS.absolute(), "-c", code], cwd=HERE, capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = json.loads(told.stdout)
    found["few"] = [
        name for name in found["classes"] if name in {"breast_cancer", "wine", "oj", "mroz", "iris", "penguins"}
    ]
    return found


def _some(names: list[str], wanted: list[str]) -> list[str]:
    return [name for name in names if not wanted or name in wanted]


if __name__ == "__main__":
    main()
