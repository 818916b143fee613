"""Which problems are installed beside the service: found from what packages declare, without importing any of them.

A package declares a problem as an entry point of the group ``hposvc.problems``::

    [project.entry-points."hposvc.problems"]
    few_shot = "my_package.few_shot:FewShot"

Its name is that of the package and of the entry: ``my_package:few_shot``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

GROUP = "hposvc.problems"


@dataclass(frozen=True)
class Installed:
    """A problem by its name, and the version of the distribution that it comes with."""

    name: str
    distribution: str
    version: str
    entry: EntryPoint


def installed() -> dict[str, Installed]:
    """The installed problems by name."""
    found = {}
    for entry in entry_points(group=GROUP):
        name = f"{entry.module.partition('.')[0]}:{entry.name}"
        distribution = entry.dist
        if distribution is not None:
            found[name] = Installed(name, distribution.name, distribution.version, entry)
    return dict(sorted(found.items()))
