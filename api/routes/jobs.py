"""Jobs: submit, look, steer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from functools import partial
from typing import Annotated, Any, Literal

import structlog
import yaml
from anyio import to_thread
from fastapi import APIRouter, Header, Path, Query, Response
from fastapi.responses import HTMLResponse, JSONResponse, StreamingResponse
from pydantic import AwareDatetime, BeforeValidator, Field

from api import examples
from api.dependencies import (
    Accept,
    Engine,
    Held,
    IdempotencyKey,
    IfNoneMatch,
    JobsService,
    LastEventId,
    Metrics,
    Prefer,
    Spec,
    Tenant,
    Version,
    asked_to_wait,
    body,
)
from api.http import columns, rows
from api.http.artifacts import file_response
from api.http.negotiation import preferred
from api.http.problem_details import HTTPProblem, field_error
from api.http.report import render_report
from api.http.responses import holds, tagged
from hposvc import tracing
from hposvc.jobs import queries
from hposvc.jobs.iterations import downsampling
from hposvc.jobs.queries import Order
from hposvc.schema.iterations import IterationColumns
from hposvc.schema.job import ArtifactResource, Checked, EventPage, JobPage, JobResource, JobUpdate
from hposvc.schema.paging import MAX_PAGE, InvalidPageToken
from hposvc.schema.resource import Resource
from hposvc.schema.spec import Kind, Tag
from hposvc.schema.states import TERMINAL, State

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

LARGEST = 2**53  # the integers that JavaScript and JSON agree on
JobId = Annotated[
    str, Path(max_length=64, pattern=r"^[^\x00]+$", examples=[examples.JOB_ID], description="The id of the job.")
]
Text = Annotated[
    str | None,
    Query(
        max_length=200,
        pattern=r"^[^\x00]*$",
        description="Only jobs with this in their name, or at the start of their id. Capitals do not matter in names.",
    ),
]
EVENT_STREAM = "text/event-stream"
DATE = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]")


def _no_number(value: Any) -> Any:
    """Pydantic would take a number for the seconds since 1970."""
    if isinstance(value, str) and not DATE.match(value):
        raise ValueError("must be a time like 2026-01-15T09:30:00Z, with its zone")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_no_number), Field(examples=["2026-01-15T09:30:00Z"])]


class ArtifactList(Resource):
    """The files that a job left."""

    items: list[ArtifactResource]
    """The files, by name."""


@router.post(
    "",
    status_code=202,
    summary="Submit a job",
    response_model=JobResource,
    responses={
        200: examples.answer(examples.CHECKED, "A dry run: the specification is valid.") | {"model": Checked},
        202: examples.answer(examples.JOB, "Queued. Location is where the job is found.", ("Location",))
        | {"links": examples.LINKS},
    },
    openapi_extra=examples.request_body(),
)
def submit(
    spec: Spec,
    service: JobsService,
    metrics: Metrics,
    tenant: Tenant,
    idempotency_key: IdempotencyKey = None,
    dry_run: Annotated[
        bool,
        Query(
            description="true: only check the spec. Nothing is stored, and the response is 200 with every default "
            "filled in."
        ),
    ] = False,
) -> Response:
    """Check the whole specification, against its dataset too, and queue the job. JSON or YAML."""
    if dry_run:
        checked, warnings = service.check(spec, tenant=tenant)
        answer = Checked(spec=checked, warnings=list(warnings))
        return Response(answer.model_dump_json(), media_type="application/json")
    job = service.submit(spec, tenant=tenant, idempotency_key=idempotency_key, traceparent=tracing.traceparent())
    metrics.submitted.inc()
    log.info("job submitted", job_id=job.id, kind=job.kind, attempt=job.attempt)
    return _accepted(job)


@router.get(
    "",
    summary="List jobs",
    response_model=JobPage,
    responses={200: examples.answer(examples.JOBS, "A page of jobs.", ("ETag",)), 304: examples.UNCHANGED},
)
def list_jobs(
    engine: Engine,
    tenant: Tenant,
    state: Annotated[
        list[State],
        Query(max_length=9, description="Only jobs in this state. Repeat the parameter for several. By default all."),
    ] = [],  # noqa: B006 - FastAPI copies it
    kind: Annotated[Kind | None, Query(description="Only jobs of this kind. By default both.")] = None,
    tag: Annotated[Tag | None, Query(description="Only jobs with this tag.")] = None,
    text: Text = None,
    created_after: Annotated[
        Moment | None, Query(description="Only jobs submitted at this time or later, in ISO 8601 with a time zone.")
    ] = None,
    created_before: Annotated[
        Moment | None, Query(description="Only jobs submitted before this time, in ISO 8601 with a time zone.")
    ] = None,
    order: Annotated[
        Order,
        Query(
            description="`newest`, `oldest`: by the time of submission. `priority`: the highest first. "
            "`best_upper_loss`: the lowest first."
        ),
    ] = "newest",
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="At most this many jobs on a page.")] = 50,
    page: Annotated[
        str | None,
        Query(
            max_length=500,
            description="`next_page` of the page before, with the same `order`. By default the first page.",
        ),
    ] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Jobs in the order asked for, a page at a time, without their results."""
    try:
        found = queries.list_(
            engine,
            tenant=tenant,
            state=state or None,
            kind=kind,
            tag=tag,
            text=text,
            created_after=created_after,
            created_before=created_before,
            order=order,
            limit=limit,
            page_token=page,
        )
    except InvalidPageToken as error:
        errors = [field_error("page", "is not a page token of this service", "Leave it out for the first page.", page)]
        raise HTTPProblem("invalid-parameter", str(error), errors=errors) from None
    versions = "".join(f"{job.id}:{job.version} " for job in found.items) + str(found.next_page)
    return tagged(found, hashlib.sha256(versions.encode()).hexdigest()[:16], if_none_match)


