"""Named points at which a test lets a process die. Nothing happens unless ``HPOSVC_FAILPOINTS`` is set.

``HPOSVC_FAILPOINTS=claim.committed,record.before_commit@3`` kills a process, as ``kill -9`` would, when it comes to
the first of these points, or to the second for the third time. ``HPOSVC_FAILPOINTS_FIRED`` names a directory where
each point leaves a file when it strikes, and strikes no second time, in whatever process.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path

# Every point in the code; the durability tests go through all of them.
SUBMIT = ("submit.begin", "submit.job_inserted", "submit.enqueued", "submit.committed")
REQUEST = ("request.begin", "request.enqueued", "request.before_commit", "request.committed")
SUPERVISOR = (
    "claim.before_commit",
    "claim.committed",
    "start.before_commit",
    "record.before_commit",
    "record.committed",
    "snapshot.before_commit",
    "renew.before_commit",
    "checkpoint.stored",
    "checkpoint.before_commit",
    "checkpoint.committed",
    "artifacts.stored",
    "succeed.before_commit",
    "succeed.committed",
)
RUNNER = (
    "runner.solve_received",
    "runner.iterations_sent",
    "runner.checkpoint_written",
    "runner.checkpoint_synced",
    "runner.checkpoint_renamed",
    "runner.checkpoint_sent",
    "runner.finish_begun",
    "runner.artifacts_written",
    "runner.result_sent",
)
DATASETS = (
    "dataset.receiving",
    "dataset.received",
    "dataset.checked",
    "dataset.stored",
    "dataset.before_commit",
    "dataset.committed",
    "dataset.removed",
)
REVIEWS = ("review.before_commit", "review.committed")
UNDOING = ("undo.before_commit", "undo.committed")
EXPERIMENTS = (
    "experiment.submit_begun",
    "experiment.submit_inserted",
    "experiment.submitted",
    "experiment.told",
    "experiment.before_commit",
    "experiment.committed",
    "experiment.request_before_commit",
)
EXPERIMENTS_REMOVED = ("experiment.delete_before_commit",)
STOPPING = (
    "stopped.before_commit",
    "release.before_commit",
    "lose.before_commit",
    "fail.before_commit",
    "sweep.before_commit",
)
RETENTION = ("retention.before_commit", "retention.files_removed")

_armed = {
    name: int(count or 1)
    for name, _, count in (point.partition("@") for point in os.environ.get("HPOSVC_FAILPOINTS", "").split(","))
}
_arrivals: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """Die here, if the environment asks for it."""
    if name not in _armed:
        return
    _arrivals[name] += 1
    if _arrivals[name] < _armed[name]:
        return
    fired = os.environ.get("HPOSVC_FAILPOINTS_FIRED")
    if fired:
        try:
            Path(fired, name).touch(exist_ok=False)
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)
