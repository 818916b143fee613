"""What the service answers about keys, quotas and webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Scope = Literal["read", "submit", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "submit", "admin")
TENANT_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"


class _Resource(BaseModel):
    model_config = ConfigDict(frozen=True)


class KeyResource(_Resource):
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


class KeyRequest(_Resource):
    """Which key to make. ``read`` looks, ``submit`` also makes and steers jobs, ``admin`` also keys and webhooks."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=200)]
    scope: Scope = "submit"


class Usage(_Resource):
    """How much of one quota is used; a null ``limit`` means none."""

    used: int
    limit: int | None


class TenantResource(_Resource):
    """A tenant: whose key this is, and how much of its quotas is used."""

    id: str
    name: str
    created_at: datetime
    queued_jobs: Usage
    running_jobs: Usage
    stored_bytes: Usage
    requests_per_second: float | None


class WebhookResource(_Resource):
    """Where the end of a tenant's jobs is told, without the secret that signs it."""

    id: str
    url: str
    created_at: datetime


class NewWebhook(WebhookResource):
    """A webhook that was just made: ``secret`` is shown this once."""

    secret: str


class WebhookRequest(_Resource):
    """Where to tell the end of every job. Without ``secret`` (``whsec_`` and base64 of 24 to 64 bytes) one is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^https?://[^\s\x00-\x1f\x7f]+$")]
    secret: Annotated[str, Field(max_length=200, pattern=r"^whsec_[A-Za-z0-9+/]{32,}={0,2}$")] | None = None


class DeliveryResource(_Resource):
    """One message to a webhook: ``state`` is pending, delivered, or failed when it was given up."""

    id: str
    type: str
    job_id: str
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    status: int | None
    error: str | None
    created_at: datetime
    next_attempt_at: datetime | None
    delivered_at: datetime | None
