"""Messages for webhooks, written in the transaction that ends the job, or the experiment: one is sent if and only if
it ended.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from hposvc.db.clock import now
from hposvc.db.numbers import unpack
from hposvc.db.tables import experiments, jobs, webhook_deliveries, webhooks


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


def experiment_ended(connection: sa.Connection, experiment_id: str) -> None:
    """Note, in the transaction that ends an experiment, that its tenant's webhooks are to be told."""
    query = (
        sa.select(experiments, webhooks.c.id.label("webhook_id"))
        .join(webhooks, webhooks.c.tenant_id == experiments.c.tenant_id)
        .where(experiments.c.id == experiment_id)
    )
    for row in connection.execute(query).mappings().all():
        connection.execute(
            webhook_deliveries.insert().values(
                id=f"msg_{secrets.token_hex(12)}",
                webhook_id=row["webhook_id"],
                experiment_id=experiment_id,
                type=f"experiment.{row['state']}",
                body=_news_of_experiment(row),
                due_at=now(),
            )
        )


def _news_of_experiment(row: sa.RowMapping) -> dict[str, Any]:
    result = row["result"] or {}
    return {
        "type": f"experiment.{row['state']}",
        "timestamp": time_of(row["finished_at"]).isoformat(),
        "data": {
            "id": row["id"],
            "name": row["name"],
            "tags": row["tags"],
            "state": row["state"],
            "trials": row["ended"],
            "succeeded": result.get("succeeded"),
            "best": result.get("best"),
            "sentence": result.get("sentence"),
            "links": {"self": f"/v1/experiments/{row['id']}", "dashboard": f"/experiments/{row['id']}"},
        },
    }


def _news(row: sa.RowMapping, state: str) -> dict[str, Any]:
    finished_at = row["finished_at"]
    latest = unpack(row, ("upper_loss",))["upper_loss"]
    return {
        "type": f"job.{state}",
        "timestamp": time_of(finished_at).isoformat() if finished_at else None,
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


def time_of(seconds: float) -> datetime:
    """A time of the database."""
    return datetime.fromtimestamp(seconds, UTC)
