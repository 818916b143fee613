"""The OpenAPI document of one installation: with the parameters of the problems that its workers have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from hposvc.schema.problems import ProblemResource

SCHEMAS = "#/components/schemas"


def with_problems(document: dict[str, Any], problems: Iterable[ProblemResource]) -> dict[str, Any]:
    """``document`` with a schema for the parameters of each problem that can be used.

    ``JobSpec`` says which of them holds for which ``problem``. The document that came in stays as it is.
    """
    schemas = dict(document["components"]["schemas"])
    cases = []
    for problem in problems:
        if problem.fault is not None:
            continue
        name = f"ParametersOf.{re.sub(r'[^A-Za-z0-9_.-]', '.', problem.name)}"
        schemas[name] = _moved(problem.parameters, f"{SCHEMAS}/{name}")
        named = {"properties": {"problem": {"const": problem.name}}, "required": ["problem"]}
        cases.append({"if": named, "then": {"properties": {"parameters": {"$ref": f"{SCHEMAS}/{name}"}}}})
    if cases:
        schemas["JobSpec"] = {**schemas["JobSpec"], "allOf": cases}
    return {**document, "components": {**document["components"], "schemas": schemas}}


def _moved(schema: Any, place: str) -> Any:
    """``schema`` as it reads at ``place`` of a document: what refers to its root refers to ``place``."""
    if isinstance(schema, list):
        return [_moved(each, place) for each in schema]
    if not isinstance(schema, dict):
        return schema
    moved = {name: _moved(value, place) for name, value in schema.items()}
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        moved["$ref"] = place + reference[1:]
    return moved
