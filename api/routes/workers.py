"""Workers: who is there and what they do."""

from __future__ import annotations

from fastapi import APIRouter
from pydantic import BaseModel

from api import examples
from api.dependencies import Engine, Tenant
from hposvc.jobs import queries
from hposvc.jobs.resources import WorkerResource

router = APIRouter(prefix="/v1/workers", tags=["workers"])


class WorkerList(BaseModel):
    """The workers, in the order in which they started."""

    items: list[WorkerResource]


@router.get("", summary="List workers", responses={200: examples.answer(examples.WORKERS, "The workers.")})
def list_workers(engine: Engine, tenant: Tenant) -> WorkerList:
    """Each worker's device, state and heartbeat; while it prepares Jittor, how far that is."""
    return WorkerList(items=queries.workers(engine, tenant=tenant))
