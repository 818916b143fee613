"""Exceptions reach other processes as they were raised."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import pkgutil
from collections.abc import Iterator

import pytest

import api
import hposvc
import workers
from hposvc.access.tenants import QuotaExceeded
from hposvc.bilevel.runtime import RuntimeStartError
from hposvc.tables.defects import DataError, Defect

PROGRAMS = ("__main__", "examples")  # importing them runs them; ``examples`` is the installed copy


def exceptions() -> Iterator[type[BaseException]]:
    for package in (hposvc, api, workers):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not set(found.name.split(".")) & set(PROGRAMS):
                for kind in vars(importlib.import_module(found.name)).values():
                    if inspect.isclass(kind) and issubclass(kind, BaseException) and kind.__module__ == found.name:
                        yield kind


@pytest.mark.parametrize(
    "error",
    [
        RuntimeStartError("the kernels are of another machine", "compile them here"),
        QuotaExceeded("queued_jobs", 2, 2, 30),
        DataError([Defect("body", "is empty", "send rows")]),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_copy_says_and_carries_the_same(error: Exception) -> None:
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(other) is type(error)
        assert str(other) == str(error)
        assert vars(other) == vars(error)


def test_every_exception_can_be_copied() -> None:
    """Without calling its constructor with a message in the place of its arguments."""
    kinds = list(exceptions())
    assert len(kinds) > 50
    for kind in kinds:
        error = kind.__new__(kind)
        error.args = ("said",)
        vars(error)["carried"] = 1
        other = pickle.loads(pickle.dumps(error))
        assert (type(other), other.args, vars(other)) == (kind, ("said",), {"carried": 1})
