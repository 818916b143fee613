"""Tenants and their quotas. A quota that a tenant has not of its own is that of the settings."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from hposvc.copyable import Copyable
from hposvc.db.engine import read, write
from hposvc.db.tables import DELETED, artifacts, datasets, experiments, jobs, tenants
from hposvc.schema.access import TENANT_PATTERN, TenantResource, Usage
from hposvc.schema.states import HELD, State
from hposvc.settings import Settings

NAMES = ("queued_jobs", "running_jobs", "stored_bytes", "requests_per_second")


@dataclass(frozen=True)
class Quotas:
    """The most that a tenant may have of each, None for no limit."""

    queued_jobs: int | None = None
    running_jobs: int | None = None
    stored_bytes: int | None = None
    requests_per_second: float | None = None


def defaults(settings: Settings) -> Quotas:
    """What the settings give to tenants without quotas of their own."""
    return Quotas(**{name: getattr(settings, f"quota_{name}") for name in NAMES})


class TenantNotFound(Copyable, LookupError):
    """There is no such tenant."""

    def __init__(self, tenant: str) -> None:
        super().__init__(f"there is no tenant {tenant!r}; `hposvc tenants create` makes one")


class TenantExists(ValueError):
    """The id is taken, or no id at all."""


class QuotaExceeded(Copyable, Exception):
    """The tenant has as much as it may. Carries ``quota``, ``used``, ``limit``, ``retry_after`` (seconds)."""

    def __init__(self, quota: str, used: int, limit: int, retry_after: int) -> None:
        self.quota = quota
        self.used = used
        self.limit = limit
        self.retry_after = retry_after
        super().__init__(f"the quota {quota} is used up: {used:,} of {limit:,}")


class Tenants:
    """What changes tenants."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def create(self, tenant: str, *, name: str = "") -> None:
        """Make a tenant. Raises TenantExists."""
        if not re.fullmatch(TENANT_PATTERN, tenant):
            raise TenantExists(f"{tenant!r} cannot be a tenant's id: use a-z, 0-9, - and _, at most 63 of them")
        try:
            with write(self._engine) as connection:
                connection.execute(tenants.insert().values(id=tenant, name=name or tenant))
        except sa.exc.IntegrityError:
            raise TenantExists(f"the tenant {tenant!r} exists already") from None

    def set_quotas(self, tenant: str, values: dict[str, float | None]) -> None:
        """Give a tenant quotas of its own; None goes back to the setting. Raises TenantNotFound."""
        with write(self._engine) as connection:
            changed = connection.execute(
                tenants.update().where(tenants.c.id == tenant, tenants.c.id != DELETED).values(values)
            )
            if not changed.rowcount:
                raise TenantNotFound(tenant)


def list_(engine: sa.Engine, defaults: Quotas) -> list[TenantResource]:
    """All tenants, by id."""
    with read(engine) as connection:
        ids = connection.execute(
            sa.select(tenants.c.id).where(tenants.c.id != DELETED).order_by(tenants.c.id)
        ).scalars()
        return [describe_in(connection, tenant, defaults) for tenant in ids.all()]


def describe(engine: sa.Engine, tenant: str, defaults: Quotas) -> TenantResource:
    """A tenant with what it uses. Raises TenantNotFound."""
    with read(engine) as connection:
        return describe_in(connection, tenant, defaults)


def describe_in(connection: sa.Connection, tenant: str, defaults: Quotas) -> TenantResource:
    """``describe`` within a transaction of the caller."""
    row = connection.execute(tenants.select().where(tenants.c.id == tenant)).first()
    if row is None:
        raise TenantNotFound(tenant)
    quotas = _of(row, defaults)
    return TenantResource(
        id=row.id,
        name=row.name,
        created_at=datetime.fromtimestamp(row.created_at, UTC),
        queued_jobs=Usage(used=_jobs(connection, tenant, (State.QUEUED,)), limit=quotas.queued_jobs),
        running_jobs=Usage(used=_jobs(connection, tenant, HELD), limit=quotas.running_jobs),
        stored_bytes=Usage(used=stored_bytes(connection, tenant), limit=quotas.stored_bytes),
        requests_per_second=quotas.requests_per_second,
    )


