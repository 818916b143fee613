"""What mkdocs is told by code: pages that mkdocs.yml does not name, and links to files beside the documentation."""

from __future__ import annotations

import re
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


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Called by mkdocs: a link to a file that is not part of the site becomes the file's name."""
    docs = Path(config["docs_dir"]).resolve()
    here = (docs / page.file.src_path).parent

    def named(match: re.Match[str]) -> str:
        target = (here / match[2]).resolve()
        return match[0] if target.is_relative_to(docs) else f"{match[1]} (`{target.relative_to(docs.parent)}`)"

    return re.sub(r"(?<!!)\[([^\]]+)\]\((\.\./[^)#]*)\)", named, markdown)


def _below(docs: Path) -> list[str]:
    pages = sorted(path.relative_to(docs).as_posix() for path in docs.rglob("*.md"))
    return sorted(pages, key=lambda page: not page.endswith("README.md"))


def _pages(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    entries = nav.values() if isinstance(nav, dict) else nav
    return [page for entry in entries for page in _pages(entry)]
