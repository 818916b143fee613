"""Page tokens: where a list goes on. A token is opaque to clients: URL-safe base64 of a list in JSON."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Collection, Iterable
from itertools import accumulate
from typing import Any

UNFIT = re.compile("[\x00\ud800-\udfff]")  # what no database can hold
MAX_PAGE = 1000  # items on one page
MAX_PAGE_BYTES = 2 * 2**20  # of the specs, or of the descriptions, on one page; more only if one item has more


class InvalidPageToken(ValueError):
    """The page token was not made by this service, or for another order; the message says which."""

    def __init__(self, message: str = "this page token was not made by this service; ask for the first page again"):
        super().__init__(message)


def how_many_fit(sizes: Iterable[int]) -> int:
    """How many items of these ``sizes``, in bytes, go on one page: at least one."""
    ends = list(accumulate(sizes))
    return max(1, sum(end <= MAX_PAGE_BYTES for end in ends))


def encode_page(*parts: Any) -> str:
    """The token that holds ``parts``, each of them a value of JSON."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


def decode_page(token: str) -> list[Any]:
    """The parts that :func:`encode_page` put into ``token``: whoever reads them checks their number and types.

    Each is a text, a finite number or a truth value that a database can hold. Raises InvalidPageToken.
    """
    try:
        parts = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidPageToken from error
    if not isinstance(parts, list) or not all(map(_can_be_stored, parts)):
        raise InvalidPageToken
    return parts


def _can_be_stored(part: Any) -> bool:
    if isinstance(part, str):
        return UNFIT.search(part) is None
    if isinstance(part, int):
        return -(2**63) <= part < 2**63
    return isinstance(part, float) and math.isfinite(part)


def require_order(made_for: Any, order: str, known: Collection[str]) -> None:
    """Refuse a token that was ``made_for`` another order than ``order``. Raises InvalidPageToken."""
    if made_for == order:
        return
    if made_for in known:
        raise InvalidPageToken(f"this page token belongs to order={made_for}; keep the order, or begin again")
    raise InvalidPageToken
