"""The commands of whoever runs the service for others: workers, ``top``, the database, backup, retention."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from hposvc.cli.support import DataDir, Json, Url, client_of, engine_of, print_json, settings
from hposvc.faults import Exit, Fault

worker = typer.Typer(
    invoke_without_command=True,
    help="Run a worker: it takes queued jobs and solves them, one at a time. SIGTERM hands its job back and ends "
    "it within 30 seconds; SIGUSR1 lets it finish the job first.",
)
database = typer.Typer(no_args_is_help=True, help="The service's database.")


@worker.callback()
def _run(
    context: typer.Context,
    data_dir: DataDir = None,
    gpus: Annotated[
        str | None,
        typer.Option(help="One worker for each GPU, seeing only its own: all, or numbers like 0,2."),
    ] = None,
) -> None:
    if context.invoked_subcommand is not None:
        return
    from hposvc.cli.preparing import prepare_jittor, require_jittor
    from hposvc.operate.serve import run_worker, run_worker_per_gpu

    require_jittor()
    if gpus is None:
        run_worker(settings(data_dir=data_dir))
    else:
        run_worker_per_gpu(settings(data_dir=data_dir, device="cuda"), gpus, prepare_jittor)


@worker.command()
def drain(
    worker_id: Annotated[str, typer.Argument(metavar="WORKER", help="Its id, as `hposvc worker list` shows it.")],
    now: Annotated[bool, typer.Option("--now", help="Hand its job back, rather than finish it first.")] = False,
    url: Url = None,
) -> None:
    """Let a worker take nothing new, finish its job, and end."""
    with client_of(url) as service:
        service.drain(worker_id, now=now)
    typer.echo(f"{worker_id} was asked to {'hand its job back' if now else 'finish its job'} and end")


@worker.command("list")
def list_(url: Url = None, as_json: Json = False) -> None:
    """List the workers: what they do, and what they offer."""
    from hposvc.cli.render import console, workers_table

    with client_of(url) as service:
        found = service.workers()
    if as_json:
        print_json([item.model_dump(mode="json") for item in found])
    else:
        console().print(workers_table(found))


def top(
    interval: Annotated[float, typer.Option(min=0.2, help="Seconds between two looks.")] = 2.0,
    limit: Annotated[int, typer.Option(min=1, help="At most so many running jobs.")] = 20,
    once: Annotated[bool, typer.Option("--once", help="Look once, print, and end.")] = False,
    url: Url = None,
) -> None:
    """Watch the whole service: workers, queue, running jobs. Ctrl-C ends it."""
    from hposvc.cli.render import console
    from hposvc.cli.top import glance, glances, show, view

    with client_of(url) as service:
        if once or not console().is_terminal:
            console().print(view(glance(service, limit=limit), None))
        else:
            show(glances(service, interval, limit=limit), console())


@database.command()
def upgrade(data_dir: DataDir = None) -> None:
    """Bring the database to this version; safe to repeat, and safe from several machines at once."""
    from hposvc.operate.embedded import upgrade_database

    upgrade_database(settings(data_dir=data_dir))
    typer.echo("the database is at this version")


@database.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="Where to; must not be there yet.")],
    files: Annotated[bool, typer.Option(help="Copy the artifact store, too.")] = True,
    data_dir: DataDir = None,
) -> None:
    """Copy the database, and the files of its jobs, while the service runs."""
    from hposvc.operate import backup as archive

    with _mendable():
        done = archive.backup(settings(data_dir=data_dir), folder, files=files)
    typer.echo(f"{folder}: {done.jobs} jobs, {done.files} files, {done.bytes:,} bytes")
    if done.missing:
        typer.echo(f"{done.missing} files were replaced or removed meanwhile; their jobs go further back", err=True)


@database.command()
def restore(
    folder: Annotated[Path, typer.Argument(help="A backup.")],
    data_dir: DataDir = None,
) -> None:
    """Bring a backup back, into an empty database and wherever HPOSVC_STORE_URL points now."""
    from hposvc.operate import backup as archive

    with _mendable():
        done = archive.restore(settings(data_dir=data_dir), folder)
    typer.echo(f"restored {done.jobs} jobs and {done.files} files; start the service, and unfinished jobs go on")


@database.command()
def expire(
    older_than: Annotated[
        float | None, typer.Option(min=0.0, help="Days since a job finished; by default HPOSVC_RETENTION_DAYS.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Remove old finished jobs for good, with their iterations and files, and experiments whose jobs are all gone."""
    from hposvc.jobs.removal import Removal
    from hposvc.storage.store import Store

    chosen = settings(data_dir=data_dir)
    days = chosen.retention_days if older_than is None else older_than
    if days is None:
        raise Fault("how old?", "Say --older-than DAYS, or set HPOSVC_RETENTION_DAYS.", code=Exit.USAGE)
    with _mendable(), engine_of(chosen) as engine:
        number = Removal(engine, Store(chosen.store_url)).expire(older_than=days * 86400, dry_run=dry_run)
    typer.echo(f"{number} jobs {'would be' if dry_run else 'were'} removed")


@contextmanager
def _mendable() -> Iterator[None]:
    """Turn what can be wrong with a database or a folder into faults."""
    from hposvc.db.engine import unreachable_is_fault

    try:
        with unreachable_is_fault():
            yield
    except OSError as error:
        raise Fault(
            f"a file cannot be read or written: {error}", "Look at its permissions, and at the disk."
        ) from error
