"""Problems that are installed on the workers, for jobs of kind ``custom``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from api import examples
from api.dependencies import Engine, Tenant
from api.http.routing import InTurn
from hposvc.fleet import problems
from hposvc.schema.problems import ProblemResource
from hposvc.schema.resource import Resource

EXAMPLE: dict[str, Any] = {
    "items": [
        {
            "name": "hposvc_examples:few_shot",
            "version": "1.0.0",
            "summary": "Learns where a network starts, so that few examples of a new task are enough.",
            "parameters": {
                "properties": {"shots": {"default": 5, "description": "Examples of a new task.", "type": "integer"}},
                "title": "Parameters",
                "type": "object",
            },
            "defaults": {"solver": {"estimator": "unrolled", "lower": {"steps": 5}}},
            "fault": None,
            "workers": 1,
            "reported_at": "2026-01-15T09:00:00Z",
        }
    ]
}

router = APIRouter(prefix="/v1/problems", tags=["workers"], route_class=InTurn)


class ProblemList(Resource):
    """The problems that jobs of `kind: custom` can name."""

    items: list[ProblemResource]
    """The problems by name; of each the version that live workers have, or else the one that was reported last."""


@router.get("", summary="List problems", responses={200: examples.answer(EXAMPLE, "The problems.")})
def list_problems(engine: Engine, tenant: Tenant) -> ProblemList:
    """What operators have installed on the workers, and the parameters that each takes, as a JSON Schema."""
    del tenant  # the same for all
    return ProblemList(items=problems.known(engine))
