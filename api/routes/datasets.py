"""Data sets: send, list, look, remove."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from api import examples
from api.dependencies import DatasetsService, Held, Services, Tenant
from api.http.files import BODY, on_threads, receive_file, suffix_of
from api.http.parameters import DatasetId
from api.http.problem_details import HTTPProblem, invalid_dataset
from api.http.routing import InTurn
from api.http.rows import table_response
from hposvc.datasets.service import MOST_PREVIEWED, Datasets, Incoming, check_name
from hposvc.schema.datasets import DatasetPage, DatasetResource, RowsPreview
from hposvc.schema.paging import MAX_PAGE
from hposvc.tables.defects import DataError
from hposvc.tables.options import Decimal, Reading, Task, Unlabelled, UploadOptions

router = APIRouter(prefix="/v1/datasets", tags=["datasets"], route_class=InTurn)

Column = Annotated[str | None, Query(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]


@router.post(
    "",
    status_code=201,
    summary="Upload a data set",
    response_model=DatasetResource,
    responses={
        200: examples.answer(examples.DATASET, "The same content was there already."),
        201: examples.answer(examples.DATASET, "Kept. Location is where it is found.", ("Location",)),
    },
    openapi_extra=BODY,
)
async def upload(
    request: Request,
    held: Held,
    tenant: Tenant,
    name: Annotated[
        str | None,
        Query(
            max_length=1000,
            description="The name of the file, for people. By default `data.csv` and the like.",
        ),
    ] = None,
    label: Annotated[
        Column,
        Query(
            description="The column to predict, unless a job names another. By default the only one called target, "
            "label, class or y, if there is one."
        ),
    ] = None,
    id_column: Annotated[
        Column,
        Query(
            description="The column that names the rows; its values must differ. By default the only one called id "
            "or row_id, if there is one."
        ),
    ] = None,
    task: Annotated[
        Task | None,
        Query(
            description="Whether the label holds classes or numbers. By default text, truth values and at most 50 "
            "different whole numbers, also written 1.0, are classes; other numbers are numbers."
        ),
    ] = None,
    unlabelled: Annotated[
        Unlabelled,
        Query(
            description="Whether a file with rows that have no label is refused, or jobs leave those rows out. A job "
            "may say otherwise by `dataset.unlabelled`."
        ),
    ] = "refuse",
    date_format: Annotated[
        str | None,
        Query(
            min_length=2,
            max_length=50,
            description="How dates of a CSV file are written, such as %d/%m/%Y. By default each column is read as all "
            "of its values allow; what could be read in two ways gets a caution.",
        ),
    ] = None,
    decimal: Annotated[
        Decimal | None,
        Query(
            description="The decimal point or comma of a CSV file. By default what its columns leave no doubt about."
        ),
    ] = None,
    encoding: Annotated[
        str | None,
        Query(
            max_length=50,
            description="How the characters of a CSV file became bytes, such as cp1252. By default UTF-8, UTF-16 or, "
            "where its words leave no doubt, Windows-1252.",
        ),
    ] = None,
    missing_values: Annotated[
        list[Annotated[str, Query(max_length=200)]] | None,
        Query(
            max_length=100,
            description="A text that stands for a missing value, beside an empty one; repeat it for several. An empty "
            "one alone means that no text does. By default NA, N/A, NaN, None, null, ? and the like.",
        ),
    ] = None,
    missing_values_in: Annotated[
        list[Annotated[str, Query(max_length=500, pattern=r"^[^\x00=][^\x00]*=")]] | None,
        Query(
            max_length=50,  # an address holds no more
            description="COLUMN=TEXT: a text that stands for a missing value in that column, in the place of "
            "`missing_values`; repeat it for several. An empty text alone means that none does there.",
        ),
    ] = None,
    header: Annotated[
        bool,
        Query(
            description="false: the first line of a CSV file is a row, and its columns are called `column 1`, "
            "`column 2` and so on."
        ),
    ] = True,
) -> Response:
    """Send CSV, JSON lines, XLSX, Parquet or NPZ, also in a .gz or .zip; or a .zip of pictures in folders, one a class.

    The response says what is done to each column.

    The file is looked at, whatever it is called.
    """
    called = name or f"data.{suffix_of(request)}"
    try:
        check_name(called)
    except DataError as error:
        raise invalid_dataset(error) from None
    missing = None if missing_values is None else tuple(sorted({*missing_values} - {""}))
    reading = Reading(date_format, decimal, missing, encoding, _by_column(missing_values_in or []), header)
    options = UploadOptions(label, id_column, task, unlabelled, reading)
    service = held.datasets
    await held.work.changes.run(tenant, partial(service.assert_room, tenant))  # before anything is written
    with held.staging.file(tenant) as take:
        async with on_threads(service.incoming()) as incoming:
            sha256 = await receive_file(request, incoming, take)
            keep = partial(_keep, service, incoming, sha256, called, options, tenant)
            found, new = await held.work.uploads.run(tenant, keep)
    headers = {"Location": found.links.self} if new else {"Content-Location": found.links.self}
    return Response(found.model_dump_json(), 201 if new else 200, media_type="application/json", headers=headers)


def _by_column(said: list[str]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """The texts of each column that is named, of which COLUMN=TEXT names one; an empty text is missing anyway."""
    found: dict[str, set[str]] = {}
    for item in said:
        column, _, text = item.rpartition("=")
        found.setdefault(column, set()).update({text} - {""})
    return tuple((column, tuple(sorted(found[column]))) for column in sorted(found))


def _keep(
    service: Datasets, incoming: Incoming, sha256: str, name: str, options: UploadOptions, tenant: str
) -> tuple[DatasetResource, bool]:
    try:
        return service.add(incoming, sha256=sha256, name=name, options=options, tenant=tenant)
    except DataError as error:
        raise invalid_dataset(error) from None


@router.get(
    "",
    summary="List data sets",
    response_model=DatasetPage,
    responses={200: examples.answer(examples.DATASETS, "A page of data sets.")},
)
def list_datasets(
    service: DatasetsService,
    tenant: Tenant,
    limit: Annotated[
        int,
        Query(
            ge=1,
            le=MAX_PAGE,
            description="At most this many uploaded data sets. The bundled ones follow on the last page.",
        ),
    ] = 50,
    page: Annotated[
        str | None, Query(max_length=500, description="`next_page` of the page before. By default the first page.")
    ] = None,
) -> DatasetPage:
    """Those that were uploaded, newest first, then those that are there from the start; a job names one by its id."""
    return service.list_(tenant=tenant, limit=limit, page_token=page)


@router.get(
    "/{dataset_id}",
    summary="Get a data set",
    response_model=DatasetResource,
    responses={200: examples.answer(examples.DATASET, "The data set.")},
)
def get_dataset(dataset_id: DatasetId, service: DatasetsService, tenant: Tenant) -> DatasetResource:
    """What it holds, column by column, and what is done to each before a model sees it."""
    return service.get(dataset_id, tenant=tenant)


@router.get(
    "/{dataset_id}/rows",
    summary="Get the first rows of a data set",
    response_model=RowsPreview,
    responses={200: examples.answer(examples.PREVIEW, "The first rows.")},
)
def preview(
    dataset_id: DatasetId,
    service: DatasetsService,
    tenant: Tenant,
    limit: Annotated[
        int, Query(ge=1, le=MOST_PREVIEWED, description="At most this many rows, from the first on.")
    ] = 20,
) -> RowsPreview:
    """A look at the rows as they were understood."""
    try:
        return service.preview(dataset_id, limit=limit, tenant=tenant)
    except FileNotFoundError:
        raise HTTPProblem(
            "artifact-missing", f"{dataset_id} is recorded, but the store has its file no longer."
        ) from None


@router.get(
    "/{dataset_id}/file",
    summary="Download a data set",
    response_class=Response,
    responses={200: examples.answer(examples.REVISED_CSV, "All of its rows.", media_type="text/csv")},
)
def download(
    dataset_id: DatasetId,
    held: Held,
    tenant: Tenant,
    format_: Annotated[
        Literal["csv", "parquet"], Query(alias="format", description="The format of the response.")
    ] = "csv",
    spreadsheet: Annotated[
        bool,
        Query(description="true: CSV has ' before text that a spreadsheet would take for a formula (= + - @)."),
    ] = False,
) -> Response:
    """All rows and columns of an uploaded data set as they were understood, with what reviews did to each label."""
    upload = held.datasets.upload(dataset_id, tenant=tenant)
    try:
        return table_response(
            upload.open(), upload.name, upload.description["arrays"], format_, spreadsheet=spreadsheet
        )
    except FileNotFoundError:
        raise HTTPProblem(
            "artifact-missing", f"{dataset_id} is recorded, but the store has its file no longer."
        ) from None


@router.post(
    "/{dataset_id}/versions",
    status_code=201,
    summary="Make a new version of a data set from its review",
    response_model=DatasetResource,
    responses={
        200: examples.answer(examples.VERSION, "The same decisions had made this version already."),
        201: examples.answer(examples.VERSION, "Made. Location is where it is found.", ("Location",)),
    },
)
async def make_version(
    dataset_id: DatasetId,
    held: Held,
    tenant: Tenant,
    label: Annotated[Column, Query(description="The column that was judged. By default the label.")] = None,
    name: Annotated[
        str | None, Query(max_length=1000, description="Its name. By default that of the parent, with its version.")
    ] = None,
) -> Response:
    """A data set with the decisions done to its rows: labels replaced, rows dropped, and a column that says so.

    The parent stays as it is. The version names it as `parent`, and jobs may trust its reviewed rows by
    `dataset.trusted: reviewed`.
    """
    make = partial(_version, held, dataset_id, tenant, label, name)
    found, new = await held.work.uploads.run(tenant, make)
    headers = {"Location": found.links.self} if new else {"Content-Location": found.links.self}
    return Response(found.model_dump_json(), 201 if new else 200, media_type="application/json", headers=headers)


def _version(
    held: Services, dataset_id: str, tenant: str, label: str | None, name: str | None
) -> tuple[DatasetResource, bool]:
    try:
        if name is not None:
            check_name(name)
        return held.reviews.make_version(dataset_id, tenant=tenant, label=label, name=name)
    except DataError as error:
        raise invalid_dataset(error) from None


@router.delete(
    "/{dataset_id}",
    status_code=204,
    summary="Remove a data set",
    response_class=Response,
    responses={204: {"description": "Gone."}},
)
def remove(dataset_id: DatasetId, service: DatasetsService, tenant: Tenant) -> Response:
    """Remove an uploaded data set and its file. Jobs that are over keep their results; 409 names those that are not."""
    service.remove(dataset_id, tenant=tenant)
    return Response(status_code=204)
