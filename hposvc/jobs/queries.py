"""Reading: rows of the database as resources."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple, get_args

import sqlalchemy as sa

from hposvc.copyable import Copyable
from hposvc.db import tables
from hposvc.db.engine import read
from hposvc.db.numbers import unpack
from hposvc.db.tables import DEFAULT_TENANT, datasets, jobs
from hposvc.schema.iterations import IterationColumns
from hposvc.schema.job import (
    ArtifactResource,
    Best,
    EventPage,
    EventResource,
    Gain,
    JobError,
    JobLinks,
    JobPage,
    JobResource,
    Latest,
    Progress,
    Sparkline,
)
from hposvc.schema.paging import MAX_PAGE, InvalidPageToken, decode_page, encode_page, how_many_fit, require_order
from hposvc.schema.spec import JobSpec
from hposvc.schema.states import State
from hposvc.schema.workers import WorkerResource

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

# How a list may be ordered. Ties are broken by time and id, so that every order is one.
Order = Literal[
    "newest", "oldest", "priority", "best_upper_loss", "upper_loss", "name", "dataset", "state", "progress", "gain"
]
MOST_COUNTED = 10_000  # jobs: a list counts no further
SPEC_BYTES = sa.func.coalesce(jobs.c.spec_bytes, sa.func.length(sa.cast(jobs.c.spec, sa.Text)))
DATASET_ID = sa.func.coalesce(jobs.c.dataset_id, jobs.c.spec[("dataset", "id")].as_string())
DATASET_NAME = (
    sa.select(datasets.c.name)
    .where(datasets.c.id == DATASET_ID, datasets.c.tenant_id == jobs.c.tenant_id)
    .correlate(jobs)
    .scalar_subquery()
)
_NO_LOSS = 1.7976931348623157e308  # jobs without a best loss, or without a gain (its negative), come last


class Position(NamedTuple):
    """What changes whenever something about a job does."""

    version: int
    last_event: int


class JobNotFound(Copyable, LookupError):
    """There is no such job (of this tenant). Carries ``job_id``."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"there is no job {job_id}")


def get(engine: sa.Engine, job_id: str, *, tenant: str = DEFAULT_TENANT) -> JobResource:
    """One job. Raises JobNotFound."""
    with read(engine) as connection:
        return get_in(connection, job_id, tenant=tenant)


def get_in(connection: sa.Connection, job_id: str, *, tenant: str = DEFAULT_TENANT) -> JobResource:
    """``get`` within a transaction of the caller."""
    query = sa.select(jobs, DATASET_NAME.label("dataset_name")).where(jobs.c.id == job_id, jobs.c.tenant_id == tenant)
    row = connection.execute(query).mappings().first()
    if row is None:
        raise JobNotFound(job_id)
    return job_resource(row)


def position(engine: sa.Engine, job_id: str, *, tenant: str = DEFAULT_TENANT) -> tuple[Position, State]:
    """Where the job is now, to notice when it no longer is, and its state. Raises JobNotFound."""
    query = sa.select(jobs.c.version, jobs.c.last_event, jobs.c.state)
    with read(engine) as connection:
        row = connection.execute(query.where(jobs.c.id == job_id, jobs.c.tenant_id == tenant)).first()
    if row is None:
        raise JobNotFound(job_id)
    return Position(row.version, row.last_event), State(row.state)


