"""Which job, experiment or data set a person means: by its whole id, the beginning of the id, or ``last``."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from hposvc.cli.support import client_of
from hposvc.faults import Exit, Fault

if TYPE_CHECKING:
    from hposvc.client import Client

LAST = "last"
JOB, EXPERIMENT, DATASET = "job_", "exp_", "ds_"
WHOLE = re.compile(r"job_[0-9a-f]{20}")
LOOKED_AT = 1000  # jobs that are looked through for a beginning, or for the last one
COMPLETED = 50  # the newest, which the shell is told
NAMED = 5  # ids that the error of an ambiguous beginning lists


def job_of(client: Client, given: str) -> str:
    """The id of the job that is meant. Raises Fault: there is none, or several."""
    if WHOLE.fullmatch(given):
        return given
    if given == LAST:
        newest = islice(client.jobs(), LOOKED_AT)
        own = next((job for job in newest if job.experiment is None), None)  # trials begin whenever a worker is free
        if own is None:
            raise Fault("there is no job yet, trials aside", "Submit one: hposvc submit FILE", code=Exit.REFUSED)
        return own.id
    begin = given if given.startswith(JOB) else JOB + given
    found = [job.id for job in islice(client.jobs(text=begin), LOOKED_AT) if job.id.startswith(begin)]
    return _only(found, given, "job", "hposvc jobs")


def experiment_of(client: Client, given: str) -> str:
    """The id of the experiment that is meant. Raises Fault: there is none, or several."""
    if given == LAST:
        newest = next(iter(client.experiments.list()), None)
        if newest is None:
            raise Fault("there is no experiment yet", "Submit one: hposvc sweep FILE", code=Exit.REFUSED)
        return newest.id
    begin = given if given.startswith(EXPERIMENT) else EXPERIMENT + given
    found = [item.id for item in islice(client.experiments.list(), LOOKED_AT) if item.id.startswith(begin)]
    return _only(found, given, "experiment", "hposvc experiments list")


def dataset_of(client: Client, given: str) -> str:
    """The id of the data set that is meant: of an uploaded one also its beginning. Raises Fault: none, or several."""
    known = client.datasets()
    if any(item.id == given for item in known):
        return given
    mine = [item.id for item in known if item.source == "upload"]  # the newest first
    if given == LAST and mine:
        return mine[0]
    begin = given if given.startswith(DATASET) else DATASET + given
    return _only([id_ for id_ in mine if id_.startswith(begin)], given, "data set", "hposvc data list")


def _only(found: Sequence[str], given: str, what: str, listing: str) -> str:
    if not found:
        raise Fault(f"there is no {what} {given}", f"`{listing}` lists them.", code=Exit.REFUSED)
    if len(found) > 1:
        some = ", ".join(found[:NAMED]) + (" and more" if len(found) > NAMED else "")
        raise Fault(f"{given} is the beginning of several ids: {some}", "Type more of it.", code=Exit.USAGE)
    return found[0]


def sure(question: str, *, yes: bool, done: str = "deleted") -> None:
    """Ask before something is ``done`` that cannot be undone.

    Raises Fault: there is no terminal to ask on, and ``yes`` is not given.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise Fault(
            f"nothing is {done}: there is no terminal to ask on", "Add --yes to do it without asking.", code=Exit.USAGE
        )
    typer.confirm(question, abort=True, err=True)


def _complete(ctx: typer.Context, incomplete: str, prefix: str) -> list[tuple[str, str]]:
    """Ids that begin so, newest first, with what they are; nothing where the service does not respond."""
    begin = incomplete if incomplete.startswith(prefix[: len(incomplete)]) else prefix + incomplete
    try:
        with client_of(ctx.params.get("url")) as client:
            if prefix == DATASET:
                found = [(item.id, item.name) for item in client.datasets()]
            elif prefix == EXPERIMENT:
                experiments = islice(client.experiments.list(), COMPLETED)
                found = [(item.id, f"{item.state} {item.name or item.spec.plan.type}") for item in experiments]
            else:
                jobs = islice(client.jobs(), COMPLETED)
                found = [(job.id, f"{job.state} {job.name or job.kind}") for job in jobs]
    except Fault:
        return []
    named = [(id_, what) for id_, what in found if id_.startswith(begin)]
    return named + ([(LAST, "the newest")] if found and LAST.startswith(incomplete) else [])


def complete_jobs(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The jobs that begin so, for the shell."""
    return _complete(ctx, incomplete, JOB)


def complete_experiments(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The experiments that begin so, for the shell."""
    return _complete(ctx, incomplete, EXPERIMENT)


def complete_datasets(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """The data sets that begin so, for the shell."""
    return _complete(ctx, incomplete, DATASET)


JobId = Annotated[
    str,
    typer.Argument(
        metavar="JOB",
        help="The job's id, as `hposvc jobs` shows it; its beginning; or last, the newest that is no trial.",
        autocompletion=complete_jobs,
    ),
]
JobIds = Annotated[
    list[str],
    typer.Argument(
        metavar="JOB...", help="Jobs that have ended: ids, their beginnings, or last.", autocompletion=complete_jobs
    ),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; needed where there is no terminal.")]
ExperimentId = Annotated[
    str,
    typer.Argument(
        metavar="EXPERIMENT",
        help="The experiment's id, as `hposvc experiments list` shows it; its beginning; or last.",
        autocompletion=complete_experiments,
    ),
]
DatasetId = Annotated[
    str,
    typer.Argument(
        metavar="DATASET",
        help="The data set's id, as `hposvc data list` shows it; its beginning; or last.",
        autocompletion=complete_datasets,
    ),
]
