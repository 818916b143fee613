"""Experiments: submit, look, steer."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Annotated, Any, Literal

import structlog
from fastapi import APIRouter, Header, Path, Query, Response

from api import examples, news
from api import experiment_examples as ours
from api.dependencies import (
    Accept,
    ArtifactStore,
    Engine,
    ExperimentsService,
    Held,
    IdempotencyKey,
    IfNoneMatch,
    Tenant,
    Version,
    body,
)
from api.http import columns
from api.http.negotiation import preferred
from api.http.parameters import AfterEvent, EventLimit
from api.http.responses import accepted, tagged
from api.http.routing import InTurn
from api.live import EVENT_STREAM
from hposvc import tracing
from hposvc.experiments import queries, rows, sampling
from hposvc.schema.experiment_spec import ExperimentSpec, SearchPlan
from hposvc.schema.experiments import (
    ENDED,
    CheckedExperiment,
    ExperimentEventPage,
    ExperimentPage,
    ExperimentResource,
    ExperimentState,
    Importance,
    RepeatedRows,
    RepeatedStrengths,
    TrialPage,
)
from hposvc.schema.paging import MAX_PAGE

log = structlog.get_logger(__name__)
router = APIRouter(prefix="/v1/experiments", tags=["experiments"], route_class=InTurn)

ExperimentId = Annotated[
    str, Path(max_length=64, pattern=r"^[^\x00]+$", examples=[ours.ID], description="The id of the experiment.")
]
Limit = Annotated[int, Query(ge=1, le=MAX_PAGE, description="At most this many on a page.")]
Page = Annotated[
    str | None, Query(max_length=500, description="`next_page` of the page before. By default the first page.")
]


@router.post(
    "",
    status_code=202,
    summary="Submit an experiment",
    response_model=ExperimentResource,
    responses={
        200: examples.answer(ours.CHECKED, "A dry run: the experiment is valid.") | {"model": CheckedExperiment},
        202: examples.answer(ours.EXPERIMENT, "Begun. Location is where it is found.", ("Location",)),
    },
    openapi_extra=ours.request_body(),
)
async def submit_experiment(
    spec: Annotated[ExperimentSpec, body(ExperimentSpec)],
    held: Held,
    tenant: Tenant,
    idempotency_key: IdempotencyKey = None,
    dry_run: Annotated[
        bool, Query(description="true: only check it. Nothing is stored, and the response is 200 with every default.")
    ] = False,
) -> Response:
    """Begin many jobs as one question: repeats of a job, a grid, or a search by Optuna. JSON or YAML.

    Its jobs are made as there is room for them, at most `at_once` at a time, and count towards the quotas.
    """
    turns = held.work.checks if spec.job.uploads else held.work.changes
    if dry_run:
        warnings = await turns.run(tenant, partial(held.experiments.check, spec, tenant=tenant))
        checked = CheckedExperiment(spec=spec, trials=spec.planned, warnings=list(warnings))
        return Response(checked.model_dump_json(), media_type="application/json")
    keep = partial(
        held.experiments.submit,
        spec,
        tenant=tenant,
        idempotency_key=idempotency_key,
        traceparent=tracing.traceparent(),
    )
    experiment = await turns.run(tenant, keep)
    log.info("experiment submitted", experiment=experiment.id, plan=spec.plan.type, trials=spec.planned)
    return accepted(experiment)


@router.get(
    "",
    summary="List experiments",
    response_model=ExperimentPage,
    responses={200: examples.answer(ours.EXPERIMENTS, "A page of them.", ("ETag",)), 304: examples.UNCHANGED},
)
def list_experiments(
    engine: Engine,
    tenant: Tenant,
    state: Annotated[ExperimentState | None, Query(description="Only those in this state. By default all.")] = None,
    limit: Limit = 50,
    page: Page = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Experiments, the newest first, a page at a time, without their results."""
    found = queries.list_(engine, tenant=tenant, state=state, limit=limit, page_token=page)
    versions = "".join(f"{item.id}:{item.version} " for item in found.items) + f"{found.next_page}"
    return tagged(found, hashlib.sha256(versions.encode()).hexdigest()[:16], if_none_match)


@router.get(
    "/{experiment_id}",
    summary="Get an experiment",
    response_model=ExperimentResource,
    responses={200: examples.answer(ours.EXPERIMENT, "The experiment.", ("ETag",)), 304: examples.UNCHANGED},
)
def get_experiment(
    experiment_id: ExperimentId, engine: Engine, tenant: Tenant, if_none_match: IfNoneMatch = None
) -> Response:
    """One experiment as it stands, with its result once it has one."""
    found = queries.get(engine, experiment_id, tenant=tenant)
    return tagged(found, str(found.version), if_none_match)


@router.delete(
    "/{experiment_id}",
    status_code=204,
    summary="Delete an experiment",
    responses={204: {"description": "Gone: the experiment, its trials, its jobs with all that they left."}},
)
def delete_experiment(
    experiment_id: ExperimentId, service: ExperimentsService, tenant: Tenant, version: Version = None
) -> Response:
    """Delete an experiment that has ended, with its jobs. With If-Match only if it is still that version."""
    service.delete(experiment_id, tenant=tenant, version=version)
    return Response(status_code=204)


