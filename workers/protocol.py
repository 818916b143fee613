"""Frames between supervisor and runner: four bytes of length, big-endian, then that much JSON in UTF-8.

The runner writes on a pipe of its own, so that whatever prints to standard output cannot disturb it, and reads
commands on standard input. Numbers may be ``NaN`` and ``Infinity``, as Python's json writes them.

Runner to supervisor::

    ready       versions, device
    phase       phase
    started     resumed_from: the iteration of the checkpoint, or null; problem_version: of an own problem, or null
    iterations  columns: {"iteration": […], "upper_loss": […], …}
    snapshot    iteration, summary, detail: λ in short, see hposvc.snapshots
    checkpoint  iteration, path, sha256
    note        level, message
    result      result, artifacts: [{name, path, size, sha256, kind}], stays: if ``ready`` follows
    error       reason, message, remedy, iteration
    paused      iteration, stays: if ``ready`` follows
    waiting     iteration: one of ``waits_at``, everything up to it was sent; goes on after ``go_on``
    heartbeat

Supervisor to runner, by ``command``::

    solve       job_id, attempt, spec, checkpoint_path (or null), uploads: [{id, name, description, path}], directory,
                waits_at: [iterations], traceparent (or null)
    go_on       do not wait any more
    pause       checkpoint after this iteration, and send ``paused``
    stop        send ``paused`` after this iteration
    finish      after this iteration, go on as if it had been the last one
"""

from __future__ import annotations

import json
import os
from typing import Any, BinaryIO

MAX_FRAME = 16 * 1024 * 1024
RUNNER_FD = "HPOSVC_RUNNER_FD"  # environment: the descriptor that the runner writes to
RUNNER_PARENT = "HPOSVC_RUNNER_PARENT"  # environment: the process that it must not outlive

Message = dict[str, Any]


class ProtocolError(Exception):
    """What arrived is not a frame."""


def encode(message: Message) -> bytes:
    """One frame. Raises ProtocolError when it would be larger than MAX_FRAME."""
    body = json.dumps(message, separators=(",", ":")).encode()
    if len(body) > MAX_FRAME:
        raise ProtocolError(f"a frame of {len(body):,} bytes is larger than {MAX_FRAME:,}")
    return len(body).to_bytes(4, "big") + body


def write(descriptor: int, message: Message) -> None:
    """Write one frame, all of it."""
    rest = memoryview(encode(message))
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def read(stream: BinaryIO) -> Message | None:
    """The next frame of a blocking stream; None at its end. Raises ProtocolError for anything that is not a frame."""
    header = stream.read(4)
    if not header:
        return None
    if len(header) < 4:
        raise ProtocolError("the stream ends within the length of a frame")
    length = int.from_bytes(header, "big")
    if length > MAX_FRAME:
        raise ProtocolError(f"a frame claims {length:,} bytes; at most {MAX_FRAME:,} are allowed")
    body = stream.read(length)
    if len(body) < length:
        raise ProtocolError("the stream ends within a frame")
    try:
        message = json.loads(body)
    except ValueError as error:
        raise ProtocolError("a frame is not JSON") from error
    if not isinstance(message, dict):
        raise ProtocolError("a frame is not a JSON object")
    return message
