"""Whether the service lives, and whether it can take jobs."""

from __future__ import annotations

from functools import partial
from typing import Any, Literal

import sqlalchemy as sa
from fastapi import APIRouter

from api import examples
from api.dependencies import Held
from api.http.problem_details import HTTPProblem
from hposvc.db import migrate
from hposvc.db.engine import read
from hposvc.schema.resource import Resource

router = APIRouter(tags=["health"])


class Health(Resource):
    """A sign of life."""

    status: Literal["ok"] = "ok"
    """Always `ok`: otherwise the response is a problem document."""


OK: dict[int | str, dict[str, Any]] = {200: examples.answer({"status": "ok"}, "Yes.")}


@router.get("/healthz", summary="Is the process alive?", responses=OK)
async def healthz() -> Health:
    """Responds as long as the process serves requests; asks nothing of the database."""
    return Health()


@router.get("/readyz", summary="Can it take jobs?", responses=OK)
async def readyz(held: Held) -> Health:
    """The database responds and its tables are those of this version."""
    revision, wanted = await held.work.health.run("", partial(_revisions, held.engine))
    if revision != wanted:
        raise HTTPProblem("not-ready", f"The database is at revision {revision}, this version needs {wanted}.")
    return Health()


def _revisions(engine: sa.Engine) -> tuple[str | None, str]:
    """That of the database, and that of this version, which is read from files."""
    with read(engine) as connection:
        return migrate.current(connection), migrate.head()
