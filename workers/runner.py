"""The runner: a process that solves one job after the other and speaks only to its supervisor.

It has no address of the database. It is started ahead of its job, so that importing Jittor is done when the job comes.
After a job that went well, or that it was asked to stop, it stays for the next one; after any other end it leaves, and
a new one does the next job.
It never outlives its supervisor.
"""

from __future__ import annotations

import contextlib
import gc
import os
import platform
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

from hposvc import snapshots, tracing
from hposvc.child_process import end_with_parent
from hposvc.failpoints import failpoint
from hposvc.schema.spec import JobSpec
from workers import checkpoints, protocol
from workers.clock import clock
from workers.protocol import Message

HEARTBEAT_SECONDS = 2.0
MAX_COLUMN = 1000  # rows in one frame
KINDS = {
    "report.json": "report",
    "hyperparameters.parquet": "hyperparameters",
    "rows.parquet": "rows",
    "model.safetensors": "model",
    "parameters.safetensors": "parameters",
}
OF_PROBLEM = (
    "problem_failed",
    "Change the parameters, or tell the author of the problem; the worker's log has the rest.",
)
FROM_START = (
    "Retry the job from the start, so that it begins with the version that is installed now, or have the old one "
    "installed again."
)
OF_VERSION = "other_version", FROM_START
NOT_HERE = "not_installed", "Ask an operator to install the package on the workers that had it, and to restart them."
OOM_SCORE = "500"  # of -1000 to 1000: what the kernel ends first when the machine runs out of memory
MOST_JOBS = 100  # of one runner: what leaks slowly ends with it
MOST_KEPT = 512 * 2**20  # bytes by which a runner may have grown since it was ready, and stay


class Solvable(Protocol):
    """What the runner needs of ``hposvc.run.run.Run``."""

    @property
    def problem_version(self) -> str | None:
        """The version of the package that brings the problem; None where the service does."""

    @property
    def notes(self) -> list[str]:
        """What the owner of the job should know about how it goes on from its checkpoint."""

    @property
    def iteration(self) -> int:
        """How many iterations are done."""

    def iterations(self, ends: Collection[int] = ()) -> Iterator[list[Any]]:
        """Batches of ``hposvc.bilevel.Iteration``, of which one ends at each of ``ends``; not asking pauses."""

    def end(self) -> None:
        """Make the iteration that was done last the last one, also for whoever goes on from the checkpoint."""

    def checkpoint(self) -> bytes:
        """Everything that is needed to go on from here."""

    def snapshot(self) -> snapshots.Snapshot:
        """λ as it is now, in short."""

    def finish(self) -> Any:
        """An object with ``result``, JSON-able, and ``artifacts``, bytes by name."""


Load = Callable[
    ..., Solvable
]  # of a JobSpec and a checkpoint or None; ``uploads`` where the job names uploaded data sets
Explain = Callable[[Exception], dict[str, Any]]


class Channel:
    """The supervisor, as the runner sees it: frames out from any thread, commands in."""

    def __init__(self) -> None:
        self._descriptor = int(os.environ[protocol.RUNNER_FD])
        os.set_inheritable(self._descriptor, False)
        # not sys.stdin: the processes that Jittor forks to compile close that one, and would wait for its lock for ever
        self._commands = os.fdopen(os.dup(sys.stdin.fileno()), "rb")
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, sys.stdin.fileno())  # an own problem that reads standard input takes no command
        os.close(nothing)
        self._lock = threading.Lock()
        self._solve: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._told = threading.Event()  # since it last waited
        self.asked: str | None = None  # "pause", "stop" or "finish", once it was asked for
        threading.Thread(target=self._receive, name="commands", daemon=True).start()
        threading.Thread(target=self._beat, name="heartbeat", daemon=True).start()

    def send(self, type_: str, **fields: Any) -> None:
        """Write one frame."""
        with self._lock:
            protocol.write(self._descriptor, {"type": type_, **fields})

    def job(self) -> Message:
        """The next ``solve`` command, when it comes."""
        return self._solve.get()

    def wait(self, iteration: int) -> None:
        """Wait to be told to go on, or anything else."""
        self._told.clear()
        self.send("waiting", iteration=iteration)
        if self.asked is None:
            self._told.wait()

    def _receive(self) -> None:
        while (message := protocol.read(self._commands)) is not None:
            if message["command"] == "solve":
                self.asked = None  # what came before was for the job before
                self._solve.put(message)
                continue
            if message["command"] != "go_on":
                self.asked = message["command"]
            self._told.set()
        os._exit(0)  # the supervisor is gone

    def _beat(self) -> None:
        try:
            while True:
                self.send("heartbeat")
                time.sleep(HEARTBEAT_SECONDS)
        except OSError:
            os._exit(0)  # the supervisor is gone


