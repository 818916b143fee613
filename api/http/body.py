"""A request's body as plain values: JSON or YAML, read strictly, so that nothing ambiguous or hostile gets further."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from fastapi import Request

from api.http import limits, yaml_text
from api.http.problem_details import MOST_ERRORS, FieldError, HTTPProblem, field_error, invalid_spec

YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})
UNFIT = re.compile("[\x00\ud800-\udfff]")  # what no database can hold


class Body(NamedTuple):
    """A body that has come, not yet read: its bytes and whether they are YAML or JSON."""

    content: bytes
    is_yaml: bool


async def receive(request: Request) -> Body:
    """The body of a request. Raises HTTPProblem: of a type that is not read, too large."""
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity" or not (media_type == "application/json" or media_type in YAML_TYPES):
        sent = f"Content-Encoding {encoding!r}" if encoding != "identity" else f"Content-Type {media_type!r}"
        raise HTTPProblem("unsupported-media-type", f"{sent[:200]} is not read here.")
    return Body(await request.body(), media_type in YAML_TYPES)


def read(body: Body, refuse: Callable[[Sequence[FieldError]], HTTPProblem] = invalid_spec) -> Any:
    """The one document in ``body``. Raises HTTPProblem: unreadable, too deep, too much, or not plain.

    ``refuse`` makes the problem of values that parsed but can be none of ours. Takes processor time in proportion to
    the bytes: call it on a thread.
    """
    try:
        text = body.content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HTTPProblem("malformed-body", f"Byte {error.start} is not UTF-8.") from None
    document = _parse_yaml(text) if body.is_yaml else _parse_json(text)
    if errors := list(_unfit(document)):
        raise refuse(errors)
    return document


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_repeats, parse_float=_number)
    except RecursionError:
        raise HTTPProblem("malformed-body", limits.NESTED) from None
    except ValueError as error:  # not JSON, or a number of more digits than Python reads
        raise HTTPProblem("malformed-body", f"Not JSON: {error}.") from None


def _number(text: str) -> float | int:
    return yaml_text.whole(float(text))


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        seen: set[str] = set()
        repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {repeated[:100]!r} stands twice in one object")
    return members


def _parse_yaml(text: str) -> Any:
    try:
        return yaml_text.parse(text)
    except yaml_text.TooLarge as error:
        raise HTTPProblem("malformed-body", str(error)) from None
    except yaml_text.Unreadable as error:
        raise HTTPProblem("malformed-body", f"Not YAML that can be read: {error}.") from None


class _Place(NamedTuple):
    """Where a value stands: its key or number, and the place of what holds it. A path as text would be as long for
    each value as all keys above it together.
    """

    above: _Place | None
    name: str | int

    def __str__(self) -> str:
        names: list[str] = []
        place: _Place | None = self
        while place is not None:
            names.append(str(place.name))
            place = place.above
        return ".".join(reversed(names))


def _unfit(document: Any) -> Iterator[FieldError]:
    """The first of what parsed but is no fit value: non-finite and endless numbers, and text that no database can hold.

    Raises HTTPProblem for a document that is too deep or holds too much.
    """
    stack: list[tuple[_Place | None, int, Any]] = [(None, 0, document)]
    values = found = 0
    while stack:
        place, depth, value = stack.pop()
        values += 1
        if values > limits.MAX_VALUES:
            raise HTTPProblem("malformed-body", limits.TOO_MANY)
        if depth > limits.MAX_DEPTH:
            raise HTTPProblem("malformed-body", limits.NESTED)
        if isinstance(value, dict):
            if len(value) > limits.MAX_MEMBERS:
                raise HTTPProblem("malformed-body", limits.TOO_WIDE)
            if any(len(key) > limits.MAX_KEY for key in value):
                raise HTTPProblem("malformed-body", limits.LONG_KEY)
            values += len(value)
            stack += [(_Place(place, key), depth + 1, item) for key, item in reversed(value.items())]
            stack += [(place, depth + 1, key) for key in value if UNFIT.search(key)]
        elif isinstance(value, list):
            stack += [(_Place(place, index), depth + 1, value[index]) for index in reversed(range(len(value)))]
        elif (fault := _fault(value)) and found < MOST_ERRORS:
            found += 1
            yield field_error("" if place is None else str(place), *fault, value)


def _fault(value: Any) -> tuple[str, str] | None:
    """What is wrong with a number or a text, and the remedy."""
    if isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number", "Send a finite number, or leave the field out."
    if isinstance(value, int) and value.bit_length() > limits.MAX_BITS:
        return "must be a smaller number", "Send a number of at most 300 digits, or leave the field out."
    if isinstance(value, str) and UNFIT.search(value):
        return "contains characters that cannot be stored", "Remove the null characters and unpaired surrogates."
    return None
