"""A file of a job in the artifact store, as a worker records it."""

from __future__ import annotations

from dataclasses import dataclass

CHECKPOINT = "checkpoint"  # the kind of artifact that an attempt resumes from
DISCARDED = "discarded"  # a checkpoint that no attempt resumes from, because the job begins again from the start


@dataclass(frozen=True)
class StoredFile:
    """A file in the artifact store: ``size`` in bytes, ``sha256`` in hexadecimal."""

    name: str
    kind: str
    size: int
    sha256: str
    url: str
    iteration: int | None = None