def assert_may_queue(connection: sa.Connection, tenant: str, defaults: Quotas, *, size: int = 1) -> None:
    """Raise QuotaExceeded if another queued job, or the ``size`` bytes that it stores at once, are too much.

    Until the transaction ends, others who ask for the same tenant wait: two at once cannot both take the last place.
    """
    quotas = _locked(connection, tenant, defaults)
    if quotas.queued_jobs is not None:
        used = _jobs(connection, tenant, (State.QUEUED,))
        if used >= quotas.queued_jobs:
            raise QuotaExceeded("queued_jobs", used, quotas.queued_jobs, retry_after=30)
    assert_room(connection, tenant, size, defaults)


def assert_room(connection: sa.Connection, tenant: str, size: int, defaults: Quotas) -> None:
    """Raise QuotaExceeded if ``size`` more bytes are too much."""
    quotas = _locked(connection, tenant, defaults)
    if quotas.stored_bytes is not None:
        used = stored_bytes(connection, tenant)
        if used + size > quotas.stored_bytes:
            raise QuotaExceeded("stored_bytes", used, quotas.stored_bytes, retry_after=300)


def may_run(connection: sa.Connection, tenant: str, default: int | None) -> bool:
    """Whether another job of the tenant may start now."""
    left = places_left(connection, tenant, default)
    return left is None or left > 0


def places_left(connection: sa.Connection, tenant: str, default: int | None) -> int | None:
    """How many more jobs of the tenant may start now; None for any number."""
    limit = _locked(connection, tenant, Quotas(running_jobs=default)).running_jobs
    return None if limit is None else limit - _jobs(connection, tenant, HELD)


def at_their_limit(default: int | None) -> sa.Select[Any]:
    """The ids of the tenants whose jobs must wait for one of their own to end."""
    running = (
        sa.select(sa.func.count()).where(jobs.c.tenant_id == tenants.c.id, jobs.c.state.in_(HELD)).scalar_subquery()
    )
    limit = sa.func.coalesce(tenants.c.running_jobs, sa.cast(default, sa.BigInteger))
    return sa.select(tenants.c.id).where(limit <= running)


def stored_bytes(connection: sa.Connection, tenant: str) -> int:
    """What a tenant's specs, of jobs and of experiments, its data sets with their descriptions, and the files of its
    jobs take, in bytes.
    """
    mine = jobs.c.tenant_id == tenant
    of_files = _sum(artifacts.c.size).where(artifacts.c.job_id.in_(sa.select(jobs.c.id).where(mine)))
    of_specs = _sum(jobs.c.spec_bytes).where(mine)
    size = datasets.c.size + sa.func.coalesce(datasets.c.description_bytes, 0)
    of_datasets = _sum(size).where(datasets.c.tenant_id == tenant)
    of_experiments = _sum(experiments.c.spec_bytes).where(experiments.c.tenant_id == tenant)
    queries = (of_files, of_specs, of_datasets, of_experiments)
    return sum(int(connection.execute(query).scalar_one()) for query in queries)


def _sum(size: sa.ColumnElement[int]) -> sa.Select[Any]:
    return sa.select(sa.func.coalesce(sa.func.sum(size), 0))


def _jobs(connection: sa.Connection, tenant: str, states: tuple[State, ...]) -> int:
    query = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.tenant_id == tenant, jobs.c.state.in_(states))
    return int(connection.execute(query).scalar_one())


def _locked(connection: sa.Connection, tenant: str, defaults: Quotas) -> Quotas:
    query = tenants.select().where(tenants.c.id == tenant).with_for_update(key_share=True)
    return _of(connection.execute(query).one(), defaults)


def _of(row: sa.Row[Any], defaults: Quotas) -> Quotas:
    own = {name: getattr(row, name) for name in NAMES}
    return Quotas(**{name: getattr(defaults, name) if value is None else value for name, value in own.items()})
