"""A finished job about reviews of products whose model predicts them."""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path

import numpy as np

from hposvc.jobs.attempt import StoredFile
from hposvc.run.artifacts import model_file
from hposvc.schema.spec import JobSpec
from hposvc.tables.ingest import ingest
from hposvc.tables.options import UploadOptions
from hposvc.training_data import Upload, check, load, prepare
from tests.support.reviews_of_products import reviews_csv
from tests.support.serving import RESULT, Server, succeeded


def reviews_model(folder: Path) -> bytes:
    """The model of a job about reviews, fitted by least squares."""
    path, stored = folder / "reviews.csv", folder / "reviews.parquet"
    path.write_bytes(reviews_csv())
    description = ingest(path, stored, UploadOptions(label="opinion"))
    uploads = {"ds_1": Upload("ds_1", path.name, description, partial(stored.open, "rb"))}
    spec = check(JobSpec.model_validate({"kind": "data_reweighting", "dataset": {"id": "ds_1"}}), uploads).spec
    prepared = prepare(load(spec.dataset, uploads=uploads), spec)
    train = prepared.splits.train
    w, *_ = np.linalg.lstsq(train.features, np.eye(2)[train.targets] - 0.5, rcond=None)
    return model_file(spec, prepared.dataset, prepared.splits, [w, np.zeros(2)])


def job_with_model(server: Server, folder: Path) -> str:
    """A finished job that has left the model; returns its id."""
    content = reviews_model(folder)
    path = server.settings.data_dir / "model.safetensors"
    path.write_bytes(content)
    kept = StoredFile("model.safetensors", "model", len(content), hashlib.sha256(content).hexdigest(), path.as_uri())
    return succeeded(server.engine, RESULT, [kept], name="reviews").id
