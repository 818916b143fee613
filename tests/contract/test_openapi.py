"""The committed OpenAPI document is what the code generates, and what the service really returns fits it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.examples import JOB, SPEC
from api.openapi import document
from hposvc.schema.job import JobResource
from hposvc.schema.spec import JobSpec

COMMITTED = Path(__file__).parents[2] / "docs" / "openapi.json"


def calls() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, operations in json.loads(document())["paths"].items():
        for method, call in operations.items():
            yield method, path, call


def test_the_committed_document_is_up_to_date() -> None:
    assert COMMITTED.read_text() == document(), "run: python -m api.openapi > docs/openapi.json"


def test_every_call_is_described_with_an_example_and_its_errors() -> None:
    for method, path, call in calls():
        place = f"{method} {path}"
        assert call["summary"], place
        assert call["description"], place
        status, success = next(item for item in call["responses"].items() if item[0].startswith("2"))
        if status != "204" and path != "/v1/jobs/{job_id}/artifacts/{name}":
            assert any("example" in content for content in success["content"].values()), place
        for group in ("4XX", "5XX"):
            assert "application/problem+json" in call["responses"][group]["content"], place


def test_every_call_has_a_name_of_its_own_for_clients_that_are_generated() -> None:
    names = [call["operationId"] for _, _, call in calls()]
    assert len(names) == len(set(names))
    linked = {
        link["operationId"]
        for _, _, call in calls()
        for answer in call["responses"].values()
        for link in answer.get("links", {}).values()
    }
    assert linked <= set(names)


def test_every_reference_leads_somewhere() -> None:
    whole = json.loads(document())

    def references(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                yield node["$ref"]
            for value in node.values():
                yield from references(value)
        elif isinstance(node, list):
            for value in node:
                yield from references(value)

    for reference in references(whole):
        node = whole
        for part in reference.removeprefix("#/").split("/"):
            assert part in node, reference
            node = node[part]


def test_the_schema_of_what_is_posted_requires_only_what_the_spec_does() -> None:
    assert json.loads(document())["components"]["schemas"]["JobSpec"]["required"] == ["kind"]


def test_the_examples_are_real() -> None:
    JobSpec.model_validate(SPEC)
    JobResource.model_validate(JOB)


def test_every_property_and_parameter_says_what_it_means() -> None:
    schemas = json.loads(document())["components"]["schemas"]
    for name, schema in schemas.items():
        for field, properties in schema.get("properties", {}).items():
            assert properties.get("description"), f"put a docstring below {name}.{field}"
    for method, path, call in calls():
        for parameter in call.get("parameters", []):
            assert parameter.get("description"), f"{parameter['name']} of {method} {path}"
