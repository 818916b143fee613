"""The webhooks of a tenant, and the messages sent to them."""

from __future__ import annotations

import base64
import secrets

import sqlalchemy as sa

from hposvc.copyable import Copyable
from hposvc.db.engine import read, write
from hposvc.db.tables import tenants, webhook_deliveries, webhooks
from hposvc.schema.webhooks import DeliveryResource, NewWebhook, WebhookResource
from hposvc.webhooks.addresses import check_url
from hposvc.webhooks.outbox import time_of

MOST = 20  # webhooks of one tenant


class WebhookNotFound(Copyable, LookupError):
    """There is no such webhook (of this tenant)."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"there is no webhook {webhook_id}")


class TooManyWebhooks(Copyable, ValueError):
    """The tenant has as many as it may."""

    def __init__(self) -> None:
        super().__init__(f"there are {MOST} webhooks already, which is the most; remove one")


class Webhooks:
    """What changes webhooks."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, tenant: str, url: str, *, secret: str | None, private: bool) -> NewWebhook:
        """Send a message to ``url`` whenever a job of the tenant ends. Raises ForbiddenAddress, TooManyWebhooks."""
        check_url(url, private=private)
        secret = secret or "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        mine = sa.select(sa.func.count()).select_from(webhooks).where(webhooks.c.tenant_id == tenant)
        with write(self._engine) as connection:
            # others who add one for this tenant wait: two at once cannot both be the last
            connection.execute(sa.select(tenants.c.id).where(tenants.c.id == tenant).with_for_update(key_share=True))
            if connection.execute(mine).scalar_one() >= MOST:
                raise TooManyWebhooks
            row = connection.execute(
                webhooks.insert()
                .values(id=f"hook_{secrets.token_hex(8)}", tenant_id=tenant, url=url, secret=secret)
                .returning(webhooks)
            ).one()
        return NewWebhook(id=row.id, url=row.url, created_at=time_of(row.created_at), secret=secret)

    def remove(self, tenant: str, webhook_id: str) -> None:
        """Send it nothing any more, not even what waits. Raises WebhookNotFound."""
        with write(self._engine) as connection:
            gone = connection.execute(
                webhooks.delete().where(webhooks.c.id == webhook_id, webhooks.c.tenant_id == tenant)
            )
        if not gone.rowcount:
            raise WebhookNotFound(webhook_id)


def list_(engine: sa.Engine, tenant: str) -> list[WebhookResource]:
    """The webhooks of a tenant, oldest first."""
    query = webhooks.select().where(webhooks.c.tenant_id == tenant).order_by(webhooks.c.created_at, webhooks.c.id)
    with read(engine) as connection:
        rows = connection.execute(query).all()
    return [WebhookResource(id=row.id, url=row.url, created_at=time_of(row.created_at)) for row in rows]


def deliveries(engine: sa.Engine, tenant: str, webhook_id: str, *, limit: int = 50) -> list[DeliveryResource]:
    """The messages to a webhook, sent or waiting, newest first. Raises WebhookNotFound."""
    table = webhook_deliveries
    with read(engine) as connection:
        mine = sa.select(webhooks.c.id).where(webhooks.c.id == webhook_id, webhooks.c.tenant_id == tenant)
        if connection.execute(mine).first() is None:
            raise WebhookNotFound(webhook_id)
        query = table.select().where(table.c.webhook_id == webhook_id).order_by(table.c.created_at.desc(), table.c.id)
        rows = connection.execute(query.limit(limit)).all()
    return [
        DeliveryResource(
            id=row.id,
            type=row.type,
            job_id=row.job_id,
            experiment_id=row.experiment_id,
            state="delivered" if row.delivered_at else "failed" if row.due_at is None else "pending",
            attempts=row.attempts,
            status=row.status,
            error=row.error,
            created_at=time_of(row.created_at),
            next_attempt_at=time_of(row.due_at) if row.due_at else None,
            delivered_at=time_of(row.delivered_at) if row.delivered_at else None,
        )
        for row in rows
    ]
