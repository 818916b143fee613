"""The commands about data sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hposvc.cli import next_steps
from hposvc.cli.naming import DatasetId, Yes, dataset_of, sure
from hposvc.cli.support import Json, Url, client_of, print_json
from hposvc.faults import Exit, Fault

if TYPE_CHECKING:
    from hposvc.client import Client
    from hposvc.schema.datasets import DatasetResource

commands = typer.Typer(no_args_is_help=True, help="The data sets that jobs can name.")

FILE = typer.Argument(
    metavar="FILE",
    help="CSV, JSON lines, XLSX, Parquet or NPZ, also in a .gz or .zip; or a .zip of pictures.",
)
DataFile = Annotated[Path, FILE]
Label = Annotated[
    str | None, typer.Option(help="The column to predict; by default one called target, label, class or y.")
]
IdColumn = Annotated[str | None, typer.Option(help="The column that names the rows; by default one called id.")]
Task = Annotated[str | None, typer.Option(help="classification or regression, where the label could be either.")]
Unlabelled = Annotated[
    str | None, typer.Option(help="What becomes of rows without a label: refuse (the default), or leave_out.")
]
DateFormat = Annotated[
    str | None, typer.Option(help="How dates are written, such as %d/%m/%Y; by default found out column by column.")
]
Decimal = Annotated[str | None, typer.Option(help="The decimal point or comma; by default found out.")]
Encoding = Annotated[
    str | None, typer.Option(help="How characters became bytes, such as cp1252, where that cannot be told.")
]
MissingValues = Annotated[
    list[str] | None,
    typer.Option(
        help="A text that stands for a missing value; repeat it for several, or give an empty one if no text does. "
        "By default NA, NaN, None, null, ? and the like."
    ),
]
MissingValuesIn = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=TEXT",
        help="A text that stands for a missing value in one column, in the place of the others; COLUMN= if none does.",
    ),
]
NoHeader = Annotated[
    bool, typer.Option("--no-header", help="The first line is a row; the columns are called column 1, column 2 …")
]


@commands.command("list")
def list_(url: Url = None, as_json: Json = False) -> None:
    """List the data sets that a job can name: your own, newest first, then those that come along."""
    from hposvc.cli.render import console, datasets_table

    with client_of(url) as client:
        found = client.datasets()
    if as_json:
        print_json([item.model_dump(mode="json") for item in found])
    else:
        console().print(datasets_table(found))


def problems(url: Url = None, as_json: Json = False) -> None:
    """List the problems that are installed on the workers, for jobs of kind custom, and what each takes."""
    from hposvc.cli.render import console, problems_table

    with client_of(url) as client:
        found = client.problems()
    if as_json:
        print_json([item.model_dump(mode="json") for item in found])
    else:
        console().print(problems_table(found))


@commands.command()
def add(
    file: DataFile,
    label: Label = None,
    id_column: IdColumn = None,
    task: Task = None,
    name: Annotated[str | None, typer.Option(help="What to call it; by default the name of the file.")] = None,
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
    """Upload a file of rows or of pictures, and show what will be done to each of its columns."""
    from hposvc.cli.render import console, dataset

    with client_of(url) as client:
        said = reading(date_format, decimal, missing_values, missing_values_in, encoding, header=not no_header)
        added = upload(
            client,
            file,
            quiet=as_json,
            name=name,
            label=label,
            id_column=id_column,
            task=task,
            unlabelled=unlabelled,
            **said,
        )
    if as_json:
        print_json(added)
    else:
        console().print(dataset(added))
        next_steps.say(next_steps.after_upload(file, added, said))


@commands.command()
def show(dataset_id: DatasetId, url: Url = None, as_json: Json = False) -> None:
    """Show a data set: its columns, their parts, and what is done to each before a model sees it."""
    from hposvc.cli.render import console, dataset

    with client_of(url) as client:
        found = client.dataset(dataset_of(client, dataset_id))
    if as_json:
        print_json(found)
    else:
        console().print(dataset(found))


@commands.command()
def rm(
    dataset_id: DatasetId,
    yes: Yes = False,
    url: Url = None,
) -> None:
    """Remove an uploaded data set; finished jobs keep their results."""
    with client_of(url) as client:
        dataset_id = dataset_of(client, dataset_id)
        sure(f"Remove {dataset_id} for good?", yes=yes)
        client.remove_dataset(dataset_id)
    typer.echo(f"{dataset_id} is removed")


def reading(
    date_format: str | None,
    decimal: str | None,
    missing_values: list[str] | None,
    missing_values_in: list[str] | None,
    encoding: str | None,
    *,
    header: bool,
) -> dict[str, Any]:
    """The options that say how text is to be read, as ``upload`` takes them. Raises Fault: one names no column."""
    by_column: dict[str, list[str]] = {}
    for said in missing_values_in or []:
        column, equals, text = said.rpartition("=")
        if not column or not equals:
            raise Fault(f"--missing-values-in {said!r} is not COLUMN=TEXT", "Write age=-1, say.", code=Exit.USAGE)
        by_column.setdefault(column, []).append(text)
    return {
        "date_format": date_format,
        "decimal": decimal,
        "missing_values": missing_values or None,
        "missing_values_in": by_column or None,
        "encoding": encoding,
        "header": header,
    }


def require_file(file: Path) -> None:
    """Refuse what has no end or no size, such as a pipe. Raises Fault."""
    if file.exists() and not file.is_file():
        raise Fault(f"{file} is no file", "Write what it gives into a file, and name that.", code=Exit.USAGE)


def upload(client: Client, file: Path, *, quiet: bool, **options: Any) -> DatasetResource:
    """Send a file, with a bar on the way. Raises Fault: it cannot be read."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from hposvc.cli.render import console

    require_file(file)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        console=console(stderr=True),
        transient=True,
        disable=quiet,
    )
    try:
        with bar:
            task = bar.add_task(f"Sending {file.name}", total=None)

            def show(sent: int, size: int) -> None:
                doing = f"Checking {file.name}" if sent == size else f"Sending {file.name}"
                bar.update(task, completed=sent, total=size, description=doing)

            return client.add_dataset(file, progress=show, **options)
    except OSError as error:
        raise Fault(
            f"cannot read {file}: {error.strerror}", "Name a file of rows or of pictures.", code=Exit.USAGE
        ) from error
