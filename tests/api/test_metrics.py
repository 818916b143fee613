"""What is seen of the service from outside: metrics, request ids, log lines."""

from __future__ import annotations

import io
import json
import logging
import re

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from api.metrics import CountsCollector
from hposvc import logs
from hposvc.fleet import workers as fleet
from hposvc.fleet.workers import WorkerReport
from tests.support.serving import SPEC, Server, running, submit, succeeded

FRESH = {"X-Request-ID": "from-a-proxy-7"}


@pytest.fixture(autouse=True)
def _always_fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.metrics.FRESH_SECONDS", -1.0)


def samples(client: httpx.Client) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(client: httpx.Client, name: str, **labels: str) -> float:
    return samples(client)[name, tuple(sorted(labels.items()))]


def test_the_database_in_numbers(server: Server, client: httpx.Client) -> None:
    assert value(client, "hposvc_jobs", state="queued") == 0
    submit(server.engine)
    submit(server.engine, resources={"device": "cuda"})
    running(server.engine, 20)
    succeeded(server.engine, {})
    report = WorkerReport("w", "host", "cpu", {}, "ready", offers=("any", "cpu"), counters={"iterations": 520})
    fleet.Fleet(server.engine).beat(report)
    fleet.Fleet(server.engine).beat(WorkerReport("gone", "host", "cpu", {}, "busy", counters={"attempts.lost": 2}))
    fleet.Fleet(server.engine).leave("gone")
    found = {(name, *(text for _, text in labels)): number for (name, labels), number in samples(client).items()}
    expected = {
        ("hposvc_jobs", "queued"): 2,
        ("hposvc_jobs", "running"): 1,
        ("hposvc_jobs", "succeeded"): 1,
        ("hposvc_jobs", "failed"): 0,
        ("hposvc_queue_depth", "any"): 1,
        ("hposvc_queue_depth", "cuda"): 1,
        ("hposvc_jobs_held", "any"): 1,
        ("hposvc_queue_unmet",): 1,
        ("hposvc_workers", "ready"): 1,
        ("hposvc_workers", "silent"): 0,
        ("hposvc_workers_offering", "cpu"): 1,
        ("hposvc_leases_overdue",): 0,
        ("hposvc_iterations_total",): 520,
        ("hposvc_attempts_total", "lost"): 2,
        ("hposvc_database_up",): 1,
    }
    assert expected.items() <= found.items(), {key: found.get(key) for key in expected}
    assert 0 < found["hposvc_queue_oldest_seconds", "any"] < 3600
    assert found["hposvc_database_size_bytes",] > 100_000
    assert found["process_resident_memory_bytes",] > 1_000_000


def test_requests_are_counted_by_route_and_never_by_job(server: Server, client: httpx.Client) -> None:
    job = client.post("/v1/jobs", json=SPEC).json()
    for _ in range(3):
        client.get(job["links"]["self"])
    client.get("/v1/jobs/job_nobody")
    client.get("/nothing/here")
    text = client.get("/metrics").text
    assert 'hposvc_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="200"} 3.0' in text
    assert 'hposvc_http_requests_total{method="GET",route="/v1/jobs/{job_id}",status="404"} 1.0' in text
    assert 'hposvc_http_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert 'hposvc_http_request_duration_seconds_count{method="POST",route="/v1/jobs"} 1.0' in text
    assert "hposvc_jobs_submitted_total 1.0" in text
    assert "hposvc_http_requests_in_progress 1.0" in text  # the one that asks
    assert job["id"] not in text
    assert "nobody" not in text
    assert "nothing" not in text


def test_names_are_in_base_units_and_labels_do_not_grow_with_use(client: httpx.Client) -> None:
    for family in text_string_to_metric_families(client.get("/metrics").text):
        if not family.name.startswith("hposvc"):
            continue
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mib|percent)\b", family.name), family.name
        assert family.documentation.endswith("."), family.name
        for sample in family.samples:
            allowed = {"state", "needs", "outcome", "method", "route", "status", "le", "version"}
            assert set(sample.labels) <= allowed, sample


def test_a_database_that_is_away_leaves_the_process_its_metrics(server: Server, client: httpx.Client) -> None:
    from sqlalchemy.exc import OperationalError

    def fail() -> None:
        raise OperationalError("SELECT 1", {}, Exception("away"))

    families = list(CountsCollector(fail).collect())  # type: ignore[arg-type]
    assert [(family.name, family.samples[0].value) for family in families] == [("hposvc_database_up", 0.0)]


def test_every_answer_has_a_request_id_and_keeps_the_one_that_came(client: httpx.Client) -> None:
    ids = [client.get(path).headers["X-Request-ID"] for path in ("/healthz", "/v1/jobs", "/nothing")]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"req_[0-9a-f]{20}", id_) for id_ in ids)
    assert client.get("/healthz", headers=FRESH).headers["X-Request-ID"] == "from-a-proxy-7"
    for bad in ("has space", "x" * 129, "a;b", "é".encode("latin-1")):
        kept = client.get("/healthz", headers={"X-Request-ID": bad}).headers["X-Request-ID"]
        assert kept.startswith("req_")
    refused = client.get("/healthz", headers={"Host": "evil.example"} | FRESH)
    assert refused.status_code == 421
    assert refused.headers["X-Request-ID"] == "from-a-proxy-7"


def test_log_lines_are_json_that_says_which_request_and_job(
    server: Server, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        logs.configure("info", "json")
        assert isinstance(root.handlers[0], logging.StreamHandler)
        root.handlers[0].setStream(stream)
        job = client.post("/v1/jobs", json=SPEC, headers=FRESH).json()
        client.get("/v1/jobs")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    submitted = next(line for line in lines if line["event"] == "job submitted")
    assert (submitted["request_id"], submitted["job_id"], submitted["attempt"]) == ("from-a-proxy-7", job["id"], 1)
    answered = [line for line in lines if line["event"] == "request"]
    assert [(line["method"], line["status"]) for line in answered] == [("POST", 202)]  # reads are for debugging
