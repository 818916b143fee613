"""A request's body as plain values: JSON or YAML, read strictly, so that nothing ambiguous or hostile gets further."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import yaml
from fastapi import Request

from api.http.problem_details import FieldError, HTTPProblem, field_error, invalid_spec

MAX_DEPTH = 32
YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})
NESTED = f"The body is nested deeper than {MAX_DEPTH} levels."


async def read_document(request: Request, refuse: Callable[[Sequence[FieldError]], HTTPProblem] = invalid_spec) -> Any:
    """The body's one JSON or YAML document. Raises HTTPProblem: unreadable, too large, of another type, or not plain.

    ``refuse`` makes the problem of values that parsed but can be none of ours.
    """
    media_type = request.headers.get("content-type", "").split(";")[0].strip().lower()
    encoding = request.headers.get("content-encoding", "identity")
    if encoding != "identity" or not (media_type == "application/json" or media_type in YAML_TYPES):
        sent = f"Content-Encoding {encoding!r}" if encoding != "identity" else f"Content-Type {media_type!r}"
        raise HTTPProblem("unsupported-media-type", f"{sent[:200]} is not read here.")
    try:
        text = (await request.body()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise HTTPProblem("malformed-body", f"Byte {error.start} is not UTF-8.") from None
    document = _parse_json(text) if media_type == "application/json" else _parse_yaml(text)
    if errors := list(_unfit(document)):
        raise refuse(errors)
    return document


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_without_repeats, parse_float=_number)
    except RecursionError:
        raise HTTPProblem("malformed-body", NESTED) from None
    except ValueError as error:  # not JSON, or a number of more digits than Python reads
        raise HTTPProblem("malformed-body", f"Not JSON: {error}.") from None


def _number(text: str) -> float | int:
    return _whole(float(text))


def _whole(value: float) -> float | int:
    """3.0 as the integer that it is in JSON Schema; other numbers as they are."""
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {repeated[:100]!r} stands twice in one object")
    return members


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases (a few lines of them can stand for gigabytes) and without repeated keys."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(None, None, "aliases are not read here", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.MarkedYAMLError(None, None, "a key must be text", key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f"the key {key[:100]!r} stands twice", key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _construct_number(loader: _PlainLoader, node: yaml.ScalarNode) -> float | int:
    return _whole(loader.construct_yaml_float(node))


_PlainLoader.add_constructor("tag:yaml.org,2002:float", _construct_number)
# YAML 1.1 reads 1e-3 as a text, YAML 1.2 and everybody who writes it as a number.
_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"), list("-+.0123456789")
)


def _parse_yaml(text: str) -> Any:
    try:
        return yaml.load(text, Loader=_PlainLoader)  # noqa: S506  (a SafeLoader)
    except RecursionError:
        raise HTTPProblem("malformed-body", NESTED) from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist, a number too long
        place = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        where = f" (line {place.line + 1}, column {place.column + 1})" if place else ""
        raise HTTPProblem("malformed-body", f"Not YAML that can be read: {reason}{where}.") from None


def _unfit(document: Any) -> Iterator[FieldError]:
    """What parsed but is no fit value: non-finite numbers, and text that no database can hold."""
    stack: list[tuple[str, int, Any]] = [("", 0, document)]
    while stack:
        field, depth, value = stack.pop()
        if depth > MAX_DEPTH:
            raise HTTPProblem("malformed-body", NESTED)
        if isinstance(value, dict):
            stack += [(f"{field}.{key}" if field else str(key), depth + 1, item) for key, item in value.items()]
            stack += [(field, depth + 1, key) for key in value if not _is_text(key)]
        elif isinstance(value, list):
            stack += [(f"{field}.{index}", depth + 1, item) for index, item in enumerate(value)]
        elif isinstance(value, float) and not math.isfinite(value):
            yield field_error(field, "must be a finite number", "Send a finite number, or leave the field out.", value)
        elif isinstance(value, str) and not _is_text(value):
            remedy = "Remove the null characters and unpaired surrogates."
            yield field_error(field, "contains characters that cannot be stored", remedy, value)


def _is_text(value: str) -> bool:
    return "\x00" not in value and not any("\ud800" <= character <= "\udfff" for character in value)
