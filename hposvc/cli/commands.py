"""All commands, put together.

Heavy modules are imported by the command that needs them, so that ``--help`` is quick.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from hposvc.cli import access, data, experiments, jobs, operating, reviews, service, tuning
from hposvc.cli.field_help import Command
from hposvc.cli.support import Group

STATUSES = (
    "Exit status: 0 done; 1 the job failed or was cancelled, or doctor found a fault; 2 wrong usage, or a job that was "
    "refused; 3 no server; 4 no such job, or its state does not allow it; 5 this machine cannot do it; 6 a key is "
    "needed, or does not allow it, or a quota is used up; 130 interrupted."
)
LOCAL = "On one machine"
JOBS = "Jobs and their data"
OPERATING = "Running it for others"

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Tune thousands of hyperparameters at once by gradient: bilevel jobs, solved by a service.",
    epilog=STATUSES,
)


@app.callback(invoke_without_command=True)
def _options(version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False) -> None:
    if version:
        from hposvc import __version__

        typer.echo(f"hposvc {__version__}")
        raise typer.Exit


def _add(panel: str, *commands: Callable[..., None]) -> None:
    for command in commands:
        app.command(cls=Command, rich_help_panel=panel)(command)


_add(LOCAL, service.demo, service.up, service.doctor, service.warmup, service.config)
_add(JOBS, data.problems, tuning.tune, jobs.submit, jobs.jobs, jobs.watch, jobs.results, jobs.predict, jobs.iterations)
_add(JOBS, jobs.pause, jobs.resume, jobs.finish, jobs.cancel, jobs.retry, jobs.edit, jobs.rm)
_add(JOBS, experiments.repeat, experiments.sweep)
app.add_typer(experiments.commands, name="experiments", rich_help_panel=JOBS)
app.add_typer(data.commands, name="data", rich_help_panel=JOBS)
app.add_typer(reviews.commands, name="review", rich_help_panel=JOBS)
_add(OPERATING, service.api, operating.top, access.whoami)
app.add_typer(operating.worker, name="worker", rich_help_panel=OPERATING)
app.add_typer(operating.database, name="db", rich_help_panel=OPERATING)
app.add_typer(access.keys, name="keys", rich_help_panel=OPERATING)
app.add_typer(access.tenants, name="tenants", rich_help_panel=OPERATING)
app.add_typer(access.webhooks, name="webhooks", rich_help_panel=OPERATING)


def main() -> None:
    """The entry point."""
    app()
