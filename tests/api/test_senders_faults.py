"""What is the sender's doing is said to the sender, and is no error of the service."""

from __future__ import annotations

import io
from typing import Any

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hposvc.schema.paging import encode_page
from tests.support.problems import problem
from tests.support.serving import SPEC, Server, running, submit, watch_lambda

HUGE = 10**300
TOKENS: list[list[Any]] = [
    [],
    ["newest"],
    ["newest", 1.0],
    ["newest", "x", "y"],
    ["newest", HUGE, "job_x"],
    ["newest", float("inf"), "job_x"],
    ["newest", float("nan"), "job_x"],
    ["newest", True, "job_x"],
    ["newest", 1.0, {"a": 1}],
    ["newest", 1.0, "\x00"],
    ["newest", 1.0, "\ud800"],
    ["newest", [1.0], "job_x"],
    ["priority", HUGE, 1.0, "job_x"],
    ["priority", 2**63, 1.0, "job_x"],
    ["name", "\ud800", 1.0, "job_x"],
    ["name", "x\x00", 1.0, "job_x"],
    ["name", 5, 1.0, "job_x"],
    ["progress", -HUGE, 1.0, "job_x"],
    [HUGE, "ds_x"],
    [1.0, "\x00"],
    [1.0, "\ud800"],
    [2**63, 2**64],
    [0, 2**63],
    [1, 1, 1, 1],
]


def test_hand_made_page_tokens_are_refused(client: httpx.Client, server: Server, subtests: pytest.Subtests) -> None:
    submit(server.engine)
    job, attempt = running(server.engine, 60)
    watch_lambda(attempt, (0, 60))
    calls: list[tuple[str, dict[str, str]]] = [
        *(("/v1/jobs", {"order": order}) for order in ("newest", "priority", "name", "progress")),
        ("/v1/datasets", {}),
        (f"/v1/jobs/{job.id}/hyperparameters", {}),
    ]
    for parts in TOKENS:
        for path, params in calls:
            with subtests.test(parts=ascii(parts), path=path, **params):
                answer = client.get(path, params=params | {"page": encode_page(*parts)})
                assert answer.status_code in (200, 404, 409, 410, 422), answer.text
    for token in ("!", "e30=", "W10=", "bnVsbA==", "\u00e9", "W" * 500):
        for path, params in calls[:5]:
            with subtests.test(token=token, path=path, **params):
                problem(client.get(path, params=params | {"page": token}), 422, "invalid-parameter")


def test_dates_that_python_cannot_hold_are_shown_or_refused(client: httpx.Client) -> None:
    for unit, years in (("s", 12_000), ("ms", 200_000), ("us", 100_000)):
        per_second = {"s": 1, "ms": 1_000, "us": 1_000_000}[unit]
        at = pa.array(
            [int((years - 1970) * 365.25 * 86400) * per_second + row for row in range(30)], pa.timestamp(unit)
        )
        sink = io.BytesIO()
        pq.write_table(pa.table({"when": at, "n": list(range(30)), "target": [0, 1] * 15}), sink)
        sent = client.post(
            "/v1/datasets", content=sink.getvalue(), headers={"Content-Type": "application/octet-stream"}
        )
        if sent.status_code == 201:
            shown = client.get(f"/v1/datasets/{sent.json()['id']}/rows")
            assert shown.status_code == 200, shown.text
            job = client.post("/v1/jobs?dry_run=true", json=SPEC | {"dataset": {"id": sent.json()["id"]}})
            assert job.status_code in (200, 422), job.text
        else:
            assert sent.status_code == 422, sent.text
