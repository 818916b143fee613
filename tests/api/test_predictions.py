"""A file of rows is sent, and a file of predictions comes back."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import httpx
import pytest

from hposvc.datasets import confined_predicting
from hposvc.prediction import Predictor
from hposvc.tables.options import Reading
from hposvc.tables.reading import read_table
from tests.support.predicting import job_with_model
from tests.support.problems import problem
from tests.support.reviews_of_products import reviews_csv
from tests.support.serving import Server, succeeded

HEADERS = {"Content-Type": "text/csv"}


def test_rows_are_predicted_as_the_client_does(client: httpx.Client, server: Server, tmp_path: Path) -> None:
    path = f"/v1/jobs/{job_with_model(server, tmp_path)}/predictions"
    content = reviews_csv(60, seed=5)
    answer = client.post(path, content=content, headers=HEADERS)
    assert answer.status_code == 200, answer.text
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    later = tmp_path / "later.csv"
    later.write_bytes(content)
    table = read_table(later, Reading())
    model = Predictor.from_bytes((server.settings.data_dir / "model.safetensors").read_bytes())
    known = model.predict({name: table[name] for name in table.column_names})
    assert [row["predicted"] for row in rows] == known.labels.tolist()
    assert [row["row_id"] for row in rows] == [f"r{i}" for i in range(60)]
    assert known.score is not None
    assert known.score > 0.9
    assert float(answer.headers["Prediction-Score"]) == round(known.score, 6)
    assert json.loads(answer.headers["Prediction-Warnings"]) == []
    assert answer.headers["Prediction-Rows"] == "60"
    assert list((server.settings.data_dir / "uploads").iterdir()) == []


def test_more_predictions_than_the_api_may_hold_are_refused(
    client: httpx.Client, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/v1/jobs/{job_with_model(server, tmp_path)}/predictions"
    monkeypatch.setattr(confined_predicting, "MOST_BYTES", 100)
    document = problem(client.post(path, content=reviews_csv(12), headers=HEADERS), 422, "invalid-dataset")
    assert "more than 100 bytes" in str(document["errors"])
    assert list((server.settings.data_dir / "uploads").iterdir()) == []


def test_what_cannot_be_predicted_is_refused(client: httpx.Client, server: Server, tmp_path: Path) -> None:
    path = f"/v1/jobs/{job_with_model(server, tmp_path)}/predictions"
    for content in (b"stars\n1\n2\n", b"\x89HDF\r\n", b""):
        assert problem(client.post(path, content=content, headers=HEADERS), 422, "invalid-dataset")["errors"]
    (server.settings.data_dir / "model.safetensors").write_bytes(b"no model")
    assert "cannot be used" in client.post(path, content=reviews_csv(12), headers=HEADERS).text
    (server.settings.data_dir / "model.safetensors").unlink()
    problem(client.post(path, content=reviews_csv(12), headers=HEADERS), 410, "artifact-missing")
    bare = succeeded(server.engine, {}, []).id
    problem(client.post(f"/v1/jobs/{bare}/predictions", content=b"a\n1\n", headers=HEADERS), 404, "artifact-not-found")
    problem(client.post("/v1/jobs/job_0/predictions", content=b"a\n1\n", headers=HEADERS), 404, "job-not-found")
