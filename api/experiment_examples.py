"""The examples of the OpenAPI document about experiments: one search, followed through every call."""

from __future__ import annotations

from typing import Any

from hposvc.schema.experiment_spec import ExperimentSpec

ID = "exp_41a7c0be93d25f8e6b17"
JOB_ID = "job_9f2c41d07be85a3c6d10"
SPEC: dict[str, Any] = {
    "name": "digits, width and weight decay",
    "job": {"kind": "data_reweighting", "dataset": {"id": "sklearn:digits", "label_noise": {"rate": 0.4}}},
    "plan": {
        "type": "search",
        "parameters": {
            "model": {"choices": [{"type": "linear"}, {"type": "mlp", "hidden": [64]}]},
            "solver.lower.weight_decay": {"low": 0.00001, "high": 0.1, "log": True},
        },
        "jobs": 40,
    },
}
SPEC_YAML = """\
name: digits, width and weight decay
job:
  kind: data_reweighting
  dataset: {id: "sklearn:digits", label_noise: {rate: 0.4}}
plan:
  type: search
  parameters:
    model: {choices: [{type: linear}, {type: mlp, hidden: [64]}]}
    solver.lower.weight_decay: {low: 0.00001, high: 0.1, log: true}
  jobs: 40
"""
FILLED = ExperimentSpec.model_validate(SPEC).model_dump(mode="json")
PARAMETERS = {"model": {"type": "linear"}, "solver.lower.weight_decay": 0.0021}
BEST = {"number": 7, "job": JOB_ID, "value": 0.2291, "parameters": PARAMETERS}
EXPERIMENT: dict[str, Any] = {
    "id": ID,
    "name": "digits, width and weight decay",
    "tags": [],
    "state": "running",
    "version": 12,
    "trials": {"planned": 40, "made": 12, "ended": 8},
    "best": BEST,
    "notice": None,
    "result": None,
    "created_at": "2026-01-15T09:30:00Z",
    "finished_at": None,
    "spec": FILLED,
    "links": {
        "self": f"/v1/experiments/{ID}",
        "trials": f"/v1/experiments/{ID}/trials",
        "events": f"/v1/experiments/{ID}/events",
        "jobs": f"/v1/jobs?experiment={ID}",
        "dashboard": f"/experiments/{ID}",
    },
}
EXPERIMENTS = {"items": [EXPERIMENT], "next_page": None}
CHECKED = {"valid": True, "spec": FILLED, "trials": 40, "warnings": []}
TRIALS = {
    "items": [
        {
            "number": 7,
            "parameters": PARAMETERS,
            "job": JOB_ID,
            "state": "succeeded",
            "value": 0.2291,
            "iteration": 500,
            "iterations": 500,
            "curve": [1.204, 0.731, 0.402],
            "test_score": 0.9556,
            "test_loss": 0.1874,
            "seconds": 4.15,
            "error": None,
        }
    ],
    "next_page": None,
}
EVENTS = {
    "items": [
        {"seq": 1, "at": "2026-01-15T09:30:00Z", "type": "state", "data": {"state": "running"}},
        {
            "seq": 2,
            "at": "2026-01-15T09:30:01Z",
            "type": "trial",
            "data": {"number": 7, "state": "succeeded", "job": JOB_ID, "value": 0.2291},
        },
    ],
    "next_after": 2,
}
STREAM = """\
retry: 2000

id: 2
event: trial
data: {"seq":2,"at":"2026-01-15T09:30:01Z","type":"trial","data":{"number":7,"state":"succeeded"}}

id: 3
event: end
data: {"state": "succeeded"}

"""
IMPORTANCE = {
    "evaluator": "mean_decrease_impurity",
    "trials": 38,
    "importance": {"solver.lower.weight_decay": 0.71, "model": 0.29},
}
ROWS = {
    "repeats": 5,
    "total": 551,
    "items": [
        {"row_id": "968", "label": "7", "judged": 3, "suspect": 3, "probability_wrong": 0.9991},
    ],
}
STRENGTHS = {
    "repeats": 5,
    "items": [
        {
            "name": "mean smoothness",
            "penalty": "l2",
            "repeats": 5,
            "strength": 0.0821,
            "lam": {"mean": -2.5, "sd": 0.31, "low": -2.9, "high": -2.1},
        }
    ],
}


def request_body() -> dict[str, Any]:
    """The OpenAPI description of a posted experiment, in both of its formats."""
    schema = {"$ref": "#/components/schemas/ExperimentSpec"}
    content = {
        "application/json": {"schema": schema, "example": SPEC},
        "application/yaml": {"schema": schema, "example": SPEC_YAML},
    }
    return {"requestBody": {"required": True, "content": content}}
