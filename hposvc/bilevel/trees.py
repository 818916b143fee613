"""Nested dictionaries, lists and tuples of arrays: taken apart into a list of arrays, and put together again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tree = Any
"""Arrays in dictionaries, lists and tuples, however deep; an array alone is one, too."""


def leaves(tree: Tree, path: str = "") -> Iterator[tuple[str, Any]]:
    """What is in ``tree`` and is no container, each with its path, such as ``images`` or ``layers.0.weight``."""
    if isinstance(tree, dict):
        items = list(tree.items())
    elif isinstance(tree, (list, tuple)):
        items = list(enumerate(tree))
    else:
        yield path, tree
        return
    for key, value in items:
        yield from leaves(value, f"{path}.{key}" if path else str(key))


def mapped(tree: Tree, change: Callable[[Any], Any]) -> Tree:
    """``tree`` in new containers, with ``change`` of each leaf in its place."""
    if isinstance(tree, dict):
        return {key: mapped(value, change) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)):
        values = [mapped(value, change) for value in tree]
        if hasattr(tree, "_fields"):  # a named tuple takes its fields one by one
            return type(tree)(*values)
        return tuple(values) if isinstance(tree, tuple) else values
    return change(tree)


def as_numpy(value: Any) -> NDArray[Any] | None:
    """``value`` as an array of numbers, if it is an array of NumPy, Jittor or any library that converts to NumPy's."""
    if isinstance(value, (np.ndarray, np.generic)):
        array = np.asarray(value)
    elif hasattr(value, "numpy"):
        array = np.asarray(value.numpy())
    elif hasattr(value, "__array__"):
        array = np.asarray(value)
    else:
        return None
    return array if array.dtype.kind in "fiub" else None
