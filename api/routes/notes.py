"""Notes about a job."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Response

from api import examples
from api.dependencies import Engine, IfMatch, IfNoneMatch, Tenant, body
from api.http.markdown import tree
from api.http.parameters import JobId
from api.http.responses import tagged
from api.http.routing import InTurn
from hposvc.jobs import notes
from hposvc.schema.notes import Notes, NotesRequest

EXAMPLE_REQUEST = {"text": "Second try with **fewer** epochs, see [the paper](https://example.com)."}
EXAMPLE = {
    "text": EXAMPLE_REQUEST["text"],
    "rendered": [
        {
            "tag": "p",
            "href": None,
            "start": None,
            "children": [
                "Second try with ",
                {"tag": "strong", "href": None, "start": None, "children": ["fewer"]},
                " epochs, see ",
                {"tag": "a", "href": "https://example.com", "start": None, "children": ["the paper"]},
                ".",
            ],
        }
    ],
}

router = APIRouter(prefix="/v1/jobs/{job_id}/notes", tags=["jobs"], route_class=InTurn)


@router.get(
    "",
    summary="Get the notes about a job",
    response_model=Notes,
    responses={200: examples.answer(EXAMPLE, "The notes.", ("ETag",)), 304: examples.UNCHANGED},
)
def get_notes(job_id: JobId, engine: Engine, tenant: Tenant, if_none_match: IfNoneMatch = None) -> Response:
    """What people wrote about the job, in Markdown, and the same as a tree for pages. Jobs begin without notes."""
    return _notes(notes.get(engine, job_id, tenant=tenant), if_none_match)


@router.put(
    "",
    summary="Write the notes about a job",
    response_model=Notes,
    responses={200: examples.answer(EXAMPLE, "The notes as they are now.", ("ETag",))},
    openapi_extra=examples.posted("NotesRequest", EXAMPLE_REQUEST),
)
def put_notes(
    job_id: JobId,
    engine: Engine,
    tenant: Tenant,
    wanted: Annotated[NotesRequest, body(NotesRequest)],
    if_match: IfMatch = None,
) -> Response:
    """Replace the notes. With If-Match only if nobody else changed them in between."""
    notes.put(engine, job_id, wanted.text, tenant=tenant, tag=_tag(if_match))
    return _notes(wanted.text, None)


def _notes(text: str, if_none_match: str | None) -> Response:
    return tagged(Notes(text=text, rendered=tree(text)), notes.tag_of(text), if_none_match)


def _tag(if_match: str | None) -> str | None:
    """The tag that an If-Match header names; None for any, and what no notes have for something else."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = re.fullmatch(r'"([0-9a-f]{16})"', if_match.strip())
    return found[1] if found else ""
