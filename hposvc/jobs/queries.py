"""Reading: rows of the database as resources."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import sqlalchemy as sa

from hposvc.db import tables
from hposvc.db.engine import read
from hposvc.db.numbers import unpack
from hposvc.db.tables import DEFAULT_TENANT, jobs
from hposvc.jobs.resources import (
    ArtifactResource,
    Best,
    EventPage,
    EventResource,
    IterationColumns,
    JobError,
    JobLinks,
    JobPage,
    JobResource,
    Latest,
    Progress,
    WorkerResource,
)
from hposvc.jobs.spec import JobSpec
from hposvc.jobs.states import State

# What an iteration records besides its number.
METRICS = (
    "upper_loss",
    "hypergradient_norm",
    "lower_loss",
    "upper_score",
    "selection_loss",
    "fd_relative_error",
    "seconds",
)
MAX_PAGE = 1000


class JobNotFound(LookupError):
    """There is no such job (of this tenant). Carries ``job_id``."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"there is no job {job_id}")


class InvalidPageToken(ValueError):
    """The page token was not made by this service; ask for the first page again."""


def get(engine: sa.Engine, job_id: str, *, tenant: str = DEFAULT_TENANT) -> JobResource:
    """One job. Raises JobNotFound."""
    with read(engine) as connection:
        return get_in(connection, job_id, tenant=tenant)


def get_in(connection: sa.Connection, job_id: str, *, tenant: str = DEFAULT_TENANT) -> JobResource:
    """``get`` within a transaction of the caller."""
    row = connection.execute(jobs.select().where(jobs.c.id == job_id, jobs.c.tenant_id == tenant)).mappings().first()
    if row is None:
        raise JobNotFound(job_id)
    return job_resource(row)


def list_(
    engine: sa.Engine,
    *,
    tenant: str = DEFAULT_TENANT,
    state: State | None = None,
    kind: str | None = None,
    tag: str | None = None,
    text: str | None = None,
    limit: int = 50,
    page_token: str | None = None,
) -> JobPage:
    """A page of jobs, newest first, without their results, which may be long.

    ``text`` is looked for in names and ids. Raises InvalidPageToken.
    """
    limit = max(1, min(limit, MAX_PAGE))
    columns = [column for column in jobs.c if column is not jobs.c.result]
    query = sa.select(*columns, sa.null().label("result")).where(jobs.c.tenant_id == tenant)
    if state is not None:
        query = query.where(jobs.c.state == state)
    if kind is not None:
        query = query.where(jobs.c.kind == kind)
    if tag is not None:
        query = query.where(_has_tag(engine, tag))
    if text is not None:
        query = query.where(jobs.c.name.icontains(text, autoescape=True) | jobs.c.id.startswith(text, autoescape=True))
    if page_token is not None:
        created_at, job_id = decode_page(page_token)
        query = query.where(sa.tuple_(jobs.c.created_at, jobs.c.id) < sa.tuple_(created_at, job_id))
    query = query.order_by(jobs.c.created_at.desc(), jobs.c.id.desc()).limit(limit + 1)
    with read(engine) as connection:
        rows = connection.execute(query).mappings().all()
    more = len(rows) > limit
    rows = rows[:limit]
    return JobPage(
        items=[job_resource(row) for row in rows],
        next_page=encode_page(rows[-1]["created_at"], rows[-1]["id"]) if more else None,
    )


def iterations(
    engine: sa.Engine, job_id: str, *, tenant: str = DEFAULT_TENANT, after: int = -1, limit: int = 10_000
) -> IterationColumns:
    """The iterations of a job that come after number ``after``, at most ``limit`` of them. Raises JobNotFound."""
    table = tables.iterations
    mine = table.c.job_id == job_id
    with read(engine) as connection:
        assert_exists(connection, job_id, tenant)
        first, last = extent(connection, job_id)
        query = table.select().where(mine, table.c.iteration > after)
        rows = connection.execute(query.order_by(table.c.iteration).limit(limit)).mappings().all()
    values = [unpack(row, METRICS) for row in rows]
    numbers = [row["iteration"] for row in rows]
    return IterationColumns(
        iteration=numbers,
        **{name: [value[name] for value in values] for name in METRICS},
        total=last - first + 1,
        next_after=numbers[-1] if numbers else after,
    )


