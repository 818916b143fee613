"""Numbers in JSON, which has no NaN and no infinities: they travel as ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import PlainSerializer, WithJsonSchema

NonFinite = Literal["NaN", "Infinity", "-Infinity"]


def to_json_number(value: float) -> float | NonFinite:
    """``value`` itself when it is finite, otherwise its name."""
    if math.isfinite(value):
        return value
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"


def to_json(value: Any) -> Any:
    """``value`` (of dicts, lists, strings, numbers) with every non-finite number replaced by its name."""
    if isinstance(value, float):
        return to_json_number(value)
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return value


# A double that may be non-finite; pydantic reads the three names back into numbers by itself.
Number = Annotated[
    float,
    PlainSerializer(to_json_number, return_type=float | NonFinite, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}]}),
]
