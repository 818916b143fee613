"""Checkpoint files: complete or not there, and known by their checksum."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from hposvc.failpoints import failpoint


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
