"""The command that does all at once: from a file to its results."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hposvc.cli.data import (
    FILE,
    DateFormat,
    Decimal,
    Encoding,
    IdColumn,
    Label,
    MissingValues,
    MissingValuesIn,
    NoHeader,
    Task,
    Unlabelled,
    reading,
    upload,
)
from hposvc.cli.field_help import of_field
from hposvc.cli.jobs import follow_to_end, say_submitted, warn
from hposvc.cli.naming import complete_datasets, dataset_of
from hposvc.cli.support import Json, Url, client_of
from hposvc.faults import Exit, Fault
from hposvc.schema.figures import plural

if TYPE_CHECKING:
    from hposvc.client import Client
    from hposvc.schema.datasets import DatasetResource

MOST_LEFT_OUT = 10  # columns that are named


def tune(
    file: Annotated[Path | None, FILE] = None,
    reviewed: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET",
            help="In the place of a file: a data set that was reviewed. A new version of it is made and tuned, and its "
            "reviewed rows are the trusted rows.",
            autocompletion=complete_datasets,
        ),
    ] = None,
    label: Label = None,
    kind: Annotated[str, typer.Option(help=of_field("spec.JobSpec.kind"))] = "data_reweighting",
    id_column: IdColumn = None,
    task: Task = None,
    trusted_column: Annotated[
        str | None,
        typer.Option(help="The column that says true, yes or 1 for a row whose label was checked and is right."),
    ] = None,
    trusted: Annotated[
        str,
        typer.Option(
            help="Which labels are right: unknown, or split (those of the validation and test rows, drawn at random). "
            "Only for data_reweighting."
        ),
    ] = "unknown",
    leave_out: Annotated[
        list[str] | None, typer.Option(help="A column to learn nothing from; repeat it for several.")
    ] = None,
    iterations: Annotated[int, typer.Option(min=1, help=of_field("spec.StopSpec.iterations"))] = 500,
    unlabelled: Unlabelled = None,
    date_format: DateFormat = None,
    decimal: Decimal = None,
    missing_values: MissingValues = None,
    missing_values_in: MissingValuesIn = None,
    encoding: Encoding = None,
    no_header: NoHeader = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Upload a file of your own, tune with the defaults, and show the results: `data add` and `submit` in one.

    Labels of the file may be wrong in any row, so none is trusted unless you say which. A file that is there already
    with another label, id column or task is not sent again: what you say goes into the job.
    """
    if trusted not in ("unknown", "split"):
        raise Fault(f"--trusted {trusted}: there is no such choice.", "Use unknown or split.", code=Exit.USAGE)
    if (file is None) == (reviewed is None):
        raise Fault("name either a file or a data set", "hposvc tune FILE, or --reviewed DATASET", code=Exit.USAGE)

    with client_of(url) as client:
        roles = {"label": label, "id_column": id_column, "task": task, "unlabelled": unlabelled}
        if file is None:
            added = client.reviews.make_version(dataset_of(client, str(reviewed)), label=label)
            trusted = "reviewed"
        else:
            said = reading(date_format, decimal, missing_values, missing_values_in, encoding, header=not no_header)
            added = _uploaded(client, file, quiet=as_json, **roles, **said)
        if not as_json:
            _say_left_out(added)
        others = {label or added.target, id_column, trusted_column, *(leave_out or [])}
        dataset: dict[str, Any] = {"id": added.id, "features": _features(added, others)} | roles
        if kind == "data_reweighting":
            dataset["trusted"] = trusted if trusted_column is None else {"column": trusted_column}
        spec = {
            "kind": kind,
            "name": added.name,
            "dataset": {name: value for name, value in dataset.items() if value is not None},
            "stop": {"iterations": iterations},
        }
        job = client.submit(spec)
        if not as_json:
            say_submitted(client, job)
        follow_to_end(client, job.id, as_json=as_json, then_results=True)


def _uploaded(client: Client, file: Path, **options: Any) -> DatasetResource:
    """The data set of a file, also if it is there already with other roles."""
    from hposvc.client import ProblemError

    try:
        return upload(client, file, **options)
    except ProblemError as problem:
        if not problem.type.endswith("dataset-conflict"):
            raise
        return client.dataset(str(problem.document["dataset"]))


def _features(known: DatasetResource, others: set[str | None]) -> list[str] | None:
    """The columns to learn from without ``others``; None: all that the data set learns from by itself.

    A former label of a data set whose label is another one now is a feature, as if the file were new.
    """
    columns = [column for column in known.columns or [] if column.role in ("feature", "label")]
    features = [column.name for column in columns if column.name not in others]
    own = [column.name for column in columns if column.role == "feature" and column.name not in others]
    left_out = any(column.role == "feature" and column.name in others for column in columns)
    return features if left_out or features != own else None


def _say_left_out(added: DatasetResource) -> None:
    """Which columns the model will not see, and why."""
    left = [f"{column.name} ({column.treatment})" for column in added.columns or [] if column.role == "ignored"]
    if left:
        more = f", and {len(left) - MOST_LEFT_OUT:,} more" if len(left) > MOST_LEFT_OUT else ""
        many = plural(len(left), "column is", "columns are")
        warn(f"{many} left out: {', '.join(left[:MOST_LEFT_OUT])}{more}. All columns: hposvc data show {added.id}")
