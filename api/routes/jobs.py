"""Jobs: submit, look, steer."""

from __future__ import annotations

import hashlib
import re
from functools import partial
from typing import Annotated, Any, Literal

import structlog
import yaml
from fastapi import APIRouter, Query, Response
from pydantic import AwareDatetime, BeforeValidator, Field

from api import examples
from api.dependencies import (
    Engine,
    Held,
    IdempotencyKey,
    IfNoneMatch,
    JobsService,
    Prefer,
    Spec,
    Tenant,
    Version,
    asked_to_wait,
    body,
)
from api.http.parameters import JobId
from api.http.responses import accepted, holds, tagged
from api.http.routing import InTurn
from hposvc import tracing
from hposvc.jobs import queries
from hposvc.jobs.queries import Order
from hposvc.schema.corrections import calmer
from hposvc.schema.job import Checked, JobPage, JobResource, JobUpdate
from hposvc.schema.paging import MAX_PAGE
from hposvc.schema.spec import Kind, Tag
from hposvc.schema.states import TERMINAL, State

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=InTurn)

Text = Annotated[
    str | None,
    Query(
        max_length=200,
        pattern=r"^[^\x00]*$",
        description="Only jobs with this in their name, in a tag or in the name of their data set, or at the start of "
        "their id or that of their data set. Capitals do not matter in names.",
    ),
]
DATE = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]")


def _no_number(value: Any) -> Any:
    """Pydantic would take a number for the seconds since 1970."""
    if isinstance(value, str) and not DATE.match(value):
        raise ValueError("must be a time like 2026-01-15T09:30:00Z, with its zone")
    return value


Moment = Annotated[AwareDatetime, BeforeValidator(_no_number), Field(examples=["2026-01-15T09:30:00Z"])]


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
async def submit(
    spec: Spec,
    held: Held,
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
    turns = held.work.checks if spec.uploads else held.work.changes
    if dry_run:
        checked, warnings = await turns.run(tenant, partial(held.jobs.check, spec, tenant=tenant))
        answer = Checked(spec=checked, warnings=list(warnings))
        return Response(answer.model_dump_json(), media_type="application/json")
    traceparent = tracing.traceparent()
    keep = partial(held.jobs.submit, spec, tenant=tenant, idempotency_key=idempotency_key, traceparent=traceparent)
    job = await turns.run(tenant, keep)
    held.metrics.submitted.inc()
    log.info("job submitted", job_id=job.id, kind=job.kind, attempt=job.attempt)
    return accepted(job)


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
    kind: Annotated[Kind | None, Query(description="Only jobs of this kind. By default all.")] = None,
    tag: Annotated[Tag | None, Query(description="Only jobs with this tag.")] = None,
    text: Text = None,
    experiment: Annotated[
        str | None,
        Query(max_length=64, pattern=r"^[^\x00]+$", description="Only jobs of the experiment with this id."),
    ] = None,
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
            "`best_upper_loss`, `upper_loss`: the lowest first. `progress`: the furthest first. "
            "`gain`: the largest first. `name`, `dataset`, `state`: from a to z."
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
    found = queries.list_(
        engine,
        tenant=tenant,
        state=state or None,
        kind=kind,
        tag=tag,
        text=text,
        experiment=experiment,
        created_after=created_after,
        created_before=created_before,
        order=order,
        limit=limit,
        page_token=page,
    )
    versions = "".join(f"{job.id}:{job.version} " for job in found.items) + f"{found.next_page} {found.total}"
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
    job = await held.work.reads.run(tenant, get)
    seconds = asked_to_wait(prefer)
    waits = seconds and held.live.has_room(tenant)
    unchanged = holds(if_none_match, str(job.version)) if if_none_match else job.state not in TERMINAL
    if waits and unchanged:
        with held.live.place(tenant) as place:
            look = partial(queries.position, held.engine, job_id, tenant=tenant)
            position, _ = await held.work.reads.run(tenant, look)
            if position.version == job.version:
                await place.changed(job_id, position, seconds)
        job = await held.work.reads.run(tenant, get)
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
def get_spec(
    job_id: JobId,
    engine: Engine,
    tenant: Tenant,
    corrected: Annotated[
        bool,
        Query(
            description="true: with steps that do not diverge, for a new job in the place of one that diverged; a "
            "comment in its first lines says what was changed."
        ),
    ] = False,
) -> Response:
    """The specification with every default filled in, as a file for `hposvc submit`."""
    spec, head = queries.get(engine, job_id, tenant=tenant).spec, ""
    if corrected:
        spec, changes = calmer(spec)
        head = "".join(f"# {line}\n" for line in (f"Corrected from {job_id}:", *changes))
    document = spec.said(exclude_none=True)
    text = head + yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    headers = {"Content-Disposition": f'inline; filename="{job_id}.yaml"'}
    return Response(text, media_type="application/yaml; charset=utf-8", headers=headers)


ACCEPTED: dict[str, Any] = {
    "status_code": 202,
    "response_model": JobResource,
    "responses": {202: examples.answer(examples.JOB, "Asked for; the job's state says how far it is.", ("Location",))},
}


@router.post("/{job_id}/cancel", summary="Cancel a job", **ACCEPTED)
def cancel(job_id: JobId, service: JobsService, tenant: Tenant) -> Response:
    """Stop the job for good. What it found so far is kept."""
    return accepted(service.cancel(job_id, tenant=tenant))


@router.post("/{job_id}/pause", summary="Pause a job", **ACCEPTED)
def pause(job_id: JobId, service: JobsService, tenant: Tenant) -> Response:
    """Stop the job after its current iteration, with a checkpoint, and free its worker."""
    return accepted(service.pause(job_id, tenant=tenant))


@router.post("/{job_id}/resume", summary="Resume a job", **ACCEPTED)
def resume(job_id: JobId, service: JobsService, tenant: Tenant) -> Response:
    """Queue a paused job again; it goes on from its checkpoint."""
    return accepted(service.resume(job_id, tenant=tenant))


@router.post("/{job_id}/finish", summary="Finish a job now", **ACCEPTED)
def finish(job_id: JobId, service: JobsService, tenant: Tenant) -> Response:
    """End the iterations after the current one. The result is made of those that are done, at least one.

    A paused job is queued again for it. The result says `stopped_by: request`.
    """
    return accepted(service.finish(job_id, tenant=tenant))


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
    return accepted(service.retry(job_id, from_start=from_ == "start", tenant=tenant))
