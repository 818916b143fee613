"""Prepare this machine for its first job: compile Jittor and the kernels of the usual jobs, once, with progress.

Jittor comes as source. Its first import compiles about 150 files, which takes minutes; the kernels of a first job take
another minute or two. :func:`warm_up` does both in a child process, so that nothing here imports Jittor, and leaves a
file that :func:`is_warm` looks for. It lies in Jittor's cache, and is deleted with it.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import IO, cast

import hposvc
from hposvc.faults import Fault
from hposvc.machine.jittor_cache import jittor_cache

_PROGRESS = re.compile(r"Compiling (\w+)\((\d+)/(\d+)\)")

# The part of the whole that Jittor's own files take; the kernels are the rest.
_CORE_SHARE = 70


@dataclass(frozen=True)
class WarmupProgress:
    """How far the preparation is: ``done`` of ``total``, never going back, and what is being compiled."""

    done: int
    total: int
    message: str


def is_warm(device: str = "cpu") -> bool:
    """Whether :func:`warm_up` has succeeded here, with this Jittor, this Python and this version of hposvc. Cheap."""
    return _mark(device).exists()


def warm_up(on_progress: Callable[[WarmupProgress], None], device: str = "cpu") -> None:
    """Compile what a first job on ``device`` needs. Takes minutes on a fresh machine and seconds once it was done.

    Raises:
        Fault: the child process failed; the message carries the end of what it said.
    """
    command = [sys.executable, "-P", "-m", "hposvc.bilevel.kernels", device]
    environment = os.environ | {
        "PYTHONUNBUFFERED": "1",
        "log_silent": "0",
    }  # Jittor says how far it is, unless silenced
    on_progress(WarmupProgress(0, 100, "Starting Jittor"))
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment
    ) as child:
        tail: deque[str] = deque(maxlen=20)
        furthest = 0
        try:
            for line in _lines(cast(IO[bytes], child.stdout)):
                tail.append(line)
                progress = _parse(line)
                if progress is not None and progress.done >= furthest:
                    furthest = progress.done
                    on_progress(progress)
        except BaseException:
            child.terminate()
            raise
    if child.returncode != 0:
        said = "\n".join(tail)
        raise Fault(
            f"Preparing Jittor failed (exit status {child.returncode}):\n{said}",
            "Run `hposvc doctor` to see what this machine lacks.",
        )
    mark = _mark(device)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    on_progress(WarmupProgress(100, 100, "Ready"))


def _lines(stream: IO[bytes]) -> Iterator[str]:
    """Lines ended by \\n or by \\r, the latter being how Jittor redraws its progress, as they come."""
    pending = b""
    while chunk := os.read(stream.fileno(), 65536):
        *whole, pending = re.split(rb"[\r\n]+", pending + chunk)
        yield from (line.decode(errors="replace") for line in whole if line)
    if pending:
        yield pending.decode(errors="replace")


def _parse(line: str) -> WarmupProgress | None:
    """The progress that a line of the child reports, if any."""
    found = _PROGRESS.search(line)
    if found is None:
        return None
    name, done, total = found[1], int(found[2]), max(int(found[3]), 1)
    if name == "kernels":
        message = f"Compiling the kernels of the usual jobs: {done} of {total}"
        return WarmupProgress(_CORE_SHARE + (99 - _CORE_SHARE) * done // total, 100, message)
    if name == "jittor_core":
        return WarmupProgress(_CORE_SHARE * done // total, 100, f"Compiling Jittor: {done} of {total} files")
    return WarmupProgress(_CORE_SHARE, 100, f"Compiling {name}: {done} of {total} files")


def _mark(device: str) -> Path:
    identity = (
        hposvc.__version__,
        metadata.version("jittor"),
        sys.version,
        sys.prefix,
        platform.platform(),
        platform.node(),
        platform.processor(),
        *(() if device == "cpu" else (device,)),
    )
    digest = hashlib.sha256("\n".join(identity).encode()).hexdigest()[:16]
    return jittor_cache() / "hposvc" / f"warm-{digest}"
