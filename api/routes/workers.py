"""Workers: who is there and what they do."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from api import examples
from api.dependencies import Engine, Tenant
from api.http.routing import InTurn
from hposvc.fleet import workers as fleet
from hposvc.jobs import queries
from hposvc.schema.resource import Resource
from hposvc.schema.workers import WorkerResource

router = APIRouter(prefix="/v1/workers", tags=["workers"], route_class=InTurn)


class WorkerList(Resource):
    """The workers of the service."""

    items: list[WorkerResource]
    """The workers, in the order in which they started."""


@router.get("", summary="List workers", responses={200: examples.answer(examples.WORKERS, "The workers.")})
def list_workers(engine: Engine, tenant: Tenant) -> WorkerList:
    """Each worker's device, state and heartbeat; while it prepares Jittor, how far that is."""
    return WorkerList(items=queries.workers(engine, tenant=tenant))


@router.post(
    "/{worker_id}/drain",
    status_code=202,
    summary="Drain a worker",
    responses={202: examples.answer(examples.WORKERS, "Asked for; the workers as they are now.")},
)
def drain(
    worker_id: Annotated[
        str,
        Path(max_length=64, pattern=r"^[^\x00]+$", examples=[examples.WORKER_ID], description="The id of the worker."),
    ],
    engine: Engine,
    tenant: Tenant,
    now: Annotated[
        bool, Query(description="true: give the job back to the queue, and end at once. false: finish the job first.")
    ] = False,
) -> WorkerList:
    """Let a worker take nothing new, finish its job, and end. It sees the request with its next heartbeat."""
    fleet.Fleet(engine).ask(worker_id, "leave" if now else "drain")
    return list_workers(engine, tenant)
