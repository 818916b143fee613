"""Several jobs side by side."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from api import examples
from api.dependencies import Engine, Tenant
from api.http.parameters import LARGEST
from api.http.problem_details import HTTPProblem, field_error
from api.http.routing import InTurn
from hposvc.jobs.comparison import MOST_JOBS, Metric, compare
from hposvc.schema.comparison import Comparison

router = APIRouter(prefix="/v1/compare", tags=["jobs"], route_class=InTurn)


@router.get(
    "",
    summary="Compare jobs",
    response_model=Comparison,
    responses={200: examples.answer(examples.COMPARISON, "The jobs, in the order asked for.")},
)
def compare_jobs(
    engine: Engine,
    tenant: Tenant,
    jobs: Annotated[
        str, Query(min_length=1, max_length=1000, description="Ids of one to eight jobs, separated by commas.")
    ],
    metric: Annotated[Metric, Query(description="The number to compare over the iterations.")] = "upper_loss",
    by: Annotated[
        Literal["iteration", "seconds"],
        Query(description="What the jobs are to be aligned by: iterations, or seconds of the solver."),
    ] = "iteration",
    from_: Annotated[
        int | None,
        Query(alias="from", ge=0, le=LARGEST, description="The first iteration. By default the first of each job."),
    ] = None,
    to: Annotated[
        int | None, Query(ge=0, le=LARGEST, description="The last iteration. By default the last of each job.")
    ] = None,
    max_points: Annotated[
        int,
        Query(
            ge=1,
            le=2000,
            description="At most this many points of each job. Where there are more iterations, a point stands for "
            "several.",
        ),
    ] = 500,
) -> Response:
    """One metric of up to eight jobs, the fields in which their specifications differ, and what came of each."""
    ids = list(dict.fromkeys(part.strip() for part in jobs.split(",") if part.strip()))
    if not 1 <= len(ids) <= MOST_JOBS or "\x00" in jobs:
        errors = [field_error("jobs", f"names {len(ids)} jobs", f"Name one to {MOST_JOBS} jobs.", jobs)]
        raise HTTPProblem("invalid-parameter", f"jobs: names {len(ids)} jobs, not one to {MOST_JOBS}.", errors=errors)
    found = compare(engine, ids, tenant=tenant, metric=metric, by=by, start=from_, stop=to, max_points=max_points)
    return Response(found.model_dump_json(), media_type="application/json")
