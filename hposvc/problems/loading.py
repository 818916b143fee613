"""Getting at an installed problem: its class is imported here, in a process that has no database."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from hposvc.copyable import Copyable
from hposvc.entry_points import Installed, installed
from hposvc.problems.plugin import Plugin

# What reaches the database of the service. A problem computes, and a runner has no address of the database; whoever
# imports one of these has mistaken where it runs.
DRIVERS = frozenset({"psycopg", "psycopg2", "asyncpg", "sqlite3", "sqlalchemy", "dbos"})


class NotInstalled(Copyable, Exception):
    """This machine does not have the problem ``name``."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the problem {name} is not installed on this worker")
        self.name = name


class _NoDrivers:
    """Refuses to find database drivers."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """None for all other modules, so that others are asked."""
        if name.partition(".")[0] in DRIVERS:
            raise ImportError(f"a problem must not import {name}: it runs where no database can be reached", name=name)
        return None


def find(name: str) -> Installed:
    """The installed problem of that name. Raises NotInstalled."""
    found = installed().get(name)
    if found is None:
        raise NotInstalled(name)
    return found


def load(name: str) -> Plugin[Any]:
    """An instance of the problem ``name``. From now on, this process imports no database driver.

    Raises NotInstalled, and whatever importing the package raises.
    """
    entry = find(name).entry
    for driver in DRIVERS & sys.modules.keys():
        del sys.modules[driver]
    if not any(isinstance(finder, _NoDrivers) for finder in sys.meta_path):
        sys.meta_path.insert(0, _NoDrivers())
    class_ = entry.load()
    if not (isinstance(class_, type) and issubclass(class_, Plugin)):
        raise TypeError(f"{entry.value} is not a subclass of hposvc.problems.Plugin")
    return class_()
