"""The examples of the OpenAPI document: one job, followed through every call."""

from __future__ import annotations

from typing import Any

from hposvc.schema.spec import JobSpec

JOB_ID = "job_9f2c41d07be85a3c6d10"
SPEC = {
    "kind": "data_reweighting",
    "name": "digits with wrong labels",
    "tags": ["digits"],
    "dataset": {"id": "sklearn:digits", "label_noise": {"rate": 0.6, "seed": 0}},
    "stop": {"iterations": 500},
}
SPEC_YAML = """\
kind: data_reweighting
name: digits with wrong labels
tags: [digits]
dataset:
  id: sklearn:digits
  label_noise: {rate: 0.6, seed: 0}
stop: {iterations: 500}
"""
FILLED_SPEC = JobSpec.model_validate(SPEC).model_dump(mode="json")
JOB: dict[str, Any] = {
    "id": JOB_ID,
    "kind": "data_reweighting",
    "name": "digits with wrong labels",
    "tags": ["digits"],
    "state": "running",
    "attempt": 1,
    "version": 7,
    "finish_early": False,
    "experiment": None,
    "phase": "solving",
    "worker": "worker_3d1f",
    "progress": {"iteration": 120, "iterations": 500},
    "latest": {"upper_loss": 0.4127, "hypergradient_norm": 0.0093},
    "best": {"upper_loss": 0.4127, "iteration": 120},
    "sparkline": {"iteration": [1, 17, 33], "upper_loss": [2.3026, 1.2041, 0.8113]},
    "result": None,
    "gain": None,
    "error": None,
    "created_at": "2026-01-15T09:30:00Z",
    "started_at": "2026-01-15T09:30:01Z",
    "finished_at": None,
    "spec": FILLED_SPEC,
    "problem_version": None,
    "links": {
        "self": f"/v1/jobs/{JOB_ID}",
        "iterations": f"/v1/jobs/{JOB_ID}/iterations",
        "events": f"/v1/jobs/{JOB_ID}/events",
        "dashboard": f"/jobs/{JOB_ID}",
    },
    "notice": None,
}
JOBS = {"items": [JOB], "next_page": None, "total": 1}
CHECKED = {"valid": True, "spec": FILLED_SPEC, "warnings": []}
ITERATIONS = {
    "iteration": [119, 120],
    "upper_loss": [0.4131, 0.4127],
    "hypergradient_norm": [0.0094, 0.0093],
    "lower_loss": [0.8012, 0.8005],
    "upper_score": [0.931, 0.931],
    "selection_loss": [0.4301, 0.4298],
    "fd_relative_error": [None, 0.000021],
    "seconds": [0.981, 0.989],
    "total": 120,
    "next_after": 120,
    "downsampled": False,
    "buckets": None,
}
EVENTS = {
    "items": [{"seq": 1, "at": "2026-01-15T09:30:00Z", "attempt": 1, "type": "state", "data": {"state": "queued"}}],
    "next_after": 1,
}
ARTIFACTS = {
    "items": [
        {
            "name": "report.json",
            "kind": "report",
            "size": 18214,
            "sha256": "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
            "url": f"/v1/jobs/{JOB_ID}/artifacts/report.json",
            "iteration": None,
            "created_at": "2026-01-15T09:31:10Z",
        }
    ]
}
WORKER_ID = "worker_3d1f"
WORKERS = {
    "items": [
        {
            "id": "worker_3d1f",
            "host": "gpu-1",
            "device": "cpu",
            "state": "busy",
            "job_id": JOB_ID,
            "progress_message": None,
            "versions": {"hposvc": "0.1.0", "jittor": "1.3.11.0"},
            "heartbeat_at": "2026-01-15T09:30:40Z",
            "offers": ["any", "cpu"],
            "asked": None,
        }
    ]
}
METRICS = """\
# HELP hposvc_jobs Jobs by state.
# TYPE hposvc_jobs gauge
hposvc_jobs{state="running"} 1.0
"""
DATASET_ID = "ds_5b0c6a1e9d3f4a7788c2"
DATASET: dict[str, Any] = {
    "id": DATASET_ID,
    "name": "churn.csv",
    "source": "upload",
    "task": "classification",
    "rows": 4000,
    "features": 2,
    "columns": [
        {
            "name": "customer",
            "dtype": "text",
            "role": "id",
            "treatment": "names the rows in results",
            "missing": 0,
            "distinct": 4000,
        },
        {
            "name": "age",
            "dtype": "integer",
            "role": "feature",
            "treatment": "standardized by the training rows; missing becomes the training rows' median, "
            "with a feature that says where",
            "missing": 31,
            "distinct": 71,
        },
        {
            "name": "city",
            "dtype": "text",
            "role": "feature",
            "treatment": "one feature for each of 12 categories, rare ones together",
            "missing": 0,
            "distinct": 12,
        },
        {
            "name": "churned",
            "dtype": "boolean",
            "role": "label",
            "treatment": "what is predicted: 2 classes",
            "missing": 0,
            "distinct": 2,
        },
    ],
    "target": "churned",
    "classes": ["false", "true"],
    "id_column": "customer",
    "image_shape": None,
    "size": 81920,
    "created_at": "2026-01-15T09:20:00Z",
    "content_sha256": "3f0a6f4d6f2f6f1f8f5f0f9f7c1d1e5b7c9a8d3e2f1a0b9c8d7e6f5a4b3c2d1e",
    "links": {"self": f"/v1/datasets/{DATASET_ID}", "rows": f"/v1/datasets/{DATASET_ID}/rows"},
}
PROBABILITIES = [0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0]
LAM = [-6.2, -5.1, -4.2, -2.9, 1.1, 1.9, 2.4]
WEIGHTS = [0.002, 0.006, 0.015, 0.052, 0.750, 0.870, 0.917]
HYPERPARAMETERS = {
    "iteration": 487,
    "final": True,
    "scale": "logistic",
    "size": 1079,
    "groups": [
        {
            "name": "rows",
            "size": 1079,
            "quantiles": {"probabilities": PROBABILITIES, "lam": LAM, "value": WEIGHTS},
            "histogram": {"edges": [0.0, 0.25, 0.5, 0.75, 1.0], "counts": [612, 48, 132, 287]},
        }
    ],
    "items": [{"name": "1154", "label": "9", "lam": -6.2, "value": 0.002}],
    "complete": True,
    "next_page": "WyIyYzI2YjQ2YjY4ZmZjNjhmIiwgImxvd2VzdCIsIDFd",
}
HISTORY = {
    "iteration": [0, 50],
    "scale": "logistic",
    "probabilities": [0.0, 0.5, 1.0],
    "groups": [
        {
            "name": "rows",
            "size": 1079,
            "lam": [[0.0, -1.2], [0.0, -0.1], [0.0, 0.9]],
            "value": [[0.5, 0.231], [0.5, 0.475], [0.5, 0.711]],
        }
    ],
    "names": None,
    "values": None,
    "next_after": 50,
}
ROWS = {
    "features": ["pixel_0_0", "pixel_0_1", "pixel_1_0", "pixel_1_1"],
    "image": {"height": 2, "width": 2, "channels": 1, "low": 0.0, "high": 16.0},
    "items": [{"id": "1154", "label": "8", "values": [0.0, 13.0, 5.0, 16.0]}],
}
COMPARISON = {
    "metric": "upper_loss",
    "by": "iteration",
    "jobs": [
        {
            "id": JOB_ID,
            "name": "digits with wrong labels",
            "kind": "data_reweighting",
            "state": "running",
            "progress": {"iteration": 120, "iterations": 500},
            "best": {"upper_loss": 0.4127, "iteration": 120},
            "total": 120,
            "downsampled": False,
            "iteration": [119, 120],
            "seconds": [0.981, 0.989],
            "value": [0.4131, 0.4127],
            "min": [0.4131, 0.4127],
            "max": [0.4131, 0.4127],
            "result": None,
            "error": None,
        }
    ],
    "differences": [],
}
VERSION: dict[str, Any] = DATASET | {
    "id": "ds_0c91d8e27b3a44f5e611",
    "name": "churn v2.csv",
    "rows": 3988,
    "parent": DATASET_ID,
    "version": 2,
    "reviewed": {"right": 61, "relabel": 25, "drop": 12, "unsure": 2},
    "review_column": "review",
    "content_sha256": None,
}
REVISED_CSV = "customer,age,city,churned,review\nc-0412,29,Lima,false,relabelled\n"
DATASETS = {"items": [DATASET], "next_page": None}
PREVIEW = {
    "columns": ["customer", "age", "city", "churned"],
    "rows": [["c-0001", 41, "Lima", False], ["c-0002", None, "Oslo", True]],
    "total": 4000,
}
RESULT_IN_SHORT: dict[str, Any] = {
    "sentence": "Test accuracy 79.44 % → 95.56 % against all rows as they came; trusted rows alone reach 94.17 %.",
    "iterations": 500,
    "best_iteration": 487,
    "stopped_by": "iterations",
}
RANKED_CSV = """\
row_id,part,rank,weight,label,predicted,probability,label_probability,customer,age,city,churned
c-0412,train,1,0.0013,true,false,0.97,0.03,c-0412,29,Lima,true
"""

