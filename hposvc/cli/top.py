"""``hposvc top``: the whole service at a glance, live: workers, the queue, and what runs."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from hposvc.cli.render import STATE_STYLES
from hposvc.client import Client, ServerUnreachableError
from hposvc.schema.capabilities import ANY, CLASSES
from hposvc.schema.figures import number
from hposvc.schema.job import JobResource
from hposvc.schema.states import HELD, State
from hposvc.schema.workers import WorkerResource

SILENT_SECONDS = 30.0
RATE_SECONDS = 30.0  # over which a rate is taken: workers tell their counts every five, and /metrics keeps them as long
WORKER_STYLES = {"busy": "bold cyan", "ready": "green", "compiling": "yellow", "draining": "yellow", "silent": "red"}
Numbers = dict[tuple[str, str], float]


@dataclass(frozen=True)
class Glance:
    """What is known at one moment; ``numbers`` are those of /metrics, by name and by the value of their one label.

    ``url`` is where the service is; ``silent`` for how many seconds it has not responded, when this is all there is.
    """

    at: float
    numbers: Numbers
    workers: list[WorkerResource]
    running: list[JobResource]
    url: str = ""
    silent: float | None = None

    def number(self, name: str, label: str = "") -> float:
        """One of the numbers, 0 where there is none."""
        return self.numbers.get((name, label), 0.0)

    def by_label(self, name: str) -> dict[str, float]:
        """All numbers of this name, by label."""
        return {label: value for (key, label), value in self.numbers.items() if key == name}


def glances(client: Client, interval: float, *, limit: int) -> Iterator[Glance]:
    """A glance every ``interval`` seconds, with at most ``limit`` jobs; without end.

    Raises ServerUnreachableError when nothing responds at first; later the last glance is given again.
    """
    last = glance(client, limit=limit)
    while True:
        yield last
        time.sleep(interval)
        try:
            last = glance(client, limit=limit)
        except ServerUnreachableError:
            last = replace(last, silent=time.monotonic() - last.at)


def glance(client: Client, *, limit: int) -> Glance:
    """What is to be seen now."""
    held = list(islice(client.jobs(state=[str(state) for state in HELD]), limit))
    return Glance(time.monotonic(), parse(client.metrics()), client.workers(), held, client.url)


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
    recent: deque[Glance] = deque()
    with Live(console=console, auto_refresh=False, screen=console.is_terminal) as live:
        for now in seen:
            recent.append(now)
            while now.at - recent[0].at > RATE_SECONDS:
                recent.popleft()
            live.update(view(now, recent[0]), refresh=True)


def view(now: Glance, before: Glance | None) -> RenderableType:
    """One picture; rates are over the time since ``before``."""
    return Group(*_headlines(now, before), Text(), _workers(now), Text(), _jobs(now))


def _headlines(now: Glance, before: Glance | None) -> Iterator[Text]:
    states = now.by_label("hposvc_jobs")
    depth = {needs: jobs for needs, jobs in now.by_label("hposvc_queue_depth").items() if jobs}
    queued = f"{states.get('queued', 0):,.0f} queued"
    if set(depth) - {"any"}:
        queued += f" ({', '.join(f'{jobs:,.0f} {needs}' for needs, jobs in depth.items() if needs != 'any')})"
    running = sum(states.get(state, 0) for state in HELD)
    failed = states.get("failed", 0)
    if now.url:
        yield Text(f"hposvc at {now.url}", "dim")
    if now.silent is not None:
        yield Text(f"It has not responded for {duration(now.silent)}; this is what it said last.", "bold red")
    yield Text.assemble(
        ("jobs        ", "dim"), f"{running:,.0f} running, {queued}, ",
        (f"{states.get('succeeded', 0):,.0f} succeeded", "green"), ", ",
        (f"{failed:,.0f} failed", "red" if failed else "dim"),
    )  # fmt: skip
    yield Text.assemble(
        ("iterations  ", "dim"), _rate(now, before),
        ("   oldest queued job waits  ", "dim"), _oldest(now) if depth else "–",
        ("   leases lost  ", "dim"), f"{now.number('hposvc_leases_lost_total'):,.0f}",
    )  # fmt: skip
    if unmet := now.number("hposvc_queue_unmet"):
        offered = now.by_label("hposvc_workers_offering")
        needs = ", ".join(name for name in depth if not offered.get(name))
        many = f"{unmet:,.0f} queued jobs wait" if unmet > 1 else "1 queued job waits"
        yield Text(f"{many} for a worker that is not there, one that offers: {needs}", "yellow")
    if not now.number("hposvc_database_up"):
        yield Text("the database does not answer", "bold red")


def _rate(now: Glance, before: Glance | None) -> str:
    done = now.number("hposvc_iterations_total")
    if before is None or now.at - before.at < RATE_SECONDS / 3:
        return f"{done:,.0f}"
    return f"{max(0.0, done - before.number('hposvc_iterations_total')) / (now.at - before.at):,.0f}/s"


def _oldest(now: Glance) -> str:
    return duration(max(now.by_label("hposvc_queue_oldest_seconds").values(), default=0.0))


def _workers(now: Glance) -> RenderableType:
    if not now.workers:
        return Text("No worker is there. Start one: hposvc worker", "yellow")
    table = _table("worker", "state", "offers", "job", "heard of", yields="offers")
    for worker in now.workers:
        age = (datetime.now(UTC) - worker.heartbeat_at).total_seconds()
        state = "silent" if age > SILENT_SECONDS else worker.state
        table.add_row(
            worker.id,
            Text(state, WORKER_STYLES[state]),
            _cut(offers_in_short(worker.offers)),
            worker.job_id or worker.progress_message or "",
            f"{duration(age)} ago",
        )
    return table


def offers_in_short(offers: Iterable[str]) -> str:
    """The devices, and the largest class of memory: ``cpu, large`` for any, cpu, any-large and cpu-large."""
    names = [name.partition("-") for name in offers]
    devices = list(dict.fromkeys(device for device, _, _ in names if device != ANY))
    classes: list[str] = list(CLASSES)
    memory = max((size for _, _, size in names if size), key=classes.index, default="")
    return ", ".join([*(devices or [ANY]), *([memory] if memory else [])])


def _jobs(now: Glance) -> RenderableType:
    if not now.running:
        return Text("Nothing runs.", "dim")
    table = _table("job", "name", "phase", "progress", "upper loss", "for", yields="name")
    for place in (3, 4, 5):
        table.columns[place].justify = "right"
    for job in now.running:
        done, all_ = job.progress.iteration, job.progress.iterations
        begun = job.started_at or job.created_at
        table.add_row(
            Text(job.id, STATE_STYLES[job.state]),
            _cut(job.name or ""),
            job.phase or "" if job.state is State.RUNNING else str(job.state),
            f"{done:,}/{all_:,} {100 * done // max(1, all_):3d} %",
            number(job.latest.upper_loss),
            duration((datetime.now(UTC) - begun).total_seconds()),
        )
    return table


def _table(*headings: str, yields: str) -> Table:
    """Nothing wraps, and ids are whole, to be copied: the column that ``yields`` is the first to be cut."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in headings:
        table.add_column(heading, no_wrap=heading != yields, overflow="ellipsis")
    return table


def _cut(text: str) -> Text:
    return Text(text, no_wrap=True, overflow="ellipsis")


def duration(seconds: float) -> str:
    """A time span for a person: 7 s, 12 min, 3 h, 5 d."""
    seconds = max(0.0, seconds)
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
