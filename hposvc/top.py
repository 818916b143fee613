"""``hposvc top``: the whole service at a glance, live: workers, the queue, and what runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hposvc.client import Client
from hposvc.jobs.resources import JobResource, WorkerResource
from hposvc.render import STATE_STYLES, number

SILENT_SECONDS = 30.0
WORKER_STYLES = {"busy": "bold cyan", "ready": "green", "compiling": "yellow", "draining": "yellow", "silent": "red"}
Numbers = dict[tuple[str, str], float]


@dataclass(frozen=True)
class Glance:
    """What is known at one moment; ``numbers`` are those of /metrics, by name and by the value of their one label."""

    at: float
    numbers: Numbers
    workers: list[WorkerResource]
    running: list[JobResource]

    def number(self, name: str, label: str = "") -> float:
        """One of the numbers, 0 where there is none."""
        return self.numbers.get((name, label), 0.0)

    def by_label(self, name: str) -> dict[str, float]:
        """All numbers of this name, by label."""
        return {label: value for (key, label), value in self.numbers.items() if key == name}


def glances(client: Client, interval: float, *, limit: int) -> Iterator[Glance]:
    """A glance every ``interval`` seconds, with at most ``limit`` running jobs; without end."""
    while True:
        yield glance(client, limit=limit)
        time.sleep(interval)


def glance(client: Client, *, limit: int) -> Glance:
    """What is to be seen now."""
    running = list(islice(client.jobs(state="running"), limit))
    return Glance(time.monotonic(), parse(client.metrics()), client.workers(), running)


def parse(text: str) -> Numbers:
    """The samples of hposvc's own metrics that have no more than one label."""
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("hposvc_") and len(sample.labels) <= 1
    }


def show(seen: Iterator[Glance], console: Console) -> None:
    """Draw each glance over the one before, until Ctrl-C."""
    before: Glance | None = None
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        for now in seen:
            live.update(view(now, before), refresh=True)
            before = now


def view(now: Glance, before: Glance | None) -> RenderableType:
    """One picture; rates are over the time since the glance before."""
    return Group(_headline(now, before), Text(), _workers(now), Text(), _jobs(now))


def _headline(now: Glance, before: Glance | None) -> RenderableType:
    table = Table.grid(padding=(0, 3))
    rate = "–"
    if before is not None and now.at > before.at:
        done = now.number("hposvc_iterations_total") - before.number("hposvc_iterations_total")
        rate = f"{max(0.0, done) / (now.at - before.at):,.0f}/s"
    states = now.by_label("hposvc_jobs")
    depth = now.by_label("hposvc_queue_depth")
    needs = ", ".join(f"{count:,.0f} {name}" for name, count in depth.items() if count and name != "any")
    table.add_row(
        Text.assemble(("jobs  ", "dim"), f"{states.get('running', 0) + states.get('starting', 0):,.0f} running"),
        Text.assemble(f"{states.get('queued', 0):,.0f} queued" + (f" ({needs})" if needs else "")),
        Text.assemble((f"{states.get('succeeded', 0):,.0f} succeeded", "green")),
        Text.assemble((f"{states.get('failed', 0):,.0f} failed", "red" if states.get("failed") else "dim")),
    )
    oldest = max(now.by_label("hposvc_queue_oldest_seconds").values(), default=0.0)
    unmet = now.number("hposvc_queue_unmet")
    table.add_row(
        Text.assemble(("iterations  ", "dim"), rate),
        Text.assemble(("oldest waits  ", "dim"), duration(oldest)),
        Text.assemble(("leases lost  ", "dim"), f"{now.number('hposvc_leases_lost_total'):,.0f}"),
        Text(f"{unmet:,.0f} wait for a worker that is not there", "bold yellow") if unmet else Text(),
    )
    if not now.number("hposvc_database_up"):
        table.add_row(Text("the database does not answer", "bold red"))
    return table


def _workers(now: Glance) -> RenderableType:
    if not now.workers:
        return Text("No worker is there: hposvc worker", "yellow")
    table = Table(
        "worker", "state", "device", "offers", "job", "heard of", box=None, pad_edge=False, header_style="dim"
    )
    for worker in now.workers:
        age = (datetime.now(UTC) - worker.heartbeat_at).total_seconds()
        state = "silent" if age > SILENT_SECONDS else worker.state
        table.add_row(
            worker.id,
            Text(state, WORKER_STYLES[state]),
            worker.device,
            ", ".join(worker.offers),
            worker.job_id or worker.progress_message or "",
            f"{duration(age)} ago",
        )
    return table


def _jobs(now: Glance) -> RenderableType:
    if not now.running:
        return Text("Nothing runs.", "dim")
    table = Table("job", "name", "phase", "progress", "upper loss", "for", box=None, pad_edge=False, header_style="dim")
    for job in now.running:
        progress = f"{job.progress.iteration:,} of {job.progress.iterations:,}"
        begun = job.started_at or job.created_at
        table.add_row(
            Text(job.id, STATE_STYLES[job.state]),
            job.name or "",
            job.phase or "",
            progress,
            number(job.latest.upper_loss),
            duration((datetime.now(UTC) - begun).total_seconds()),
        )
    return table


def duration(seconds: float) -> str:
    """A time span for a person: 7 s, 12 min, 3 h, 5 d."""
    seconds = max(0.0, seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
