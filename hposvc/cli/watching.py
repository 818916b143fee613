"""Following a job until it ends: a live view on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from hposvc.cli.render import STATE_STYLES, PlainConsole, sparkline
from hposvc.client import Client, ProblemError, ServerUnreachableError
from hposvc.schema.capabilities import unmet
from hposvc.schema.figures import number
from hposvc.schema.job import JobResource
from hposvc.schema.states import TERMINAL, State
from hposvc.schema.workers import WorkerResource

INTERVAL = 0.5  # seconds between two looks
WIDTH = 32  # bars of the sparkline
BATCH = 10_000  # iterations of one answer
PATIENCE = 600.0  # seconds for which a service may be away
AWAY = frozenset({502, 503, 504})  # what a proxy says of it, or the service of its database


@dataclass
class Series:
    """A thinned copy of a series that never ends: every ``stride``-th value, and never many of them."""

    values: list[float] = field(default_factory=list)
    stride: int = 1
    seen: int = 0

    def extend(self, values: list[float]) -> None:
        """Append values, dropping every second one that is kept whenever there are too many."""
        for value in values:
            if self.seen % self.stride == 0:
                self.values.append(value)
            self.seen += 1
            if len(self.values) >= 8 * WIDTH:
                self.values = self.values[::2]
                self.stride *= 2


@dataclass(frozen=True)
class View:
    """What is known at one moment."""

    job: JobResource
    upper_loss: Series
    hypergradient_norm: float | None
    waiting: str


def follow(client: Client, job_id: str) -> Iterator[View]:
    """A view every half second; the last one when nothing changes any more without a person: ended, or paused.

    It outlasts a service that is away for some minutes, once that has responded. Raises ServerUnreachableError,
    ProblemError.
    """
    view, outage = View(client.job(job_id), Series(), None, ""), Outage()
    after = -1
    while True:
        try:
            job, norm = client.job(job_id), view.hypergradient_norm
            while (columns := client.iterations(job_id, after=after, limit=BATCH)).iteration:
                view.upper_loss.extend(columns.upper_loss)
                norm, after = columns.hypergradient_norm[-1], columns.next_after
                if len(columns.iteration) < BATCH:
                    break
            waiting = _waiting_for(job, client.workers()) if job.state is State.QUEUED else ""
        except (ServerUnreachableError, ProblemError) as error:
            outage.bear(error)
            yield replace(view, waiting="the service does not respond; trying again")
        else:
            outage.end()
            view = View(job, view.upper_loss, norm, waiting)
            yield view
            if job.state in TERMINAL or job.state is State.PAUSED:
                return
        time.sleep(INTERVAL)


def wait(client: Client, job_id: str) -> JobResource:
    """The job once it has ended, shown to nobody meanwhile; outlasts as ``follow`` does, and raises alike."""
    client.job(job_id)
    outage = Outage()
    while True:
        try:
            return client.wait(job_id)
        except (ServerUnreachableError, ProblemError) as error:
            outage.bear(error)
            time.sleep(INTERVAL)


@dataclass
class Outage:
    """For how long a service that responded has not done so any more."""

    since: float | None = None

    def bear(self, error: ServerUnreachableError | ProblemError) -> None:
        """Go on for a while, or raise ``error``: also one that a service which is there would give again."""
        if isinstance(error, ProblemError) and error.status not in AWAY:
            raise error
        self.since = time.monotonic() if self.since is None else self.since
        if time.monotonic() - self.since > PATIENCE:
            raise error

    def end(self) -> None:
        """The service has responded."""
        self.since = None


def watch(views: Iterator[View], console: Console) -> JobResource:
    """Show the views of ``follow`` as they come, and return the job of the last one."""
    return _watch_live(views, console) if console.is_terminal else _watch_lines(views, console)


@contextmanager
def downloading() -> Iterator[Callable[[str, int, int], None]]:
    """Bars for files that arrive, on a terminal's standard error; what it yields is told name, bytes and size."""
    console = PlainConsole(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def show(name: str, done: int, size: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=size)
            bars.update(tasks[name], completed=done)

        yield show


def _watch_live(views: Iterator[View], console: Console) -> JobResource:
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f} iterations"),
        TimeElapsedColumn(),
        console=console,
    )
    task = bar.add_task("solving")
    with Live(console=console, auto_refresh=False) as live:
        for view in views:
            progress = view.job.progress
            bar.update(task, completed=progress.iteration, total=progress.iterations)
            live.update(Group(_headline(view), bar, _curve(view)), refresh=True)
    return view.job


def _watch_lines(views: Iterator[View], console: Console) -> JobResource:
    said: tuple[object, ...] = ()
    for view in views:
        job = view.job
        tenth = 10 * job.progress.iteration // job.progress.iterations
        now = (job.state, job.phase, view.waiting, tenth)
        if now != said:
            said = now
            line = _headline(view)
            if job.progress.iteration:
                line.append(f", {job.progress.iteration:,} of {job.progress.iterations:,} iterations")
                line.append(f", upper loss {number(job.latest.upper_loss)}")
                line.append(f", hypergradient norm {number(view.hypergradient_norm)}")
            console.print(line, soft_wrap=True)
    return view.job


def _headline(view: View) -> Text:
    job = view.job
    line = Text.assemble((job.id, "bold"), "  ", (job.state, STATE_STYLES[job.state]))
    if job.attempt > 1:
        line.append(f", attempt {job.attempt}")
    if job.phase and job.state not in TERMINAL:
        line.append(f" ({job.phase})")
    if view.waiting:
        line.append(f": {view.waiting}")
    return line


def _curve(view: View) -> RenderableType:
    job, values = view.job, view.upper_loss.values
    if not values:
        return Text()
    first, latest, best = number(values[0]), number(job.latest.upper_loss), number(job.best.upper_loss)
    return Group(
        Text.assemble("upper loss          ", (sparkline(values, WIDTH), "cyan"), f"  {first} → {latest}, best {best}"),
        Text(f"hypergradient norm  {number(view.hypergradient_norm)}"),
    )


def _waiting_for(job: JobResource, workers: list[WorkerResource]) -> str:
    """Why a queued job does not run yet."""
    if not workers:
        return "waiting for a worker (`hposvc worker`)"
    needs = job.spec.resources.needs
    if why := unmet(needs, {name for worker in workers for name in worker.offers}):
        return why
    workers = [worker for worker in workers if needs in worker.offers]
    if any(worker.state == "ready" for worker in workers):
        return "a worker is about to take it"
    for worker in workers:
        if worker.state == "compiling":
            return f"the worker gets ready{f': {worker.progress_message}' if worker.progress_message else ''}"
    return "every worker is busy"
