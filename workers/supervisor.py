"""The worker: takes deliveries, owns the lease of its job, writes the database, and watches one runner.

It never imports Jittor, which takes over signal handlers and ends the process when a child is killed. Its threads:
the main one starts runners (the kernel ties a runner to the thread that started it), the queue's does one job at a
time, the lease of the job has two of its own, one reports and sweeps, and one removes old jobs if the settings say so.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import socket
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from hposvc import logs, tracing
from hposvc.db.engine import create_engine, is_transient
from hposvc.experiments.looks import looks_at
from hposvc.fleet import problems
from hposvc.fleet.problems import Description
from hposvc.fleet.workers import Fleet, WorkerReport, WorkerState
from hposvc.jobs.attempt import Attempt, claim
from hposvc.jobs.queue import Consumer, Publisher
from hposvc.jobs.removal import Removal
from hposvc.jobs.sweeper import Sweeper
from hposvc.schema.capabilities import ANY
from hposvc.storage.store import Store
from workers.child import Child
from workers.clock import clock
from workers.counters import ATTEMPTS, ITERATIONS, LEASES_LOST, UNDELIVERED, Counters
from workers.counters import serve as serve_metrics
from workers.session import Session
from workers.spare import Spare
from workers.timing import Timing

log = logging.getLogger(__name__)

T = TypeVar("T")


EXPIRE_SECONDS = 600.0  # between two looks for jobs to remove
BAD_OUTCOMES = frozenset({"failed", "lost", "fenced", "unknown"})


class Stopped(Exception):
    """The worker was asked to stop while its machine was being prepared."""


class Supervisor:
    """One worker, ready for work when it is constructed: the machine is warm, the database is migrated."""

    def __init__(
        self,
        database_url: str,
        store: Store,
        work_directory: Path,
        *,
        runner: Sequence[str],
        timing: Timing | None = None,
        memory_limit: float | None = None,
        offers: Sequence[str] = (ANY,),
        metrics_address: tuple[str, int] | None = None,
        retention: float | None = None,
        running_jobs: int | None = None,
        describe_problems: Callable[[], list[Description]] = list,
    ) -> None:
        """``offers``: the needs of jobs that this worker meets, beside those for ``describe_problems()``, the problems
        that are installed; ``metrics_address``: where it serves its own metrics;
        ``retention``: after how many seconds it removes finished jobs, None to keep them; ``memory_limit``: bytes
        that the runner of a job may take.
        """
        self.id = f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(3)}"
        self._engine = create_engine(database_url)
        self._publisher = Publisher(self._engine)
        self._store = store
        self._directory = _own_directory(work_directory)
        self._timing = timing or Timing()
        self._memory_limit = memory_limit
        self._running_jobs = running_jobs
        self._sweeper = Sweeper(self._engine, self._publisher, running_jobs)
        self._fleet = Fleet(self._engine)
        self._spare = Spare(runner)
        self._session: Session | None = None
        self._busy = threading.Lock()
        self._stopping = threading.Event()
        self._draining = threading.Event()
        self._consumer: Consumer | None = None
        self._counters = Counters()
        self._offers = tuple(offers)
        self._metrics_address = metrics_address
        self._retention = retention
        self._describe_problems = describe_problems
        self._problem_versions: dict[str, str] = {}
        self._ended = threading.Event()
        self._report = WorkerReport(self.id, socket.gethostname(), "unknown", {}, "compiling", offers=self._offers)
        self._report_lock = threading.Lock()

    def stop(self) -> None:
        """Hand the job back and leave; may be called from a signal handler."""
        self._stopping.set()
        self._spare.needed.set()

    def drain(self) -> None:
        """Take nothing new, finish the job that is under way, and leave; may be called from a signal handler."""
        self._draining.set()
        self._spare.needed.set()

    def run(self, prepare: Callable[[Callable[[str], None]], None]) -> None:
        """Work until ``stop``. ``prepare`` gets this machine ready, and is given a function that shows progress."""
        stop_metrics = self._serve_metrics()
        chores = [threading.Thread(target=self._report_and_sweep, name="report", daemon=True)]
        if self._retention is not None:
            chores.append(threading.Thread(target=self._expire, args=(self._retention,), name="expiry", daemon=True))
        for chore in chores:
            chore.start()
        try:
            prepare(self._preparing)
            self._report_problems()
            self._consumer = self._await_runner()
            try:
                while not self._stopping.is_set() and not self._drained():
                    self._spare.needed.wait(self._timing.poll)
                    self._spare.needed.clear()
                    self._spare.tend()
            finally:
                self._hand_back()
                if self._consumer is not None:
                    self._consumer.close()
        except Stopped:
            log.info("stopped before this machine was ready")
        finally:
            self._spare.close()
            self._ended.set()
            for chore in chores:
                chore.join()
            self._leave()
            stop_metrics()

    def _serve_metrics(self) -> Callable[[], None]:
        if self._metrics_address is None:
            return lambda: None
        host, port = self._metrics_address
        port, stop = serve_metrics(host, port, self._counters, lambda: self._report)
        log.info("the worker's metrics are at http://%s:%d/metrics", f"[{host}]" if ":" in host else host, port)
        return stop

    def _drained(self) -> bool:
        """Whether this worker was asked to drain, and has nothing left to do."""
        if not self._draining.is_set():
            return False
        if self._consumer is not None:
            self._consumer.pause()
        if not self._busy.acquire(blocking=False):
            if self._report.state == "busy":
                self._show("draining", job_id=self._report.job_id)
            return False
        self._busy.release()
        return True

    def _preparing(self, message: str) -> None:
        if self._leaving():
            raise Stopped
        self._show("compiling", message=message)

    def _report_problems(self) -> None:
        """Say which problems are installed, and offer those that can be used."""
        found = self._describe_problems()
        if not found:
            return
        self._persist(lambda: problems.report(self._engine, found))
        usable = {problem.name: problem.version for problem in found if problem.fault is None}
        self._offers = (*self._offers, *usable)
        self._problem_versions = usable
        with self._report_lock:
            self._report = replace(self._report, offers=self._offers, versions=self._report.versions | usable)

    def _await_runner(self) -> Consumer | None:
        """Receive deliveries once the first runner is ready; None when this worker was stopped before."""
        while not self._stopping.wait(0.05) and not self._draining.is_set():
            child = self._spare.tend()
            if child is not None:
                self._show("ready", child=child)
                return Consumer(self._engine.url, self.id, self._deliver, self._offers)
            if self._spare.failures:
                self._show("compiling", message=self._spare.why())
        return None

    def _deliver(self, job_id: str, attempt: int) -> None:
        """Do one attempt, on the thread of the queue."""
        with self._busy:
            if self._leaving():
                self._persist(lambda: self._sweeper.redeliver(job_id, attempt))
                return
            try:
                self._attempt(job_id, attempt)
            finally:
                self._session = None
                self._show("draining" if self._leaving() else "ready")

    def _leaving(self) -> bool:
        return self._stopping.is_set() or self._draining.is_set()

    def _attempt(self, job_id: str, number: int) -> None:
        with logs.bound(job_id=job_id, attempt=number, worker_id=self.id):
            attempt, claimed_at = self._claim(job_id, number)
            if attempt is None:
                return
            attributes = {"hposvc__job_id": job_id, "hposvc__attempt": number, "hposvc__worker_id": self.id}
            with tracing.span("job.attempt", parent=attempt.traceparent, kind="consumer", **attributes) as span:
                log.info("attempt %d at job %s begins", number, job_id)
                self._solve(attempt, claimed_at)
                outcome = self._outcome(attempt)
                if outcome in BAD_OUTCOMES:
                    tracing.fail(span, outcome)
                log.info("attempt %d at job %s: %s", number, job_id, outcome)

    def _claim(self, job_id: str, number: int) -> tuple[Attempt | None, float]:
        claimed_at = clock()
        lease = self._timing.lease
        attempt = self._persist(
            lambda: claim(
                self._engine,
                self._publisher,
                job_id,
                number,
                worker_id=self.id,
                lease_seconds=lease,
                running_jobs=self._running_jobs,
            )
        )
        if attempt is None:
            log.info("the delivery of attempt %d at job %s is stale", number, job_id)
        return attempt, claimed_at

    def _outcome(self, attempt: Attempt) -> str:
        """How an attempt ended, counted."""
        try:
            outcome = attempt.outcome() or "fenced"
        except sa.exc.SQLAlchemyError as error:
            log.warning("the database does not answer: %s", error)
            outcome = "unknown"
        self._counters.add(f"{ATTEMPTS}{outcome}")
        return outcome

    def _solve(self, attempt: Attempt, claimed_at: float) -> None:
        with tempfile.TemporaryDirectory(dir=self._directory) as directory:
            self._session = Session(
                attempt,
                claimed_at=claimed_at,
                runners=self._spare,
                store=self._store,
                directory=Path(directory),
                timing=self._timing,
                memory_limit=self._memory_limit,
                find_looks=partial(looks_at, self._engine, attempt.job_id),
                on_recorded=partial(self._counters.add, ITERATIONS),
            )
            if self._stopping.is_set():
                self._session.drain()
            self._show("busy", job_id=attempt.job_id)
            self._session.run()

    def _hand_back(self) -> None:
        """Let the job that is under way be handed back, and wait until it is."""
        self._show("draining")
        session = self._session
        if session is not None:
            session.drain()
        with self._busy:
            pass

    def _report_and_sweep(self) -> None:
        """Report, and look for abandoned jobs, until the worker ends."""
        reported = swept = -float("inf")
        while not self._ended.wait(self._timing.poll):
            try:
                if clock() - reported >= self._timing.heartbeat:
                    with self._report_lock:
                        self._beat()
                    reported = clock()
                if clock() - swept >= self._timing.sweep:
                    done = self._sweeper.sweep(grace_seconds=self._timing.lease)
                    swept = clock()
                    self._counters.add(LEASES_LOST, done.lost)
                    self._counters.add(UNDELIVERED, done.undelivered)
                    if done.lost or done.undelivered:
                        log.warning("swept: %d jobs of lost workers, %d undelivered", done.lost, done.undelivered)
            except sa.exc.SQLAlchemyError as error:
                log.warning("the database does not answer: %s", error)

    def _expire(self, older_than: float) -> None:
        """Remove what finished long ago, now and then, until the worker ends."""
        removal = Removal(self._engine, self._store)
        while True:
            try:
                number = removal.expire(older_than=older_than, enough=self._ended.is_set)
                if number:
                    log.info("removed %d jobs that finished long ago", number)
            except sa.exc.SQLAlchemyError as error:
                log.warning("the database does not answer: %s", error)
            if self._ended.wait(EXPIRE_SECONDS):
                return

    def _show(
        self, state: WorkerState, *, job_id: str | None = None, message: str | None = None, child: Child | None = None
    ) -> None:
        """Report what this worker is doing. If the report fails, work goes on."""
        with self._report_lock:
            report = replace(self._report, state=state, job_id=job_id, progress_message=message)
            if child is not None:
                report = replace(report, device=child.device, versions=child.versions | self._problem_versions)
            if report == self._report:
                return
            self._report = report
            try:
                self._beat()
            except sa.exc.SQLAlchemyError as error:
                log.warning("the database does not answer: %s", error)

    def _beat(self) -> None:
        """Report, and hear what was asked. Under the lock of the report."""
        asked = self._fleet.beat(replace(self._report, counters=self._counters.counts()))
        if asked == "leave":
            self.stop()
        elif asked == "drain":
            self.drain()

    def _leave(self) -> None:
        try:
            with self._report_lock:
                self._beat()  # the last counts
            self._fleet.leave(self.id)
        except sa.exc.SQLAlchemyError as error:
            log.warning("the database does not answer: %s", error)
        shutil.rmtree(self._directory, ignore_errors=True)
        self._engine.dispose()

    def _persist(self, action: Callable[[], T]) -> T:
        """Do it, again and again while the database does not respond and this worker is not asked to leave."""
        while True:
            try:
                return action()
            except sa.exc.DBAPIError as error:
                if not is_transient(error) or self._stopping.wait(self._timing.poll):
                    raise
                log.warning("the database does not answer: %s", error.orig)


def _own_directory(parent: Path) -> Path:
    """A directory for this process; those of processes of this machine that are gone are removed."""
    parent.mkdir(parents=True, exist_ok=True)
    host = socket.gethostname()
    for old in parent.glob(f"{host}-*"):
        if not Path("/proc", old.name.removeprefix(f"{host}-")).exists():
            shutil.rmtree(old, ignore_errors=True)
    own = parent / f"{host}-{os.getpid()}"
    own.mkdir(exist_ok=True)
    return own
