"""Why an attempt came to nothing, in words for the owner of the job: reason, message, remedy."""

from __future__ import annotations

import signal
from typing import NamedTuple

REPORT = "This is a fault of the service. Report it with the job's spec and the log of its worker."
SMALLER = "Use a smaller model, set solver.lower.batch_size, or "


class Loss(NamedTuple):
    """``reason`` is one word for programs; ``message`` says what happened, ``remedy`` what to do."""

    reason: str
    message: str
    remedy: str


def misbehaved(what: str) -> Loss:
    """The runner broke the protocol."""
    return Loss("runner_misbehaved", f"the runner sent what it must not send: {what}", REPORT)


def store_unavailable(error: OSError) -> Loss:
    """The store did not take or give the files of the job."""
    remedy = "See whether the artifact store can be reached and has room; then retry the job."
    return Loss("store_unavailable", f"the files of the job could not be stored: {error}", remedy)


def internal(error: Exception) -> Loss:
    """A defect of the supervisor."""
    return Loss("internal", f"the worker failed: {type(error).__name__}: {error}", REPORT)


def not_ready(seconds: float) -> Loss:
    """No runner started in time."""
    remedy = "Run `hposvc doctor` on the machine of the worker, and read the worker's log."
    return Loss("runner_failed", f"no runner was ready within {seconds:g} s", remedy)


def hung(seconds: float) -> Loss:
    """The runner sent no heartbeat."""
    remedy = "Retry the job; if it happens again, report it with the job's spec."
    return Loss("runner_hung", f"the runner gave no sign of life for {seconds:g} s", remedy)


def silent(problem: str, seconds: float) -> Loss:
    """An own problem computes, or waits, and nothing comes of it."""
    remedy = (
        "See whether the code of the problem loops or waits for something, with these parameters; the worker's log may "
        "say more. Then retry the job."
    )
    return Loss("problem_hung", f"{problem} did nothing for {seconds:g} s: no iteration, no phase, no result", remedy)


def over_the_limit(taken: float, limit: float) -> Loss:
    """The runner took more memory than this worker allows, both in bytes."""
    gib = 2**30
    message = f"the runner took {taken / gib:.2f} GiB of memory, and a job on this worker may take {limit / gib:g}"
    return Loss("out_of_memory", message, f"{SMALLER}raise HPOSVC_MEMORY_LIMIT_GIB of the worker.")


def out_of_memory() -> Loss:
    """The kernel killed the runner."""
    message = "the system killed the runner because the machine ran out of memory"
    return Loss("out_of_memory", message, f"{SMALLER}run the job on a machine with more memory.")


def ended(status: int, last_line: str) -> Loss:
    """The runner ended without a result; a negative ``status`` is the signal that killed it."""
    said = f"; its last words: {last_line}" if last_line else ""
    if status == -signal.SIGKILL:
        remedy = "Often this is a memory limit of a container: compare it with what the job needs. Then retry the job."
        return Loss("runner_killed", f"the runner was killed from outside (SIGKILL){said}", remedy)
    if status < 0:
        remedy = "This is a fault of the service or of its libraries. Report it with the job's spec."
        return Loss("runner_crashed", f"the runner crashed with {signal.Signals(-status).name}{said}", remedy)
    return Loss("runner_crashed", f"the runner ended with status {status} and no result{said}", REPORT)


def dataset_lost(dataset_id: str) -> Loss:
    """The store has lost an uploaded data set."""
    message = f"the file of the data set {dataset_id} is not in the store, or is damaged"
    return Loss("dataset_lost", message, "Upload it again, and submit the job anew.")


def timed_out(seconds: float) -> Loss:
    """The job used up its time_limit."""
    remedy = (
        "Retry the job to go on from its last checkpoint for as long again, or submit it with a higher time_limit or "
        "fewer iterations."
    )
    return Loss("timed_out", f"the job was not done after {seconds:g} s, which its time_limit allows", remedy)