@router.get(
    "/{experiment_id}/trials",
    summary="List the trials of an experiment",
    response_model=TrialPage,
    responses={200: examples.answer(ours.TRIALS, "A page of trials.", ("ETag",)), 304: examples.UNCHANGED},
)
def list_trials(
    experiment_id: ExperimentId,
    engine: Engine,
    tenant: Tenant,
    limit: Limit = MAX_PAGE,
    page: Page = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The trials in order of their numbers: values, job, loss, and how each came along."""
    found = queries.trials_page(engine, experiment_id, tenant=tenant, limit=limit, page_token=page)
    return tagged(found, hashlib.sha256(found.model_dump_json().encode()).hexdigest()[:16], if_none_match)


@router.get(
    "/{experiment_id}/events",
    summary="Get an experiment's history",
    response_model=ExperimentEventPage,
    responses={
        200: examples.responses(
            {columns.JSON: ours.EVENTS, EVENT_STREAM: ours.STREAM}, "Events in order, or a stream of them."
        ),
        204: {"description": "As a stream: the experiment has ended, and there is nothing beyond Last-Event-ID."},
    },
)
async def get_experiment_events(
    experiment_id: ExperimentId,
    held: Held,
    tenant: Tenant,
    after: AfterEvent = 0,
    limit: EventLimit = 1000,
    accept: Accept = None,
    last_event_id: Annotated[
        str | None,
        Header(
            max_length=15,
            pattern=r"^[0-9]{1,15}$",
            description="The id of the last event that came: a stream goes on after it. By default `after` says where "
            "it begins.",
        ),
    ] = None,
) -> Response:
    """Changes of state, trials that are made and that end, and notes, numbered without gaps.

    With `Accept: text/event-stream` each comes when it happens; its id is its number, and a client that sends it as
    Last-Event-ID goes on there. The event `end` says that the experiment has ended; otherwise a stream ends after ten
    minutes, and is to be taken up again.
    """
    if preferred(accept, (columns.JSON, EVENT_STREAM)) == columns.JSON:
        read = partial(queries.events, held.engine, experiment_id, tenant=tenant, after=after, limit=limit)
        page = await held.work.reads.run(tenant, read)
        return Response(page.model_dump_json(), media_type=columns.JSON, headers={"Vary": "Accept"})
    begin = int(last_event_id) if last_event_id else after
    where = partial(queries.position, held.engine, experiment_id, tenant=tenant)
    position, state = await held.work.reads.run(tenant, where)
    if last_event_id and state in ENDED and begin >= position.last_event:
        return Response(status_code=204)  # an EventSource that gets this asks no more
    look = news.of_experiment(held.engine, experiment_id, tenant=tenant, after=begin)
    return held.live.response(experiment_id, look, tenant=tenant)


@router.get(
    "/{experiment_id}/importance",
    summary="Get how much each setting matters",
    response_model=Importance,
    responses={200: examples.answer(ours.IMPORTANCE, "The shares.")},
)
def get_importance(
    experiment_id: ExperimentId,
    engine: Engine,
    tenant: Tenant,
    evaluator: Annotated[
        Literal["fanova", "mean_decrease_impurity"], Query(description="How it is computed: see `Importance`.")
    ] = "mean_decrease_impurity",
) -> Importance:
    """Which settings of a search the differences between its trials are due to; empty for other plans."""
    spec, trials = queries.spec_and_trials(engine, experiment_id, tenant=tenant)
    if not isinstance(spec.plan, SearchPlan):
        return Importance(evaluator=evaluator, trials=0, importance={})
    number, shares = sampling.importance(spec.plan, trials, evaluator)
    return Importance(evaluator=evaluator, trials=number, importance=shares)


@router.get(
    "/{experiment_id}/rows",
    summary="Get the suspects over the repeats",
    response_model=RepeatedRows,
    responses={200: examples.answer(ours.ROWS, "The suspects, the most frequent first.")},
)
def get_repeated_rows(
    experiment_id: ExperimentId,
    engine: Engine,
    store: ArtifactStore,
    tenant: Tenant,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="At most this many rows.")] = 100,
) -> RepeatedRows:
    """In how many repeats each row was a suspect, and how probably its label is wrong on average."""
    return rows.suspects(engine, store, experiment_id, tenant=tenant, limit=limit)


@router.get(
    "/{experiment_id}/strengths",
    summary="Get the strengths over the repeats",
    response_model=RepeatedStrengths,
    responses={200: examples.answer(ours.STRENGTHS, "The strengths, the strongest first.")},
)
def get_repeated_strengths(
    experiment_id: ExperimentId,
    engine: Engine,
    store: ArtifactStore,
    tenant: Tenant,
    limit: Annotated[int, Query(ge=1, le=MAX_PAGE, description="At most this many strengths.")] = 100,
) -> RepeatedStrengths:
    """The mean of each strength over the repeats, and how far they are apart."""
    return rows.strengths(engine, store, experiment_id, tenant=tenant, limit=limit)


ACCEPTED: dict[str, Any] = {
    "status_code": 202,
    "response_model": ExperimentResource,
    "responses": {202: examples.answer(ours.EXPERIMENT, "Asked for; its jobs follow.", ("Location",))},
}


@router.post("/{experiment_id}/cancel", summary="Cancel an experiment", **ACCEPTED)
def cancel_experiment(experiment_id: ExperimentId, service: ExperimentsService, tenant: Tenant) -> Response:
    """Stop the experiment for good, with its jobs. What was found so far is kept."""
    return accepted(service.cancel(experiment_id, tenant=tenant))


@router.post("/{experiment_id}/pause", summary="Pause an experiment", **ACCEPTED)
def pause_experiment(experiment_id: ExperimentId, service: ExperimentsService, tenant: Tenant) -> Response:
    """Make no more trials, and pause the jobs of those that wait or run."""
    return accepted(service.pause(experiment_id, tenant=tenant))


@router.post("/{experiment_id}/resume", summary="Resume an experiment", **ACCEPTED)
def resume_experiment(experiment_id: ExperimentId, service: ExperimentsService, tenant: Tenant) -> Response:
    """Go on after a pause: its jobs are queued again, and more are made."""
    return accepted(service.resume(experiment_id, tenant=tenant))
