"""How resources leave: JSON with an entity tag, or 304 when the client already has them."""

from __future__ import annotations

from fastapi import Response
from pydantic import BaseModel

from hposvc.schema.experiments import ExperimentResource
from hposvc.schema.job import JobResource


def tagged(resource: BaseModel, tag: str, if_none_match: str | None) -> Response:
    """``resource`` with ``tag`` as its ETag; without a body if the client holds that version."""
    headers = {"ETag": f'"{tag}"', "Cache-Control": "no-cache"}
    if holds(if_none_match, tag):
        return Response(status_code=304, headers=headers)
    return Response(resource.model_dump_json(), media_type="application/json", headers=headers)


def accepted(resource: JobResource | ExperimentResource) -> Response:
    """``resource``, of which something was asked that follows later, and where to look for it."""
    headers = {"Location": resource.links.self}
    return Response(resource.model_dump_json(), 202, media_type="application/json", headers=headers)


def holds(if_none_match: str | None, tag: str) -> bool:
    """Whether the client already has the version with this tag."""
    known = {item.strip().removeprefix("W/") for item in (if_none_match or "").split(",")}
    return bool(known & {f'"{tag}"', "*"})
