"""Datasets: those that come with the service."""

from __future__ import annotations

from functools import cache
from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel

from api import examples
from hposvc import data
from hposvc.jobs.spec import DatasetSpec

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])


class DatasetResource(BaseModel):
    """A dataset that a job can name: ``rows`` × ``features`` numbers, and a target to predict."""

    id: str
    name: str
    task: Literal["classification", "regression"]
    rows: int
    features: int
    target: str
    classes: list[str] | None


class DatasetList(BaseModel):
    """All datasets."""

    items: list[DatasetResource]


@router.get("", summary="List datasets", responses={200: examples.answer(examples.DATASETS, "The datasets.")})
def list_datasets() -> DatasetList:
    """The datasets that are there from the start; a job names one by its id."""
    return DatasetList(items=[_describe(dataset_id) for dataset_id in data.bundled.names()])


@cache
def _describe(dataset_id: str) -> DatasetResource:
    dataset = data.load(DatasetSpec(id=dataset_id))
    rows, features = dataset.features.shape
    return DatasetResource(
        id=dataset.id,
        name=dataset.name,
        task=dataset.task,
        rows=rows,
        features=features,
        target=dataset.target_name,
        classes=None if dataset.classes is None else list(dataset.classes),
    )
