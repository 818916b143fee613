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
    """A key, without what opens the service."""

    id: str
    """`key_` and 16 hexadecimal digits. It names the key, and does not open the service."""
    tenant: str
    """Id of the tenant whose jobs, data sets and webhooks the key opens."""
    name: str
    """What the key is for, in words of whoever made it."""
    scope: Scope
    """`read`: look. `submit`: also submit, steer and delete jobs, and upload data sets. `admin`: also manage keys,
    webhooks and workers.
    """
    created_at: datetime
    """When the key was made."""
    last_used_at: datetime | None
    """When the key was last used, exact to a minute. null: never."""
    revoked_at: datetime | None
    """When the key was revoked. null: it is valid."""


class NewKey(KeyResource):
    """A key that was just made, with what opens the service."""

    key: str
    """The key itself, for the header `Authorization: Bearer KEY`. It is shown this once and kept nowhere."""


class KeyRequest(Resource):
    """Which key to make."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """What the key is for, to recognize it later."""
    scope: Scope = "submit"
    """`read`: look. `submit`: also submit, steer and delete jobs, and upload data sets. `admin`: also manage keys,
    webhooks and workers.
    """


class Usage(Resource):
    """How much of one quota is used."""

    used: int
    """How much is used now."""
    limit: int | None
    """The most that may be used. null: no limit."""


class TenantResource(Resource):
    """A tenant: whose key this is, and how much of its quotas is used."""

    id: str
    """The id of the tenant, 1 to 63 of a-z, 0-9, - and _."""
    name: str
    """A name for people."""
    created_at: datetime
    """When the tenant was made."""
    queued_jobs: Usage
    """Jobs that wait for a worker. A submission beyond the limit is refused."""
    running_jobs: Usage
    """Jobs that a worker holds. Beyond the limit, jobs wait."""
    stored_bytes: Usage
    """Bytes of uploaded data sets and of the files of jobs. Uploads and submissions beyond the limit are refused."""
    requests_per_second: float | None
    """Requests per second to one API process; ten times as many may come at once. null: no limit."""