def serve(prepare: Callable[[], tuple[Load, str]], explain: Explain) -> None:
    """Solve one job after the other, as long as this process is as good as a new one.

    ``prepare()`` returns how to load a job, and the name of the device. ``explain(error)`` returns the reason, the
    message, the remedy and the iteration that the owner of a failed job reads.
    """
    _die_with_parent()
    with contextlib.suppress(OSError):  # rather this process than the worker, the API or the database
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    channel = Channel()
    send_spans = tracing.start("runner")
    load, device = prepare()
    begun_with = _resident()
    for number in range(1, MOST_JOBS + 1):
        channel.send("ready", versions=_versions(), device=device)
        job = channel.job()
        failpoint("runner.solve_received")
        own = job["spec"].get("problem") is not None  # its code may leave anything behind
        allowed = not own and device == "cpu" and number < MOST_JOBS
        stays = _attend(channel, load, job, explain, partial(_stays, allowed, begun_with))
        send_spans()
        if not stays:
            break
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # without Jittor's tidying up, which takes a while and frees nothing that the end of a process does not


def _attend(channel: Channel, load: Load, job: Message, explain: Explain, stays: Callable[[], bool]) -> bool:
    """Do the job, or say why not; whether this process stays for another."""
    try:
        parent = job.get("traceparent")
        with tracing.span("job.run", parent=parent, hposvc__job_id=job["job_id"], hposvc__attempt=job["attempt"]):
            return _solve(channel, load, job, stays)
    except BrokenPipeError:  # the supervisor is gone
        return False
    except Exception as error:  # noqa: BLE001 - whatever it is, the job's owner must read it
        traceback.print_exc()
        with contextlib.suppress(BrokenPipeError):
            channel.send("error", **explain(error))
        return False


def _solve(channel: Channel, load: Load, job: Message, stays: Callable[[], bool]) -> bool:
    spec = JobSpec.model_validate(job["spec"])
    directory = Path(job["directory"])
    path = job["checkpoint_path"]
    channel.send("phase", phase="loading")
    if job["uploads"]:
        load = partial(load, uploads=_uploads(job["uploads"]))
    with tracing.span("job.load"):
        run = load(spec, None) if path is None else _resume(channel, load, spec, Path(path))
    for message in run.notes:
        channel.send("note", level="info", message=message)
    channel.send("started", resumed_from=run.iteration or None, problem_version=run.problem_version)
    channel.send("phase", phase="solving")
    if not _iterate(channel, run, spec, directory, frozenset(job["waits_at"])):
        iteration = run.iteration
        del run
        staying = stays()
        channel.send("paused", iteration=iteration, stays=staying)
        return staying
    channel.send("phase", phase="refitting")
    failpoint("runner.finish_begun")
    with tracing.span("job.refit"):
        outcome = run.finish()
    artifacts = []
    for name, data in outcome.artifacts.items():
        sha256 = checkpoints.write(directory / name, data)
        kind = KINDS.get(name, "file")
        path = str(directory / name)
        artifacts.append({"name": name, "path": path, "size": len(data), "sha256": sha256, "kind": kind})
    failpoint("runner.artifacts_written")
    del run
    staying = stays()
    channel.send("result", result=outcome.result, artifacts=artifacts, stays=staying)
    failpoint("runner.result_sent")
    return staying


def _uploads(listed: list[Message]) -> dict[str, Any]:
    from hposvc.training_data import Upload

    return {
        item["id"]: Upload(item["id"], item["name"], item["description"], partial(Path(item["path"]).open, "rb"))
        for item in listed
    }


def _iterate(channel: Channel, run: Solvable, spec: JobSpec, directory: Path, waits_at: Collection[int]) -> bool:
    """Do the iterations, waiting after each of ``waits_at``; False when it was asked to stop before they were done."""
    saved = shown = run.iteration
    saved_at, writing = clock(), 0.0
    _snapshot(channel, run)
    for _ in tracing.traced("job.solve", _sent(channel, run, waits_at)):
        if channel.asked or snapshots.due(shown, run.iteration):
            _snapshot(channel, run)
            shown = run.iteration
        if channel.asked == "finish":
            run.end()
            saved = 0  # the checkpoint has to know that this was the last iteration
            break
        if channel.asked:
            if channel.asked == "pause":
                _checkpoint(channel, run, directory)
            return False
        begun = clock()
        if checkpoints.is_due(
            spec.checkpoint_every, iterations=run.iteration - saved, seconds=begun - saved_at, writing=writing
        ):
            _checkpoint(channel, run, directory)
            saved, saved_at = run.iteration, clock()
            writing = saved_at - begun
    if run.iteration > shown:
        _snapshot(channel, run)
    if run.iteration > saved:
        _checkpoint(channel, run, directory)  # what follows may take long, and must not cost the iterations
    return True


