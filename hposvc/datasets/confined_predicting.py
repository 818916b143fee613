"""The rows of an uploaded file predicted by the model of a job: in a process of its own, as strangers sent the file.

``predict`` starts that process, which calls ``respond``, with bounds on time and memory.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from hposvc.datasets import confined_work
from hposvc.datasets.confined_work import BOUNDS, Wording
from hposvc.storage.store import Store
from hposvc.tables.defects import DataError, Defect

NEEDS = ("pyarrow.csv", "hposvc.prediction", "hposvc.tables.formulas", "hposvc.tables.reading")
REMEDY = "send fewer rows at a time, or use hposvc predict"
WORDING = Wording("body", "predicting", REMEDY, REMEDY)
MOST_BYTES = 64 * 2**20  # of CSV that is returned: the API holds it


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
    command["most_bytes"] = MOST_BYTES
    return Predicted(**confined_work.ask("hposvc.datasets.confined_predicting", command, model_url, BOUNDS, WORDING))


def respond(command: dict[str, Any]) -> dict[str, Any]:
    """The outcome of a command of this module."""
    return confined_work.outcome(partial(_done, command))


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
    if Path(command["target"]).stat().st_size > command["most_bytes"]:
        raise DataError([Defect("body", f"its predictions take more than {command['most_bytes']:,} bytes", REMEDY)])
    return asdict(Predicted(table.num_rows, found.score, found.score_name, found.warnings))
