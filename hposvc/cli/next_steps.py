"""What a person can do next, said after what went well, as commands to type."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from hposvc.cli.terminal import visible

if TYPE_CHECKING:
    from hposvc.schema.datasets import DatasetResource
    from hposvc.schema.job import JobResource

SHEET = "sheet.csv"


def say(steps: Sequence[str]) -> None:
    """Say the steps on standard error, a line each."""
    typer.echo(visible("\nWhat to do next:\n" + "\n".join(f"  {step}" for step in steps)), err=True)


def after_job(job: JobResource) -> list[str]:
    """What the results of a job are good for."""
    steps = [f"Keep its files: hposvc results {job.id} --save ."]
    if job.spec.dataset is None or job.result is None:
        return steps
    steps.insert(0, f"Predict other rows: hposvc predict {job.id} FILE")
    if not job.result.get("suspects"):
        return steps
    data = job.spec.dataset
    if not data.id.startswith("ds_"):
        return ["Check the labels of the rows above, the most suspicious first.", *steps]
    label = [] if data.label is None else ["--label", data.label]
    export = ["review", "export", data.id, "--job", job.id, *label, "--output", SHEET]
    import_ = ["review", "import", data.id, SHEET, "--job", job.id, *label]
    again = ["tune", "--reviewed", data.id, *label]
    return [
        f"Check the labels of the rows, the most suspicious first, in a spreadsheet: {_command(export)}",
        f"Read it in when its column decision is filled in: {_command(import_)}",
        f"Tune again, with the rows that you checked as trusted rows: {_command(again)}",
        *steps,
    ]


def after_upload(file: Path, added: DatasetResource, read_as: dict[str, Any]) -> list[str]:
    """How to tune what was uploaded. ``read_as``: how its text is read, as ``hposvc.cli.data.reading`` has it."""
    words = ["tune", str(file)] + ([] if added.target else ["--label", "COLUMN"])
    for name in ("date_format", "decimal", "encoding"):
        words += [f"--{name.replace('_', '-')}", read_as[name]] if read_as[name] else []
    for text in read_as["missing_values"] or []:
        words += ["--missing-values", text]
    for column, texts in (read_as["missing_values_in"] or {}).items():
        words += [word for text in texts for word in ("--missing-values-in", f"{column}={text}")]
    return [f"Tune it: {_command(words + ([] if read_as['header'] else ['--no-header']))}"]


def after_review(dataset_id: str, label: str | None) -> list[str]:
    """What decisions are good for."""
    words = ["tune", "--reviewed", dataset_id, *([] if label is None else ["--label", label])]
    return [f"Make a data set of them, and tune it: {_command(words)}"]


def _command(words: Sequence[str]) -> str:
    return shlex.join(["hposvc", *words])
