"""What is to be told, written in the transaction that makes it true: told if and only if it happened."""

from __future__ import annotations

import base64
import secrets
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from hposvc.db.engine import read, write
from hposvc.db.numbers import unpack
from hposvc.db.tables import jobs, now, webhook_deliveries, webhooks
from hposvc.schema.webhooks import DeliveryResource, NewWebhook, WebhookResource
from hposvc.webhooks.addresses import check_url

MOST = 20  # webhooks of one tenant


class WebhookNotFound(LookupError):
    """There is no such webhook (of this tenant)."""

    def __init__(self, webhook_id: str) -> None:
        super().__init__(f"there is no webhook {webhook_id}")


class TooManyWebhooks(ValueError):
    """The tenant has as many as it may."""

    def __init__(self) -> None:
        super().__init__(f"there are {MOST} webhooks already, which is the most; remove one")


def add(engine: sa.Engine, tenant: str, url: str, *, secret: str | None, private: bool) -> NewWebhook:
    """Tell the end of every job of the tenant to ``url`` from now on. Raises ForbiddenAddress, TooManyWebhooks."""
    check_url(url, private=private)
    secret = secret or "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    mine = sa.select(sa.func.count()).select_from(webhooks).where(webhooks.c.tenant_id == tenant)
    with write(engine) as connection:
        if connection.execute(mine).scalar_one() >= MOST:
            raise TooManyWebhooks
        row = connection.execute(
            webhooks.insert()
            .values(id=f"hook_{secrets.token_hex(8)}", tenant_id=tenant, url=url, secret=secret)
            .returning(webhooks)
        ).one()
    return NewWebhook(id=row.id, url=row.url, created_at=_time(row.created_at), secret=secret)


def list_(engine: sa.Engine, tenant: str) -> list[WebhookResource]:
    """The webhooks of a tenant, oldest first."""
    query = webhooks.select().where(webhooks.c.tenant_id == tenant).order_by(webhooks.c.created_at, webhooks.c.id)
    with read(engine) as connection:
        rows = connection.execute(query).all()
    return [WebhookResource(id=row.id, url=row.url, created_at=_time(row.created_at)) for row in rows]


def remove(engine: sa.Engine, tenant: str, webhook_id: str) -> None:
    """Tell it nothing any more, what waits included. Raises WebhookNotFound."""
    with write(engine) as connection:
        gone = connection.execute(webhooks.delete().where(webhooks.c.id == webhook_id, webhooks.c.tenant_id == tenant))
    if not gone.rowcount:
        raise WebhookNotFound(webhook_id)


def deliveries(engine: sa.Engine, tenant: str, webhook_id: str, *, limit: int = 50) -> list[DeliveryResource]:
    """What was told or is still to be told to a webhook, newest first. Raises WebhookNotFound."""
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
            state="delivered" if row.delivered_at else "failed" if row.due_at is None else "pending",
            attempts=row.attempts,
            status=row.status,
            error=row.error,
            created_at=_time(row.created_at),
            next_attempt_at=_time(row.due_at) if row.due_at else None,
            delivered_at=_time(row.delivered_at) if row.delivered_at else None,
        )
        for row in rows
    ]


def job_ended(connection: sa.Connection, job_id: str, state: str) -> None:
    """Note, in the transaction that ends a job, that its tenant's webhooks are to be told."""
    query = (
        sa.select(jobs, webhooks.c.id.label("webhook_id"))
        .join(webhooks, webhooks.c.tenant_id == jobs.c.tenant_id)
        .where(jobs.c.id == job_id)
    )
    for row in connection.execute(query).mappings().all():
        message = f"msg_{secrets.token_hex(12)}"
        connection.execute(
            webhook_deliveries.insert().values(
                id=message,
                webhook_id=row["webhook_id"],
                job_id=job_id,
                type=f"job.{state}",
                body=_news(row, state),
                due_at=now(),
            )
        )


def _news(row: sa.RowMapping, state: str) -> dict[str, Any]:
    finished_at = row["finished_at"]
    latest = unpack(row, ("upper_loss",))["upper_loss"]
    return {
        "type": f"job.{state}",
        "timestamp": _time(finished_at).isoformat() if finished_at else None,
        "data": {
            "id": row["id"],
            "kind": row["kind"],
            "name": row["name"],
            "tags": row["tags"],
            "state": state,
            "attempt": row["attempt"],
            "iteration": row["iteration"],
            "upper_loss": str(latest) if row["nonfinite"] else latest,
            "best_upper_loss": row["best_upper_loss"],
            "sentence": (row["result"] or {}).get("sentence"),
            "error": row["error"],
            "links": {"self": f"/v1/jobs/{row['id']}", "dashboard": f"/jobs/{row['id']}"},
        },
    }


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
