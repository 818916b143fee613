"""λ of a job: now, over time, and the rows that it is about."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api import examples
from api.dependencies import Engine, Held, Tenant
from api.http.parameters import LARGEST, JobId
from api.http.problem_details import HTTPProblem, invalid_dataset
from api.http.routing import InTurn
from hposvc.datasets.service import Datasets
from hposvc.jobs import hyperparameters, queries
from hposvc.jobs.hyperparameters import Order
from hposvc.schema.hyperparameters import HyperparameterHistory, Hyperparameters
from hposvc.schema.rows import MOST_ROWS, NO_ROWS, JobRows
from hposvc.schema.spec import JobSpec
from hposvc.tables.defects import DataError

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=InTurn)


@router.get(
    "/{job_id}/hyperparameters",
    summary="Get the hyperparameters",
    response_model=Hyperparameters,
    responses={200: examples.answer(examples.HYPERPARAMETERS, "λ with its quantiles, histogram and entries.")},
)
def get_hyperparameters(
    job_id: JobId,
    engine: Engine,
    tenant: Tenant,
    order: Annotated[
        Order,
        Query(
            description="`given`: in the order of the rows, classes, groups or parameters. `lowest`, `highest`: "
            "from that value on."
        ),
    ] = "given",
    whole: Annotated[
        bool,
        Query(
            description="While there is no result: true leads through every value, at the newest checkpoint; false "
            "may show only the 50 lowest or highest, at the newest snapshot."
        ),
    ] = False,
    limit: Annotated[int, Query(ge=0, le=10_000, description="At most this many entries. 0: only the summaries.")] = 50,
    page: Annotated[
        str | None,
        Query(
            max_length=500,
            description="`next_page` of the page before, with the same `order`. By default the first page.",
        ),
    ] = None,
) -> Response:
    """λ of the answer. Of a job that has none yet: the lowest or highest values at its newest snapshot; or every value,
    page by page, at its newest checkpoint, which is where all pages stay while the job goes on.
    """
    try:
        found = hyperparameters.current(engine, job_id, tenant=tenant, order=order, whole=whole, page=page, limit=limit)
    except hyperparameters.NotReady as error:
        raise HTTPProblem("hyperparameters-not-ready", f"{error}.") from None
    except hyperparameters.MovedOn as error:
        raise HTTPProblem("hyperparameters-moved-on", f"{error}.") from None
    except hyperparameters.FileMissing:
        raise HTTPProblem(
            "artifact-missing", "The file of λ is recorded, but the store has it no longer, or damaged."
        ) from None
    return Response(found.model_dump_json(exclude_unset=True), media_type="application/json")


@router.get(
    "/{job_id}/hyperparameters/history",
    summary="Get the hyperparameters over time",
    response_model=HyperparameterHistory,
    responses={200: examples.answer(examples.HISTORY, "Columns of equal length, ascending by iteration.")},
)
def get_history(
    job_id: JobId,
    engine: Engine,
    tenant: Tenant,
    after: Annotated[
        int,
        Query(
            ge=-1,
            le=LARGEST,
            description="Only snapshots after this iteration: `next_after` of the response before. -1: all.",
        ),
    ] = -1,
) -> Response:
    """Quantiles of each group of λ, and every value where they are at most 32, at less than 700 iterations."""
    found = hyperparameters.history(engine, job_id, tenant=tenant, after=after)
    return Response(found.model_dump_json(), media_type="application/json")


@router.get(
    "/{job_id}/rows/features",
    summary="Get rows of a job's dataset",
    responses={200: examples.answer(examples.ROWS, "The rows, in the order asked for.")},
)
async def get_row_features(
    job_id: JobId,
    held: Held,
    tenant: Tenant,
    id: Annotated[  # noqa: A002 - the name of the parameter
        list[Annotated[str, Query(max_length=1000)]],
        Query(
            min_length=1, max_length=MOST_ROWS, description="The id of a row. Repeat the parameter for more, up to 100."
        ),
    ],
) -> JobRows:
    """Features as they came, and the shape of the images that they are; ids that no row has are left out.

    For datasets of images and those that come with the service: rows of an uploaded table have columns instead, which
    are in `/rows`.
    """
    get = partial(queries.get, held.engine, job_id, tenant=tenant)
    spec = (await held.work.reads.run(tenant, get)).spec
    look = partial(_rows, held.datasets, spec, id, tenant)
    return await (held.work.checks if spec.uploads else held.work.reads).run(tenant, look)


def _rows(datasets: Datasets, spec: JobSpec, ids: list[str], tenant: str) -> JobRows:
    if spec.dataset is None:
        return NO_ROWS
    found = datasets.get(spec.dataset.id, tenant=tenant)
    if found.source == "upload" and found.image_shape is None:
        return NO_ROWS
    try:
        return datasets.rows(spec, ids, tenant=tenant)
    except DataError as error:
        raise invalid_dataset(error) from None
    except FileNotFoundError:
        raise HTTPProblem(
            "artifact-missing", f"{found.id} is recorded, but the store has its file no longer."
        ) from None