def list_(
    engine: sa.Engine,
    *,
    tenant: str = DEFAULT_TENANT,
    state: State | Collection[State] | None = None,
    kind: str | None = None,
    tag: str | None = None,
    text: str | None = None,
    experiment: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    order: Order = "newest",
    limit: int = 50,
    page_token: str | None = None,
) -> JobPage:
    """A page of jobs without their results, which may be long.

    ``text`` is looked for in names, tags, data sets and ids; of several states any will do; ``created_after`` includes
    that moment, ``created_before`` does not. Raises InvalidPageToken.
    """
    limit = max(1, min(limit, MAX_PAGE))
    filters = [jobs.c.tenant_id == tenant]
    if state is not None:
        filters.append(jobs.c.state.in_([state] if isinstance(state, State) else list(state)))
    if kind is not None:
        filters.append(jobs.c.kind == kind)
    if tag is not None:
        filters.append(_has_tag(engine, tag))
    if text is not None:
        filters.append(_mentions(engine, text, tenant))
    if experiment is not None:
        filters.append(jobs.c.experiment_id == experiment)
    if created_after is not None:
        filters.append(jobs.c.created_at >= created_after.timestamp())
    if created_before is not None:
        filters.append(jobs.c.created_at < created_before.timestamp())
    counted = sa.select(jobs.c.id).where(*filters).limit(MOST_COUNTED).subquery()
    keys, descending = _ordering(order)
    page = sa.select(*(key.label(f"key_{index}") for index, key in enumerate(keys)), SPEC_BYTES.label("size"))
    page = page.where(*filters)
    if page_token is not None:
        here, there = sa.tuple_(*keys), sa.tuple_(*_keys_of_page(page_token, order))
        page = page.where(here < there if descending else here > there)
    page = page.order_by(*(key.desc() if descending else key.asc() for key in keys)).limit(limit + 1)
    columns = [column for column in jobs.c if column.name not in ("result", "notes")]
    with read(engine) as connection:
        found = connection.execute(page).all()
        whole_list = page_token is None and len(found) <= limit  # to count would be to look through all jobs again
        count = sa.select(sa.func.count()).select_from(counted)
        total = len(found) if whole_list else connection.execute(count).scalar_one()
        fitting = found[: min(limit, how_many_fit(row.size for row in found))]
        ids = [row[len(keys) - 1] for row in fitting]
        whole = sa.select(*columns, DATASET_NAME.label("dataset_name"), sa.null().label("result"))
        rows = {row["id"]: row for row in connection.execute(whole.where(jobs.c.id.in_(ids))).mappings()}
    return JobPage(
        total=total,
        items=[job_resource(rows[job_id]) for job_id in ids],
        next_page=encode_page(order, *fitting[-1][: len(keys)]) if len(found) > len(fitting) else None,
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


def workers(engine: sa.Engine, *, tenant: str = DEFAULT_TENANT) -> list[WorkerResource]:
    """The workers, in the order in which they started; which job one is at is told of the tenant's own jobs."""
    table = tables.workers
    mine = sa.select(jobs.c.id).where(jobs.c.id == table.c.job_id, jobs.c.tenant_id == tenant).scalar_subquery()
    columns = [column for column in table.c if column is not table.c.job_id]
    query = sa.select(*columns, mine.label("job_id")).order_by(table.c.started_at)
    with read(engine) as connection:
        rows = connection.execute(query).mappings().all()
    return [WorkerResource(**{**row, "heartbeat_at": _time(row["heartbeat_at"])}) for row in rows]


def job_resource(row: sa.RowMapping) -> JobResource:
    """A row of ``jobs`` as a resource, with the name of its data set."""
    path = f"/v1/jobs/{row['id']}"
    return JobResource(
        id=row["id"],
        kind=row["kind"],
        name=row["name"],
        tags=row["tags"],
        dataset_name=row["dataset_name"],
        state=State(row["state"]),
        attempt=row["attempt"],
        version=row["version"],
        finish_early=row["finish_early"],
        experiment=row["experiment_id"],
        phase=row["phase"],
        worker=row["worker_id"],
        progress=Progress(iteration=row["iteration"], iterations=row["iterations"]),
        latest=Latest(**unpack(row, ("upper_loss", "hypergradient_norm"))),
        best=Best(upper_loss=row["best_upper_loss"], iteration=row["best_iteration"]),
        sparkline=_sparkline(row["sparkline"]),
        gain=None if row["gain"] is None else Gain(value=row["gain"], of=row["gain_in"]),
        result=row["result"],
        error=JobError(**row["error"]) if row["error"] else None,
        created_at=_time(row["created_at"]),
        started_at=_time(row["started_at"]) if row["started_at"] else None,
        finished_at=_time(row["finished_at"]) if row["finished_at"] else None,
        spec=JobSpec.model_validate(row["spec"]),
        problem_version=row["problem_version"],
        links=JobLinks(
            self=path, iterations=f"{path}/iterations", events=f"{path}/events", dashboard=f"/jobs/{row['id']}"
        ),
    )


def assert_exists(connection: sa.Connection, job_id: str, tenant: str) -> None:
    """Raise JobNotFound unless there is such a job of this tenant."""
    if connection.execute(sa.select(jobs.c.id).where(jobs.c.id == job_id, jobs.c.tenant_id == tenant)).first() is None:
        raise JobNotFound(job_id)


def _has_tag(engine: sa.Engine, tag: str) -> sa.ColumnElement[bool]:
    each = _tags(engine)
    return sa.exists(sa.select(each.c.value).where(each.c.value == tag))


def _tags(engine: sa.Engine) -> sa.TableValuedAlias:
    elements = sa.func.json_each if engine.dialect.name == "sqlite" else sa.func.jsonb_array_elements_text
    return elements(jobs.c.tags).table_valued("value")


def _mentions(engine: sa.Engine, text: str, tenant: str) -> sa.ColumnElement[bool]:
    """Whether the name, a tag or the name of the data set has ``text`` in it, or an id begins with it.

    The id of a data set that comes along, such as ``sklearn:iris``, has two beginnings.
    """
    each, dataset = _tags(engine), DATASET_ID
    named = sa.select(datasets.c.id).where(
        datasets.c.tenant_id == tenant, datasets.c.name.icontains(text, autoescape=True)
    )
    return sa.or_(
        jobs.c.id.startswith(text, autoescape=True),
        jobs.c.name.icontains(text, autoescape=True),
        sa.exists(sa.select(each.c.value).where(each.c.value.icontains(text, autoescape=True))),
        dataset.istartswith(text, autoescape=True),
        dataset.icontains(f":{text}", autoescape=True),
        dataset.in_(named),
    )


def _sparkline(points: list[list[Any]] | None) -> Sparkline:
    return Sparkline(iteration=[at for at, _ in points or []], upper_loss=[loss for _, loss in points or []])


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


TEXTS: dict[str, sa.ColumnElement[str]] = {
    "name": sa.func.lower(sa.func.coalesce(jobs.c.name, jobs.c.kind)),
    "dataset": sa.func.lower(sa.func.coalesce(DATASET_NAME, DATASET_ID)),
    "state": sa.cast(jobs.c.state, sa.String),
}
"""What lists are ordered by that is text: from a to z."""
LOWEST = {"best_upper_loss": jobs.c.best_upper_loss, "upper_loss": jobs.c.upper_loss}


def _ordering(order: Order) -> tuple[list[sa.ColumnElement[Any]], bool]:
    """The columns that order a list, the last of them the id, and whether it descends."""
    if order in ("newest", "oldest"):
        return [jobs.c.created_at, jobs.c.id], order == "newest"
    if order in LOWEST:
        return [sa.func.coalesce(LOWEST[order], _NO_LOSS), jobs.c.created_at, jobs.c.id], False
    if order in TEXTS:
        return [TEXTS[order], jobs.c.created_at, jobs.c.id], False
    if order == "gain":
        return [sa.func.coalesce(jobs.c.gain, -_NO_LOSS), jobs.c.created_at, jobs.c.id], True
    first = {"priority": jobs.c.priority, "progress": sa.cast(jobs.c.iteration, sa.Double) / jobs.c.iterations}[order]
    return [first, jobs.c.created_at, jobs.c.id], True


def _keys_of_page(token: str, order: Order) -> tuple[Any, ...]:
    """The keys of the last job of the page before. Raises InvalidPageToken."""
    parts = decode_page(token)
    made_for, keys = (parts[0], parts[1:]) if parts else (None, [])
    require_order(made_for, order, get_args(Order))
    texts = keys[:1] if order in TEXTS else []
    numbers = keys[len(texts) : -1]
    if len(keys) != len(_ordering(order)[0]) or not _are_finite(numbers) or not _are_texts(texts):
        raise InvalidPageToken
    return (*keys[:-1], str(keys[-1]))


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) and "\x00" not in value for value in values)


def _are_finite(numbers: list[Any]) -> bool:
    return all(type(number) in (int, float) and abs(number) <= _NO_LOSS for number in numbers)
