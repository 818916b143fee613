"""The ``hposvc`` command. Heavy modules are imported by the command that needs them, so that ``--help`` is quick."""

from __future__ import annotations

import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hposvc import cli_access, operating
from hposvc.cli_support import Group, Json, Url
from hposvc.cli_support import client_of as _client
from hposvc.cli_support import print_json as _print_json
from hposvc.cli_support import settings as _settings
from hposvc.faults import Exit, Fault

if TYPE_CHECKING:
    from hposvc.client import Client
    from hposvc.datasets.resources import DatasetResource
    from hposvc.jobs.resources import JobResource
    from hposvc.prediction import Predictions

STATUSES = (
    "Exit status: 0 done; 1 the job failed or was cancelled, or doctor found a fault; 2 wrong usage, or a job that was "
    "refused; 3 no server; 4 no such job, or its state does not allow it; 5 this machine cannot do it; 6 a key is "
    "needed, or does not allow it, or a quota is used up; 130 interrupted."
)


app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Tune thousands of hyperparameters at once by gradient: bilevel jobs, solved by a service.",
    epilog=STATUSES,
)
database = typer.Typer(no_args_is_help=True, help="The service's database.")
data = typer.Typer(no_args_is_help=True, help="The data sets that jobs can name.")
app.add_typer(database, name="db")
app.add_typer(data, name="data")
app.add_typer(cli_access.keys, name="keys")
app.add_typer(cli_access.tenants, name="tenants")
app.add_typer(cli_access.webhooks, name="webhooks")
app.command()(cli_access.whoami)

JobId = Annotated[str, typer.Argument(metavar="JOB", help="The job's id, as `hposvc jobs` shows it.")]
Host = Annotated[str | None, typer.Option(help="Address to listen on; by default HPOSVC_HOST, or 127.0.0.1.")]
Port = Annotated[int | None, typer.Option(help="Port to listen on, 0 for a free one; by default HPOSVC_PORT, or 8080.")]
DataDir = Annotated[Path | None, typer.Option(help="Database, artifacts, address; by default HPOSVC_DATA_DIR.")]
DatasetId = Annotated[str, typer.Argument(metavar="DATASET", help="The data set's id, as `hposvc data list` shows it.")]
DataFile = Annotated[Path, typer.Argument(metavar="FILE", help="A CSV, Parquet or NPZ file.")]
Label = Annotated[
    str | None, typer.Option(help="The column to predict; by default one called target, label, class or y.")
]
IdColumn = Annotated[str | None, typer.Option(help="The column that names the rows; by default one called id.")]
Task = Annotated[str | None, typer.Option(help="classification or regression, where the label could be either.")]
KINDS = ["data_reweighting", "regularization_tuning"]
ORDERS = ["newest", "oldest", "priority", "best_upper_loss"]
TIMES = ["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"]
SUSPECTS = typer.Option(min=0, help="How many suspicious rows, or strengths, to list.")


def _states() -> list[str]:
    from hposvc.jobs.states import State

    return list(State)


def _moment(given: datetime | None) -> str | None:
    """A time of this machine's clock, as the service takes it."""
    return None if given is None else given.astimezone().isoformat()


def main() -> None:
    """The entry point."""
    app()


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from hposvc import __version__

        typer.echo(f"hposvc {__version__}")
        raise typer.Exit


