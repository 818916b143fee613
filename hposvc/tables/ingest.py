"""One uploaded file checked, described and written as Parquet: in a process that strangers' bytes may crash.

``ingest`` starts that process, ``python -m hposvc.tables.ingest``, with little memory and a deadline, and without any
of the service's secrets. What it finds wrong comes back as defects, and so does its own crash.
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
from tempfile import TemporaryDirectory
from typing import Any

from hposvc.child_process import end_with_parent
from hposvc.tables.defects import DataError, Defect
from hposvc.tables.options import UploadOptions

MEMORY_BYTES = 6 * 2**30  # of address space, most of which is never touched
SECONDS = 600
KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "TZ", "HPOSVC_FAILPOINTS", "HPOSVC_FAILPOINTS_FIRED")


def ingest(source: Path, target: Path, options: UploadOptions) -> dict[str, Any]:
    """Check the file ``source`` and write it to ``target``; returns its description (see ``describe``).

    Raises DataError: what is wrong, where, and what to do.
    """
    command = {"source": str(source), "target": str(target), "options": asdict(options)}
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
        raise DataError([Defect("body", f"reading it took more than {SECONDS} s", "send fewer rows")]) from None
    try:
        answer = json.loads(done.stdout)
    except ValueError:
        if b"MemoryError" in done.stderr or b"malloc" in done.stderr or done.returncode == -signal.SIGKILL:
            defect = Defect("body", "reading it takes more memory than there is", "send fewer or smaller rows")
        else:
            defect = Defect(
                "body",
                f"reading it crashed the reader (status {done.returncode})",
                "write the file again, or send it as CSV",
            )
        raise DataError([defect]) from None
    if "defects" in answer:
        raise DataError(Defect(**defect) for defect in answer["defects"])
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
        options = UploadOptions.from_dict(command["options"])
        with TemporaryDirectory(dir=target.parent) as folder:
            rows = read(Path(command["source"]), options.reading, Path(folder))
            total, infinite = write(rows, target)
        answer: dict[str, Any] = {"description": describe(rows, total, target, options, infinite)}
    except DataError as error:
        answer = {"defects": [asdict(defect) for defect in error.defects]}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
