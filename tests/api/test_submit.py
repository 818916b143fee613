"""Posting a job: what is accepted, what is refused, and that a refusal leaves nothing behind."""

from __future__ import annotations

import copy
import json
from typing import Any

import httpx
import pytest

from tests.support.counting import queued, rows
from tests.support.problems import problem
from tests.support.serving import SPEC, Server

DELETE = object()


def changed(path: str, value: Any) -> dict[str, Any]:
    """SPEC with the value at a dotted path replaced (or removed)."""
    spec: dict[str, Any] = copy.deepcopy(SPEC)
    *parents, name = path.split(".")
    target = spec
    for parent in parents:
        target = target.setdefault(parent, {})
    if value is DELETE:
        del target[name]
    else:
        target[name] = value
    return spec


def test_a_job_is_accepted_stored_and_found_at_its_location(client: httpx.Client, server: Server) -> None:
    accepted = client.post("/v1/jobs", json=SPEC | {"name": "mine", "tags": ["a", "b"]})
    assert accepted.status_code == 202
    job = accepted.json()
    assert accepted.headers["Location"] == f"/v1/jobs/{job['id']}" == job["links"]["self"]
    assert (job["state"], job["name"], job["tags"], job["progress"]) == (
        "queued",
        "mine",
        ["a", "b"],
        {"iteration": 0, "iterations": 500},
    )
    assert job["spec"]["solver"]["lower"]["learning_rate"] == "auto"  # the defaults are shown
    assert client.get(accepted.headers["Location"]).json() == job
    assert queued(server) == 1


def test_yaml_says_the_same_as_json(client: httpx.Client) -> None:
    text = "kind: data_reweighting\ndataset: {id: 'sklearn:iris'}\nstop:\n  iterations: 500\n"
    accepted = client.post("/v1/jobs", content=text, headers={"Content-Type": "application/yaml"})
    assert accepted.status_code == 202
    assert accepted.json()["spec"] == client.post("/v1/jobs", json=SPEC).json()["spec"]


def test_the_spec_of_a_job_can_be_posted_again(client: httpx.Client) -> None:
    job = client.post("/v1/jobs", json=SPEC | {"name": "señor λ: “x” #1"}).json()
    text = client.get(f"/v1/jobs/{job['id']}/spec")
    assert text.headers["Content-Type"].startswith("application/yaml")
    again = client.post("/v1/jobs", content=text.content, headers={"Content-Type": "application/yaml"})
    assert again.json()["spec"] == job["spec"]


def test_a_dry_run_checks_and_stores_nothing(client: httpx.Client, server: Server) -> None:
    before = rows(server)
    answer = client.post("/v1/jobs?dry_run=true", json=SPEC)
    assert answer.status_code == 200
    assert answer.json()["valid"] is True
    assert answer.json()["spec"]["stop"]["iterations"] == 500
    problem(client.post("/v1/jobs?dry_run=true", json=changed("dataset.id", "sklearn:nope")), 422, "invalid-spec")
    assert rows(server) == before


def test_doubtful_settings_are_said_at_once_and_do_not_refuse(client: httpx.Client) -> None:
    doubtful = {
        "kind": "regularization_tuning",
        "dataset": {"id": "sklearn:digits"},
        "hyperparameters": {"per": "parameter", "shrinkage": 0},
        "solver": {"upper": {"learning_rate": 50}},
    }
    warnings = client.post("/v1/jobs?dry_run=true", json=doubtful).json()["warnings"]
    assert [warning.partition(":")[0] for warning in warnings] == [
        "solver.upper.learning_rate",
        "hyperparameters.shrinkage",
    ]
    assert "640 strengths" in warnings[1]
    job = client.post("/v1/jobs", json=doubtful)
    assert job.status_code == 202
    assert job.json()["notice"] == "\n".join(warnings)
    assert client.post("/v1/jobs?dry_run=true", json=SPEC).json()["warnings"] == []


