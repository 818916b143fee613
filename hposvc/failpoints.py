"""Named points at which a test lets a process die. Nothing happens unless ``HPOSVC_FAILPOINT`` is set.

``HPOSVC_FAILPOINT=record.before_commit@3`` kills the process, as ``kill -9`` would, when it comes to that point for
the third time. A second variable, ``HPOSVC_FAILPOINT_ONCE``, names a file that is created at that moment and disarms
the point for every process started later, so that a supervisor can be restarted with the same environment.
"""

from __future__ import annotations

import itertools
import os
import signal
from pathlib import Path

# Every point in the code; the durability tests go through all of them.
SUBMIT = ("submit.begin", "submit.job_inserted", "submit.enqueued", "submit.committed")
SUPERVISOR = (
    "claim.before_commit",
    "claim.committed",
    "start.before_commit",
    "record.before_commit",
    "record.committed",
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
STOPPING = ("stopped.before_commit", "release.before_commit", "lose.before_commit", "sweep.before_commit")

_name, _, _count = os.environ.get("HPOSVC_FAILPOINT", "").partition("@")
_arrivals = itertools.count(1)


def failpoint(name: str) -> None:
    """Die here, if the environment asks for it."""
    if name != _name or next(_arrivals) < int(_count or 1):
        return
    once = os.environ.get("HPOSVC_FAILPOINT_ONCE")
    if once and Path(once).exists():
        return
    if once:
        Path(once).touch()
    os.kill(os.getpid(), signal.SIGKILL)
