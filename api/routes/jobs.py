"""Jobs: submit, look, steer."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

import yaml
from fastapi import APIRouter, Path, Query, Response
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from api import examples, rows
from api.answers import tagged
from api.artifacts import file_response
from api.dependencies import Engine, IdempotencyKey, IfNoneMatch, JobsService, Spec
from api.problem_details import Problem, field_error
from api.report import render_report
from hposvc.jobs import downsampling, queries
from hposvc.jobs.queries import InvalidPageToken
from hposvc.jobs.resources import ArtifactResource, EventPage, IterationColumns, JobPage, JobResource
from hposvc.jobs.spec import JobSpec, Kind, Tag
from hposvc.jobs.states import State

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

LARGEST = 2**53  # the integers that JavaScript and JSON agree on
JobId = Annotated[str, Path(max_length=64, pattern=r"^[^\x00]+$", examples=[examples.JOB_ID])]
Text = Annotated[
    str | None, Query(max_length=200, pattern=r"^[^\x00]*$", description="Part of the name, or how the id begins.")
]
Iteration = Annotated[int | None, Query(ge=0, le=LARGEST)]


class Checked(BaseModel):
    """The answer to a dry run: the specification is valid; this is how it looks with every default filled in."""

    valid: Literal[True] = True
    spec: JobSpec


class ArtifactList(BaseModel):
    """The files that a job left; ``url`` is where to download each."""

    items: list[ArtifactResource]


@router.post(
    "",
    status_code=202,
    summary="Submit a job",
    response_model=JobResource,
    responses={
        200: examples.answer(examples.CHECKED, "A dry run: the specification is valid.") | {"model": Checked},
        202: examples.answer(examples.JOB, "Queued. Location is where the job is found.", ("Location",)),
    },
    openapi_extra=examples.request_body(),
)
def submit(
    spec: Spec,
    service: JobsService,
    idempotency_key: IdempotencyKey = None,
    dry_run: Annotated[bool, Query(description="Only check; nothing is stored.")] = False,
) -> Response:
    """Check the whole specification, against its dataset too, and queue the job. JSON or YAML."""
    if dry_run:
        return Response(Checked(spec=service.check(spec)).model_dump_json(), media_type="application/json")
    return _accepted(service.submit(spec, idempotency_key=idempotency_key))


@router.get(
    "",
    summary="List jobs",
    response_model=JobPage,
    responses={200: examples.answer(examples.JOBS, "A page of jobs.", ("ETag",)), 304: examples.UNCHANGED},
)
def list_jobs(
    engine: Engine,
    state: Annotated[State | None, Query(description="Only jobs in this state.")] = None,
    kind: Annotated[Kind | None, Query(description="Only jobs of this kind.")] = None,
    tag: Annotated[Tag | None, Query(description="A tag that the job carries.")] = None,
    text: Text = None,
    limit: Annotated[int, Query(ge=1, le=queries.MAX_PAGE, description="At most this many jobs.")] = 50,
    page: Annotated[str | None, Query(max_length=500, description="next_page of the page before.")] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Jobs, newest first."""
    try:
        found = queries.list_(engine, state=state, kind=kind, tag=tag, text=text, limit=limit, page_token=page)
    except InvalidPageToken as error:
        errors = [field_error("page", "is not a page token of this service", "Leave it out for the first page.", page)]
        raise Problem("invalid-parameter", str(error), errors=errors) from None
    versions = "".join(f"{job.id}:{job.version} " for job in found.items) + str(found.next_page)
    return tagged(found, hashlib.sha256(versions.encode()).hexdigest()[:16], if_none_match)


@router.get(
    "/{job_id}",
    summary="Get a job",
    response_model=JobResource,
    responses={200: examples.answer(examples.JOB, "The job.", ("ETag",)), 304: examples.UNCHANGED},
)
def get_job(job_id: JobId, engine: Engine, if_none_match: IfNoneMatch = None) -> Response:
    """One job as it stands, with its result once it has one."""
    job = queries.get(engine, job_id)
    return tagged(job, str(job.version), if_none_match)


@router.get(
    "/{job_id}/spec",
    summary="Get a job's specification as YAML",
    response_class=Response,
    responses={200: examples.answer(examples.SPEC_YAML, "Ready to be submitted.", media_type="application/yaml")},
)
def get_spec(job_id: JobId, engine: Engine) -> Response:
    """The specification with every default filled in, as a file for `hposvc submit`."""
    spec: dict[str, Any] = queries.get(engine, job_id).spec.model_dump(mode="json", exclude_none=True)
    text = yaml.safe_dump(spec, sort_keys=False, allow_unicode=True)
    headers = {"Content-Disposition": f'inline; filename="{job_id}.yaml"'}
    return Response(text, media_type="application/yaml; charset=utf-8", headers=headers)