def _sent(channel: Channel, run: Solvable, waits_at: Collection[int]) -> Iterator[None]:
    """Do the iterations: each time that some were sent, and waited after if it is to be."""
    for batch in run.iterations(waits_at):
        for start in range(0, len(batch), MAX_COLUMN):
            channel.send("iterations", columns=_columns(batch[start : start + MAX_COLUMN]))
        failpoint("runner.iterations_sent")
        if run.iteration in waits_at:
            channel.wait(run.iteration)
        yield


def _resume(channel: Channel, load: Load, spec: JobSpec, path: Path) -> Solvable:
    try:
        return load(spec, path.read_bytes())
    except ValueError as error:  # of another version; its checksum was right
        channel.send("note", level="warning", message=f"starting over, because the checkpoint is of no use: {error}")
        return load(spec, None)


def _snapshot(channel: Channel, run: Solvable) -> None:
    channel.send("snapshot", **asdict(run.snapshot()))


def _checkpoint(channel: Channel, run: Solvable, directory: Path) -> None:
    path = directory / f"checkpoint-{run.iteration:010d}.safetensors"
    try:
        sha256 = checkpoints.write(path, run.checkpoint())
    except OSError as error:  # a full disk must not stop the solver: it only means going back further
        channel.send("note", level="warning", message=f"no checkpoint at iteration {run.iteration}: {error}")
        return
    channel.send("checkpoint", iteration=run.iteration, path=str(path), sha256=sha256)
    failpoint("runner.checkpoint_sent")


def _columns(batch: list[Any]) -> dict[str, list[float | None]]:
    rows = [asdict(iteration) for iteration in batch]
    return {name: [row[name] for row in rows] for name in rows[0]}


def explain(error: Exception) -> dict[str, Any]:
    """The reason, message, remedy and iteration for the errors of ``hposvc.run.run``."""
    from hposvc.bilevel.iteration import Diverged
    from hposvc.bilevel.runtime import out_of_device_memory
    from hposvc.problems.loading import NotInstalled
    from hposvc.run.own import OtherVersion, OwnProblemFailed
    from hposvc.training_data import DataError

    own = {OwnProblemFailed: OF_PROBLEM, OtherVersion: OF_VERSION, NotInstalled: NOT_HERE}
    if type(error) in own:
        reason, remedy = own[type(error)]
        return {"reason": reason, "message": str(error), "remedy": remedy, "iteration": None}
    if isinstance(error, DataError):
        return {
            "reason": "invalid_data",
            "message": "; ".join(f"{problem.field}: {problem.message}" for problem in error.defects),
            "remedy": " ".join(problem.remedy for problem in error.defects),
            "iteration": None,
        }
    if isinstance(error, Diverged):
        return {
            "reason": "diverged",
            "message": str(error),
            "remedy": "Lower solver.lower.learning_rate or solver.upper.learning_rate, or leave them at auto.",
            "iteration": error.iteration,
        }
    if isinstance(error, MemoryError):
        return {
            "reason": "out_of_memory",
            "message": f"there was not enough memory: {error}",
            "remedy": "Use a smaller model, set solver.lower.batch_size, or run the job on a larger machine.",
            "iteration": None,
        }
    if (wanted := out_of_device_memory(error)) is not None:
        return {
            "reason": "out_of_memory",
            "message": f"the GPU has no room for {wanted / 2**20:.1f} MiB more",
            "remedy": "Use a smaller model, set solver.lower.batch_size, or run the job on a GPU with more memory.",
            "iteration": None,
        }
    return {
        "reason": "internal",
        "message": f"{type(error).__name__}: {error}",
        "remedy": "This is a fault of the service. Report it with the job's spec and the log of its worker.",
        "iteration": None,
    }


def _die_with_parent() -> None:
    """Let the kernel kill this process when its supervisor ends, and what Jittor forks when this process does."""
    end_with_parent()
    if os.getppid() != int(os.environ[protocol.RUNNER_PARENT]):
        os._exit(0)  # it died before the line above
    os.register_at_fork(after_in_child=end_with_parent)


def _stays(allowed: bool, begun_with: int) -> bool:
    """Whether this process is as good as a new one, as far as its memory says."""
    gc.collect()
    return allowed and _resident() - begun_with < MOST_KEPT


def _resident() -> int:
    """The memory that this process holds, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("hposvc", "jittor", "numpy")} | {"python": platform.python_version()}


def prepare() -> tuple[Load, str]:
    """Start Jittor, which takes a second or two, and load jobs with ``hposvc.run.loading``."""
    # The worker has compiled Jittor already: without this the import forks a pool of compilers that nothing here uses.
    os.environ["DISABLE_MULTIPROCESSING"] = "1"
    from hposvc.bilevel import runtime
    from hposvc.run.loading import load

    runtime.start("cuda" if sys.argv[1:] == ["cuda"] else "cpu")
    return load, runtime.device()


if __name__ == "__main__":
    serve(prepare, explain)