PREDICTIONS_CSV = """\
row_id,predicted,probability of false,probability of true
c-0500,false,0.93,0.07
"""

DECISION = {
    "row": "c-0412",
    "decision": "relabel",
    "relabelled_to": "false",
    "version": 1,
    "decided_at": "2026-01-15T10:02:11Z",
    "decided_by": "nightly runs",
    "job": JOB_ID,
    "batch": "rev_7d1f0c2ab94e5a6610f3",
    "undone_at": None,
}
DECISIONS = {"items": [DECISION], "next_page": None}
DECISION_REQUEST = {"decision": "relabel", "relabelled_to": "false"}
DECISIONS_REQUEST = {"decisions": [{"row": "c-0412", **DECISION_REQUEST}, {"row": "c-0413", "decision": "right"}]}
DECIDED = {"batch": DECISION["batch"], "items": [DECISION]}
ROW_HISTORY = {"row": "c-0412", "version": 1, "items": [DECISION]}
UNDONE = {"batch": DECISION["batch"], "undone": 1, "kept": 0}

KEY_ID = "key_51c7d0e2aa94b3f8"
KEY_REQUEST = {"name": "nightly runs", "scope": "submit"}
KEY = {
    "id": KEY_ID,
    "tenant": "default",
    "name": "nightly runs",
    "scope": "submit",
    "created_at": "2026-01-15T09:00:00Z",
    "last_used_at": None,
    "revoked_at": None,
}
KEYS = {"items": [KEY]}
NEW_KEY = KEY | {"key": "hposvc_…"}
REVOKED_KEY = KEY | {"revoked_at": "2026-02-01T12:00:00Z"}
SESSION = {"tenant": "default", "key": "nightly runs", "scopes": ["read", "submit"]}
TENANT = {
    "id": "default",
    "name": "Default",
    "created_at": "2026-01-15T09:00:00Z",
    "queued_jobs": {"used": 3, "limit": 10000},
    "running_jobs": {"used": 1, "limit": None},
    "stored_bytes": {"used": 1824411, "limit": None},
    "requests_per_second": 50.0,
}
WEBHOOK_ID = "hook_0d3b6a1f4c2e9875"
WEBHOOK_REQUEST = {"url": "https://example.org/hposvc"}
WEBHOOK = {"id": WEBHOOK_ID, "url": "https://example.org/hposvc", "created_at": "2026-01-15T09:00:00Z"}
WEBHOOKS = {"items": [WEBHOOK]}
NEW_WEBHOOK = WEBHOOK | {"secret": "whsec_…"}
DELIVERIES = {
    "items": [
        {
            "id": "msg_7be1d2c93f50a4861c2d9e07",
            "type": "job.succeeded",
            "job_id": JOB_ID,
            "state": "delivered",
            "attempts": 1,
            "status": 204,
            "error": None,
            "created_at": "2026-01-15T09:31:10Z",
            "next_attempt_at": None,
            "delivered_at": "2026-01-15T09:31:11Z",
        }
    ]
}
UPDATE = {"name": "digits, second try", "tags": ["digits"], "priority": 10}
STREAM = """\
retry: 2000

id: 0.120
event: iterations
data: {"iteration": [119, 120], "upper_loss": [0.4131, 0.4127], "total": 120, "next_after": 120}

id: 1.120
event: state
data: {"seq": 1, "at": "2026-01-15T09:30:00Z", "attempt": 1, "type": "state", "data": {"state": "queued"}}

id: 4.500
event: end
data: {"state": "succeeded"}

"""
ITERATIONS_CSV = """\
iteration,upper_loss,hypergradient_norm,lower_loss,upper_score,selection_loss,fd_relative_error,seconds
120,0.4127,0.0093,0.8005,0.931,0.4298,0.000021,0.989
"""
ITERATIONS_NDJSON = '{"iteration": 120, "upper_loss": 0.4127, "hypergradient_norm": 0.0093}\n'

