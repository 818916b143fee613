"""Iterations as JSON, CSV, lines and Arrow, as the client accepts."""

from __future__ import annotations

import csv
import io
import json
import math

import httpx
import pyarrow as pa
import pytest

from hposvc.jobs.queries import METRICS
from tests.support.problems import problem
from tests.support.serving import Server, curve, diverged, running


def test_iterations_as_csv_lines_and_arrow_are_the_same_numbers(client: httpx.Client, server: Server) -> None:
    job = diverged(server.engine, at=60)
    path = f"/v1/jobs/{job.id}/iterations"
    as_json = client.get(path).json()
    text = client.get(path, headers={"Accept": "text/csv"})
    assert text.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(text.text)))
    lines = [
        json.loads(line) for line in client.get(path, headers={"Accept": "application/x-ndjson"}).text.splitlines()
    ]
    with pa.ipc.open_stream(
        client.get(path, headers={"Accept": "application/vnd.apache.arrow.stream"}).content
    ) as reader:
        table = reader.read_all()
    for name in ("iteration", *METRICS):
        expected = as_json[name]
        assert [line[name] for line in lines] == expected
        for read, value in zip([row[name] for row in rows], expected, strict=True):
            assert (read == "") if value is None else (float(read) == float(value) or math.isnan(float(value)))
        for read, value in zip(table[name].to_pylist(), expected, strict=True):
            assert (read is None) if value is None else (read == float(value) or math.isnan(float(value)))


def test_other_formats_hold_everything_unless_asked_otherwise(
    client: httpx.Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, attempt = running(server.engine, 0, stop={"iterations": 30_000})
    for begin in range(1, 12_001, 3000):
        attempt.record(curve(begin, begin + 2999))
    path = f"/v1/jobs/{job.id}/iterations"
    assert len(client.get(path).json()["iteration"]) == 10_000

    def lines(**params: int) -> list[str]:
        return client.get(path, params=params, headers={"Accept": "text/csv"}).text.splitlines()[1:]

    assert [int(line.split(",")[0]) for line in lines()] == list(range(1, 12_001))
    assert len(lines(limit=5)) == 5
    assert len(lines(after=11_990)) == 10
    assert len(lines(max_points=100)) <= 100


def test_the_best_of_the_formats_that_are_accepted(client: httpx.Client, server: Server) -> None:
    job, _ = running(server.engine, 2)
    path = f"/v1/jobs/{job.id}/iterations"
    for accept, given in (
        ("*/*", "application/json"),
        ("text/*", "text/csv"),
        ("text/csv;q=0.1, application/json;q=0.2", "application/json"),
        ("application/x-ndjson, */*;q=0.1", "application/x-ndjson"),
        ("text/html, application/xhtml+xml, */*;q=0.8", "application/json"),
        ("application/json;q=0, */*", "text/csv"),
    ):
        answer = client.get(path, headers={"Accept": accept})
        assert answer.headers["Content-Type"].split(";")[0] == given, accept
        assert "Accept" in answer.headers["Vary"]
    for accept in ("image/png", "text/csv;q=0", "application/json;q=nonsense"):
        detail = problem(client.get(path, headers={"Accept": accept}), 406, "not-acceptable")["detail"]
        assert "text/csv" in detail
