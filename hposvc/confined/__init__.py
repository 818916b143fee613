"""A module called in a process of its own, with bounds on time and memory: for work on what strangers send.

The process gets what Python needs, and no setting and no secret of the service except what the caller names. It is
forked from a server that has imported the module before (:mod:`hposvc.confined.server`), so that it starts at once.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from hposvc.confined import forking
from hposvc.copyable import Copyable

log = structlog.get_logger(__name__)

KEPT = ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "LANG", "TZ", "HPOSVC_FAILPOINTS", "HPOSVC_FAILPOINTS_FIRED")
# One thread, and one arena of memory for it: more reserve address space that nobody uses. Libraries that start threads
# when they are imported must not be forked.
FRUGAL = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}

NICE = 10  # it yields the processor to those who respond to everybody
OUT_OF_MEMORY = (b"MemoryError", b"malloc", b"bad_alloc", b"Cannot allocate memory", b"failed to map segment")


@dataclass(frozen=True)
class Bounds:
    """What one call may take: ``seconds`` by the clock, and ``memory`` in bytes of address space."""

    seconds: int
    memory: int


class OutOfBoundsError(Exception):
    """The call took more than it may, or crashed its process."""


class TooSlowError(OutOfBoundsError):
    """It took more time."""


class TooLargeError(OutOfBoundsError):
    """It took more memory, or than the machine had."""


class CrashedError(Copyable, OutOfBoundsError):
    """The process ended without a result. Carries ``status``, negative for a signal."""

    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"it ended with status {status}")


def call(module: str, command: Any, bounds: Bounds, variables: Mapping[str, str] | None = None) -> Any:
    """What ``module.respond(command)`` returns; ``variables`` are for its environment.

    Both are passed on as JSON. The module may name others in ``NEEDS`` that are imported before anything is read.
    Raises OutOfBoundsError, in one of its three kinds.
    """
    environment = {name: os.environ[name] for name in KEPT if name in os.environ} | FRUGAL
    given = json.dumps([dict(variables or {}), command]).encode()
    try:
        done = forking.run(module, given, environment, seconds=bounds.seconds, memory=bounds.memory, nice=NICE)
    except TimeoutError:
        raise TooSlowError from None
    if done.status == 0:
        return json.loads(done.answer)
    if done.status == -signal.SIGKILL or any(words in done.said for words in OUT_OF_MEMORY):
        raise TooLargeError
    log.warning("a confined process crashed", module=module, status=done.status, said=_end_of(done.said))
    raise CrashedError(done.status)


def _end_of(said: bytes) -> str:
    return said[-2000:].decode(errors="replace").strip()
