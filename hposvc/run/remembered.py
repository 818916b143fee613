"""What the job before has found out about the same labels: a search tries many settings on one data set.

A process that does one job after the other needs the analysis of the labels once, and so do the models that depend on
nothing but the labels. Whatever is remembered is a pure function of its key, so it changes no number.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Found = TypeVar("Found")

MOST = 8
"""Findings that are kept: an analysis and its models, for two sets of labels."""

_found: OrderedDict[bytes, Any] = OrderedDict()


def remembered(key: bytes, find: Callable[[], Found]) -> Found:
    """What ``find()`` returned for this ``key`` before, or returns now. Nobody may change it."""
    found: Found = _found[key] if key in _found else find()
    _found[key] = found
    _found.move_to_end(key)
    while len(_found) > MOST:
        _found.popitem(last=False)
    return found


def key_of(*parts: object) -> bytes:
    """One key for arrays, by their content, and for whatever else is told apart by its ``repr``."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(_bytes_of(part))
    return digest.digest()


def _bytes_of(part: object) -> bytes:
    if isinstance(part, bytes):
        return part
    if isinstance(part, np.ndarray):
        array: NDArray[Any] = np.ascontiguousarray(part)
        return f"{array.dtype}{array.shape}".encode() + array.tobytes()
    return repr(part).encode() + b"\0"
