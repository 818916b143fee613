"""One uploaded file checked, described and written as Parquet: in a process that strangers' bytes may crash.

``ingest`` starts that process, ``python -m hposvc.tables.ingest``, with little memory and a deadline, and without any
of the service's secrets. What it finds wrong comes back as problems, and so does its end.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from hposvc.child_process import end_with_parent
from hposvc.tables.choices import Wishes
from hposvc.tables.problems import DataError, Problem
from hposvc.tables.reading import Format

MEMORY_BYTES = 6 * 2**30  # of address space, most of which is never touched
SECONDS = 600
KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "TZ", "HPOSVC_FAILPOINTS", "HPOSVC_FAILPOINTS_FIRED")


def ingest(source: Path, format_: Format, target: Path, wishes: Wishes) -> dict[str, Any]:
    """Check the file ``source`` and write it to ``target``; answers its description (see ``describe``).

    Raises DataError: what is wrong, where, and what to do.
    """
    command = {"source": str(source), "format": format_, "target": str(target), "wishes": asdict(wishes)}
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "hposvc.tables.ingest"],
            input=json.dumps(command).encode(),
            capture_output=True,
            timeout=SECONDS,
            check=False,
            env={name: os.environ[name] for name in KEPT if name in os.environ} | {"OMP_NUM_THREADS": "1"},
            preexec_fn=_confine,
        )
    except subprocess.TimeoutExpired:
        raise DataError([Problem("body", f"reading it took more than {SECONDS} s", "send fewer rows")]) from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        if b"MemoryError" in done.stderr or b"malloc" in done.stderr or done.returncode == -signal.SIGKILL:
            problem = Problem("body", "reading it takes more memory than there is", "send fewer or smaller rows")
        else:
            problem = Problem(
                "body",
                f"reading it crashed the reader (status {done.returncode})",
                "write the file again, or send it as CSV",
            )
        raise DataError([problem]) from None
    if "problems" in answer:
        raise DataError(Problem(**problem) for problem in answer["problems"])
    description: dict[str, Any] = answer["description"]
    return description


def _confine() -> None:
    end_with_parent()
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Do what standard input says; say the outcome on standard output."""
    from hposvc.tables.describe import describe
    from hposvc.tables.reading import read, write

    command = json.loads(sys.stdin.buffer.read())
    target = Path(command["target"])
    try:
        rows = read(Path(command["source"]), command["format"])
        total = write(rows, target)
        answer: dict[str, Any] = {"description": describe(rows, total, target, Wishes(**command["wishes"]))}
    except DataError as error:
        answer = {"problems": [asdict(problem) for problem in error.problems]}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
