"""The commands about experiments: repeats of a job, sweeps over its settings."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hposvc.cli.field_help import of_field
from hposvc.cli.jobs import read_document
from hposvc.cli.naming import ExperimentId, Yes, experiment_of, sure
from hposvc.cli.support import Json, Url, client_of, print_json
from hposvc.faults import Exit
from hposvc.schema.figures import MINUS, number, points, score, signed

if TYPE_CHECKING:
    from hposvc.client import Client
    from hposvc.schema.experiments import ExperimentResource, Repeated, TrialResource

INTERVAL = 0.5  # seconds between two looks
SHOWN = 10  # trials, the best first

commands = typer.Typer(no_args_is_help=True, help="Repeats of jobs, and sweeps over their settings.")
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Follow it to its end and show what it found.")]


def repeat(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The job as YAML or JSON; - reads standard input.")],
    repeats: Annotated[
        int, typer.Option("--repeats", "-n", min=2, help=of_field("experiment_spec.RepeatsPlan.repeats"))
    ] = 5,
    over: Annotated[
        str,
        typer.Option(
            help=of_field("experiment_spec.RepeatsPlan.over"), autocompletion=lambda: ["split", "seed", "both"]
        ),
    ] = "both",
    watch: Watch = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Run a job several times, over other splits of its rows and seeds: how much of its result is chance."""
    with client_of(url) as client:
        experiment = client.experiments.repeat(read_document(file), repeats, over=over)
        _begun(client, experiment, watch=watch, as_json=as_json)


def sweep(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="The experiment as YAML or JSON; - reads standard input.")
    ],
    watch: Watch = False,
    check: Annotated[bool, typer.Option("--check", help="Only check it, and print it with every default.")] = False,
    key: Annotated[
        str | None, typer.Option(help="Idempotency key: one key, one experiment, however often it is sent.")
    ] = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Post an experiment: a search or a grid over settings of a job, or repeats of it."""
    document = read_document(file)
    with client_of(url) as client:
        if check:
            print_json(client.experiments.check(document))
            return
        experiment = client.experiments.submit(document, idempotency_key=key)
        _begun(client, experiment, watch=watch, as_json=as_json)


@commands.command("list")
def list_(
    limit: Annotated[int, typer.Option(min=1, help="At most this many.")] = 20,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List experiments, the newest first."""
    from itertools import islice

    with client_of(url) as client:
        found = list(islice(client.experiments.list(), limit))
    if as_json:
        print_json([experiment.model_dump(mode="json") for experiment in found])
        return
    rows = [
        (item.id, item.name or "", item.spec.plan.type, item.state, f"{item.trials.ended} of {item.trials.planned}")
        for item in found
    ]
    _table(("experiment", "name", "plan", "state", "trials"), rows, "No experiment yet: hposvc sweep FILE")


@commands.command()
def show(experiment_id: ExperimentId, url: Url = None, as_json: Json = False) -> None:
    """Show how an experiment stands, or what it found."""
    with client_of(url) as client:
        experiment = client.experiments.get(experiment_of(client, experiment_id))
        print_json(experiment) if as_json else _show(client, experiment)


@commands.command()
def watch(experiment_id: ExperimentId, url: Url = None, as_json: Json = False) -> None:
    """Follow an experiment to its end, and show what it found."""
    with client_of(url) as client:
        _follow(client, experiment_of(client, experiment_id), as_json=as_json)


@commands.command()
def trials(experiment_id: ExperimentId, url: Url = None) -> None:
    """Print all trials as JSON."""
    with client_of(url) as client:
        found = client.experiments.trials(experiment_of(client, experiment_id))
        print_json([trial.model_dump(mode="json") for trial in found])


@commands.command()
def pause(experiment_id: ExperimentId, url: Url = None) -> None:
    """Make no more trials, and pause those that run."""
    with client_of(url) as client:
        _say(client.experiments.pause(experiment_of(client, experiment_id)))


@commands.command()
def resume(experiment_id: ExperimentId, url: Url = None) -> None:
    """Go on after a pause."""
    with client_of(url) as client:
        _say(client.experiments.resume(experiment_of(client, experiment_id)))


@commands.command()
def cancel(experiment_id: ExperimentId, url: Url = None) -> None:
    """Stop an experiment for good, with its jobs; what was found so far is kept."""
    with client_of(url) as client:
        _say(client.experiments.cancel(experiment_of(client, experiment_id)))


@commands.command()
def rm(
    experiment_id: ExperimentId,
    yes: Yes = False,
    url: Url = None,
) -> None:
    """Delete an experiment that has ended, with its jobs and all that they left."""
    with client_of(url) as client:
        doomed = experiment_of(client, experiment_id)
        sure(f"Delete {doomed} with its jobs for good?", yes=yes)
        client.experiments.delete(doomed)
        typer.echo(f"{doomed} is deleted")


