"""One YAML document as plain values: what JSON can say, and nothing that stands for something else.

It is built from the events of libyaml as they come, so that a document that is too large or too deep is left where it
became so.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    DocumentStartEvent,
    Event,
    MappingStartEvent,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from api.http import limits

TAG = "tag:yaml.org,2002:"
NULL = frozenset({"", "~", "null", "Null", "NULL"})
TRUE = frozenset({"yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"})
FALSE = frozenset({"no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"})
INTEGER = re.compile(r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]+|0|[1-9][0-9_]*)")
NUMBER = re.compile(r"[-+]?([0-9][0-9_]*\.[0-9_]*|\.[0-9][0-9_]*|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?")
NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
# What YAML 1.1 reads as numbers to base 60 and as times, and hardly anybody means so.
BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
TIME = re.compile(r"\d{4}-\d\d?-\d\d?([Tt ].*)?")
COLLECTIONS = (dict, list)  # dict | list would be made anew for each of a hundred thousand values
BEGIN_OF_NUMBER = frozenset("+-.0123456789")
BASES = {"0b": 2, "0x": 16}


class Unreadable(ValueError):
    """It is no YAML, or none that is read here; the message says where. ``TooLarge`` has a message of its own."""


class TooLarge(ValueError):
    """It is too deep, or holds too much."""


def parse(text: str) -> Any:
    """The value of the one document in ``text``; None of an empty one. Raises Unreadable, TooLarge."""
    try:
        return _document(yaml.parse(text, Loader=yaml.CSafeLoader))
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        raise _unreadable(getattr(error, "problem", None) or str(error).splitlines()[0], place) from None


def _document(events: Iterator[Event]) -> Any:
    document: list[Any] = []
    open_: list[_Node] = []
    values = 0
    for event in events:
        if not isinstance(event, NodeEvent):
            if isinstance(event, DocumentStartEvent) and document:
                raise _unreadable("a second document begins", event.start_mark)
            if isinstance(event, CollectionEndEvent):
                open_.pop()
            continue
        values += 1
        if values > limits.MAX_VALUES:
            raise TooLarge(limits.TOO_MANY)
        value = _value(event)
        if open_:
            open_[-1].take(value, event)
        else:
            document.append(value)
        if isinstance(value, COLLECTIONS):
            if len(open_) > limits.MAX_DEPTH:
                raise TooLarge(limits.NESTED)
            open_.append(_Node(value))
    return document[0] if document else None


class _Node:
    """A mapping or a sequence that has not ended."""

    def __init__(self, value: dict[str, Any] | list[Any]) -> None:
        self._value = value
        self._key: str | None = None

    def take(self, value: Any, event: Event) -> None:
        """Put the next thing into it: in a mapping, a key and its value by turns."""
        if isinstance(self._value, list):
            self._value.append(value)
        elif self._key is not None:
            self._value[self._key] = value
            self._key = None
        elif not isinstance(value, str):
            raise _unreadable("a key must be text", event.start_mark)
        elif len(value) > limits.MAX_KEY:
            raise TooLarge(limits.LONG_KEY)
        elif len(self._value) >= limits.MAX_MEMBERS:
            raise TooLarge(limits.TOO_WIDE)
        elif value in self._value:
            raise _unreadable(f"the key {value[:100]!r} stands twice", event.start_mark)
        else:
            self._key = value


def _value(event: NodeEvent) -> Any:
    if type(event) is ScalarEvent and not event.tag and not event.style:  # most are
        return _plain(event.value, event)
    if isinstance(event, AliasEvent):
        raise _unreadable("aliases are not read here", event.start_mark)
    tag = (getattr(event, "tag", None) or "").removeprefix(TAG)
    if isinstance(event, MappingStartEvent) and tag in ("", "!", "map"):
        return {}
    if isinstance(event, SequenceStartEvent) and tag in ("", "!", "seq"):
        return []
    if isinstance(event, ScalarEvent):
        quoted = event.style in ("'", '"', "|", ">")
        if tag in ("!", "str") or (quoted and not tag):
            return event.value
        if not tag:
            return _plain(event.value, event)
    raise _unreadable(f"the tag {tag[:100]!r} is not read here", event.start_mark)


def _plain(text: str, event: Event) -> Any:
    """What a text without quotes says. YAML 1.1 reads 1e-3 as a text, YAML 1.2 and who writes it as a number."""
    if text in NULL:
        return None
    if text in TRUE or text in FALSE:
        return text in TRUE
    if text[0] in BEGIN_OF_NUMBER and len(text) <= limits.MAX_BITS:  # a longer one is no number
        if INTEGER.fullmatch(text):
            return _integer(text.replace("_", ""))
        if NUMBER.fullmatch(text):
            return whole(float(text.replace("_", "")))
        if NOT_FINITE.fullmatch(text):
            return float(text.lower().replace(".", ""))
        if BASE_60.fullmatch(text) or TIME.fullmatch(text):
            raise _unreadable(f"{text[:100]!r} may mean a time or a number: put it in quotes", event.start_mark)
    return text


def _integer(text: str) -> int:
    digits = text.lstrip("+-")
    sign = -1 if text.startswith("-") else 1
    if digits[:2] in BASES:
        return sign * int(digits[2:] or "0", BASES[digits[:2]])
    return sign * int(digits, 8 if digits.startswith("0") and len(digits) > 1 else 10)


def whole(value: float) -> float | int:
    """3.0 as the integer that it is in JSON Schema; other numbers as they are."""
    return int(value) if value.is_integer() and abs(value) < 2**53 else value


def _unreadable(reason: str, mark: Any) -> Unreadable:
    where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return Unreadable(f"{reason}{where}")
