"""What Prometheus collects."""

from __future__ import annotations

from fastapi import APIRouter, Response

from api import examples
from api.dependencies import Metrics
from api.http.routing import InTurn
from api.metrics import CONTENT_TYPE

router = APIRouter(tags=["health"], route_class=InTurn)


@router.get(
    "/metrics",
    summary="Get metrics for Prometheus",
    response_class=Response,
    responses={200: examples.answer(examples.METRICS, "In Prometheus's text format.", media_type="text/plain")},
)
def get_metrics(metrics: Metrics) -> Response:
    """Of this process, and of the whole service as its database knows it. Responds even when the database does not."""
    return Response(metrics.text(), media_type=CONTENT_TYPE)
