"""Checkpoint files: complete or not there, and known by their checksum."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Literal

from hposvc.failpoints import failpoint

AUTO_SECONDS, AUTO_SHARE = 2.0, 0.02


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write(path: Path, data: bytes) -> str:
    """Write a file so that after a crash at any moment it is either absent or complete; answers its SHA-256."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as stream:
            stream.write(data)
            failpoint("runner.checkpoint_written")
            stream.flush()
            os.fsync(stream.fileno())
        failpoint("runner.checkpoint_synced")
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)
    failpoint("runner.checkpoint_renamed")
    return hashlib.sha256(data).hexdigest()


def sync_directory(directory: Path) -> None:
    """Make renames in ``directory`` survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_due(every: int | Literal["auto"], *, iterations: int, seconds: float, writing: float) -> bool:
    """Whether to write a checkpoint, ``iterations`` and ``seconds`` after the last, which took ``writing`` seconds.

    A worker that is lost costs what was computed since; under "auto" that is two seconds, or fifty times what writing
    takes, so that checkpoints cost two percent of the time at the most.
    """
    if every == "auto":
        return iterations > 0 and seconds >= max(AUTO_SECONDS, writing / AUTO_SHARE)
    return iterations >= every
