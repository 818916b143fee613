"""How jobs and results look on a terminal: rich tables and a sparkline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from hposvc.cli.terminal import visible
from hposvc.schema.datasets import DatasetResource
from hposvc.schema.figures import number, percent, plural, score, score_heading
from hposvc.schema.job import JobResource
from hposvc.schema.problems import ProblemResource
from hposvc.schema.result import GroupWeight, JobResult, Noise, OwnNumber, OwnTable, Strength, read_result
from hposvc.schema.reviews import Decision
from hposvc.schema.states import State
from hposvc.schema.workers import WorkerResource

STATE_STYLES = {
    State.QUEUED: "dim",
    State.STARTING: "cyan",
    State.RUNNING: "bold cyan",
    State.PAUSING: "yellow",
    State.PAUSED: "yellow",
    State.CANCELLING: "yellow",
    State.SUCCEEDED: "green",
    State.FAILED: "bold red",
    State.CANCELLED: "red",
}
BARS = "▁▂▃▄▅▆▇█"


class PlainConsole(Console):
    """A console of rich that takes no text for markup and lets no control character through."""

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of ``renderable``: rich's own control codes stay, those within texts become visible."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(visible(segment.text), segment.style)


def console(*, stderr: bool = False) -> Console:
    """A console that gives tables room to breathe when nobody is looking (a pipe, a file, a log)."""
    plain = PlainConsole(stderr=stderr)
    return plain if plain.is_terminal else PlainConsole(stderr=stderr, width=max(plain.width, 110))


def count(value: int | None) -> str:
    """A whole number for a person; an en dash for what is not known."""
    return "–" if value is None else f"{value:,}"


def sparkline(values: Sequence[float], width: int) -> str:
    """The values as a row of at most ``width`` bars; a space where a value is not finite."""
    if len(values) > width:
        values = [values[(i + 1) * len(values) // width - 1] for i in range(width)]  # the last of each stretch
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    low, span = min(finite), max(finite) - min(finite)
    top = len(BARS) - 1
    return "".join(
        " " if not math.isfinite(value) else BARS[round(top * (value - low) / span) if span else 0] for value in values
    )


IDS = frozenset({"id", "job", "experiment", "trial", "key", "tenant", "webhook", "message", "about"})


def plain_table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> Table:
    """A line a row. Ids stay on one line: one in two pieces cannot be copied."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, no_wrap=heading in IDS, overflow="fold", min_width=4)
    for row in rows:
        table.add_row(*map(str, row))
    return table


def workers_table(workers: Iterable[WorkerResource]) -> RenderableType:
    """A line a worker."""
    workers = list(workers)
    busy = any(worker.job_id for worker in workers)  # an id stays on one line; what a worker prepares may wrap
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("id", "state", "device", "offers", "job", "heard of"):
        table.add_column(heading, no_wrap=heading == "id" or (heading == "job" and busy), overflow="fold")
    for worker in workers:
        state = worker.state + (f" (asked to {worker.asked})" if worker.asked else "")
        doing = worker.job_id or worker.progress_message or ""
        table.add_row(
            worker.id, state, worker.device, ", ".join(worker.offers), doing, f"{age(worker.heartbeat_at)} ago"
        )
    return table if table.row_count else Text("No workers. Start one with `hposvc worker`.")


def jobs_table(jobs: Iterable[JobResource]) -> RenderableType:
    """A line a job."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("job", no_wrap=True)  # an id in two pieces cannot be copied
    table.add_column("name", overflow="fold", min_width=8)
    table.add_column("state", no_wrap=True)
    for heading in ("iterations", "best loss", "age"):
        table.add_column(heading, justify="right", no_wrap=True)
    for job in jobs:
        table.add_row(
            job.id,
            job.name or job.kind,
            Text(job.state, STATE_STYLES[job.state]),
            f"{job.progress.iteration:,}/{job.progress.iterations:,}",
            number(job.best.upper_loss),
            age(job.created_at),
        )
    return table if table.row_count else Text("No jobs. Submit one with `hposvc submit job.yaml`.")


def datasets_table(found: Iterable[DatasetResource]) -> RenderableType:
    """A line a data set."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("id", no_wrap=True)
    for heading in ("name", "task", "target"):
        table.add_column(heading, overflow="fold", min_width=6)
    for heading in ("rows", "features"):
        table.add_column(heading, justify="right", no_wrap=True)
    for item in found:
        table.add_row(item.id, item.name, item.task or "–", item.target or "–", f"{item.rows:,}", f"{item.features:,}")
    return table