def _begun(client: Client, experiment: ExperimentResource, *, watch: bool, as_json: bool) -> None:
    if watch:
        _follow(client, experiment.id, as_json=as_json)
    elif as_json:
        print_json(experiment)
    else:
        _say(experiment)
        typer.echo(f"Follow it: hposvc experiments watch {experiment.id}", err=True)


def _follow(client: Client, experiment_id: str, *, as_json: bool) -> None:
    """Say how it stands whenever that changes; then what it found. Raises typer.Exit unless it succeeded."""
    from hposvc.schema.experiments import ExperimentState

    try:
        experiment = _ended(client, experiment_id, quiet=as_json)
    except KeyboardInterrupt:
        typer.echo(
            f"\n{experiment_id} goes on without you. Follow it again: hposvc experiments watch {experiment_id}   "
            f"Stop it: hposvc experiments cancel {experiment_id}",
            err=True,
        )
        raise
    print_json(experiment) if as_json else _show(client, experiment)
    if experiment.state in (ExperimentState.FAILED, ExperimentState.CANCELLED):
        raise typer.Exit(Exit.FAILED)


def _ended(client: Client, experiment_id: str, *, quiet: bool) -> ExperimentResource:
    """The experiment once it has ended or is paused."""
    from hposvc.schema.experiments import ENDED, ExperimentState

    said = ""
    while True:
        experiment = client.experiments.get(experiment_id)
        line = _line(experiment)
        if line != said and not quiet:
            typer.echo(line, err=True)
            said = line
        if experiment.state in ENDED or experiment.state is ExperimentState.PAUSED:
            return experiment
        time.sleep(INTERVAL)


def _line(experiment: ExperimentResource) -> str:
    counts = experiment.trials
    line = f"{experiment.id} is {experiment.state}: {counts.ended} of {counts.planned} trials"
    if experiment.best is not None:
        line += f", the lowest loss {number(experiment.best.value)} in trial {experiment.best.number}"
    return line + (f" ({experiment.notice})" if experiment.notice else "")


def _say(experiment: ExperimentResource) -> None:
    typer.echo(_line(experiment))


def _show(client: Client, experiment: ExperimentResource) -> None:
    _say(experiment)
    result = experiment.result
    if result is not None:
        typer.echo(result.sentence)
    if result is not None and result.repeated is not None:
        _rivals(result.repeated)
        return
    found = sorted(
        (trial for trial in client.experiments.trials(experiment.id) if trial.value is not None),
        key=lambda trial: (trial.value, trial.number),
    )
    _trials(found[:SHOWN], _score_name(experiment, found))


def _score_name(experiment: ExperimentResource, found: list[TrialResource]) -> str:
    """What the score of the trials is: R² where labels are numbers, which shows in the job or in a score below 0."""
    data = experiment.spec.job.dataset
    is_r2 = any(trial.test_score is not None and not 0 <= trial.test_score <= 1 for trial in found)
    return "r2" if is_r2 or (data is not None and data.task == "regression") else "accuracy"


def _trials(found: list[TrialResource], score_name: str) -> None:
    paths = list(dict.fromkeys(path for trial in found for path in trial.parameters))
    rows = [
        (
            trial.number,
            number(trial.value),
            score(trial.test_score, score_name),
            *(_value(trial.parameters.get(path)) for path in paths),
            trial.job or "",
        )
        for trial in found
    ]
    _table(("trial", "loss", "test score", *paths, "job"), rows, "No trial has a loss yet.")


def _rivals(repeated: Repeated) -> None:
    by = repeated.compared_by
    in_points = by == "score" and repeated.score_name == "accuracy"
    shown, unit = (_points, "points of accuracy") if in_points else (signed, f"test {by}")
    measured = [(rival, rival.loss if by == "loss" else rival.score) for rival in repeated.rivals]
    rows = [
        (
            rival.label,
            f"{rival.better} of {rival.repeats}",
            shown(found.mean),
            "all equal" if found.low is None or found.high is None else f"{shown(found.low)} to {shown(found.high)}",
        )
        for rival, found in measured
        if found is not None
    ]
    _table(("against", "better in", f"mean difference in {unit}", "95 % interval"), rows, "")


def _points(difference: float) -> str:
    return f"{MINUS if difference < 0 else '+'}{points(difference)}"


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _table(heads: tuple[str, ...], rows: list[tuple[Any, ...]], empty: str) -> None:
    from hposvc.cli.render import console, plain_table

    if rows:
        console().print(plain_table(heads, rows))
    else:
        typer.echo(empty, err=True)
