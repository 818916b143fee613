"""The worker: takes deliveries, owns the lease of its job, writes the database, and watches one runner.

It never imports Jittor, which takes over signal handlers and ends the process when a child is killed. Its threads:
the main one starts runners (the kernel ties a runner to the thread that started it), the queue's does one job at a
time, the lease of the job has two of its own, and one reports and sweeps.
"""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import sqlalchemy as sa

from hposvc.db import migrate
from hposvc.db.engine import DatabaseURLError, create_engine
from hposvc.jobs import fleet
from hposvc.jobs.fence import claim
from hposvc.jobs.fleet import WorkerReport, WorkerState
from hposvc.jobs.sweeper import redeliver, sweep
from hposvc.queue import Consumer, Publisher
from hposvc.settings import Settings
from hposvc.store import Store
from hposvc.warmup import Progress, WarmupError, is_warm, warm_up
from workers.child import Child
from workers.clock import clock
from workers.session import Session, Timing, is_transient
from workers.spare import Spare

log = logging.getLogger(__name__)

T = TypeVar("T")

RUNNER = (sys.executable, "-P", "-m", "workers.runner")  # -P: no folder of the user's stands in for a package


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
        runner: Sequence[str] = RUNNER,
        timing: Timing | None = None,
        running_jobs: int | None = None,
    ) -> None:
        self.id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._engine = create_engine(database_url)
        self._publisher = Publisher(self._engine)
        self._store = store
        self._directory = _own_directory(work_directory)
        self._timing = timing or Timing()
        self._running_jobs = running_jobs
        self._spare = Spare(runner)
        self._session: Session | None = None
        self._busy = threading.Lock()
        self._stopping = threading.Event()
        self._ended = threading.Event()
        self._report = WorkerReport(self.id, socket.gethostname(), "unknown", {}, "compiling")
        self._report_lock = threading.Lock()

    def stop(self) -> None:
        """Hand the job back and leave; may be called from a signal handler."""
        self._stopping.set()
        self._spare.needed.set()

    def run(self, prepare: Callable[[Callable[[str], None]], None]) -> None:
        """Work until ``stop``. ``prepare`` gets this machine ready, and is given a function that shows progress."""
        house = threading.Thread(target=self._keep_house, name="house", daemon=True)
        house.start()
        try:
            prepare(self._preparing)
            consumer = self._await_runner()
            try:
                while not self._stopping.is_set():
                    self._spare.needed.wait(self._timing.poll)
                    self._spare.needed.clear()
                    self._spare.tend()
            finally:
                self._hand_back()
                if consumer is not None:
                    consumer.close()
        except Stopped:
            log.info("stopped before this machine was ready")
        finally:
            self._spare.close()
            self._ended.set()
            house.join()
            self._leave()

    def _preparing(self, message: str) -> None:
        if self._stopping.is_set():
            raise Stopped
        self._show("compiling", message=message)

    def _await_runner(self) -> Consumer | None:
        """Receive deliveries once the first runner is ready; None when this worker was stopped before."""
        while not self._stopping.wait(0.05):
            child = self._spare.tend()
            if child is not None:
                self._show("ready", child=child)
                return Consumer(self._engine.url, self.id, self._deliver)
            if self._spare.failures:
                self._show("compiling", message=self._spare.why())
        return None

    def _deliver(self, job_id: str, attempt: int) -> None:
        """Do one attempt, on the thread of the queue."""
        with self._busy:
            if self._stopping.is_set():
                self._persist(lambda: redeliver(self._engine, self._publisher, job_id, attempt))
                return
            try:
                self._attempt(job_id, attempt)
            finally:
                self._session = None
                self._show("draining" if self._stopping.is_set() else "ready")

    def _attempt(self, job_id: str, number: int) -> None:
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
            return
        with tempfile.TemporaryDirectory(dir=self._directory) as directory:
            self._session = Session(
                attempt,
                claimed_at=claimed_at,
                take_runner=self._take_runner,
                store=self._store,
                directory=Path(directory),
                timing=self._timing,
            )
            if self._stopping.is_set():
                self._session.drain()
            self._show("busy", job_id=job_id)
            self._session.run()

    def _take_runner(self, timeout: float) -> Child | None:
        self._spare.needed.set()
        return self._spare.take(timeout)

    def _hand_back(self) -> None:
        """Let the job that is under way be handed back, and wait until it is."""
        self._show("draining")
        session = self._session
        if session is not None:
            session.drain()
        with self._busy:
            pass

    def _keep_house(self) -> None:
        """Report, and look for abandoned jobs, until the worker ends."""
        reported = swept = -float("inf")
        while not self._ended.wait(self._timing.poll):
            try:
                if clock() - reported >= self._timing.heartbeat:
                    with self._report_lock:
                        fleet.beat(self._engine, self._report)
                    reported = clock()
                if clock() - swept >= self._timing.sweep:
                    done = sweep(
                        self._engine,
                        self._publisher,
                        grace_seconds=self._timing.lease,
                        running_jobs=self._running_jobs,
                    )
                    swept = clock()
                    if done.lost or done.undelivered:
                        log.warning("swept: %d jobs of lost workers, %d undelivered", done.lost, done.undelivered)
            except sa.exc.SQLAlchemyError as error:
                log.warning("the database does not answer: %s", error)

    def _show(
        self, state: WorkerState, *, job_id: str | None = None, message: str | None = None, child: Child | None = None
    ) -> None:
        """Say what this worker is doing. That it cannot be said stops no work."""
        with self._report_lock:
            report = replace(self._report, state=state, job_id=job_id, progress_message=message)
            if child is not None:
                report = replace(report, device=child.device, versions=child.versions)
            if report == self._report:
                return
            self._report = report
            try:
                fleet.beat(self._engine, report)
            except sa.exc.SQLAlchemyError as error:
                log.warning("the database does not answer: %s", error)

    def _leave(self) -> None:
        try:
            fleet.leave(self._engine, self.id)
        except sa.exc.SQLAlchemyError as error:
            log.warning("the database does not answer: %s", error)
        shutil.rmtree(self._directory, ignore_errors=True)
        self._engine.dispose()

    def _persist(self, action: Callable[[], T]) -> T:
        """Do it, again and again while the database does not answer and this worker is not asked to leave."""
        while True:
            try:
                return action()
            except sa.exc.DBAPIError as error:
                if not is_transient(error) or self._stopping.wait(self._timing.poll):
                    raise
                log.warning("the database does not answer: %s", error.orig)


def main(settings: Settings) -> int:
    """Run a worker until SIGTERM or SIGINT; the status of the process."""
    try:
        migrate.check(settings.database_url)
    except (migrate.SchemaError, DatabaseURLError) as error:
        return _refuse(str(error))
    supervisor = Supervisor(
        settings.database_url,
        Store(settings.store_url),
        settings.data_dir / "work",
        runner=(*RUNNER, settings.device),
        timing=Timing(lease=settings.lease_seconds),
        running_jobs=settings.quota_running_jobs,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    try:
        supervisor.run(partial(prepare, device=settings.device))
    except WarmupError as error:
        return _refuse(f"Jittor could not be prepared: {error}")
    return 0


def _refuse(why: str) -> int:
    log.error("%s", why)
    return 1


def prepare(show: Callable[[str], None], *, device: str) -> None:
    """Compile Jittor, if this machine has not done so. Raises WarmupError."""

    def progress(step: Progress) -> None:
        show(f"{step.message} ({step.done} of {step.total})")

    if not is_warm(device):
        show("preparing Jittor, which takes some minutes on the first start")
        warm_up(progress, device)


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
