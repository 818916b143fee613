"""Checkpoint files: complete or not there, and known by their checksum."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from hposvc.failpoints import failpoint
from hposvc.files.durable import replacing

AUTO_SECONDS, AUTO_SHARE = 2.0, 0.02


def write(path: Path, data: bytes) -> str:
    """Write a file so that after a crash at any moment it is either absent or complete; returns its SHA-256."""
    with replacing(path, synced=lambda: failpoint("runner.checkpoint_synced")) as stream:
        stream.write(data)
        failpoint("runner.checkpoint_written")
    failpoint("runner.checkpoint_renamed")
    return hashlib.sha256(data).hexdigest()


def is_due(every: int | Literal["auto"], *, iterations: int, seconds: float, writing: float) -> bool:
    """Whether to write a checkpoint, ``iterations`` and ``seconds`` after the last, which took ``writing`` seconds.

    A worker that is lost costs what was computed since; under "auto" that is two seconds, or fifty times what writing
    takes, so that checkpoints cost two percent of the time at the most.
    """
    if every == "auto":
        return iterations > 0 and seconds >= max(AUTO_SECONDS, writing / AUTO_SHARE)
    return iterations >= every
