"""Markdown as a tree of known elements. No HTML is made or kept anywhere, so none can do harm."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, get_args

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from hposvc.schema.notes import NotesElement, Tag

PARSER = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable(["image"])
LINK = re.compile(r"https?://|mailto:|/(?![/\\])|#", re.IGNORECASE)
TAGS = frozenset(get_args(Tag))
HEADINGS_BEGIN = 3  # the page has two levels above


def tree(text: str) -> list[NotesElement | str]:
    """``text`` as elements and texts; HTML in it is text, a link that leads elsewhere than ``LINK`` is its words."""
    return list(_inside(SyntaxTreeNode(PARSER.parse(text))))


def _inside(node: SyntaxTreeNode) -> Iterator[NotesElement | str]:
    for child in node.children:
        yield from _of(child)


def _of(node: SyntaxTreeNode) -> Iterator[NotesElement | str]:
    if node.type in LEAVES:
        yield LEAVES[node.type](node.content)
        return
    inside = list(_inside(node)) if node.children else [node.content] * bool(node.content)
    known = _element(node)
    if known is None:
        yield from inside
    else:
        yield NotesElement.model_validate({**known, "children": inside})


def _element(node: SyntaxTreeNode) -> dict[str, Any] | None:
    """The element that holds what is in the node; None for what only holds it together."""
    if node.type == "heading":
        return {"tag": f"h{min(6, int(node.tag[1:]) + HEADINGS_BEGIN - 1)}"}
    if node.type == "link":
        href = str(node.attrs.get("href", ""))
        return {"tag": "a", "href": href} if LINK.match(href) else None
    if node.tag not in TAGS or node.hidden:  # hidden: a paragraph of a tight list
        return None
    return {"tag": node.tag, "start": node.attrs.get("start")}


def _code(text: str) -> NotesElement:
    return NotesElement(tag="code", children=[text])


LEAVES: dict[str, Callable[[str], NotesElement | str]] = {
    "text": str,
    "softbreak": lambda _: " ",
    "hardbreak": lambda _: NotesElement(tag="br"),
    "code_inline": _code,
    "fence": lambda text: NotesElement(tag="pre", children=[_code(text)]),
    "code_block": lambda text: NotesElement(tag="pre", children=[_code(text)]),
}