@router.get(
    "/{job_id}",
    summary="Get a job",
    response_model=JobResource,
    responses={200: examples.answer(examples.JOB, "The job.", ("ETag",)), 304: examples.UNCHANGED},
)
async def get_job(
    job_id: JobId, held: Held, tenant: Tenant, if_none_match: IfNoneMatch = None, prefer: Prefer = None
) -> Response:
    """One job as it stands, with its result once it has one.

    With `Prefer: wait=30` the response comes when something changed since If-None-Match, or after 30 seconds.
    """
    get = partial(queries.get, held.engine, job_id, tenant=tenant)
    job = await to_thread.run_sync(get)
    seconds = asked_to_wait(prefer)
    waits = seconds and not held.live.full
    unchanged = holds(if_none_match, str(job.version)) if if_none_match else job.state not in TERMINAL
    if waits and unchanged:
        with held.live.place():
            position, _ = await to_thread.run_sync(partial(queries.position, held.engine, job_id, tenant=tenant))
            if position.version == job.version:
                await held.live.changed(job_id, position, seconds)
        job = await to_thread.run_sync(get)
    answer = tagged(job, str(job.version), if_none_match)
    if waits:
        answer.headers["Preference-Applied"] = f"wait={seconds}"
    return answer


@router.patch(
    "/{job_id}",
    summary="Change a job's name, tags or priority",
    response_model=JobResource,
    responses={200: examples.answer(examples.JOB, "The job as it is now.", ("ETag",))},
    openapi_extra=examples.posted("JobUpdate", examples.UPDATE),
)
def update_job(
    job_id: JobId,
    service: JobsService,
    tenant: Tenant,
    changes: Annotated[JobUpdate, body(JobUpdate)],
    version: Version = None,
) -> Response:
    """What is left out stays as it is. With If-Match only if nobody changed the job in between."""
    job = service.update(job_id, changes.model_dump(exclude_unset=True), tenant=tenant, version=version)
    return tagged(job, str(job.version), None)


@router.delete(
    "/{job_id}",
    status_code=204,
    summary="Delete a job",
    responses={204: {"description": "Gone: the job, its iterations, its history, its files."}},
)
def delete_job(job_id: JobId, service: JobsService, tenant: Tenant, version: Version = None) -> Response:
    """Delete a job that has ended, with everything that it left. With If-Match only if it is still that version."""
    service.delete(job_id, tenant=tenant, version=version)
    return Response(status_code=204)


@router.get(
    "/{job_id}/spec",
    summary="Get a job's specification as YAML",
    response_class=Response,
    responses={200: examples.answer(examples.SPEC_YAML, "Ready to be submitted.", media_type="application/yaml")},
)
def get_spec(job_id: JobId, engine: Engine, tenant: Tenant) -> Response:
    """The specification with every default filled in, as a file for `hposvc submit`."""
    spec: dict[str, Any] = queries.get(engine, job_id, tenant=tenant).spec.model_dump(mode="json", exclude_none=True)
    text = yaml.safe_dump(spec, sort_keys=False, allow_unicode=True)
    headers = {"Content-Disposition": f'inline; filename="{job_id}.yaml"'}
    return Response(text, media_type="application/yaml; charset=utf-8", headers=headers)


