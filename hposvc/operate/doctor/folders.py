"""Folders: whether they can be written, and on which file system they are."""

from __future__ import annotations

import tempfile
from pathlib import Path

MOUNTS = Path("/proc/mounts")


def is_writable(folder: Path) -> bool:
    """Whether files can be made in ``folder``, or in what exists above it."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            return True
    except OSError:
        return False


def file_system(folder: Path) -> str:
    """The type of the file system that ``folder`` is on, as the kernel names it."""
    existing = next(path for path in (folder, *folder.parents) if path.exists()).resolve()
    best = ("", "")
    for line in MOUNTS.read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if existing.is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]