UNCHANGED = {"description": "Nothing changed since the version named by If-None-Match."}


def answer(
    example: Any, description: str, headers: tuple[str, ...] = (), media_type: str = "application/json"
) -> dict[str, Any]:
    """The OpenAPI description of a response, with an example."""
    documented: dict[str, Any] = {"description": description, "content": {media_type: {"example": example}}}
    if headers:
        documented["headers"] = {name: {"schema": {"type": "string"}} for name in headers}
    return documented


# What can be done with the id in a response, so that tools follow it.
LINKS: dict[str, Any] = {
    name: {"operationId": operation, "parameters": {"job_id": "$response.body#/id"}}
    for name, operation in (
        ("job", "get_job"),
        ("iterations", "get_iterations"),
        ("events", "get_events"),
        ("artifacts", "list_artifacts"),
        ("change", "update_job"),
        ("cancel", "cancel"),
        ("pause", "pause"),
        ("delete", "delete_job"),
    )
}


def responses(by_type: dict[str, Any], description: str) -> dict[str, Any]:
    """The OpenAPI description of a response in one of several formats; None for one that cannot be shown."""
    content = {media_type: {} if example is None else {"example": example} for media_type, example in by_type.items()}
    return {"description": description, "content": content}


def posted(schema: str, example: Any) -> dict[str, Any]:
    """The OpenAPI description of a body that is read by hand, in both of its formats."""
    content = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": example}
    return {"requestBody": {"required": True, "content": {"application/json": content, "application/yaml": content}}}


def request_body() -> dict[str, Any]:
    """The OpenAPI description of a posted specification, in both of its formats."""
    schema = {"$ref": "#/components/schemas/JobSpec"}
    content = {
        "application/json": {"schema": schema, "example": SPEC},
        "application/yaml": {"schema": schema, "example": SPEC_YAML},
    }
    return {"requestBody": {"required": True, "content": content}}
