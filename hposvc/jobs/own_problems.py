"""Specs of own problems, checked against what workers said that the problems take."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jsonschema

from hposvc.schema.problems import ProblemResource
from hposvc.schema.spec import JobSpec
from hposvc.tables.defects import DataError, Defect

MOST_DEFECTS = 20


def checked(spec: JobSpec, known: Sequence[ProblemResource]) -> JobSpec:
    """``spec`` with the defaults of its problem filled in. Raises DataError: no worker ever had the problem, it cannot
    be used, or it does not take these parameters.
    """
    found = next((problem for problem in known if problem.name == spec.problem), None)
    if found is None:
        names = ", ".join(problem.name for problem in known)
        remedy = (
            f"name one of these: {names}; an operator can install more" if known else "ask an operator to install it"
        )
        raise DataError([Defect("problem", f"no worker has ever had the problem {spec.problem!r}", remedy)])
    if found.fault is not None:
        message = f"{found.name} {found.version} cannot be used: {found.fault}"
        raise DataError([Defect("problem", message, "ask an operator to mend the package and restart the workers")])
    parameters = _with_defaults(spec.parameters, found.parameters)
    defects = list(_defects(parameters, found.parameters))
    if defects:
        raise DataError(defects[:MOST_DEFECTS])
    said = spec.model_dump(mode="json", exclude_unset=True) | {"parameters": parameters}
    return JobSpec.model_validate(_merged(found.defaults, said))


def _defects(parameters: dict[str, Any], schema: dict[str, Any]) -> Iterator[Defect]:
    names = ", ".join(schema.get("properties", {})) or "none"
    for error in jsonschema.Draft202012Validator(schema).iter_errors(parameters):
        field = ".".join(["parameters", *map(str, error.absolute_path)])
        yield Defect(field, error.message[:300], f"see GET /v1/problems for what it takes: {names}")


def _with_defaults(parameters: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    fields = schema.get("properties", {}).items()
    return {name: field["default"] for name, field in fields if "default" in field} | parameters


def _merged(below: Any, above: Any) -> Any:
    """``above``, and what it does not say from ``below``."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {name: _merged(below.get(name, {}), value) for name, value in above.items()}
