"""Webhooks and their deliveries, as the service returns them and as people ask for them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from hposvc.schema.resource import Resource


class WebhookResource(Resource):
    """An address that gets a message when a job of the tenant ends, without the secret that signs it."""

    id: str
    """`hook_` and 16 hexadecimal digits."""
    url: str
    """Where messages are sent by POST."""
    created_at: datetime
    """When it was added."""


class NewWebhook(WebhookResource):
    """A webhook that was just made."""

    secret: str
    """The key of the signature in each message, as standardwebhooks.com has it. It is shown this once."""


class WebhookRequest(Resource):
    """Where to send a message when a job ends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: Annotated[str, Field(min_length=1, max_length=2000, pattern=r"^https?://[^\s\x00-\x1f\x7f]+$")]
    """Where to send messages by POST. https, and an address that is public, unless the service allows others
    (`HPOSVC_WEBHOOKS_PRIVATE`).
    """
    secret: Annotated[str, Field(max_length=200, pattern=r"^whsec_[A-Za-z0-9+/]{32,}={0,2}$")] | None = None
    """The key to sign messages with: `whsec_` and base64 of 24 to 64 bytes. null: one is made."""


class DeliveryResource(Resource):
    """One message to a webhook."""

    id: str
    """`msg_` and 24 hexadecimal digits: the header `webhook-id`, the same each time that the message is sent."""
    type: str
    """What happened: `job.succeeded`, `job.failed` or `job.cancelled`; the same of an experiment, such as
    `experiment.succeeded`.
    """
    job_id: str | None
    """The job that ended. null: it was an experiment."""
    experiment_id: str | None = None
    """The experiment that ended. null: it was a job."""
    state: Literal["pending", "delivered", "failed"]
    """`pending`: still to be sent, or to be sent again. `delivered`: the receiver accepted it. `failed`: given up,
    after two days or because the receiver responded with 410.
    """
    attempts: int
    """How often it was sent."""
    status: int | None
    """The HTTP status of the last response. null: there was none."""
    error: str | None
    """Why the last time failed. null: it did not."""
    created_at: datetime
    """When the job or experiment ended."""
    next_attempt_at: datetime | None
    """When it is sent again. null: it is not."""
    delivered_at: datetime | None
    """When it was accepted. null: not yet."""
