"""The commands about decisions: what people say of the labels of rows."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hposvc.cli import next_steps
from hposvc.cli.field_help import Command, of_field
from hposvc.cli.naming import DatasetId, complete_jobs, dataset_of, job_of
from hposvc.cli.support import Json, Url, client_of, print_json
from hposvc.faults import Exit, Fault
from hposvc.schema.figures import plural

if TYPE_CHECKING:
    from hposvc.client import Client
    from hposvc.schema.datasets import DatasetResource
    from hposvc.schema.reviews import Decision, RowDecision

commands = typer.Typer(no_args_is_help=True, help="What people decide about the labels of a data set.")

VERDICTS = ["right", "relabel", "drop", "unsure"]
COLUMNS = ["row", "decision", "relabelled_to", "decided_at", "decided_by", "job", "batch"]
Label = Annotated[str | None, typer.Option(help=of_field("reviews.DecisionsRequest.label"))]
Job = Annotated[str | None, typer.Option(help="The job whose result was looked at.", autocompletion=complete_jobs)]
Spreadsheet = Annotated[
    bool, typer.Option("--spreadsheet", help="Put ' before text that a spreadsheet would take for a formula.")
]
OutFile = Annotated[Path, typer.Option("--output", "-o", help="Where to write it; - is standard output.")]


@commands.command("list", cls=Command)
def list_(dataset_id: DatasetId, label: Label = None, url: Url = None, as_json: Json = False) -> None:
    """List the decisions that count, in the order of the rows."""
    from hposvc.cli.render import console, decisions_table

    with client_of(url) as client:
        found = list(client.reviews.decisions(dataset_of(client, dataset_id), label=label))
    if as_json:
        print_json([item.model_dump(mode="json") for item in found])
    else:
        console().print(decisions_table(found))


@commands.command(cls=Command)
def decide(
    dataset_id: DatasetId,
    row: Annotated[str, typer.Argument(help=of_field("reviews.RowDecision.row"))],
    decision: Annotated[
        str,
        typer.Argument(help=of_field("reviews.RowDecision.decision"), autocompletion=lambda: VERDICTS),
    ],
    to: Annotated[str | None, typer.Option(help=of_field("reviews.RowDecision.relabelled_to"))] = None,
    job: Job = None,
    label: Label = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Decide about one row."""
    made = _decision({"row": row, "decision": decision, "relabelled_to": to}, "what you typed")
    with client_of(url) as client:
        dataset_id = dataset_of(client, dataset_id)
        kept = client.reviews.decide(dataset_id, [made], job=None if job is None else job_of(client, job), label=label)
    if as_json:
        print_json(kept)
    else:
        typer.echo(f"row {row}: {decision}{f' to {to}' if to else ''}\n{_how_to_undo(dataset_id, kept.batch)}")


