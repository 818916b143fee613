"""The runner that waits for the next job, so that importing Jittor is done when the job comes.

After a job that went well or was stopped it comes back. Where it does not, the next one is started.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence

from workers.child import Child
from workers.clock import clock

log = logging.getLogger(__name__)

# Before a runner is started again that ended before it was ready: it will probably do so again.
RESTART_SECONDS = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)


class Spare:
    """One runner in waiting, or at work. ``tend`` is for the main thread alone, because a runner dies with the thread
    that started it; ``take`` and ``put_back`` are for any.
    """

    def __init__(self, command: Sequence[str]) -> None:
        self.failures = 0  # in a row
        self.needed = threading.Event()  # set when ``tend`` has something to do
        self._command = command
        self._changed = threading.Condition()
        self._child: Child | None = None
        self._at_work = False
        self._not_before = 0.0
        self._closed = False

    def tend(self) -> Child | None:
        """Start a runner when none waits; returns the one that waits, once it is ready."""
        with self._changed:
            child = self._child
            if child is not None and child.alive():
                if child.ready.is_set():
                    self.failures = 0
                    self._changed.notify_all()
                    return child
                return None
            if child is not None:
                self._child = None
                if not child.ready.is_set():
                    self._not_before = clock() + RESTART_SECONDS[min(self.failures, len(RESTART_SECONDS) - 1)]
                    self.failures += 1
                    log.error("the runner does not start: %s", child.exit_reason().message)
            if not self._closed and not self._at_work and clock() >= self._not_before:
                self._child = Child(self._command)
        return None

    def take(self, timeout: float, tenant: str | None = None, *, comes_back: bool = True) -> Child | None:
        """The runner that waits, to be the caller's; None when there is none within ``timeout`` seconds.

        One that has done a job of another tenant than ``tenant`` is ended: it has held its rows. The next runner is
        started at once, unless this one probably ``comes_back``.
        """
        with self._changed:
            if self._child is not None and self._child.tenant not in (None, tenant):
                self._child.kill()
                self._child = None
            self.needed.set()
            if not self._changed.wait_for(lambda: self._ready() is not None, timeout):
                return None
            child, self._child = self._ready(), None
            self._at_work = comes_back
        self.needed.set()
        return child

    def put_back(self, child: Child, *, stays: bool, patience: float) -> None:
        """Let the ``child`` that was taken do the next job if it ``stays``; otherwise see it end, or end it after
        ``patience`` seconds.
        """
        with self._changed:
            self._at_work = False
            stays = stays and not self._closed and self._child is None
            if stays:
                self._child = child
        self.needed.set()
        if not stays:
            child.close(patience)

    def why(self) -> str:
        """What to show while no runner starts."""
        return f"the runner does not start (tried {self.failures} times); see the log of the worker"

    def close(self) -> None:
        """End the runner that waits, and start none any more."""
        with self._changed:
            self._closed = True
            child, self._child = self._child, None
        if child is not None:
            child.kill()

    def _ready(self) -> Child | None:
        return self._child if self._child is not None and self._child.ready.is_set() and self._child.alive() else None
