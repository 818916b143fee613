"""One attempt at one job: what its runner says, kept behind the fence, and what people ask, passed on to the runner."""

from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from hposvc import tracing
from hposvc.db.engine import is_transient
from hposvc.experiments.looks import Looks
from hposvc.jobs.attempt import Attempt, Fenced
from hposvc.jobs.stored_file import CHECKPOINT, StoredFile
from hposvc.schema.job import JobError
from hposvc.schema.states import State
from hposvc.snapshots import Snapshot
from hposvc.storage.store import Store
from workers import losses
from workers.child import GARBAGE, Child
from workers.clock import clock
from workers.frames import Misbehaved, rows_of, snapshot_of
from workers.job_files import JobFiles
from workers.lease import Lease
from workers.losses import Loss
from workers.protocol import Message
from workers.requests import Requests
from workers.spare import Spare
from workers.timing import Timing
from workers.waiting import Waiting

log = logging.getLogger(__name__)

T = TypeVar("T")

BATCH_SECONDS = 0.5  # between writes of iterations: each is a transaction, and the lease is renewed between them
BATCH_ROWS = 5000  # what may wait meanwhile
TICK_SECONDS = 0.1
MAX_NOTES, KEPT_NOTES = 1000, 100
MAX_PHASES = 100
MOST_SNAPSHOTS = 20  # that may wait to be written


