"""Writes docs/reference/licences.md: what every package that hposvc needs is licensed under. ``make licences``.

Reads the metadata of the packages that are installed, so it is run where all of them are, extras included.
"""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

PAGE = Path(__file__).parent / "reference" / "licences.md"
EXTRAS = ("excel", "otel", "s3")
# The metadata of these say nothing; their source does.
SAID_ELSEWHERE = {
    "jittor": "Apache-2.0",
}


def normal(name: str) -> str:
    """The name as indexes spell it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(extras: tuple[str, ...] = EXTRAS) -> tuple[list[Distribution], list[str]]:
    """What hposvc needs, directly or not, by name; and the names of what is not installed here."""
    found: dict[str, Distribution] = {}
    missing: set[str] = set()
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(name for extra in extras for name in project["optional-dependencies"][extra])]
    waiting = [Requirement(text) for text in wanted]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        key = (normal(requirement.name), frozenset(requirement.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            package = distribution(requirement.name)
        except PackageNotFoundError:
            missing.add(key[0])
            continue
        found[key[0]] = package
        for text in package.requires or ():
            inner = Requirement(text)
            if inner.marker is None or any(
                inner.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)
            ):
                waiting.append(inner)
    return [found[name] for name in sorted(found)], sorted(missing)


def licence(package: Distribution) -> str:
    """The licence as the package says it: an SPDX expression, its classifiers, or a short text."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    prefix = "License :: OSI Approved :: "
    said = [line.removeprefix(prefix) for line in metadata.get_all("Classifier") or () if line.startswith(prefix)]
    if said:
        return ", ".join(said)
    text = str(metadata.get("License") or "").strip()
    return text if text and "\n" not in text and len(text) < 80 else SAID_ELSEWHERE.get(normal(package.name), "unknown")


def page() -> str:
    """The page."""
    packages, missing = needed()
    lines = [
        "# Licences of what hposvc needs\n",
        "hposvc is under Apache-2.0. It carries one file of other people's, plotly.js (MIT; `api/dashboard/vendor`).",
        f"These packages are installed beside it, extras ({', '.join(EXTRAS)}) included. As their metadata says it,",
        "written by `make licences`.\n",
        "| package | version | licence |",
        "|---|---|---|",
        *(f"| {normal(package.name)} | {package.version} | {licence(package)} |" for package in packages),
    ]
    if missing:
        lines.append(f"\nNot installed where this was written: {', '.join(missing)}.")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE}\n")
