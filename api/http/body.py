"""A request's body as plain values: JSON or YAML, read strictly, so that nothing ambiguous or hostile gets further."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from fastapi import Request

from api.http import limits, yaml_text
from api.http.problem_details import MOST_ERRORS, FieldError, HTTPProblem, field_error, invalid_spec

YAML_TYPES = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})
PLAIN = 2**53  # smaller numbers are fit whatever reads them
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
    if errors := _unfit(document):
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


class _Search:
    """Looks through a document for what parsed but is no fit value. It is at ``path``, and has seen so many ``values``.

    It makes nothing for each value: of a hundred thousand, that took ten times as long as to look at them.
    """

    def __init__(self) -> None:
        self.found: list[FieldError] = []
        self._path: list[str | int] = []
        self._values = 0

    def look_into(self, members: Iterable[tuple[str | int, Any]], number: int) -> None:
        """Look at the ``number`` members of an object or a list, each with its key or place. Raises HTTPProblem."""
        self._values += number
        if self._values > limits.MAX_VALUES:
            raise HTTPProblem("malformed-body", limits.TOO_MANY)
        if len(self._path) > limits.MAX_DEPTH:
            raise HTTPProblem("malformed-body", limits.NESTED)
        for name, value in members:
            if type(value) is int and -PLAIN < value < PLAIN:  # without a call: there may be a hundred thousand
                continue
            if isinstance(value, yaml_text.COLLECTIONS):
                self._path.append(name)
                self.look_at(value)
                self._path.pop()
            elif (fault := _fault(value)) and len(self.found) < MOST_ERRORS:
                self._note([*self._path, name], fault, value)

    def look_at(self, value: Any) -> None:
        """Look at one value, and at what it holds. Raises HTTPProblem for what is too deep or holds too much."""
        if isinstance(value, list):
            self.look_into(enumerate(value), len(value))
        elif isinstance(value, dict):
            if len(value) > limits.MAX_MEMBERS:
                raise HTTPProblem("malformed-body", limits.TOO_WIDE)
            if any(len(key) > limits.MAX_KEY for key in value):
                raise HTTPProblem("malformed-body", limits.LONG_KEY)
            for key in value:
                if (fault := _fault(key)) and len(self.found) < MOST_ERRORS:
                    self._note(self._path, fault, key)
            self.look_into(value.items(), 2 * len(value))
        elif fault := _fault(value):
            self._note(self._path, fault, value)

    def _note(self, path: Sequence[str | int], fault: tuple[str, str], value: Any) -> None:
        self.found.append(field_error(".".join(map(str, path)), *fault, value))


def _unfit(document: Any) -> list[FieldError]:
    """The first of what parsed but is no fit value: non-finite and endless numbers, and text that no database can hold.

    Raises HTTPProblem for a document that is too deep or holds too much.
    """
    search = _Search()
    search.look_at(document)
    return search.found


def _fault(value: Any) -> tuple[str, str] | None:
    """What is wrong with a number or a text, and the remedy."""
    if isinstance(value, str):
        if UNFIT.search(value):
            return "contains characters that cannot be stored", "Remove the null characters and unpaired surrogates."
    elif isinstance(value, int):
        if value.bit_length() > limits.MAX_BITS:
            return "must be a smaller number", "Send a number of at most 300 digits, or leave the field out."
    elif isinstance(value, float) and not math.isfinite(value):
        return "must be a finite number", "Send a finite number, or leave the field out."
    return None