class Session:
    """The supervisor's side of one attempt. ``run`` returns when the attempt is over, and never raises."""

    def __init__(
        self,
        attempt: Attempt,
        *,
        claimed_at: float,
        runners: Spare,
        store: Store,
        directory: Path,
        timing: Timing,
        memory_limit: float | None = None,
        find_looks: Callable[[], Looks | None] = lambda: None,
        on_recorded: Callable[[int], None] = lambda number: None,
    ) -> None:
        """``claimed_at``: the time by ``clock`` just before the claim; ``runners`` has a ready one;
        ``memory_limit``: bytes that the runner may take; ``find_looks()`` returns where the runner waits to be judged;
        ``on_recorded(number)`` hears of iterations once they are in the database.
        """
        self._attempt = attempt
        self._runners = runners
        self._files = JobFiles(store, directory, attempt.job_id, attempt.number)
        self._timing = timing
        self._memory_limit = memory_limit
        limit = attempt.spec.get("time_limit")
        self._requests = Requests(timing, claimed_at + (float("inf") if limit is None else limit))
        self._started = False
        self._waiting = Waiting(find_looks, timing.judge)
        self._on_recorded = on_recorded
        self._runner: Child | None = None
        self._stays = False
        self._pending: list[dict[str, float | None]] = []
        self._pending_since = 0.0
        self._snapshots: list[Snapshot] = []
        self._last_iteration: int | None = None
        self._notes = self._phases = 0
        self._draining = False
        self._problem: str | None = attempt.spec.get("problem")
        self._progress_at = claimed_at
        self._lease = Lease(
            attempt, seconds=timing.lease, claimed_at=claimed_at, poll=timing.poll, on_lost=self._end_runner
        )

    def drain(self) -> None:
        """Hand the job back soon, because the worker ends."""
        self._draining = True

    def run(self) -> None:
        """Solve the job. When this returns, its runner is gone, or waits for the next job."""
        try:
            if self._begin():
                while not self._step():
                    pass
        except Fenced as fenced:
            log.warning("%s", fenced)
            self._end_runner()
        except Misbehaved as error:
            self._lose(losses.misbehaved(str(error)))
        except OSError as error:
            self._lose(losses.store_unavailable(error))
        except Exception as error:
            log.exception("job %s: the supervisor failed", self._attempt.job_id)
            self._lose(losses.internal(error))
        finally:
            self._lease.end()
            if self._runner is not None:
                self._runners.put_back(self._runner, stays=self._stays, patience=self._timing.terminate)

    def _begin(self) -> bool:
        """Give the job to a runner; False when it came to nothing."""
        waiting_since, tenant = clock(), self._attempt.tenant
        while (child := self._runners.take(TICK_SECONDS, tenant, comes_back=self._problem is None)) is None:
            self._lease.assert_held()
            if self._draining:
                self._conclude(self._attempt.release)
                return False
            if self._lease.asked.state in (State.CANCELLING, State.PAUSING):
                self._conclude(self._attempt.stopped)
                return False
            if clock() - waiting_since > self._timing.start:
                self._lose(losses.not_ready(self._timing.start))
                return False
        self._runner = child
        child.begin(tenant)
        self._progress_at = clock()
        uploads = self._fetch_datasets()
        if uploads is None:
            return False
        self._child.send(
            {
                "command": "solve",
                "job_id": self._attempt.job_id,
                "attempt": self._attempt.number,
                "spec": self._attempt.spec,
                "checkpoint_path": self._fetch_checkpoint(),
                "uploads": uploads,
                "directory": str(self._files.directory),
                "waits_at": self._write(self._waiting.find),
                "traceparent": tracing.traceparent() or self._attempt.traceparent,
            }
        )
        return True

    @property
    def _child(self) -> Child:
        assert self._runner is not None  # noqa: S101 - everything after _begin
        return self._runner

    def _end_runner(self) -> None:
        if self._runner is not None:
            self._runner.kill()

    def _step(self) -> bool:
        """Do the next thing; True when the attempt is over."""
        self._lease.assert_held()
        self._requests.pass_on(self._child, self._lease.asked, draining=self._draining)
        self._pass_on_verdict()
        if self._memory_limit is not None and (taken := self._child.memory()) > self._memory_limit:
            self._lose(losses.over_the_limit(taken, self._memory_limit))
            return True
        try:
            message = self._child.receive(TICK_SECONDS)
        except queue.Empty:
            self._flush(only_if_due=True)
            if clock() - self._child.last_heard > self._timing.hang:
                self._lose(losses.hung(self._timing.hang))
                return True
            if self._problem is not None and clock() - self._progress_at > self._timing.silence:
                self._lose(losses.silent(self._problem, self._timing.silence))
                return True
            return False
        self._progress_at = clock()
        if message is None:
            self._ended()
            return True
        try:
            over = self._handle(message)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Misbehaved(f"a {message.get('type')!r} frame with wrong fields ({error!r})") from error
        self._flush(only_if_due=True)
        return over

    def _pass_on_verdict(self) -> None:
        verdict = self._write(self._waiting.verdict)
        if verdict == "stops":
            self._write(self._lease.look)  # it was cancelled, or will be in a moment
        if verdict == "goes_on":
            self._child.send({"command": "go_on"})

    def _handle(self, message: Message) -> bool:  # noqa: C901, PLR0912 - one case for each type of frame
        match message.get("type"):
            case "iterations":
                self._add(message["columns"])
            case "phase":
                self._phase(str(message["phase"])[:64])
            case "started":
                if self._started:
                    raise Misbehaved("'started' a second time")
                self._started = True
                resumed_from, version = message["resumed_from"], message.get("problem_version")
                for url in self._write(lambda: self._attempt.start(resumed_from, version)):
                    self._files.remove(url)
            case "snapshot":
                self._add_snapshot(snapshot_of(message["iteration"], message["summary"], message["detail"]))
            case "checkpoint":
                self._keep_checkpoint(message["iteration"], Path(message["path"]), message["sha256"])
            case "note":
                self._note(str(message["level"]), str(message["message"]))
            case "result":
                self._succeed(message["result"], message["artifacts"], stays=message["stays"] is True)
                return True
            case "error":
                self._flush()
                error = JobError(**{name: message[name] for name in ("reason", "message", "remedy", "iteration")})
                self._conclude(lambda: self._attempt.fail(error))
                return True
            case "paused":
                self._stopped(stays=message["stays"] is True)
                return True
            case "waiting":
                self._flush()
                self._waiting.begin(int(message["iteration"]))
            case type_ if type_ == GARBAGE:
                raise Misbehaved(message["message"])
            case other:
                raise Misbehaved(f"a frame of the unknown type {other!r}")
        return False

    def _add(self, columns: dict[str, list[float | None]]) -> None:
        rows = rows_of(columns, self._last_iteration)
        if rows:
            self._last_iteration = int(rows[-1]["iteration"] or 0)
        if not self._pending:
            self._pending_since = clock()
        self._pending += rows

    def _flush(self, *, only_if_due: bool = False) -> None:
        """Write the iterations and snapshots that wait; ``only_if_due``: when they are many, or have waited enough."""
        due = len(self._pending) >= BATCH_ROWS or clock() - self._pending_since > BATCH_SECONDS
        if only_if_due and not due:
            return
        if self._pending:
            rows = self._pending
            self._write(lambda: self._attempt.record(rows))
            self._pending = []
            self._on_recorded(len(rows))
        if self._snapshots:  # second: λ is never ahead of its iterations
            taken = self._snapshots
            self._write(lambda: self._attempt.snapshot(*taken))
            self._snapshots = []

    def _add_snapshot(self, snapshot: Snapshot) -> None:
        self._snapshots.append(snapshot)
        if len(self._snapshots) == MOST_SNAPSHOTS:
            self._flush()

    def _fetch_datasets(self) -> list[dict[str, Any]] | None:
        """The uploaded data sets of the job, as local files; None when the job failed for want of one.

        Raises OSError: the store does not respond.
        """
        uploads = []
        for stored in self._write(self._attempt.datasets):
            try:
                path = self._files.fetch(stored.url, stored.sha256, f"{stored.id}.parquet")
            except FileNotFoundError:
                path = None
            if path is None:
                self._end_runner()
                error = JobError(**losses.dataset_lost(stored.id)._asdict())
                self._conclude(partial(self._attempt.fail, error))
                return None
            upload = {"id": stored.id, "name": stored.name, "description": stored.description, "path": str(path)}
            uploads.append(upload)
        return uploads

    def _fetch_checkpoint(self) -> str | None:
        """The newest checkpoint that is intact, as a local file."""
        for file in self._write(self._attempt.checkpoints):
            try:
                path = self._files.fetch(file.url, file.sha256, f"resume-{file.name}")
            except OSError as error:
                log.warning("job %s: %s cannot be read: %s", self._attempt.job_id, file.url, error)
                path = None
            if path is not None:
                return str(path)
            self._note("warning", f"the checkpoint of iteration {file.iteration} is damaged; going further back")
        return None

    def _keep_checkpoint(self, iteration: int, path: Path, sha256: str) -> None:
        self._flush()  # first: a checkpoint ahead of its iterations would leave a gap
        try:
            size, url = path.stat().st_size, self._files.put(path)
            stored = StoredFile(f"checkpoint-{iteration:010d}", CHECKPOINT, size, sha256, url, iteration)
        except OSError as error:
            self._note("warning", f"the checkpoint of iteration {iteration} could not be stored: {error}")
            return
        finally:
            path.unlink(missing_ok=True)
        for url in self._write(lambda: self._attempt.checkpoint(stored)):
            self._files.remove(url)

    def _phase(self, phase: str) -> None:
        self._phases += 1
        if self._phases > MAX_PHASES:
            raise Misbehaved(f"more than {MAX_PHASES} phases")
        self._write(lambda: self._attempt.phase(phase))

    def _note(self, level: str, message: str) -> None:
        self._notes += 1
        if self._notes > MAX_NOTES:
            raise Misbehaved(f"more than {MAX_NOTES} notes")
        if self._notes == KEPT_NOTES:
            message = f"{message} (further notes of this attempt are not kept)"
        if self._notes <= KEPT_NOTES:  # each is a transaction, and the lease is renewed between them
            self._write(lambda: self._attempt.note(level, message))

    def _succeed(self, result: dict[str, Any], artifacts: list[dict[str, Any]], *, stays: bool) -> None:
        self._flush()
        files = [
            StoredFile(file["name"], file["kind"], file["size"], file["sha256"], self._files.put(Path(file["path"])))
            for file in artifacts
        ]
        self._conclude(lambda: self._attempt.succeed(result, files))
        self._stays = stays

    def _stopped(self, *, stays: bool) -> None:
        """The runner stopped because it was asked to. Where it does not stay, it is gone before anybody reads so."""
        if self._requests.asked is None:
            raise Misbehaved("'paused' without having been asked")
        self._flush()
        if stays and (self._draining or self._requests.escalated):
            self._end_runner()
        elif not stays:
            self._child.close(self._timing.terminate)
        self._conclude_stop()
        self._stays = stays and self._child.alive()

    def _ended(self) -> None:
        """The runner is gone without a last word."""
        self._child.close(self._timing.terminate)
        self._lease.assert_held()
        self._flush()
        if self._lease.asked.state is State.CANCELLING or self._draining or self._requests.overdue:
            self._conclude_stop()
        else:
            self._lose(self._child.exit_reason())

    def _conclude_stop(self) -> None:
        """The job is over because somebody asked: a person, a search, the end of this worker, or the clock."""
        if self._lease.asked.state in (State.CANCELLING, State.PAUSING):
            self._conclude(self._attempt.stopped)
        elif self._draining:
            self._conclude(self._attempt.release)
        else:
            loss = losses.timed_out(self._attempt.spec["time_limit"])
            error = JobError(**loss._asdict(), iteration=self._last_iteration)
            self._conclude(lambda: self._attempt.fail(error))

    def _lose(self, loss: Loss) -> None:
        """This attempt is lost, but not the job. Never raises."""
        self._end_runner()
        try:
            self._flush()
            error = JobError(**loss._asdict(), iteration=self._last_iteration)
            self._conclude(lambda: self._attempt.lose(error))
        except Exception:
            # The lease runs out, and the sweeper of some worker does the same.
            log.exception("job %s: could not give up attempt %d", self._attempt.job_id, self._attempt.number)

    def _conclude(self, action: Callable[[], None]) -> None:
        """The last write. The lease is not renewed any more, so that its thread does not take the end for a loss."""
        self._lease.end()
        self._write(action)

    def _write(self, action: Callable[[], T]) -> T:
        """Write, again and again while the database does not respond, for as long as the lease is ours."""
        while True:
            self._lease.assert_held()
            try:
                return action()
            except sa.exc.DBAPIError as error:
                if not is_transient(error):
                    raise
                log.warning("job %s: the database does not answer: %s", self._attempt.job_id, error.orig)
                time.sleep(TICK_SECONDS)