# path, value, the field that the answer must name, a word that its message or remedy must hold
BAD_VALUES = [
    ("kind", DELETE, "kind", "required"),
    ("kind", "tuning", "kind", "data_reweighting"),
    ("kind", None, "kind", "data_reweighting"),
    ("dataset", DELETE, "dataset", "required"),
    ("dataset", "sklearn:iris", "dataset", "object"),
    ("dataset.id", DELETE, "dataset.id", "required"),
    ("dataset.id", "sklearn:nope", "dataset.id", "sklearn:iris"),
    ("dataset.id", "", "dataset.id", "empty"),
    ("dataset.id", "../../etc/passwd", "dataset.id", "pattern"),
    ("dataset.id", 7, "dataset.id", "text"),
    ("dataset.label", "colour", "dataset.label", "colour"),
    ("dataset.features", [], "dataset.features", "at least 1"),
    ("dataset.features", ["no such column"], "dataset.features.0", "no such column"),
    ("dataset.split", {"train": 0.5, "validation": 0.2, "test": 0.2}, "dataset.split", "must be 1"),
    ("dataset.split", {"train": 1.5}, "dataset.split.train", "less than 1"),
    ("dataset.split", {"column": ""}, "dataset.split.column", "empty"),
    ("dataset.split", {"tran": 0.6}, "dataset.split.tran", "train"),
    ("dataset.split", 3, "dataset.split", "object"),
    ("dataset.label_noise", {"rate": 1.0}, "dataset.label_noise.rate", "less than 1"),
    ("dataset.label_noise", {}, "dataset.label_noise.rate", "required"),
    ("model", {"type": "transformer"}, "model.type", "mlp"),
    ("model", {"hidden": [8]}, "model.type", "required"),
    ("model", {"type": "mlp", "hidden": [0]}, "model.hidden.0", "greater than or equal to 1"),
    ("model", {"type": "mlp", "hidden": [8, "many"]}, "model.hidden.1", "whole number"),
    ("model", {"type": "mlp", "activation": "swish"}, "model.activation", "relu"),
    ("model", {"type": "linear", "hidden": [8]}, "model.hidden", "known field"),
    ("model", {"type": "linear", "dropout": 0.1}, "model.dropout", "known field"),
    ("model", {"type": "mlp", "dropout": 1.0}, "model.dropout", "less than 1"),
    ("model", {"type": "cnn", "channels": []}, "model.channels", "at least 1"),
    ("model", {"type": "cnn", "kernel": 4}, "model.kernel", "3"),
    ("model", {"type": "cnn"}, "model.type", "images"),
    ("hyperparameters.per", "feature", "hyperparameters.per", "row"),
    ("hyperparameters.initial", 1e9, "hyperparameters.initial", "between"),
    ("hyperparameters.shrinkage", -1, "hyperparameters.shrinkage", "greater than or equal to 0"),
    ("solver.oracle", "guess", "solver.oracle", "exact"),
    ("solver.radius", 0, "solver.radius", "auto"),
    ("solver.lower.learning_rate", -0.1, "solver.lower.learning_rate", "auto"),
    ("solver.lower.learning_rate", "fast", "solver.lower.learning_rate", "auto"),
    ("solver.lower.learnig_rate", 0.1, "solver.lower.learnig_rate", "learning_rate"),
    ("solver.lower.momentum", 1.0, "solver.lower.momentum", "less than 1"),
    ("solver.lower.steps", 0, "solver.lower.steps", "greater than or equal to 1"),
    ("solver.lower.batch_size", 1, "solver.lower.batch_size", "2"),
    ("solver.upper.bounds", [1, -1], "solver.upper.bounds", "lower one first"),
    ("solver.upper.bounds", [1], "solver.upper.bounds.1", "required"),
    ("solver.seed", 2**31, "solver.seed", "less than"),
    ("solver.seed", True, "solver.seed", "whole number"),
    ("stop.iterations", 1.5, "stop.iterations", "whole number"),
    ("stop.iterations", "500", "stop.iterations", "whole number"),
    ("stop.iterations", 10**30, "stop.iterations", "less than or equal"),
    ("stop.max_seconds", 0, "stop.max_seconds", "greater than 0"),
    ("tags", "digits", "tags", "list"),
    ("tags", ["a", ""], "tags.1", "empty"),
    ("tags", ["x"] * 21, "tags", "at most 20"),
    ("name", "", "name", "empty"),
    ("name", "x" * 201, "name", "200"),
    ("name", "a\x00b", "name", "null character"),
    ("name", ["a"], "name", "text"),
    ("priority", 5000, "priority", "1000"),
    ("max_attempts", 0, "max_attempts", "1"),
    ("resources.device", "tpu", "resources.device", "cpu"),
    ("iterations", 5, "iterations", "known field"),
]


def test_a_bad_value_is_refused_by_name(client: httpx.Client, server: Server, subtests: pytest.Subtests) -> None:
    before = rows(server)
    for path, value, field, word in BAD_VALUES:
        with subtests.test(path=path, value=value):
            document = problem(client.post("/v1/jobs", json=changed(path, value)), 422, "invalid-spec")
            named = [error for error in document["errors"] if error["field"] == field]
            assert named, document["errors"]
            assert word in named[0]["message"] + named[0]["remedy"], named[0]
    assert rows(server) == before
    assert queued(server) == 0


def test_a_number_that_is_not_finite_is_refused_by_name(client: httpx.Client, server: Server) -> None:
    for number in ("NaN", "Infinity", "-Infinity", "1e999"):
        body = json.dumps(changed("solver.lower.learning_rate", 12345.5)).replace("12345.5", number)
        answer = client.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
        document = problem(answer, 422, "invalid-spec")
        assert document["errors"][0]["field"] == "solver.lower.learning_rate"
        assert document["errors"][0]["value"] == {"1e999": "Infinity"}.get(number, number)
    assert rows(server)["jobs"] == 0


def test_all_wrong_fields_are_named_at_once(client: httpx.Client) -> None:
    spec = changed("solver.lower.learning_rate", -1) | {"name": "", "stop": {"iterations": 0}}
    document = problem(client.post("/v1/jobs", json=spec), 422, "invalid-spec")
    assert {error["field"] for error in document["errors"]} == {"name", "solver.lower.learning_rate", "stop.iterations"}


