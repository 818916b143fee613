"""Problems that are installed on the workers, for jobs of kind ``custom``, and the OpenAPI document that has them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from api import examples
from api.dependencies import Engine, Tenant
from api.http.routing import InTurn
from hposvc.fleet import problems
from hposvc.schema.installed import with_problems
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

DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "components": {"schemas": {"ParametersOf.hposvc_examples.few_shot": EXAMPLE["items"][0]["parameters"]}},
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


@router.get(
    "/openapi.json",
    summary="OpenAPI with installed problems",
    response_class=JSONResponse,
    responses={200: examples.answer(DOCUMENT, "An OpenAPI 3.1 document.")},
)
def openapi_of_problems(request: Request, engine: Engine, tenant: Tenant) -> JSONResponse:
    """The document of `/openapi.json`, which is the same everywhere, with the parameters of the problems that are
    installed here: a schema for each, and in `JobSpec` which of them holds for which `problem`.
    """
    del tenant  # the same for all
    return JSONResponse(with_problems(request.app.openapi(), problems.known(engine)))
