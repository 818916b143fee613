"""The rows of an uploaded file predicted by the model of a job: in a process of its own, as strangers sent the file.

``predict`` starts that process, ``python -m hposvc.datasets.confined_predicting``, with bounds on time and memory.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hposvc import confined
from hposvc.confined import Bounds
from hposvc.storage.environment import of_store
from hposvc.storage.store import Store, StoreError
from hposvc.tables.defects import DataError, Defect

BOUNDS = Bounds(seconds=120, memory=4 * 2**30)


@dataclass(frozen=True)
class Predicted:
    """How many rows were predicted, with the score where the file has the label, and what to know of them."""

    rows: int
    score: float | None
    score_name: str
    warnings: list[str]


def predict(model_url: str, source: Path, target: Path, *, spreadsheet: bool = False) -> Predicted:
    """Write a line of CSV to ``target`` for each row of the file ``source``.

    For a ``spreadsheet`` formulas are marked as text. Raises DataError: also when that takes too much time or memory;
    FileNotFoundError, StoreError.
    """
    command = {"model": model_url, "source": str(source), "target": str(target), "spreadsheet": spreadsheet}
    try:
        found: dict[str, Any] = confined.call(
            "hposvc.datasets.confined_predicting", command, BOUNDS, of_store(model_url, os.environ)
        )
    except confined.TooSlowError:
        raise _refusal(f"predicting it took more than {BOUNDS.seconds} s") from None
    except confined.TooLargeError:
        raise _refusal(f"predicting it takes more than {BOUNDS.memory // 2**30} GiB of memory") from None
    except confined.CrashedError as error:
        raise _refusal(f"reading it crashed the reader (status {error.status})") from None
    if "defects" in found:
        raise DataError(Defect(**defect) for defect in found["defects"])
    if "gone" in found:
        raise FileNotFoundError(found["gone"])
    if "store" in found:
        raise StoreError(found["store"])
    return Predicted(**found)


def _refusal(message: str) -> DataError:
    return DataError([Defect("body", message, "send fewer rows at a time, or use hposvc predict")])


def main() -> None:
    """Do what standard input says; say the outcome on standard output."""
    command = json.load(sys.stdin)
    try:
        answer = _done(command)
    except DataError as error:
        answer = {"defects": [asdict(defect) for defect in error.defects]}
    except FileNotFoundError as error:
        answer = {"gone": str(error)}
    except OSError as error:
        answer = {"store": str(error)}
    json.dump(answer, sys.stdout)


def _done(command: dict[str, Any]) -> dict[str, Any]:
    import pyarrow.csv

    from hposvc.prediction import ModelError, Predictor
    from hposvc.tables.formulas import marked
    from hposvc.tables.reading import read_table

    with Store("").open(command["model"]) as stream:
        content = stream.read()
    try:
        model = Predictor.from_bytes(content)
        rows = read_table(Path(command["source"]), model.reading)
        found = model.predict({name: rows[name] for name in rows.column_names})
    except ModelError as error:
        raise DataError([Defect("body", f"the model cannot be used: {error}", "run the job again")]) from None
    table = found.table()
    pyarrow.csv.write_csv(marked(table) if command["spreadsheet"] else table, command["target"])
    return asdict(Predicted(table.num_rows, found.score, found.score_name, found.warnings))


if __name__ == "__main__":
    main()
