"""The commands about jobs: submit one, follow it, steer it, use what it found."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hposvc.cli import next_steps
from hposvc.cli.data import DataFile, Encoding, require_file
from hposvc.cli.field_help import of_field
from hposvc.cli.naming import JobId, JobIds, Yes, job_of, sure
from hposvc.cli.support import Json, Url, client_of, print_json
from hposvc.cli.terminal import visible
from hposvc.faults import Exit, Fault
from hposvc.schema.figures import plural, score

if TYPE_CHECKING:
    from hposvc.client import Client
    from hposvc.prediction import Predictions
    from hposvc.schema.job import JobResource

KINDS = ["data_reweighting", "regularization_tuning"]
ORDERS = [
    "newest",
    "oldest",
    "priority",
    "best_upper_loss",
    "upper_loss",
    "progress",
    "gain",
    "name",
    "dataset",
    "state",
]
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
SUSPECTS = typer.Option(min=0, help="How many suspicious rows, or strengths, to list.")


def _states() -> list[str]:
    from hposvc.schema.states import State

    return list(State)


def _moment(given: datetime | None) -> str | None:
    """A time of this machine's clock, as the service takes it."""
    return None if given is None else given.astimezone().isoformat()


def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The job as YAML or JSON; - reads standard input.")],
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Follow the job and show its results.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Only check the job, and print it with every default filled in.")
    ] = False,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: one key, one job, however often it is sent.")
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Post a job."""
    document = read_document(file)
    with client_of(url) as client:
        if check:
            checked = client.check(document)
            print_json((checked if as_json else checked.spec).model_dump(mode="json"))
            if not as_json:
                warn("\n".join(checked.warnings))
            return
        job = client.submit(document, idempotency_key=key)
        if not watch:
            print_json(job) if as_json else say_submitted(client, job)
            if not as_json:
                typer.echo(f"Follow it: hposvc watch {job.id}", err=True)
            return
        if not as_json:
            say_submitted(client, job)
        follow_to_end(client, job.id, as_json=as_json, then_results=True)


def jobs(
    state: Annotated[
        list[str] | None,
        typer.Option(help="Only jobs in this state, e.g. running; give it again for more.", autocompletion=_states),
    ] = None,
    kind: Annotated[str | None, typer.Option(help=f"Only {' or '.join(KINDS)}.", autocompletion=lambda: KINDS)] = None,
    tag: Annotated[str | None, typer.Option(help="Only jobs with this tag.")] = None,
    text: Annotated[str | None, typer.Option(help="Only jobs with this in name, tags or data set.")] = None,
    since: Annotated[datetime | None, typer.Option(formats=TIMES, help="Only jobs submitted then or later.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=TIMES, help="Only jobs submitted before then.")] = None,
    order: Annotated[str, typer.Option(help=f"{', '.join(ORDERS)}.", autocompletion=lambda: ORDERS)] = "newest",
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 20,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List jobs."""
    from itertools import islice

    from hposvc.cli.render import console, jobs_table

    with client_of(url) as client:
        found = list(
            islice(
                client.jobs(
                    state=state,
                    kind=kind,
                    tag=tag,
                    text=text,
                    created_after=_moment(since),
                    created_before=_moment(until),
                    order=order,
                ),
                limit,
            )
        )
    if as_json:
        print_json([job.model_dump(mode="json") for job in found])
    else:
        console().print(jobs_table(found))


def watch(job_id: JobId, url: Url = None, as_json: Json = False) -> None:
    """Follow a job until it ends: progress, upper loss, hypergradient norm."""
    with client_of(url) as client:
        follow_to_end(client, job_of(client, job_id), as_json=as_json, then_results=False)


