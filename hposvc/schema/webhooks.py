"""Webhooks and their deliveries, as the service returns them and as people ask for them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from hposvc.schema.resource import Resource


class WebhookResource(Resource):
    """Where the end of a tenant's jobs is told, without the secret that signs it."""

    id: str
    url: str
    created_at: datetime


class NewWebhook(WebhookResource):
    """A webhook that was just made: ``secret`` is shown this once."""

    secret: str


class WebhookRequest(Resource):
    """Where to tell the end of every job. Without ``secret`` (``whsec_`` and base64 of 24 to 64 bytes) one is made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^https?://[^\s\x00-\x1f\x7f]+$")]
    secret: Annotated[str, Field(max_length=200, pattern=r"^whsec_[A-Za-z0-9+/]{32,}={0,2}$")] | None = None


class DeliveryResource(Resource):
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
