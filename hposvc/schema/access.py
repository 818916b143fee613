"""Keys, tenants and quotas, as the service returns them and as people ask for them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from hposvc.schema.resource import Resource

Scope = Literal["read", "submit", "admin"]


SCOPES: tuple[Scope, ...] = ("read", "submit", "admin")


TENANT_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"


class KeyResource(Resource):
    """A key without the key itself. ``last_used_at`` is exact to a minute."""

    id: str
    tenant: str
    name: str
    scope: Scope
    created_at: datetime
    last_used_at: datetime | None
    revoked_at: datetime | None


class NewKey(KeyResource):
    """A key that was just made: ``key`` is shown this once and kept nowhere."""

    key: str


class KeyRequest(Resource):
    """Which key to make. ``read`` looks, ``submit`` also makes and steers jobs, ``admin`` also keys and webhooks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    scope: Scope = "submit"


class Usage(Resource):
    """How much of one quota is used; a null ``limit`` means none."""

    used: int
    limit: int | None


class TenantResource(Resource):
    """A tenant: whose key this is, and how much of its quotas is used."""

    id: str
    name: str
    created_at: datetime
    queued_jobs: Usage
    running_jobs: Usage
    stored_bytes: Usage
    requests_per_second: float | None
