"""Adds to the site's navigation what mkdocs.yml does not name: other pages, and every decision."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def on_config(config: Any) -> Any:
    """Called by mkdocs."""
    docs = Path(config["docs_dir"])
    named = set(_pages(config["nav"]))
    more = [page for page in _below(docs) if page not in named and not page.startswith("decisions/")]
    if more:
        config["nav"].append({"More": more})
    config["nav"].append({"Decisions": [page for page in _below(docs) if page.startswith("decisions/")]})
    return config


def _below(docs: Path) -> list[str]:
    pages = sorted(path.relative_to(docs).as_posix() for path in docs.rglob("*.md"))
    return sorted(pages, key=lambda page: not page.endswith("README.md"))


def _pages(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    entries = nav.values() if isinstance(nav, dict) else nav
    return [page for entry in entries for page in _pages(entry)]
