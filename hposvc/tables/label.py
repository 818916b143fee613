"""What a column that is to be predicted holds: classes or numbers, and what to know of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hposvc.tables.defects import DataError, Defect, for_shell

FEWEST_TO_A_CLASS = 3
MOST_CLASSES = 1000
MOST_CODES = 50  # a label of whole numbers with more different values than this is a number
MOST_WHOLE = 2**53  # below it a float is one whole number
MOST_PLAIN_CODES = 10  # so many different integers are classes without a word


@dataclass(frozen=True)
class Label:
    """The column ``name``: what it holds (``kind``), and how many of its values differ and are missing.

    ``whole``: all of its numbers are whole ones.
    """

    name: str
    kind: str
    distinct: int
    missing: int
    whole: bool
    read_as_missing: str = ""  # the texts that were, for people

    def task(self, total: int) -> str:
        """What it asks for in ``total`` rows: text, truth and few whole numbers are classes, others are numbers.

        As ``type_of_target`` of scikit-learn: 0.0 and 1.0 are classes like 0 and 1.
        """
        if self.kind in ("text", "boolean"):
            return "classification"
        few = self.distinct <= min(MOST_CODES, total // FEWEST_TO_A_CLASS)
        return "classification" if self.whole and few else "regression"


def are_whole(column: Any, kind: str) -> bool:
    """Whether all values of an Arrow column are whole numbers."""
    if kind != "number":
        return kind == "integer"
    return bool(pc.all(pc.equal(column, pc.round(column))).as_py())


def judge(label: Label, values: Any, wanted: str | None, *, leave_out: bool) -> tuple[str, list[str] | None]:
    """Whether the label holds classes or numbers, and the classes. Raises DataError if nothing can learn it.

    ``values`` is its Arrow column, ``wanted`` what a person said. ``leave_out``: rows without a label are left out.
    """
    name, kind, total = label.name, label.kind, len(values) - label.missing
    if kind not in ("integer", "number", "boolean", "text"):
        _refuse("label", f"column {name!r} holds {'nothing' if kind == 'empty' else kind}", "name another column")
    if label.missing and not leave_out:
        row = pc.index(pc.is_null(values), pa.scalar(True)).as_py() + 1
        texts = f": {label.read_as_missing}" if label.read_as_missing else ""
        option = f"--missing-values-in {for_shell(f'{name}=')}"
        meant = f". If those texts are classes, say that none is missing there: {option}"
        _refuse(
            "label",
            f"column {name!r} is missing in {label.missing} rows, the first is row {row}{texts}",
            f"fill it in, or leave those rows out by --unlabelled leave_out (in a job, dataset.unlabelled: leave_out): "
            f"the finished job can predict them{meant if texts else ''}",
        )
    task = wanted or label.task(total)
    if task == "regression":
        if kind in ("text", "boolean"):
            _refuse("task", f"column {name!r} holds {kind}, which has no distances", "use task=classification")
        if label.distinct < 2:
            _refuse("label", f"column {name!r} has the same value in every row", "name a column that varies")
        return task, None
    if label.distinct < 2:
        _refuse("label", f"column {name!r} holds a single class", "name a column with at least two")
    if label.distinct > min(MOST_CLASSES, total // FEWEST_TO_A_CLASS):
        remedy = "name another column" + (", or use task=regression" if kind in ("integer", "number") else "")
        _refuse("label", f"column {name!r} has {label.distinct} classes in {total} rows", remedy)
    return task, [class_name(value) for value in sorted(pc.unique(pc.drop_null(values)).to_pylist())]


def class_name(value: Any) -> str:
    """How a class is called: 3 for 3.0, true for True. Different values have different names."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer() and abs(value) < MOST_WHOLE:
        return str(int(value))
    return str(value)


def treatment(task: str, classes: Sequence[str] | None) -> str:
    """What is done to the label, in words."""
    return "what is predicted" + (f": {len(classes)} classes" if classes else ", standardized by the training rows")


def cautions(label: Label, classes: Sequence[str] | None, *, asked: bool) -> Iterator[str]:
    """What a person should know of a label that is learned: sentences. ``asked``: a person said what it holds."""
    if label.missing:
        yield (
            f"{label.missing:,} rows have no label in {label.name!r} and are left out. The finished job predicts them: "
            "hposvc predict."
        )
    if classes is None:
        return
    if label.kind == "text":
        yield from _alike(label.name, classes)
    codes = label.kind == "integer" and len(classes) <= MOST_PLAIN_CODES and min(map(float, classes)) >= 0
    if label.kind in ("integer", "number") and not codes and not asked:
        shown = ", ".join(classes[:5]) + (", …" if len(classes) > 5 else "")
        yield (
            f"The label {label.name!r} has {len(classes)} different whole numbers ({shown}): they are taken as "
            "classes. If they are amounts, use --task regression, or dataset.task in the job."
        )


def _alike(name: str, classes: Sequence[str]) -> Iterator[str]:
    groups: dict[str, list[str]] = defaultdict(list)
    for known in classes:
        groups["".join(known.split()).casefold()].append(known)
    for group in [group for group in groups.values() if len(group) > 1][:5]:
        yield (
            f"The classes {', '.join(map(repr, group))} of {name!r} differ by case or spaces only. They are learned as "
            "different classes: write them alike in the file if they are the same."
        )


def _refuse(field: str, message: str, remedy: str) -> None:
    raise DataError([Defect(field, message, remedy)])
