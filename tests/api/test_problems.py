"""The OpenAPI document of an installation, with what the problems on its workers take."""

from __future__ import annotations

from typing import Any

import httpx
import jsonschema
import pytest
from pydantic import BaseModel, ConfigDict, Field
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from hposvc.fleet import problems
from hposvc.fleet.problems import Description
from tests.support.serving import Server


class Layer(BaseModel):
    units: int = Field(ge=1)


class Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    layers: list[Layer] = []


def test_the_document_has_the_parameters_of_installed_problems(server: Server, client: httpx.Client) -> None:
    plain = client.get("/openapi.json").json()
    assert "allOf" not in plain["components"]["schemas"]["JobSpec"]
    schema = Parameters.model_json_schema()
    problems.report(
        server.engine,
        [
            Description("mine:net", "1.0", "Learns.", schema, {}),
            Description("mine:broken", "1.0", "", {}, {}, "no licence"),
        ],
    )
    document = client.get("/v1/problems/openapi.json").json()
    added = document["components"]["schemas"].keys() - plain["components"]["schemas"].keys()
    assert added == {"ParametersOf.mine.net"}
    assert client.get("/openapi.json").json() == plain

    registry = Registry().with_resource("urn:api", DRAFT202012.create_resource(document))
    jobs = jsonschema.Draft202012Validator({"$ref": "urn:api#/components/schemas/JobSpec"}, registry=registry)

    def job(parameters: dict[str, Any], problem: str = "mine:net") -> dict[str, Any]:
        return {"kind": "custom", "problem": problem, "parameters": parameters}

    jobs.validate(job({"layers": [{"units": 3}]}))
    jobs.validate(job({"anything": 1}, problem="mine:other"))
    for wrong in ({"layers": [{"units": 0}]}, {"depth": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jobs.validate(job(wrong))


def test_what_is_doubtful_of_a_job_of_an_own_problem_is_said_before_it_runs(
    server: Server, client: httpx.Client
) -> None:
    """Of what the job says itself: its problem knows why its own settings are unusual."""
    unusual = {"solver": {"lower": {"learning_rate": 500}}}
    problems.report(server.engine, [Description("mine:net", "1.0", "Learns.", {}, unusual)])
    job: dict[str, Any] = {"kind": "custom", "problem": "mine:net"}
    assert "learning_rate" not in client.post("/v1/jobs", json=job).json()["notice"]
    doubtful = job | {"solver": {"upper": {"learning_rate": 1000}}}
    assert "solver.upper.learning_rate: 1000" in client.post("/v1/jobs", json=doubtful).json()["notice"]