def extent(connection: sa.Connection, job_id: str) -> tuple[int, int]:
    """The first and the last iteration of a job; (0, -1) before there is one.

    None is missing between them, so they tell how many there are: counting would read a long run from end to end.
    """
    number = tables.iterations.c.iteration
    ends = (
        sa.select(number).where(tables.iterations.c.job_id == job_id).order_by(order).limit(1).scalar_subquery()
        for order in (number.asc(), number.desc())
    )
    first, last = connection.execute(sa.select(*ends)).one()
    return (0, -1) if first is None else (first, last)


def events(
    engine: sa.Engine, job_id: str, *, tenant: str = DEFAULT_TENANT, after: int = 0, limit: int = 1000
) -> EventPage:
    """The history of a job after event ``after``, at most ``limit`` events. Raises JobNotFound."""
    query = tables.events.select().where(tables.events.c.job_id == job_id, tables.events.c.seq > after)
    with read(engine) as connection:
        assert_exists(connection, job_id, tenant)
        rows = connection.execute(query.order_by(tables.events.c.seq).limit(limit)).mappings().all()
    items = [
        EventResource(seq=row["seq"], at=_time(row["at"]), attempt=row["attempt"], type=row["type"], data=row["data"])
        for row in rows
    ]
    return EventPage(items=items, next_after=items[-1].seq if items else after)


def artifacts(engine: sa.Engine, job_id: str, *, tenant: str = DEFAULT_TENANT) -> list[ArtifactResource]:
    """The files of a job, checkpoints included, by name. Raises JobNotFound."""
    with read(engine) as connection:
        assert_exists(connection, job_id, tenant)
        query = tables.artifacts.select().where(tables.artifacts.c.job_id == job_id).order_by(tables.artifacts.c.name)
        rows = connection.execute(query).mappings().all()
    return [ArtifactResource(**{**row, "created_at": _time(row["created_at"])}) for row in rows]


def workers(engine: sa.Engine) -> list[WorkerResource]:
    """The workers, in the order in which they started."""
    with read(engine) as connection:
        rows = connection.execute(tables.workers.select().order_by(tables.workers.c.started_at)).mappings().all()
    return [WorkerResource(**{**row, "heartbeat_at": _time(row["heartbeat_at"])}) for row in rows]


def job_resource(row: sa.RowMapping) -> JobResource:
    """A row of ``jobs`` as a resource."""
    path = f"/v1/jobs/{row['id']}"
    return JobResource(
        id=row["id"],
        kind=row["kind"],
        name=row["name"],
        tags=row["tags"],
        state=State(row["state"]),
        attempt=row["attempt"],
        version=row["version"],
        phase=row["phase"],
        worker=row["worker_id"],
        progress=Progress(iteration=row["iteration"], iterations=row["iterations"]),
        latest=Latest(**unpack(row, ("upper_loss", "hypergradient_norm"))),
        best=Best(upper_loss=row["best_upper_loss"], iteration=row["best_iteration"]),
        result=row["result"],
        error=JobError(**row["error"]) if row["error"] else None,
        created_at=_time(row["created_at"]),
        started_at=_time(row["started_at"]) if row["started_at"] else None,
        finished_at=_time(row["finished_at"]) if row["finished_at"] else None,
        spec=JobSpec.model_validate(row["spec"]),
        links=JobLinks(
            self=path, iterations=f"{path}/iterations", events=f"{path}/events", dashboard=f"/jobs/{row['id']}"
        ),
    )


def assert_exists(connection: sa.Connection, job_id: str, tenant: str) -> None:
    """Raise JobNotFound unless there is such a job of this tenant."""
    if connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.tenant_id == tenant)).first() is None:
        raise JobNotFound(job_id)


def _has_tag(engine: sa.Engine, tag: str) -> sa.ColumnElement[bool]:
    elements = sa.func.json_each if engine.dialect.name == "sqlite" else sa.func.jsonb_array_elements_text
    each = elements(jobs.c.tags).table_valued("value")
    return sa.exists(sa.select(each.c.value).where(each.c.value == tag))


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def encode_page(created_at: float, job_id: str) -> str:
    """The token of the page that begins after that row."""
    return base64.urlsafe_b64encode(json.dumps([created_at, job_id]).encode()).decode()


def decode_page(token: str) -> tuple[float, str]:
    """Where the page begins. Raises InvalidPageToken."""
    try:
        created_at, job_id = json.loads(base64.urlsafe_b64decode(token.encode()))
        return float(created_at), str(job_id)
    except (ValueError, TypeError) as error:
        raise InvalidPageToken("this page token was not made by this service; ask for the first page again") from error