def problems_table(found: Sequence[ProblemResource]) -> RenderableType:
    """A line for each installed problem, with its parameters below."""
    if not found:
        return Text("No worker has a problem installed; docs/own-problems.md says how to bring one.")
    parts: list[RenderableType] = []
    for item in found:
        where = item.fault or (
            f"{plural(item.workers, 'live worker has', 'live workers have')} it"
            if item.workers
            else "no live worker has it"
        )
        parts += [Text(f"{item.name} {item.version}", "bold"), Text(item.summary), Text(where, "dim")]
        table = Table(box=None, header_style="dim")
        for heading in ("parameter", "default", "meaning"):
            table.add_column(heading, overflow="fold")
        for name, field in item.parameters.get("properties", {}).items():
            default = str(field["default"]) if "default" in field else "required"
            table.add_row(name, default, str(field.get("description", "")))
        parts += [table, Text()]
    return Group(*parts)


def decisions_table(found: Iterable[Decision]) -> RenderableType:
    """A line a decision."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("row", "decision", "relabelled to", "by"):
        table.add_column(heading, overflow="fold")
    for heading in ("when", "batch"):
        table.add_column(heading, no_wrap=True)
    for item in found:
        when = item.decided_at.astimezone().strftime("%Y-%m-%d %H:%M")
        table.add_row(item.row, item.decision, item.relabelled_to or "", item.decided_by or "–", when, item.batch)
    return table


def dataset(found: DatasetResource) -> RenderableType:
    """A data set column by column."""
    title = f"{found.id}  {found.name}: {plural(found.rows, 'row')}"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for heading in ("column", "holds", "missing", "part", "before a model sees it"):
        table.add_column(heading, overflow="fold", justify="right" if heading == "missing" else "left")
    shown = (found.columns or [])[:100]
    for column in shown:
        missing = f"{column.missing:,}" if column.missing else ""
        table.add_row(column.name, column.dtype, missing, column.role, column.treatment)
    parts: list[RenderableType] = [table]
    if len(found.columns or []) > len(shown):
        parts.append(Text(f"and {len(found.columns or []) - len(shown):,} columns more", "dim"))
    if found.target is None:
        parts.append(Text("No column is the label yet: name it in the job, as dataset.label.", "yellow"))
    parts += [Text(f"! {caution}", "yellow") for caution in found.cautions]
    return Group(*parts)


def age(then: datetime) -> str:
    """How long ago, in the largest unit that fits."""
    seconds = max(0.0, (datetime.now(UTC) - then).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def failure(job: JobResource) -> RenderableType:
    """Why a job did not succeed and what to do about it."""
    if job.error is None:
        return Text(f"{job.id} was {job.state}.", STATE_STYLES[job.state])
    at = "" if job.error.iteration is None else f" at iteration {job.error.iteration:,}"
    headline = f"{job.id} {job.state}{at} ({job.error.reason}): {job.error.message}"
    return Group(Text(headline, STATE_STYLES[job.state]), Text(job.error.remedy))


def results(stored: Mapping[str, Any], *, suspects: int = 10) -> RenderableType:
    """The answer of a job: the sentence, the models, the rows or strengths, and what to be careful about.

    What the stored result lacks is left out, and said.
    """
    result = read_result(stored)
    parts: list[RenderableType] = []
    if result.sentence:
        parts += [Text(result.sentence, "bold"), Text()]
    parts += _of_own_problem(result)
    if result.models:
        parts += [_models(result)]
    if result.suspects:
        parts += [Text(), _suspects(result, suspects)]
        parts += [Text(f"Predicted by {result.opinion}.", "dim")] if result.opinion else []
    if result.check_next:
        named = ", ".join(result.check_next[:10])
        parts += [Text(), Text(f"Checking these rows by hand would tell most: {named}.")]
    if result.noise:
        parts += [Text(), _noise(result.noise)]
    if result.groups:
        noise = result.per == "noise_matrix"
        parts += [Text(), _groups(result.groups, suspects, noise=noise)]
        parts += [Text(NOISE_SHARES, "dim")] if noise else []
    if result.strengths:
        parts += [Text(), _strengths(result.strengths, suspects)]
    parts += [Text(f"! {warning}", "yellow") for warning in result.warnings]
    if result.missing:
        lacks = ", ".join(result.missing)
        parts += [Text(f"! the stored result lacks {lacks}: another release wrote it", "yellow")]
    return Group(*parts)


def _of_own_problem(result: JobResult) -> list[RenderableType]:
    parts: list[RenderableType] = [_numbers(result.numbers), Text()] if result.numbers else []
    for own in result.tables:
        parts += [_own_table(own), Text()]
    return parts


def _numbers(numbers: Sequence[OwnNumber]) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False)
    for item in numbers:
        table.add_row(item.name or "–", number(item.value))
    return table


def _own_table(own: OwnTable) -> Table:
    table = Table(title=own.title, title_justify="left", title_style="dim", box=None)
    for column in own.columns:
        table.add_column(column)
    for row in own.rows:
        table.add_row(*(cell if isinstance(cell, str) else number(cell) for cell in row))
    return table


def _models(result: JobResult) -> Table:
    table = Table(
        title="Trained from scratch, judged on the test rows", title_justify="left", title_style="dim", box=None
    )
    table.add_column("trained on")
    for name in (score_heading(result.score_name), "test loss", "selection loss", "training loss"):
        table.add_column(name, justify="right")
    for model in result.compared:
        table.add_row(
            model.label or model.name or "–",
            score(model.test_score, result.score_name),
            *(number(value) for value in (model.test_loss, model.selection_loss, model.train_loss)),
            style="bold" if model.name == "tuned" else "",
        )
    return table


def _suspects(result: JobResult, most: int) -> Table:
    shown = (result.suspects or [])[:most]
    judged_rows = result.rows if result.wrong_rows is None else result.wrong_rows.rows
    title = (
        f"The {plural(len(shown), 'row')} to look at first, of {_many(result.suspects_total, 'suspect')} in "
        f"{_many(judged_rows, 'row')}"
    )
    table = Table(title=title, title_justify="left", title_style="dim", box=None)
    judged = any(row.probability_wrong is not None for row in shown)
    first = "probability wrong" if judged else "weight"
    for heading in ("row", first, "its label", "the model says", "with probability"):
        table.add_column(heading, justify="right")
    for row in shown:
        table.add_row(
            row.row_id or "–",
            percent(row.probability_wrong) if judged else number(row.weight),
            row.label or "–",
            row.predicted or "–",
            percent(row.predicted_probability),
        )
    return table


def _many(known: int | None, one: str) -> str:
    return f"– {one}s" if known is None else plural(known, one)


def _noise(noise: Noise) -> Text:
    return Text(
        f"Finding the {_many(noise.planted, 'planted error')}: F1 {percent(noise.f1)} "
        f"({_many(noise.flagged, 'row')} flagged, precision {percent(noise.precision)}, "
        f"recall {percent(noise.recall)}, area under the ROC curve {number(noise.auc)})."
    )


NOISE_SHARES = "a → b: of the rows of class a that were labelled a or b, the share that was labelled b."


def _groups(groups: Sequence[GroupWeight], most: int, *, noise: bool) -> Table:
    title, headings = "The smallest weights", ("group", "rows", "weight")
    if noise:
        title = "The noise matrix"
        headings = ("wrong label", "rows with it", "share")
    table = Table(title=title, title_justify="left", title_style="dim", box=None)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left")
    for row in groups[:most]:
        table.add_row(row.name or "–", count(row.rows), percent(row.weight) if noise else number(row.weight))
    return table


def _strengths(strengths: Sequence[Strength], most: int) -> Table:
    table = Table(title=f"The {min(most, len(strengths))} strongest", title_justify="left", title_style="dim", box=None)
    table.add_column("regularized")
    table.add_column("penalty")
    table.add_column("strength", justify="right")
    for row in strengths[:most]:
        table.add_row(row.name or "–", row.penalty or "l2", number(row.strength))
    return table
