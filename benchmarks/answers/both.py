"""One cell, solved as a job and by the rivals: a module of its own, so that other processes can import it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.answers.cells import Cell, StrengthCell

HERE = Path(__file__).parent
PEERS = Path(".peers/answers/bin/python")


def solve_one(question: str, cell: Cell | StrengthCell, folder: Path) -> dict[str, Any]:
    """Solve one cell, and let the rivals have its arrays."""
    from benchmarks.answers import ours  # imports Jittor, with the number of threads that is set by now

    solve: Callable[..., dict[str, Any]] = getattr(ours, question)
    with TemporaryDirectory() as temporary:
        arrays = Path(temporary) / "arrays.npz"
        found = solve(cell, folder / f"{cell.table}.csv", arrays)
        told = subprocess.run(
            [PEERS.absolute(), HERE / "rivals.py"], input=f"{arrays}\n", capture_output=True, text=True, check=False
        )
    if told.returncode:
        raise RuntimeError(told.stderr)
    return {"question": question, "cell": asdict(cell), "ours": found, "rivals": json.loads(told.stdout)}