@router.get(
    "/{job_id}/iterations",
    summary="Get what the iterations recorded",
    response_model=IterationColumns,
    responses={
        200: examples.answers(
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
        200: examples.answers(
            {columns.JSON: examples.EVENTS, EVENT_STREAM: examples.STREAM}, "Events in order, or a stream of them."
        ),
        204: {"description": "As a stream: the job has ended, and there is nothing beyond Last-Event-ID."},
    },
)
async def get_events(
    job_id: JobId,
    held: Held,
    tenant: Tenant,
    after: Annotated[
        int,
        Query(
            ge=0,
            le=LARGEST,
            description="Only events after this number: `next_after` of the response before. 0: from the first on. "
            "A stream begins here too.",
        ),
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000, description="At most this many events. Not used by a stream.")] = 1000,
    accept: Accept = None,
    last_event_id: LastEventId = None,
) -> Response:
    """State changes, notes and log lines, numbered without gaps.

    With `Accept: text/event-stream` each comes when it happens, and the iterations with them (`event: iterations`, as
    columns). The id of an event is `EVENT.ITERATION`; a client that sends it as Last-Event-ID goes on there. The event
    `end` says that the job has ended; otherwise a stream ends after ten minutes, and is to be taken up again.
    """
    headers = {"Vary": "Accept"}
    if preferred(accept, (columns.JSON, EVENT_STREAM)) == columns.JSON:
        read = partial(queries.events, held.engine, job_id, tenant=tenant, after=after, limit=limit)
        page = await to_thread.run_sync(read)
        return Response(page.model_dump_json(), media_type=columns.JSON, headers=headers)
    event, iteration = (int(part) for part in last_event_id.split(".")) if last_event_id else (after, -1)
    position, state = await to_thread.run_sync(partial(queries.position, held.engine, job_id, tenant=tenant))
    if last_event_id and state in TERMINAL and event >= position.last_event:
        return Response(status_code=204)  # an EventSource that gets this asks no more
    if held.live.full:
        with held.live.place():  # says why not
            pass
    stream = held.live.stream(job_id, tenant=tenant, after_event=event, after_iteration=iteration)
    headers |= {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type=EVENT_STREAM, headers=headers)


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
    tenant: Tenant,
    range_: Annotated[
        str | None, Header(alias="Range", description="Only these bytes, such as `bytes=0-1023`. By default all.")
    ] = None,
) -> Response:
    """One file, or a range of its bytes, so that a download that broke can go on."""
    for artifact in queries.artifacts(engine, job_id, tenant=tenant):
        if artifact.name == name:
            return file_response(artifact, range_)
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
    tenant: Tenant,
    format_: Annotated[rows.Format, Query(alias="format", description="The format of the response.")] = "csv",
    part: Annotated[
        rows.Part, Query(description="Only the rows that the job used for this. `all`: every row.")
    ] = "train",
    limit: Annotated[
        int | None,
        Query(ge=1, le=LARGEST, description="At most this many rows, the most suspicious first. By default all."),
    ] = None,
) -> Response:
    """Every row with your own ids and columns beside its weight and rank, its label, and what the model says of it."""
    for artifact in queries.artifacts(engine, job_id, tenant=tenant):
        if artifact.name == rows.NAME:
            return rows.rows_response(artifact, format_=format_, part=part, limit=limit)
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
                "application/json": {"schema": {"type": "object"}, "example": examples.RESULT_IN_SHORT},
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


def _accepted(job: JobResource) -> Response:
    return Response(job.model_dump_json(), 202, media_type="application/json", headers={"Location": job.links.self})


ACCEPTED: dict[str, Any] = {
    "status_code": 202,
    "response_model": JobResource,
    "responses": {202: examples.answer(examples.JOB, "Asked for; the job's state says how far it is.", ("Location",))},
}


@router.post("/{job_id}/cancel", summary="Cancel a job", **ACCEPTED)
def cancel(job_id: JobId, service: JobsService, tenant: Tenant) -> Response:
    """Stop the job for good. What it found so far is kept."""
    return _accepted(service.cancel(job_id, tenant=tenant))


@router.post("/{job_id}/pause", summary="Pause a job", **ACCEPTED)
def pause(job_id: JobId, service: JobsService, tenant: Tenant) -> Response:
    """Stop the job after its current iteration, with a checkpoint, and free its worker."""
    return _accepted(service.pause(job_id, tenant=tenant))


@router.post("/{job_id}/resume", summary="Resume a job", **ACCEPTED)
def resume(job_id: JobId, service: JobsService, tenant: Tenant) -> Response:
    """Queue a paused job again; it goes on from its checkpoint."""
    return _accepted(service.resume(job_id, tenant=tenant))


@router.post("/{job_id}/retry", summary="Retry a job", **ACCEPTED)
def retry(
    job_id: JobId,
    service: JobsService,
    tenant: Tenant,
    from_: Annotated[
        Literal["checkpoint", "start"],
        Query(
            alias="from",
            description="`checkpoint`: go on from the last checkpoint, if there is one. `start`: forget what was "
            "computed.",
        ),
    ] = "checkpoint",
) -> Response:
    """Queue a failed or cancelled job again as a new attempt, from its last checkpoint if it left one."""
    return _accepted(service.retry(job_id, from_start=from_ == "start", tenant=tenant))