def test_a_split_that_leaves_too_few_rows_is_seen_at_the_door(client: httpx.Client, server: Server) -> None:
    split = {"train": 0.001, "validation": 0.001, "test": 0.998}
    document = problem(client.post("/v1/jobs", json=changed("dataset.split", split)), 422, "invalid-spec")
    (error,) = document["errors"]
    assert error["field"] == "dataset.split.validation"
    assert error["message"] == "this leaves 0 of 150 rows"
    assert error["remedy"] == "choose a division that leaves at least 4"
    assert rows(server)["jobs"] == 0


DEEP = 100_000
YAML_BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nkind: *b\n"
# content type, body, status, problem
UNREADABLE = [
    ("application/json", b"", 400, "malformed-body"),
    ("application/json", b"{", 400, "malformed-body"),
    ("application/json", b"\xff\xfe", 400, "malformed-body"),
    ("application/json", b"[" * DEEP + b"]" * DEEP, 400, "malformed-body"),
    ("application/json", b'{"a":' * 40 + b"1" + b"}" * 40, 400, "malformed-body"),
    ("application/json", b'{"kind": "a", "kind": "b"}', 400, "malformed-body"),
    ("application/json", b"9" * 10_000, 400, "malformed-body"),
    ("application/json", b"null", 422, "invalid-spec"),
    ("application/json", b'"kind"', 422, "invalid-spec"),
    ("application/json", b"[]", 422, "invalid-spec"),
    ("application/json", b'{"kind": "\\ud800"}', 422, "invalid-spec"),
    ("application/json", b'{"\\u0000": 1}', 422, "invalid-spec"),
    ("application/yaml", b"a: [", 400, "malformed-body"),
    ("application/yaml", b"a: 1\na: 2\n", 400, "malformed-body"),
    ("application/yaml", b"1: 2\n", 400, "malformed-body"),
    ("application/yaml", YAML_BOMB.encode(), 400, "malformed-body"),
    ("application/yaml", b"!!python/object/apply:os.system ['true']", 400, "malformed-body"),
    ("application/yaml", b"[" * 5000, 400, "malformed-body"),
    ("application/yaml", b"kind: .nan", 422, "invalid-spec"),
    ("application/yaml", b"kind: 2026-13-45", 400, "malformed-body"),
    ("application/yaml", b"a: 1\n---\nb: 2\n", 400, "malformed-body"),
    ("text/plain", b"{}", 415, "unsupported-media-type"),
    ("application/x-www-form-urlencoded", b"kind=x", 415, "unsupported-media-type"),
    ("multipart/form-data", b"x", 415, "unsupported-media-type"),
    ("application/x-msgpack", b"\x80", 415, "unsupported-media-type"),
]


def test_a_body_that_cannot_be_read_is_refused(client: httpx.Client, server: Server, subtests: pytest.Subtests) -> None:
    for content_type, body, status, slug in UNREADABLE:
        with subtests.test(content_type=content_type, body=body[:40]):
            problem(client.post("/v1/jobs", content=body, headers={"Content-Type": content_type}), status, slug)
    assert rows(server)["jobs"] == 0


def test_a_large_body_is_refused_before_it_is_read(client: httpx.Client, server: Server) -> None:
    headers = {"Content-Type": "application/json"}
    problem(client.post("/v1/jobs", content=b"x" * (1024 * 1024 + 1), headers=headers), 413, "body-too-large")
    sent = 0

    def chunks() -> Any:  # without a length
        nonlocal sent
        for _ in range(40):
            sent += 1
            yield b" " * 65_536

    problem(client.post("/v1/jobs", content=chunks(), headers=headers), 413, "body-too-large")
    assert rows(server)["jobs"] == 0


def test_a_compressed_body_is_refused(client: httpx.Client) -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    problem(client.post("/v1/jobs", content=b"\x1f\x8b", headers=headers), 415, "unsupported-media-type")


def test_one_key_makes_one_job(client: httpx.Client, server: Server) -> None:
    headers = {"Idempotency-Key": "key-1"}
    first = client.post("/v1/jobs", json=SPEC, headers=headers)
    second = client.post("/v1/jobs", json=SPEC, headers=headers)
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json()["id"] == second.json()["id"]
    other = client.post("/v1/jobs", json=SPEC | {"name": "other"}, headers=headers)
    assert first.json()["id"] in problem(other, 409, "idempotency-conflict")["detail"]
    assert rows(server)["jobs"] == 1
    assert queued(server) == 1


def test_a_bad_key_is_refused(client: httpx.Client, server: Server) -> None:
    for key in ("", "k" * 256, "with space"):
        answer = client.post("/v1/jobs", json=SPEC, headers={"Idempotency-Key": key})
        assert problem(answer, 422, "invalid-parameter")["errors"][0]["field"] == "idempotency-key"
    assert rows(server)["jobs"] == 0