def results(
    job_id: JobId,
    suspects: Annotated[int, SUSPECTS] = 10,
    save: Annotated[Path | None, typer.Option(help="Download the job's files into this folder too.")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show what a job found."""
    from hposvc.cli.watching import downloading

    with client_of(url) as client:
        job_id = job_of(client, job_id)
        job = client.job(job_id)
        if job.result is None and job.error is None:
            raise Fault(
                f"{job_id} is {job.state}: no results yet", f"Follow it: hposvc watch {job_id}", code=Exit.REFUSED
            )
        _show_outcome(job, as_json=as_json, suspects=suspects)
        if not as_json:
            _say_next(job)
        if save is not None:
            with downloading() as show:
                for path in client.download_artifacts(job_id, save, progress=show):
                    typer.echo(f"saved {path}", err=True)
    _exit_like(job)


def _action(name: str, doc: str) -> Callable[..., None]:
    """The command that asks for one change of a job's state."""

    def command(job_id: JobId, url: Url = None, as_json: Json = False) -> None:
        with client_of(url) as client:
            job: JobResource = getattr(client, name)(job_of(client, job_id))
        print_json(job) if as_json else typer.echo(f"{job.id} is {job.state}")

    command.__name__, command.__doc__ = name, doc
    return command


cancel = _action("cancel", "Stop a job for good; what it has found so far is kept.")
pause = _action("pause", "Stop a job at its next iteration; resume goes on from there.")
finish = _action("finish", "End the iterations of a job now; its result is made of those that are done.")
resume = _action("resume", "Queue a paused job again.")


def retry(
    job_id: JobId,
    from_start: Annotated[
        bool,
        typer.Option("--from-start", help="Forget what was computed, instead of going on from the last checkpoint."),
    ] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Queue a failed or cancelled job again, from its last checkpoint if it has one."""
    with client_of(url) as client:
        job = client.retry(job_of(client, job_id), from_start=from_start)
    print_json(job) if as_json else typer.echo(f"{job.id} is {job.state}")


def edit(
    job_id: JobId,
    name: Annotated[str | None, typer.Option(help=of_field("job.JobUpdate.name", "Here, an empty text does."))] = None,
    tag: Annotated[
        list[str] | None, typer.Option(help=of_field("job.JobUpdate.tags", "Repeat the option for several."))
    ] = None,
    priority: Annotated[int | None, typer.Option(min=-1000, max=1000, help=of_field("job.JobUpdate.priority"))] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Change a job's name, tags or priority."""
    changes: dict[str, Any] = {} if name is None else {"name": name or None}
    changes |= {} if not tag else {"tags": [text for text in tag if text]}
    changes |= {} if priority is None else {"priority": priority}
    if not changes:
        raise Fault("nothing to change", "Give --name, --tag or --priority.", code=Exit.USAGE)
    with client_of(url) as client:
        job = client.update(job_of(client, job_id), **changes)
    print_json(job) if as_json else typer.echo(f"{job.id} is changed")


def rm(
    job_ids: JobIds,
    yes: Yes = False,
    url: Url = None,
) -> None:
    """Delete jobs that have ended, with their iterations, history and files."""
    with client_of(url) as client:
        doomed = [job_of(client, job_id) for job_id in job_ids]
        sure(f"Delete {', '.join(doomed)} for good?", yes=yes)
        for job_id in doomed:
            client.delete(job_id)
            typer.echo(f"{job_id} is deleted")


def iterations(
    job_id: JobId,
    format_: Annotated[
        str, typer.Option("--format", help="csv, ndjson or json.", autocompletion=lambda: ["csv", "ndjson", "json"])
    ] = "csv",
    after: Annotated[int, typer.Option(help="Only iterations beyond this one.")] = -1,
    url: Url = None,
) -> None:
    """Print what every iteration recorded: upper and lower loss, hypergradient norm, seconds."""
    if format_ not in ("csv", "ndjson", "json"):
        raise Fault(f"there is no format {format_!r}", "Choose csv, ndjson or json.", code=Exit.USAGE)
    with client_of(url) as client:
        for chunk in client.iterations_as(job_of(client, job_id), format_, after=after):
            sys.stdout.buffer.write(chunk)
    sys.stdout.flush()


def predict(
    job_id: JobId,
    file: DataFile,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to write, as .csv or .parquet; by default CSV on the terminal."),
    ] = None,
    encoding: Encoding = None,
    spreadsheet: Annotated[
        bool, typer.Option("--spreadsheet", help="Put ' before text that a spreadsheet would take for a formula.")
    ] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Predict the rows of a file with the model of a finished job, and score it if the file has the label."""
    from hposvc.prediction import ModelError
    from hposvc.tables.defects import DataError

    require_file(file)
    with client_of(url) as client:
        try:
            found = client.predict(job_of(client, job_id), file, encoding=encoding)
        except DataError as error:
            raise Fault(f"{file}: {error}", code=Exit.USAGE) from error
        except ModelError as error:
            raise Fault(f"the model of {job_id} cannot be used: {error}", "Run the job again.") from error
        except OSError as error:
            raise Fault(
                f"cannot read {file}: {error.strerror}", "Name a file of rows or of pictures.", code=Exit.USAGE
            ) from error
    write_predictions(found, output, as_json=as_json, spreadsheet=spreadsheet)
    for warning in found.warnings:
        typer.echo(visible(f"! {warning}"), err=True)
    if found.score is not None:
        told = score(found.score, found.score_name)
        typer.echo(f"{found.score_name} {told} on {plural(len(found.labels), 'row')}", err=True)


def write_predictions(found: Predictions, output: Path | None, *, as_json: bool, spreadsheet: bool = False) -> None:
    """Write one line a row to ``output``, or to standard output. Raises Fault: it cannot be written."""
    import pyarrow.csv
    import pyarrow.parquet

    table = found.table()
    if spreadsheet:
        from hposvc.tables.formulas import marked

        table = marked(table)
    if as_json:
        print_json({"score": found.score, "score_name": found.score_name, "rows": table.to_pylist()})
    elif output is None:
        pyarrow.csv.write_csv(table, sys.stdout.buffer)
    else:
        try:
            write = pyarrow.parquet.write_table if output.suffix == ".parquet" else pyarrow.csv.write_csv
            write(table, output)
        except OSError as error:
            remedy = "Name a file in a folder that is there and that you may write to."
            raise Fault(f"cannot write {output}: {error.strerror or error}", remedy, code=Exit.USAGE) from error


def follow_to_end(client: Client, job_id: str, *, as_json: bool, then_results: bool) -> None:
    """Watch the job to its end; leave with a status that says how it ended."""
    from hposvc.cli.render import console
    from hposvc.cli.watching import follow, wait
    from hposvc.cli.watching import watch as show

    try:
        job = wait(client, job_id) if as_json else show(follow(client, job_id), console())
    except KeyboardInterrupt:
        typer.echo(
            f"\n{job_id} goes on without you. Follow it again: hposvc watch {job_id}   Stop it: hposvc cancel {job_id}",
            err=True,
        )
        raise
    if as_json:
        print_json(job)
    elif job.state == "paused":
        typer.echo(f"{job_id} is paused; it goes on with: hposvc resume {job_id}")
    elif then_results or job.error is not None:
        _show_outcome(job, as_json=False)
        _say_next(job)
    elif job.state == "succeeded":
        typer.echo(f"Show what it found: hposvc results {job_id}", err=True)
    _exit_like(job)


def _show_outcome(job: JobResource, *, as_json: bool, suspects: int = 10) -> None:
    from hposvc.cli.render import console, failure
    from hposvc.cli.render import results as rendered

    if as_json:
        print_json(job.result if job.result is not None else job.error)
    elif job.result is not None:
        console().print(rendered(job.result, suspects=suspects))
    else:
        console().print(failure(job))


def _say_next(job: JobResource) -> None:
    if job.result is not None:
        next_steps.say(next_steps.after_job(job))


def _exit_like(job: JobResource) -> None:
    if job.state != "succeeded":
        raise typer.Exit(Exit.FAILED)


def say_submitted(client: Client, job: JobResource) -> None:
    """Say where the job is, and what is doubtful about it."""
    typer.echo(f"{job.id} is {job.state}: {client.url}{job.links.dashboard}")
    warn(job.notice)


def warn(text: str | None) -> None:
    """Say something that should not be overlooked."""
    if text:
        typer.secho(visible(text), fg=typer.colors.YELLOW, err=True)


def read_document(file: Path) -> bytes:
    """The bytes of a file, or of standard input for ``-``. Raises Fault."""
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Fault(f"cannot read {file}: {error.strerror}", "Name a YAML or JSON file.", code=Exit.USAGE) from error