@router.get(
    "/{job_id}/iterations",
    summary="Get what the iterations recorded",
    response_model=IterationColumns,
    responses={200: examples.answer(examples.ITERATIONS, "Columns of equal length, ascending.")},
)
def get_iterations(
    job_id: JobId,
    engine: Engine,
    after: Annotated[int, Query(ge=-1, le=LARGEST, description="Only iterations beyond this one: the tail.")] = -1,
    limit: Annotated[int, Query(ge=1, le=100_000, description="At most this many iterations.")] = 10_000,
    from_: Annotated[int | None, Query(alias="from", ge=0, le=LARGEST, description="First of a stretch.")] = None,
    to: Annotated[int | None, Query(ge=0, le=LARGEST, description="Last of the stretch.")] = None,
    max_points: Annotated[
        int | None, Query(ge=1, le=10_000, description="Fold the stretch into at most this many buckets.")
    ] = None,
) -> Response:
    """The tail (`after`), or a stretch (`from`, `to`) in at most `max_points` buckets of first, last, min and max."""
    if from_ is None and to is None and max_points is None:
        columns = queries.iterations(engine, job_id, after=after, limit=limit)
    else:
        columns = downsampling.iterations(engine, job_id, start=from_, stop=to, max_points=max_points or 1000)
    return Response(columns.model_dump_json(), media_type="application/json")


@router.get(
    "/{job_id}/events",
    summary="Get a job's history",
    response_model=EventPage,
    responses={200: examples.answer(examples.EVENTS, "Events in order.")},
)
def get_events(
    job_id: JobId,
    engine: Engine,
    after: Annotated[int, Query(ge=0, le=LARGEST, description="Only events beyond this one.")] = 0,
    limit: Annotated[int, Query(ge=1, le=10_000, description="At most this many events.")] = 1000,
) -> EventPage:
    """State changes, notes and log lines, numbered without gaps."""
    return queries.events(engine, job_id, after=after, limit=limit)


@router.get(
    "/{job_id}/artifacts",
    summary="List a job's files",
    response_model=ArtifactList,
    responses={200: examples.answer(examples.ARTIFACTS, "The files, by name.")},
)
def list_artifacts(job_id: JobId, engine: Engine) -> ArtifactList:
    """What the job left: report, hyperparameters, model, checkpoints."""
    found = queries.artifacts(engine, job_id)
    return ArtifactList(
        items=[item.model_copy(update={"url": f"/v1/jobs/{job_id}/artifacts/{item.name}"}) for item in found]
    )


@router.get(
    "/{job_id}/artifacts/{name}",
    summary="Download a file",
    response_class=Response,
    responses={200: {"description": "The bytes.", "content": {"application/octet-stream": {}}}},
)
def get_artifact(job_id: JobId, name: Annotated[str, Path(max_length=200)], engine: Engine) -> Response:
    """One file; ranges are served where the store is a local folder."""
    for artifact in queries.artifacts(engine, job_id):
        if artifact.name == name:
            return file_response(artifact)
    raise Problem("artifact-not-found", f"Job {job_id} has no file {name!r}.")


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
    format_: Annotated[rows.Format, Query(alias="format", description="How they are written.")] = "csv",
    part: Annotated[rows.Part, Query(description="Only the rows that were used for this.")] = "train",
    limit: Annotated[int | None, Query(ge=1, le=LARGEST, description="At most this many.")] = None,
) -> Response:
    """Every row with your own ids and columns beside its weight and rank, its label, and what the model says of it."""
    for artifact in queries.artifacts(engine, job_id):
        if artifact.name == rows.NAME:
            return rows.rows_response(artifact, format_=format_, part=part, limit=limit)
    state = queries.get(engine, job_id).state
    raise Problem("rows-not-available", f"Job {job_id} is {state} and has left no rows.", state=state)


@router.get(
    "/{job_id}/report",
    summary="Get a finished job's report as a page",
    response_class=HTMLResponse,
    responses={
        200: {"description": "A page to read or to print.", "content": {"text/html": {"example": "<!doctype html>…"}}}
    },
)
def get_report(job_id: JobId, engine: Engine) -> HTMLResponse:
    """What was found, on a page that needs nothing else; the same as JSON is the file `report.json`."""
    job = queries.get(engine, job_id)
    if job.result is None:
        raise Problem("rows-not-available", f"Job {job_id} is {job.state}: there is no result yet.", state=job.state)
    return HTMLResponse(render_report(job))


def _accepted(job: JobResource) -> Response:
    return Response(job.model_dump_json(), 202, media_type="application/json", headers={"Location": job.links.self})


ACCEPTED: dict[str, Any] = {
    "status_code": 202,
    "response_model": JobResource,
    "responses": {202: examples.answer(examples.JOB, "Asked for; the job's state says how far it is.", ("Location",))},
}


@router.post("/{job_id}/cancel", summary="Cancel a job", **ACCEPTED)
def cancel(job_id: JobId, service: JobsService) -> Response:
    """Stop the job for good. What it found so far is kept."""
    return _accepted(service.cancel(job_id))


@router.post("/{job_id}/pause", summary="Pause a job", **ACCEPTED)
def pause(job_id: JobId, service: JobsService) -> Response:
    """Stop the job after its current iteration, with a checkpoint, and free its worker."""
    return _accepted(service.pause(job_id))


@router.post("/{job_id}/resume", summary="Resume a job", **ACCEPTED)
def resume(job_id: JobId, service: JobsService) -> Response:
    """Queue a paused job again; it goes on from its checkpoint."""
    return _accepted(service.resume(job_id))


@router.post("/{job_id}/retry", summary="Retry a job", **ACCEPTED)
def retry(job_id: JobId, service: JobsService) -> Response:
    """Queue a failed or cancelled job again as a new attempt, from its last checkpoint if it left one."""
    return _accepted(service.retry(job_id))
