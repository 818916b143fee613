"""The calls about notes, as methods."""

from __future__ import annotations

from urllib.parse import quote

from hposvc.client.connection import Connection
from hposvc.schema.notes import Notes


class NoteCalls:
    """What people write about jobs: ``client.notes``."""

    def __init__(self, http: Connection) -> None:
        self._http = http

    def read(self, job_id: str) -> str:
        """The notes about a job, in Markdown; empty if there are none."""
        return Notes.model_validate(self._http.call("GET", _path(job_id))).text

    def write(self, job_id: str, text: str) -> None:
        """Replace the notes about a job by ``text`` in Markdown, at most 20,000 characters."""
        self._http.call("PUT", _path(job_id), json={"text": text})


def _path(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}/notes"
