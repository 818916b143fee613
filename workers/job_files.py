"""The files of one attempt, between the store and the directory that the supervisor shares with its runner."""

from __future__ import annotations

import logging
from pathlib import Path

from hposvc.files.durable import sha256_of
from hposvc.storage.store import Store
from workers.frames import Misbehaved

log = logging.getLogger(__name__)


class JobFiles:
    """Keys hold the number of the attempt, so that an attempt that is over cannot touch the files of a later one."""

    def __init__(self, store: Store, directory: Path, job_id: str, attempt: int) -> None:
        self._store = store
        self.directory = directory
        self._prefix = f"jobs/{job_id}/{attempt}"

    def fetch(self, url: str, sha256: str, name: str) -> Path | None:
        """The file at ``url`` as a local one; None if it is damaged. Raises OSError: it is not in the store, or the
        store does not respond.
        """
        path = self.directory / name
        self._store.get(url, path)
        return path if sha256_of(path) == sha256 else None

    def put(self, path: Path) -> str:
        """Store a file of the runner; returns its URL. Raises OSError, and Misbehaved for a file of another place."""
        if path.parent != self.directory:
            raise Misbehaved(f"a file outside of its directory: {path}")
        return self._store.put(path, f"{self._prefix}/{path.name}")

    def remove(self, url: str) -> None:
        """Remove a file from the store. One that cannot be removed is left, with a warning in the log."""
        try:
            self._store.remove(url)
        except OSError as error:
            log.warning("%s could not be removed: %s", url, error)
