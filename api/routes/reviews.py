"""Decisions about the labels of a data set: make, look, undo."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from api import examples
from api.dependencies import Caller, IfMatch, ReviewsService, Tenant, body
from api.http.parameters import DatasetId
from api.http.problem_details import field_error, invalid_body
from api.http.routing import InTurn, reads_uploads
from hposvc.access.keys import Identity
from hposvc.reviews.service import By
from hposvc.schema.paging import MAX_PAGE
from hposvc.schema.reviews import (
    Decided,
    DecisionPage,
    DecisionsRequest,
    OneDecisionRequest,
    RowDecision,
    RowHistory,
    Undone,
)
from hposvc.tables.defects import DataError

router = APIRouter(prefix="/v1/datasets/{dataset_id}/reviews", tags=["reviews"], route_class=InTurn)

RowId = Annotated[
    str,
    Path(
        min_length=1,
        max_length=1000,
        pattern=r"^[^\x00]+$",
        examples=["c-0412"],
        description="The id of the row: the value of the id column, or its number from 0.",
    ),
]
Label = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=200,
        pattern=r"^[^\x00]+$",
        description="The column that was judged. By default the label of the data set.",
    ),
]


@router.get(
    "",
    summary="List the decisions about a data set",
    response_model=DecisionPage,
    responses={200: examples.answer(examples.DECISIONS, "The decisions that count.")},
)
def list_decisions(
    dataset_id: DatasetId,
    service: ReviewsService,
    tenant: Tenant,
    label: Label = None,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="At most this many decisions.")] = MAX_PAGE,
    page: Annotated[
        str | None, Query(max_length=500, description="`next_page` of the page before. By default the first page.")
    ] = None,
) -> DecisionPage:
    """The newest decision about each row that is not undone, in the order of the rows in the file."""
    return service.page(dataset_id, tenant=tenant, label=label, limit=limit, page_token=page)


@router.put(
    "",
    summary="Decide about rows",
    response_model=Decided,
    responses={200: examples.answer(examples.DECIDED, "All were kept.")},
    openapi_extra=examples.posted("DecisionsRequest", examples.DECISIONS_REQUEST),
)
@reads_uploads
def decide(
    dataset_id: DatasetId,
    service: ReviewsService,
    caller: Caller,
    request: Annotated[DecisionsRequest, body(DecisionsRequest)],
) -> Decided:
    """Keep decisions about many rows: all of them, or none. Each replaces the one before, which is kept, too.

    With `version`, a decision is kept only if nobody else has decided in between: 412 names the rows.
    """
    return _decide(service, dataset_id, request.decisions, _by(caller, request.job), request.label)


@router.delete(
    "",
    summary="Undo decisions",
    response_model=Undone,
    responses={200: examples.answer(examples.UNDONE, "What was undone.")},
)
def undo(
    dataset_id: DatasetId,
    service: ReviewsService,
    tenant: Tenant,
    batch: Annotated[
        str, Query(min_length=1, max_length=64, pattern=r"^[^\x00]+$", description="`batch` of what is undone.")
    ],
) -> Undone:
    """Let the decisions of one request count no more; those before them count again. Safe to repeat.

    Decisions that were replaced by newer ones are left alone.
    """
    return service.undo(dataset_id, batch, tenant=tenant)


@router.get(
    "/{row:path}",
    summary="Get the decisions about a row",
    response_model=RowHistory,
    responses={200: examples.answer(examples.ROW_HISTORY, "All decisions, newest first.", ("ETag",))},
)
@reads_uploads
def get_decisions(
    dataset_id: DatasetId, row: RowId, service: ReviewsService, tenant: Tenant, label: Label = None
) -> Response:
    """Every decision about one row, undone ones included. The ETag is the version of the one that counts."""
    found = service.history(dataset_id, row, tenant=tenant, label=label)
    return Response(found.model_dump_json(), media_type="application/json", headers={"ETag": f'"{found.version}"'})


@router.put(
    "/{row:path}",
    summary="Decide about a row",
    response_model=Decided,
    responses={200: examples.answer(examples.DECIDED, "It was kept.", ("ETag",))},
    openapi_extra=examples.posted("OneDecisionRequest", examples.DECISION_REQUEST),
)
@reads_uploads
def decide_row(
    dataset_id: DatasetId,
    row: RowId,
    service: ReviewsService,
    caller: Caller,
    request: Annotated[OneDecisionRequest, body(OneDecisionRequest)],
    if_match: IfMatch = None,
) -> Response:
    """Keep a decision about one row. With If-Match, only if nobody else has decided in between.

    The ETag of a row without a decision is `"0"`.
    """
    decision = RowDecision.model_construct(
        row=row, decision=request.decision, relabelled_to=request.relabelled_to, version=_version(if_match)
    )
    kept = _decide(service, dataset_id, [decision], _by(caller, request.job), request.label)
    headers = {"ETag": f'"{kept.items[0].version}"'}
    return Response(kept.model_dump_json(), media_type="application/json", headers=headers)


def _decide(
    service: ReviewsService, dataset_id: str, decisions: list[RowDecision], by: By, label: str | None
) -> Decided:
    try:
        return service.decide(dataset_id, decisions, by, label=label)
    except DataError as error:
        raise invalid_body([field_error(each.field, each.message, each.remedy) for each in error.defects]) from None


def _by(caller: Identity, job: str | None) -> By:
    return By(caller.tenant, caller.key_id or None, job)


def _version(if_match: str | None) -> int | None:
    """The version that an If-Match header names; None for any, -1 for what is the ETag of no decision."""
    if if_match is None or if_match.strip() == "*":
        return None
    tag = re.fullmatch(r'"([0-9]{1,9})"', if_match.strip())
    return int(tag[1]) if tag else -1
