"""What a job recorded and left: iterations, events, files, rows, report."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse

from api import examples, news
from api.dependencies import (
    Accept,
    ArtifactStore,
    Engine,
    Held,
    LastEventId,
    Tenant,
)
from api.http import columns, rows
from api.http.artifacts import file_response
from api.http.negotiation import preferred
from api.http.parameters import LARGEST, AfterEvent, EventLimit, JobId
from api.http.problem_details import HTTPProblem
from api.http.report import render_report
from api.http.routing import InTurn
from api.live import EVENT_STREAM
from hposvc.jobs import queries
from hposvc.jobs.iterations import downsampling
from hposvc.schema.iterations import IterationColumns
from hposvc.schema.job import ArtifactResource, EventPage
from hposvc.schema.resource import Resource
from hposvc.schema.states import TERMINAL

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=InTurn)


class ArtifactList(Resource):
    """The files that a job left."""

    items: list[ArtifactResource]
    """The files, by name."""


@router.get(
    "/{job_id}/iterations",
    summary="Get what the iterations recorded",
    response_model=IterationColumns,
    responses={
        200: examples.responses(
            {
                columns.JSON: examples.ITERATIONS,
                columns.CSV: examples.ITERATIONS_CSV,
                columns.NDJSON: examples.ITERATIONS_NDJSON,
                columns.ARROW: None,
            },
            "Columns of equal length, ascending; or rows, in the format that Accept names.",
        )
    },
)
def get_iterations(
    job_id: JobId,
    engine: Engine,
    tenant: Tenant,
    after: Annotated[
        int,
        Query(
            ge=-1,
            le=LARGEST,
            description="Only iterations after this one: `next_after` of the response before. -1: from the first "
            "on. Not used with `from`, `to` or `max_points`.",
        ),
    ] = -1,
    limit: Annotated[
        int | None,
        Query(
            ge=1,
            le=100_000,
            description="At most this many iterations after `after`. By default 10,000 as JSON, all in other formats.",
        ),
    ] = None,
    from_: Annotated[
        int | None,
        Query(alias="from", ge=0, le=LARGEST, description="The first iteration of a range. By default the first."),
    ] = None,
    to: Annotated[
        int | None, Query(ge=0, le=LARGEST, description="The last iteration of the range. By default the last.")
    ] = None,
    max_points: Annotated[
        int | None,
        Query(
            ge=1,
            le=10_000,
            description="At most this many points: where the range has more iterations, each point stands for a "
            "bucket of them. By default 1000 for a range.",
        ),
    ] = None,
    accept: Accept = None,
) -> Response:
    """The tail (`after`), or a stretch (`from`, `to`) in at most `max_points` buckets of first, last, min and max.

    JSON columns, or rows as CSV, as lines of JSON or as an Arrow stream, by Accept; of buckets these hold the last.
    """
    media_type = preferred(accept, columns.FORMATS)
    tail = from_ is None and to is None and max_points is None
    page = (
        queries.iterations(engine, job_id, tenant=tenant, after=after, limit=limit or 10_000)
        if tail
        else downsampling.iterations(engine, job_id, tenant=tenant, start=from_, stop=to, max_points=max_points or 1000)
    )
    headers = {"Vary": "Accept"}
    if media_type == columns.JSON:
        return Response(page.model_dump_json(), media_type=media_type, headers=headers)

    def pages() -> Iterator[IterationColumns]:
        yield page
        here = page
        while tail and limit is None and here.iteration:
            here = queries.iterations(engine, job_id, tenant=tenant, after=here.next_after)
            yield here

    return StreamingResponse(columns.encode(media_type, pages()), media_type=media_type, headers=headers)


@router.get(
    "/{job_id}/events",
    summary="Get a job's history",
    response_model=EventPage,
    responses={
        200: examples.responses(
            {columns.JSON: examples.EVENTS, EVENT_STREAM: examples.STREAM}, "Events in order, or a stream of them."
        ),
        204: {"description": "As a stream: the job has ended, and there is nothing beyond Last-Event-ID."},
    },
)
async def get_events(
    job_id: JobId,
    held: Held,
    tenant: Tenant,
    after: AfterEvent = 0,
    limit: EventLimit = 1000,
    accept: Accept = None,
    last_event_id: LastEventId = None,
) -> Response:
    """State changes, notes and log lines, numbered without gaps.

    With `Accept: text/event-stream` each comes when it happens, and the iterations with them (`event: iterations`, as
    columns). The id of an event is `EVENT.ITERATION`; a client that sends it as Last-Event-ID goes on there. The event
    `end` says that the job has ended; otherwise a stream ends after ten minutes, and is to be taken up again.
    """
    if preferred(accept, (columns.JSON, EVENT_STREAM)) == columns.JSON:
        read = partial(queries.events, held.engine, job_id, tenant=tenant, after=after, limit=limit)
        page = await held.work.reads.run(tenant, read)
        return Response(page.model_dump_json(), media_type=columns.JSON, headers={"Vary": "Accept"})
    event, iteration = (int(part) for part in last_event_id.split(".")) if last_event_id else (after, -1)
    where = partial(queries.position, held.engine, job_id, tenant=tenant)
    position, state = await held.work.reads.run(tenant, where)
    if last_event_id and state in TERMINAL and event >= position.last_event:
        return Response(status_code=204)  # an EventSource that gets this asks no more
    look = news.of_job(held.engine, job_id, tenant=tenant, after_event=event, after_iteration=iteration)
    return held.live.response(job_id, look, tenant=tenant)


@router.get(
    "/{job_id}/artifacts",
    summary="List a job's files",
    response_model=ArtifactList,
    responses={200: examples.answer(examples.ARTIFACTS, "The files, by name.")},
)
def list_artifacts(job_id: JobId, engine: Engine, tenant: Tenant) -> ArtifactList:
    """What the job left: report, hyperparameters, model, checkpoints."""
    found = queries.artifacts(engine, job_id, tenant=tenant)
    return ArtifactList(
        items=[item.model_copy(update={"url": f"/v1/jobs/{job_id}/artifacts/{item.name}"}) for item in found]
    )


@router.get(
    "/{job_id}/artifacts/{name}",
    summary="Download a file",
    response_class=Response,
    responses={
        200: {"description": "The bytes.", "content": {"application/octet-stream": {}}},
        206: {"description": "The bytes of the range.", "content": {"application/octet-stream": {}}},
        416: {"description": "There are no such bytes."},
    },
)
def get_artifact(
    job_id: JobId,
    name: Annotated[str, Path(max_length=200, description="The name of the file, as the list of files shows it.")],
    engine: Engine,
    store: ArtifactStore,
    tenant: Tenant,
    range_: Annotated[
        str | None, Header(alias="Range", description="Only these bytes, such as `bytes=0-1023`. By default all.")
    ] = None,
) -> Response:
    """One file, or a range of its bytes, so that a download that broke can go on."""
    for artifact in queries.artifacts(engine, job_id, tenant=tenant):
        if artifact.name == name:
            return file_response(store, artifact, range_)
    raise HTTPProblem("artifact-not-found", f"Job {job_id} has no file {name!r}.")


@router.get(
    "/{job_id}/rows",
    summary="Get the rows of a finished job, ranked",
    response_class=Response,
    responses={
        200: examples.answer(examples.RANKED_CSV, "The rows, the most suspicious first.", media_type="text/csv")
    },
)
def get_rows(
    job_id: JobId,
    engine: Engine,
    store: ArtifactStore,
    tenant: Tenant,
    format_: Annotated[rows.Format, Query(alias="format", description="The format of the response.")] = "csv",
    part: Annotated[
        rows.Part, Query(description="Only the rows that the job used for this. `all`: every row.")
    ] = "train",
    limit: Annotated[
        int | None,
        Query(ge=1, le=LARGEST, description="At most this many rows. By default all."),
    ] = None,
    offset: Annotated[int, Query(ge=0, le=LARGEST, description="So many rows are left out first.")] = 0,
    order: Annotated[
        rows.Order,
        Query(
            description="`suspicious`: the rows whose labels are most likely wrong come first. `worth_checking`: those "
            "whose check would tell most, because their labels are as likely wrong as right."
        ),
    ] = "suspicious",
    spreadsheet: Annotated[
        bool,
        Query(description="true: CSV has ' before text that a spreadsheet would take for a formula (= + - @)."),
    ] = False,
) -> Response:
    """Every row with your own ids and columns beside its weight and rank, its label, and what the model says of it."""
    for artifact in queries.artifacts(engine, job_id, tenant=tenant):
        if artifact.name == rows.NAME:
            return rows.rows_response(
                store,
                artifact,
                format_=format_,
                part=part,
                limit=limit,
                offset=offset,
                order=order,
                spreadsheet=spreadsheet,
            )
    state = queries.get(engine, job_id, tenant=tenant).state
    raise HTTPProblem("rows-not-available", f"Job {job_id} is {state} and has left no rows.", state=state)


@router.get(
    "/{job_id}/report",
    summary="Get a finished job's report as a page",
    response_class=HTMLResponse,
    responses={
        200: {
            "description": "A page to read or to print, or the result as JSON.",
            "content": {
                "text/html": {"example": "<!doctype html>…"},
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/JobResult"},
                    "example": examples.RESULT_IN_SHORT,
                },
            },
        }
    },
)
def get_report(job_id: JobId, engine: Engine, tenant: Tenant, accept: Accept = None) -> Response:
    """What was found, on a page that needs nothing else; with `Accept: application/json` the result as it was stored.

    A result that another release wrote may lack parts: the page shows what is there, and says what is not.
    """
    media_type = preferred(accept, ("text/html", columns.JSON))
    job = queries.get(engine, job_id, tenant=tenant)
    if job.result is None:
        raise HTTPProblem(
            "rows-not-available", f"Job {job_id} is {job.state}: there is no result yet.", state=job.state
        )
    headers = {"Vary": "Accept"}
    if media_type == columns.JSON:
        return JSONResponse(job.result, headers=headers)
    return HTMLResponse(render_report(job), headers=headers)
