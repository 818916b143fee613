"""What people write down about a job."""

from __future__ import annotations

import hashlib

import sqlalchemy as sa

from hposvc.copyable import Copyable
from hposvc.db.engine import read, write
from hposvc.db.tables import DEFAULT_TENANT, jobs
from hposvc.jobs.queries import JobNotFound


class NotesConflict(Copyable, Exception):
    """The notes are no longer as the caller last saw them. Carries ``tag``, the present one."""

    def __init__(self, job_id: str, tag: str) -> None:
        self.tag = tag
        super().__init__(f"the notes of job {job_id} were changed in between")


def tag_of(text: str) -> str:
    """What tells these notes from others: the first 16 digits of their SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def get(engine: sa.Engine, job_id: str, *, tenant: str = DEFAULT_TENANT) -> str:
    """The notes about a job, in Markdown; empty if there are none. Raises JobNotFound."""
    query = sa.select(jobs.c.notes).where(jobs.c.id == job_id, jobs.c.tenant_id == tenant)
    with read(engine) as connection:
        text = connection.execute(query).scalar()
    if text is None:
        raise JobNotFound(job_id)
    return str(text)


def put(engine: sa.Engine, job_id: str, text: str, *, tenant: str = DEFAULT_TENANT, tag: str | None = None) -> None:
    """Replace the notes about a job.

    Raises JobNotFound, and NotesConflict unless the notes that are there have this ``tag``, if it is given.
    """
    mine = (jobs.c.id == job_id, jobs.c.tenant_id == tenant)
    with write(engine) as connection:
        before = connection.execute(sa.select(jobs.c.notes).where(*mine).with_for_update()).scalar()
        if before is None:
            raise JobNotFound(job_id)
        if tag is not None and tag != tag_of(before):
            raise NotesConflict(job_id, tag_of(before))
        connection.execute(jobs.update().where(*mine).values(notes=text))
