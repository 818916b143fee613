"""The model of a finished job on rows that are sent."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from api import examples
from api.dependencies import Held, Tenant
from api.http.files import BODY, on_threads, receive_file, suffix_of
from api.http.parameters import JobId
from api.http.problem_details import HTTPProblem, invalid_dataset
from api.http.routing import InTurn
from hposvc.datasets.confined_predicting import Predicted, predict
from hposvc.jobs import queries
from hposvc.tables.defects import DataError

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=InTurn)
MODEL = "model.safetensors"


@router.post(
    "/{job_id}/predictions",
    summary="Predict the rows of a file",
    response_class=Response,
    responses={200: examples.answer(examples.PREDICTIONS_CSV, "A line for each row.", media_type="text/csv")},
    openapi_extra=BODY,
)
async def predict_rows(
    request: Request,
    job_id: JobId,
    held: Held,
    tenant: Tenant,
    spreadsheet: Annotated[
        bool,
        Query(description="true: CSV has ' before text that a spreadsheet would take for a formula (= + - @)."),
    ] = False,
) -> Response:
    """Send a file like that of the training rows; get its ids, what the model predicts, and probabilities of classes.

    Prediction-Score has the accuracy or R² if the file has the label, Prediction-Warnings a JSON list of sentences.
    """
    suffix_of(request)
    model = await held.work.changes.run(tenant, partial(_model_of, held.engine, job_id, tenant))
    with held.staging.file(tenant) as take:
        async with on_threads(held.datasets.incoming()) as incoming:
            await receive_file(request, incoming, take)
            target = incoming.directory / "predictions.csv"
            work = partial(_predicted, model, incoming.path, target, spreadsheet)
            found, content = await held.work.uploads.run(tenant, work)
    headers = {
        "Content-Disposition": 'attachment; filename="predictions.csv"',
        "Prediction-Warnings": json.dumps(found.warnings[:20]),
        "Prediction-Rows": str(found.rows),
    }
    if found.score is not None:
        headers |= {
            "Prediction-Score": f"{found.score:.6g}",
            "Prediction-Score-Name": found.score_name.replace("²", "2"),
        }
    return Response(content, media_type="text/csv; charset=utf-8", headers=headers)


def _model_of(engine: Any, job_id: str, tenant: str) -> str:
    """Where the model lies. Raises HTTPProblem: the job has left none."""
    for artifact in queries.artifacts(engine, job_id, tenant=tenant):
        if artifact.name == MODEL:
            return artifact.url
    state = queries.get(engine, job_id, tenant=tenant).state
    raise HTTPProblem("artifact-not-found", f"Job {job_id} is {state} and has left no model.")


def _predicted(model: str, source: Path, target: Path, spreadsheet: bool) -> tuple[Predicted, bytes]:
    try:
        found = predict(model, source, target, spreadsheet=spreadsheet)
    except DataError as error:
        raise invalid_dataset(error) from None
    except FileNotFoundError:
        raise HTTPProblem("artifact-missing", f"{MODEL} is recorded, but the store has it no longer.") from None
    return found, target.read_bytes()
