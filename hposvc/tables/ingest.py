"""One uploaded file checked, described and written as Parquet: in a process that strangers' bytes may crash.

``ingest`` starts that process, which calls ``respond``, with little memory and a deadline, and without any of the
service's secrets. What it finds wrong comes back as defects, and so does its own crash.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hposvc import confined
from hposvc.confined import Bounds
from hposvc.tables.defects import DataError, Defect
from hposvc.tables.options import UploadOptions

MOST_DESCRIBED = 4 * 2**20  # bytes of JSON: each request that names the data set reads them
NEEDS = ("hposvc.tables.describe", "hposvc.tables.reading")
BOUNDS = Bounds(seconds=600, memory=6 * 2**30)  # most of that address space is never touched


def ingest(source: Path, target: Path, options: UploadOptions) -> dict[str, Any]:
    """Check the file ``source`` and write it to ``target``; returns its description (see ``describe``).

    Raises DataError: what is wrong, where, and what to do.
    """
    command = {"source": str(source), "target": str(target), "options": asdict(options)}
    try:
        answer = confined.call("hposvc.tables.ingest", command, BOUNDS)
    except confined.TooSlowError:
        raise _refusal(f"reading it took more than {BOUNDS.seconds} s", "send fewer rows") from None
    except confined.TooLargeError:
        raise _refusal("reading it takes more memory than there is", "send fewer or smaller rows") from None
    except confined.CrashedError as error:
        message = f"reading it crashed the reader (status {error.status})"
        raise _refusal(message, "write the file again, or send it as CSV") from None
    if "defects" in answer:
        raise DataError(Defect(**defect) for defect in answer["defects"])
    description: dict[str, Any] = answer["description"]
    return description


def _refusal(message: str, remedy: str) -> DataError:
    return DataError([Defect("body", message, remedy)])


def respond(command: dict[str, Any]) -> dict[str, Any]:
    """Do what the command says; returns the outcome."""
    from hposvc.tables.describe import describe
    from hposvc.tables.reading import read, write

    target = Path(command["target"])
    try:
        options = UploadOptions.from_dict(command["options"])
        with TemporaryDirectory(dir=target.parent) as folder:
            rows = read(Path(command["source"]), options.reading, Path(folder))
            total, infinite = write(rows, target)
        description = describe(rows, total, target, options, infinite)
        size = len(json.dumps(description))
        if size > MOST_DESCRIBED:
            message = f"what is known of its columns takes {size:,} bytes, and {MOST_DESCRIBED:,} are kept"
            raise _refusal(message, "send fewer columns, smaller arrays or shorter names")
    except DataError as error:
        return {"defects": [asdict(defect) for defect in error.defects]}
    return {"description": description}