@commands.command()
def undo(
    dataset_id: DatasetId,
    batch: Annotated[str, typer.Argument(help="The batch, as `hposvc review list` shows it.")],
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Undo all decisions that were sent together, unless newer ones have replaced them."""
    with client_of(url) as client:
        done = client.reviews.undo(dataset_of(client, dataset_id), batch)
    if as_json:
        print_json(done)
    else:
        left = plural(done.kept, "was replaced by a newer one, and stays", "were replaced by newer ones, and stay")
        undone = plural(done.undone, "decision is", "decisions are")
        typer.echo(f"{undone} undone{f'; {left}' if done.kept else ''}")


@commands.command("export", cls=Command)
def export(
    dataset_id: DatasetId,
    output: OutFile = Path("-"),
    job: Annotated[
        str | None,
        typer.Option(
            help="A finished job: its rows come along, the most suspicious first, for a spreadsheet.",
            autocompletion=complete_jobs,
        ),
    ] = None,
    label: Label = None,
    spreadsheet: Spreadsheet = False,
    url: Url = None,
) -> None:
    """Write decisions as CSV. With --job, all its rows with empty cells to fill in: `hposvc review import` reads it."""
    with client_of(url) as client:
        dataset_id = dataset_of(client, dataset_id)
        found = list(client.reviews.decisions(dataset_id, label=label))
        if job is None:
            lines: Iterable[Sequence[Any]] = ([getattr(item, name) for name in COLUMNS] for item in found)
            header = COLUMNS
        else:
            header, lines = _rows_to_decide(client, job_of(client, job), found)
        if spreadsheet:
            from hposvc.tables.formulas import marked_value

            header, lines = [*map(marked_value, header)], ([*map(marked_value, line)] for line in lines)
        _write(output, header, lines)


@commands.command("import", cls=Command)
def import_(
    dataset_id: DatasetId,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A CSV file, as `hposvc review export` writes it.")],
    job: Job = None,
    label: Label = None,
    spreadsheet: Annotated[
        bool,
        typer.Option("--spreadsheet", help="Take off what `hposvc review export --spreadsheet` put before formulas."),
    ] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Read decisions from a CSV file with the columns row, decision and relabelled_to. Empty decisions are skipped."""
    made = list(_read(file, spreadsheet=spreadsheet))
    with client_of(url) as client:
        dataset_id = dataset_of(client, dataset_id)
        kept = client.reviews.decide_many(
            dataset_id, made, job=None if job is None else job_of(client, job), label=label
        )
    if as_json:
        print_json([item.model_dump(mode="json") for item in kept])
        return
    typer.echo(f"{plural(len(made), 'decision is', 'decisions are')} kept")
    for each in kept:
        typer.echo(_how_to_undo(dataset_id, each.batch))
    if made:
        next_steps.say(next_steps.after_review(dataset_id, label))


@commands.command(cls=Command)
def version(
    dataset_id: DatasetId,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Download it, too: as Parquet if FILE ends so, else as CSV.")
    ] = None,
    label: Label = None,
    name: Annotated[str | None, typer.Option(help="What to call it; by default the parent's name and v2.")] = None,
    spreadsheet: Spreadsheet = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Make a new data set from the decisions: labels replaced, rows dropped, and a column that says so."""
    with client_of(url) as client:
        made = client.reviews.make_version(dataset_of(client, dataset_id), label=label, name=name)
        if output is not None:
            _download(client, made.id, output, spreadsheet=spreadsheet)
    if as_json:
        print_json(made)
        return
    typer.echo(f"{made.id}  {made.name}: {plural(made.rows, 'row')}, {_done(made)}")
    typer.echo(f"To tune again: hposvc tune --reviewed {made.parent}")


def _done(made: DatasetResource) -> str:
    """What a review did, in words."""
    counts = made.reviewed
    if counts is None:
        return "nothing reviewed"
    done = {"relabelled": counts.relabel, "dropped": counts.drop, "confirmed": counts.right, "unsure": counts.unsure}
    return ", ".join(f"{count:,} {what}" for what, count in done.items())


def _download(client: Client, dataset_id: str, output: Path, *, spreadsheet: bool) -> None:
    try:
        client.reviews.download(dataset_id, output, spreadsheet=spreadsheet)
    except OSError as error:
        raise Fault(f"cannot write {output}: {error.strerror}", "Name another file.", code=Exit.USAGE) from error


def _how_to_undo(dataset_id: str, batch: str) -> str:
    return f"To undo: hposvc review undo {dataset_id} {batch}"


def _decision(values: dict[str, str | None], where: str) -> RowDecision:
    """A decision, checked. Raises Fault: it is none."""
    from pydantic import ValidationError

    from hposvc.schema.reviews import RowDecision

    given = {name: value for name, value in values.items() if value}
    try:
        return RowDecision.model_validate(given)
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, each['loc']))} {each['msg']}".strip() for each in error.errors())
        remedy = f"Say one of {', '.join(VERDICTS)}, and the new label with relabel."
        raise Fault(f"{where}: {said}", remedy, code=Exit.USAGE) from error


def _rows_to_decide(
    client: Client, job_id: str, found: Sequence[Decision]
) -> tuple[list[str], Iterator[Sequence[Any]]]:
    """The rows of a job, the most suspicious first, with what was decided about them."""
    table = client.rows(job_id, part="all")
    if "probability_wrong" in table.column_names:
        table = table.sort_by([("probability_wrong", "descending")])  # those that nobody judged come last
    decided = {item.row: (item.decision, item.relabelled_to) for item in found}
    own = [name for name in table.column_names if name not in ("row_id", "decision", "relabelled_to")]

    def lines() -> Iterator[Sequence[Any]]:
        for batch in table.to_batches(4096):
            for row in batch.to_pylist():
                yield [row["row_id"], *decided.get(row["row_id"], ("", "")), *(row[name] for name in own)]

    return ["row", "decision", "relabelled_to", *own], lines()


def _write(output: Path, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    """A CSV file, written whole, or on standard output. Raises Fault: it cannot be written."""
    if str(output) == "-":
        csv.writer(sys.stdout, lineterminator="\n").writerows([header, *lines])
        return
    import io

    from hposvc.files.durable import replacing

    try:
        with replacing(output) as file:
            text = io.TextIOWrapper(file, "utf-8", newline="")
            csv.writer(text, lineterminator="\n").writerows([header])
            csv.writer(text, lineterminator="\n").writerows(lines)
            text.flush()
            text.detach()
    except OSError as error:
        raise Fault(f"cannot write {output}: {error.strerror}", "Name another file.", code=Exit.USAGE) from error


def _read(file: Path, *, spreadsheet: bool) -> Iterator[RowDecision]:
    """The decisions in a CSV file; of a ``spreadsheet``, without the marks before formulas.

    Raises Fault: it cannot be read, or a line is no decision.
    """
    from hposvc.tables.formulas import unmarked

    try:
        with file.open(encoding="utf-8-sig", newline="") as text:
            lines = csv.DictReader(text)
            missing = {"row", "decision"} - set(lines.fieldnames or ())
            if missing:
                raise Fault(
                    f"{file} has no column {min(missing)}",
                    "Begin with `hposvc review export`, and fill in the column decision.",
                    code=Exit.USAGE,
                )
            for line in lines:
                values = {name: line.get(name) for name in ("row", "decision", "relabelled_to")}
                if spreadsheet:
                    values = {name: value and unmarked(value) for name, value in values.items()}
                if (values["decision"] or "").strip():
                    yield _decision(values, f"{file}, line {lines.line_num}")
    except OSError as error:
        raise Fault(f"cannot read {file}: {error.strerror}", "Name a CSV file.", code=Exit.USAGE) from error
    except UnicodeDecodeError as error:
        raise Fault(f"{file} is not UTF-8 at byte {error.start}", "Save it as CSV UTF-8.", code=Exit.USAGE) from error
