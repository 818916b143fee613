"""What a solver moves, in the form that a person brings it: the parameters of a Jittor module, or a tree of arrays.

Either is a list of arrays for the solver, and for a loss the module or the tree with those arrays in their places.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np

from hposvc.bilevel.arrays import Arrays, Precision, Var, device_array
from hposvc.bilevel.runtime import jt
from hposvc.bilevel.trees import Tree, as_numpy, leaves, mapped
from hposvc.copyable import Copyable


class Variables(Protocol):
    """Arrays that are moved, and the thing that they are part of."""

    names: list[str]
    initial: Arrays

    @property
    def value(self) -> Any:
        """The module, or the tree of NumPy arrays, with the arrays as they were last stored."""

    def bound(self, arrays: list[Var], *, evaluating: bool) -> contextlib.AbstractContextManager[Any]:
        """The module or the tree with ``arrays`` in their places. ``evaluating``: without dropout.

        Raises:
            Rebound: the arrays of the module were replaced meanwhile.
        """

    def store(self, arrays: Arrays) -> None:
        """Keep ``arrays``: in the module itself, or in a new tree."""


class Rebound(Copyable, Exception):
    """Whoever had the module put something else in the place of ``name``."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


def variables(value: Any, dtype: Precision, what: str) -> Variables:
    """``value`` as variables: a Jittor module, or a tree of numbers. Raises ValueError: there is nothing to move."""
    made = Parameters(value, dtype) if _is_module(value) else Numbers(value, what)
    if not made.initial:
        frozen = " (those that are stopped, as in eval(), stay as they are)" if _is_module(value) else ""
        raise ValueError(f"{what}: there is no number in it that could be moved{frozen}")
    return made


class Numbers:
    """A tree of numbers and arrays. A lone number has the shape (1,)."""

    def __init__(self, tree: Tree, what: str) -> None:
        self._tree = tree
        self.names: list[str] = []
        self.initial: Arrays = []
        for path, leaf in leaves(tree):
            array = np.asarray(leaf) if isinstance(leaf, (int, float)) else as_numpy(leaf)
            if array is None:
                raise ValueError(f"{what}: {path or 'it'} is a {type(leaf).__name__}, not an array of numbers")
            self.names.append(path or what)
            self.initial.append(np.atleast_1d(array).astype(np.float64))

    @property
    def value(self) -> Tree:
        """The tree."""
        return self._tree

    @contextlib.contextmanager
    def bound(self, arrays: list[Var], *, evaluating: bool) -> Iterator[Tree]:
        """The tree with ``arrays`` in its places."""
        following = iter(arrays)
        yield mapped(self._tree, lambda _: next(following))

    def store(self, arrays: Arrays) -> None:
        """Put ``arrays`` into a new tree."""
        following = iter(arrays)
        self._tree = mapped(self._tree, lambda _: next(following))


class _Place(NamedTuple):
    """Where a module holds an array."""

    holder: Any
    key: Any
    name: str


class Parameters:
    """The parameters of a Jittor module.

    Parameters that are stopped (``stop_grad``, ``requires_grad_(False)``) are left alone, and so are the stored
    statistics of normalization layers: a layer may use and renew them, and finds them as they were the next time. An
    array that stands in several places is moved in all of them.
    """

    def __init__(self, module: Any, dtype: Precision) -> None:
        self._module = module
        self._dtype = dtype
        self._modules = [inner for _, inner in module.named_modules()]
        arrays: dict[int, Var] = {}
        places: dict[int, list[_Place]] = {}
        stopped: set[int] = set()
        for name, inner in module.named_modules():
            frozen = any(not getattr(outer, "_requires_grad", True) for outer in _outer(module, name))
            holder = inner.params if isinstance(inner, jt.nn.ParameterList) else vars(inner)
            for key, array in holder.items():
                if not isinstance(array, jt.Var) or str(key).startswith("_"):
                    continue
                arrays[id(array)] = array
                places.setdefault(id(array), []).append(_Place(holder, key, f"{name}.{key}" if name else str(key)))
                if frozen or array.is_stop_grad() or not str(array.dtype).startswith("float"):
                    stopped.add(id(array))
        moved = [identity for identity in arrays if identity not in stopped]
        self._places = [places[identity] for identity in moved]
        self._fixed = [(places[identity], arrays[identity]) for identity in arrays if identity in stopped]
        self._fixed_values: list[Var] | None = None
        self.names = [where[0].name for where in self._places]
        self.initial: Arrays = [arrays[identity].numpy().astype(np.float64) for identity in moved]

    @property
    def value(self) -> Any:
        """The module."""
        return self._module

    @contextlib.contextmanager
    def bound(self, arrays: list[Var], *, evaluating: bool) -> Iterator[Any]:
        """The module with ``arrays`` as its parameters."""
        fixed = [(places, value) for (places, _), value in zip(self._fixed, self._copies(), strict=True)]
        put = [
            (where, array) for places, array in [*zip(self._places, arrays, strict=True), *fixed] for where in places
        ]
        found = [(where, where.holder[where.key]) for where, _ in put]
        modes = self._modes()
        try:
            _fill(put)
            if evaluating:
                self._evaluate()
            yield self._module
            for where, array in put:
                if where.holder.get(where.key) is not array:
                    raise Rebound(where.name)
        finally:
            _fill(found)
            self._restore(modes)

    def _modes(self) -> list[bool | None]:
        return [vars(inner).get("is_train") for inner in self._modules]

    def _evaluate(self) -> None:
        """Turn off dropout, not normalization by the batch. Unlike ``eval()``, this stops no gradient."""
        for inner in self._modules:
            if not hasattr(inner, "running_mean"):
                vars(inner)["is_train"] = False

    def _restore(self, modes: list[bool | None]) -> None:
        for inner, mode in zip(self._modules, modes, strict=True):
            if mode is None:
                vars(inner).pop("is_train", None)
            else:
                vars(inner)["is_train"] = mode

    def store(self, arrays: Arrays) -> None:
        """Put ``arrays`` into the module."""
        for places, array in zip(self._places, arrays, strict=True):
            where = places[0]
            parameter = where.holder[where.key]
            parameter.assign(device_array(array, str(parameter.dtype)))

    def _copies(self) -> list[Var]:
        """What stays as it is, in the precision of the problem: new variables, which a layer may change."""
        if self._fixed_values is None:
            self._fixed_values = [
                device_array(array.numpy(), self._dtype) if str(array.dtype).startswith("float") else array.detach()
                for _, array in self._fixed
            ]
        return [value.detach().stop_grad() for value in self._fixed_values]


def _fill(put: list[tuple[_Place, Var]]) -> None:
    for where, array in put:
        where.holder[where.key] = array


def _is_module(value: Any) -> bool:
    return any(class_.__module__ == "jittor" and class_.__name__ == "Module" for class_ in type(value).__mro__)


def _outer(module: Any, name: str) -> Iterator[Any]:
    """The module itself, and those on the way to the inner one of this ``name``."""
    yield module
    names = name.split(".") if name else []
    found = dict(module.named_modules())
    for length in range(1, len(names) + 1):
        if ".".join(names[:length]) in found:
            yield found[".".join(names[:length])]