@app.command()
def up(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run the whole service on this machine: database, API, dashboard and one worker. Ctrl-C stops it."""
    from hposvc.embedded import Embedded

    settings = _settings(host=host, port=port, data_dir=data_dir)
    _stop_like_ctrl_c()
    try:
        with Embedded(settings) as service:
            typer.echo(f"hposvc runs at {service.url} (data in {settings.data_dir}); Ctrl-C stops it")
            service.wait()
    except KeyboardInterrupt:
        typer.echo("stopped")


@app.command()
def api(host: Host = None, port: Port = None, data_dir: DataDir = None) -> None:
    """Run the HTTP API and the dashboard. The database must be migrated: `hposvc db upgrade`."""
    from hposvc.serve import run_api

    run_api(_settings(host=host, port=port, data_dir=data_dir))


@app.command()
def warmup() -> None:
    """Prepare Jittor, which is compiled on first use: minutes once, then seconds."""
    from hposvc.preparing import prepare_jittor

    prepare_jittor(_settings().device)


@app.command()
def doctor(data_dir: DataDir = None, as_json: Json = False) -> None:
    """Look for what keeps the service from running here, and say how to mend it."""
    from hposvc import doctor as examination
    from hposvc.render import console

    findings = list(examination.examine(_settings(data_dir=data_dir)))
    if as_json:
        _print_json([finding.as_dict() for finding in findings])
    else:
        console().print(examination.table(findings))
    if any(finding.status == "fault" for finding in findings):
        raise typer.Exit(Exit.FAILED)


@app.command()
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
    document = _read(file)
    with _client(url) as client:
        if check:
            checked = client.check(document)
            _print_json((checked if as_json else checked.spec).model_dump(mode="json"))
            if not as_json:
                _warn("\n".join(checked.warnings))
            return
        job = client.submit(document, idempotency_key=key)
        if not watch:
            _print_json(job) if as_json else _say_submitted(client, job)
            return
        if not as_json:
            _say_submitted(client, job)
        _follow(client, job.id, as_json=as_json, then_results=True)


@app.command()
def jobs(
    state: Annotated[
        list[str] | None,
        typer.Option(help="Only jobs in this state, e.g. running; give it again for more.", autocompletion=_states),
    ] = None,
    kind: Annotated[str | None, typer.Option(help=f"Only {' or '.join(KINDS)}.", autocompletion=lambda: KINDS)] = None,
    tag: Annotated[str | None, typer.Option(help="Only jobs with this tag.")] = None,
    text: Annotated[str | None, typer.Option(help="Only jobs whose name has this in it.")] = None,
    since: Annotated[datetime | None, typer.Option(formats=TIMES, help="Only jobs submitted then or later.")] = None,
    until: Annotated[datetime | None, typer.Option(formats=TIMES, help="Only jobs submitted before then.")] = None,
    order: Annotated[str, typer.Option(help=f"{', '.join(ORDERS)}.", autocompletion=lambda: ORDERS)] = "newest",
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 20,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List jobs."""
    from itertools import islice

    from hposvc.render import console, jobs_table

    with _client(url) as client:
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
        _print_json([job.model_dump(mode="json") for job in found])
    else:
        console().print(jobs_table(found))


@app.command()
def watch(job_id: JobId, url: Url = None, as_json: Json = False) -> None:
    """Follow a job until it ends: progress, upper loss, hypergradient norm."""
    with _client(url) as client:
        _follow(client, job_id, as_json=as_json, then_results=False)


@app.command()
def results(
    job_id: JobId,
    suspects: Annotated[int, SUSPECTS] = 10,
    save: Annotated[Path | None, typer.Option(help="Download the job's files into this folder too.")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Show what a job found."""
    from hposvc.watching import downloading

    with _client(url) as client:
        job = client.job(job_id)
        if job.result is None and job.error is None:
            raise Fault(
                f"{job_id} is {job.state}: no results yet", f"Follow it: hposvc watch {job_id}", code=Exit.REFUSED
            )
        _show_outcome(job, as_json=as_json, suspects=suspects)
        if save is not None:
            with downloading() as show:
                for path in client.download_artifacts(job_id, save, progress=show):
                    typer.echo(f"saved {path}", err=True)
    _exit_like(job)


def _action(name: str, doc: str) -> None:
    """Add the command that asks for one change of a job's state."""

    def command(job_id: JobId, url: Url = None, as_json: Json = False) -> None:
        with _client(url) as client:
            job: JobResource = getattr(client, name)(job_id)
        _print_json(job) if as_json else typer.echo(f"{job.id} is {job.state}")

    app.command(name, help=doc)(command)


_action("cancel", "Stop a job for good; what it has found so far is kept.")
_action("pause", "Stop a job at its next iteration; resume goes on from there.")
_action("resume", "Queue a paused job again.")


@app.command()
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
    with _client(url) as client:
        job = client.retry(job_id, from_start=from_start)
    _print_json(job) if as_json else typer.echo(f"{job.id} is {job.state}")


@app.command()
def edit(
    job_id: JobId,
    name: Annotated[str | None, typer.Option(help="The new name; an empty one takes it away.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag, in place of all that it has; again for more.")] = None,
    priority: Annotated[int | None, typer.Option(min=-1000, max=1000, help="Higher ones run first.")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Change a job's name, tags or priority."""
    changes: dict[str, Any] = {} if name is None else {"name": name or None}
    changes |= {} if not tag else {"tags": [text for text in tag if text]}
    changes |= {} if priority is None else {"priority": priority}
    if not changes:
        raise Fault("nothing to change", "Give --name, --tag or --priority.", code=Exit.USAGE)
    with _client(url) as client:
        job = client.update(job_id, **changes)
    _print_json(job) if as_json else typer.echo(f"{job.id} is changed")


@app.command()
def rm(
    job_ids: Annotated[list[str], typer.Argument(metavar="JOB...", help="Jobs that have ended.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    url: Url = None,
) -> None:
    """Delete jobs that have ended, with their iterations, history and files."""
    if not yes and sys.stdin.isatty():
        typer.confirm(f"Delete {', '.join(job_ids)} for good?", abort=True, err=True)
    with _client(url) as client:
        for job_id in job_ids:
            client.delete(job_id)
            typer.echo(f"{job_id} is deleted")


@app.command()
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
    with _client(url) as client:
        for chunk in client.iterations_as(job_id, format_, after=after):
            sys.stdout.buffer.write(chunk)
    sys.stdout.flush()


@app.command()
def config(as_json: Json = False) -> None:
    """Show the settings and where each comes from; secrets are hidden."""
    from rich.table import Table

    from hposvc.render import console

    settings = _settings()
    rows = settings.described()
    if as_json:
        _print_json(rows)
        return
    table = Table("variable", "value", "from", box=None, pad_edge=False, header_style="dim")
    for row in rows:
        table.add_row(row["variable"], str(row["value"]), row["origin"])
    console().print(table)


@app.command()
def demo(
    data_dir: Annotated[Path, typer.Option(help="Where the demo keeps its jobs.")] = Path(".hposvc/demo"),
) -> None:
    """Find the wrong labels among scikit-learn's handwritten digits, and show how it is done."""
    from hposvc.demo import run

    _stop_like_ctrl_c()
    folder = data_dir.absolute()
    run(
        _settings(  # nothing of this machine's own service is touched, whatever the environment says
            data_dir=folder,
            database_url=f"sqlite:///{folder / 'hposvc.sqlite3'}",
            store_url=(folder / "store").as_uri(),
            host="127.0.0.1",
            port=0,
        )
    )


@database.command("upgrade")
def db_upgrade(data_dir: DataDir = None) -> None:
    """Bring the database to this version; safe to repeat, and safe from several machines at once."""
    from hposvc.embedded import upgrade_database

    upgrade_database(_settings(data_dir=data_dir))
    typer.echo("the database is at this version")


@data.command("list")
def data_list(url: Url = None, as_json: Json = False) -> None:
    """List the data sets that a job can name: your own, newest first, then those that come along."""
    from hposvc.render import console, datasets_table

    with _client(url) as client:
        found = client.datasets()
    if as_json:
        _print_json([item.model_dump(mode="json") for item in found])
    else:
        console().print(datasets_table(found))


@data.command("add")
def data_add(
    file: DataFile,
    label: Label = None,
    id_column: IdColumn = None,
    task: Task = None,
    name: Annotated[str | None, typer.Option(help="What to call it; by default the name of the file.")] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Upload a CSV, Parquet or NPZ file, and show what will be done to each of its columns."""
    from hposvc.render import console, dataset

    with _client(url) as client:
        added = _upload(client, file, quiet=as_json, name=name, label=label, id_column=id_column, task=task)
    if as_json:
        _print_json(added)
    else:
        console().print(dataset(added))


@data.command("show")
def data_show(dataset_id: DatasetId, url: Url = None, as_json: Json = False) -> None:
    """Show a data set: its columns, their parts, and what is done to each before a model sees it."""
    from hposvc.render import console, dataset

    with _client(url) as client:
        found = client.dataset(dataset_id)
    if as_json:
        _print_json(found)
    else:
        console().print(dataset(found))


@data.command("rm")
def data_rm(dataset_id: DatasetId, url: Url = None) -> None:
    """Remove an uploaded data set; finished jobs keep their results."""
    with _client(url) as client:
        client.remove_dataset(dataset_id)
    typer.echo(f"{dataset_id} is removed")


@app.command()
def tune(
    file: DataFile,
    label: Label = None,
    kind: Annotated[
        str, typer.Option(help="data_reweighting finds rows to distrust, regularization_tuning strengths per feature.")
    ] = "data_reweighting",
    id_column: IdColumn = None,
    task: Task = None,
    iterations: Annotated[int, typer.Option(min=1, help="How many upper steps.")] = 500,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Upload a file of your own, tune with the defaults, and show the results: `data add` and `submit` in one."""
    with _client(url) as client:
        added = _upload(client, file, quiet=as_json, label=label, id_column=id_column, task=task)
        spec = {
            "kind": kind,
            "name": added.name,
            "dataset": {"id": added.id} | ({} if label is None else {"label": label}),
            "stop": {"iterations": iterations},
        }
        job = client.submit(spec)
        if not as_json:
            _say_submitted(client, job)
        _follow(client, job.id, as_json=as_json, then_results=True)
        if not as_json:
            typer.echo(f"\nPredict other rows with it: hposvc predict {job.id} FILE", err=True)


@app.command()
def predict(
    job_id: JobId,
    file: DataFile,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Where to write, as .csv or .parquet; by default CSV on the terminal."),
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Predict the rows of a file with the model of a finished job, and score it if the file has the label."""
    from hposvc.tabular.problems import DataError

    with _client(url) as client:
        try:
            found = client.predict(job_id, file)
        except DataError as error:
            raise Fault(f"{file}: {error}", code=Exit.USAGE) from error
        except OSError as error:
            raise Fault(
                f"cannot read {file}: {error.strerror}", "Name a CSV, Parquet or NPZ file.", code=Exit.USAGE
            ) from error
    _write_predictions(found, output, as_json=as_json)
    for warning in found.warnings:
        typer.echo(f"! {warning}", err=True)
    if found.score is not None:
        typer.echo(f"{found.score_name} {found.score:.4f} on {len(found.labels):,} rows", err=True)


def _write_predictions(found: Predictions, output: Path | None, *, as_json: bool) -> None:
    import pyarrow.csv
    import pyarrow.parquet

    table = found.table()
    if as_json:
        _print_json({"score": found.score, "score_name": found.score_name, "rows": table.to_pylist()})
    elif output is None:
        pyarrow.csv.write_csv(table, sys.stdout.buffer)
    elif output.suffix == ".parquet":
        pyarrow.parquet.write_table(table, output)
    else:
        pyarrow.csv.write_csv(table, output)


def _upload(client: Client, file: Path, *, quiet: bool, **wishes: Any) -> DatasetResource:
    """Send a file, with a bar on the way. Raises Fault: it cannot be read."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from hposvc.render import console

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

            return client.add_dataset(file, progress=show, **wishes)
    except OSError as error:
        raise Fault(
            f"cannot read {file}: {error.strerror}", "Name a CSV, Parquet or NPZ file.", code=Exit.USAGE
        ) from error


def _follow(client: Client, job_id: str, *, as_json: bool, then_results: bool) -> None:
    """Watch the job to its end; leave with a status that says how it ended."""
    from hposvc.render import console
    from hposvc.watching import follow
    from hposvc.watching import watch as show

    if as_json:
        job = client.wait(job_id)
        _print_json(job)
    else:
        job = show(follow(client, job_id), console())
        if job.state == "paused":
            typer.echo(f"{job_id} is paused; it goes on with: hposvc resume {job_id}")
        elif then_results or job.error is not None:
            _show_outcome(job, as_json=False)
    _exit_like(job)


def _show_outcome(job: JobResource, *, as_json: bool, suspects: int = 10) -> None:
    from hposvc.render import console, failure
    from hposvc.render import results as rendered

    if as_json:
        _print_json(job.result if job.result is not None else job.error)
    elif job.result is not None:
        console().print(rendered(job.result, suspects=suspects))
    else:
        console().print(failure(job))


def _exit_like(job: JobResource) -> None:
    if job.state != "succeeded":
        raise typer.Exit(Exit.FAILED)


def _say_submitted(client: Client, job: JobResource) -> None:
    typer.echo(f"{job.id} is {job.state}: {client.url}{job.links.dashboard}")
    _warn(job.notice)


def _warn(text: str | None) -> None:
    if text:
        typer.secho(text, fg=typer.colors.YELLOW, err=True)


def _read(file: Path) -> bytes:
    try:
        return sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    except OSError as error:
        raise Fault(f"cannot read {file}: {error.strerror}", "Name a YAML or JSON file.", code=Exit.USAGE) from error


def _stop_like_ctrl_c() -> None:
    """Let `kill` and a closed terminal stop this process in the same order as Ctrl-C."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, signal.default_int_handler)


operating.add_to(app, database, client=_client, settings=_settings, print_json=_print_json)
