"""Routes whose functions run on the threads of their kind of work, when it is their tenant's turn."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel

from api.dependencies import caller, services
from api.turns import Turns

READING = frozenset({"GET", "HEAD"})


class InTurn(APIRoute):
    """A route whose function, if it is no coroutine, waits for its turn, and writes its response on the thread, too."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if not inspect.iscoroutinefunction(endpoint):
            reads = set(options.get("methods") or READING) <= READING
            kind = getattr(endpoint, "kind_of_work", "reads" if reads else "changes")
            endpoint = _in_turn(endpoint, kind, options.get("status_code") or 200)
        super().__init__(path, endpoint, **options)


def reads_uploads(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Mark a route that may read uploaded rows in a process of its own: it waits for its turn at those."""
    endpoint.kind_of_work = "checks"  # type: ignore[attr-defined]
    return endpoint


def _in_turn(endpoint: Callable[..., Any], kind: str, status: int) -> Callable[..., Any]:
    signature = inspect.signature(endpoint)
    parameters = list(signature.parameters.values())
    given = next((parameter.name for parameter in parameters if parameter.annotation in (Request, "Request")), None)
    if given is None:
        parameters.append(inspect.Parameter("_request", inspect.Parameter.KEYWORD_ONLY, annotation=Request))

    @wraps(endpoint)
    async def turned(**values: Any) -> Response:
        request: Request = values.pop("_request") if given is None else values[given]
        turns: Turns = getattr(services(request).work, kind)
        return await turns.run(caller(request).tenant, partial(_answer, endpoint, values, status))

    turned.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return turned


def _answer(endpoint: Callable[..., Any], parameters: dict[str, Any], status: int) -> Response:
    answer = endpoint(**parameters)
    if isinstance(answer, BaseModel):
        return Response(answer.model_dump_json(), status, media_type="application/json")
    assert isinstance(answer, Response)  # noqa: S101 - nothing else is returned here
    return answer
