"""Notes that people keep about a job: Markdown, and what it means as a tree, in which there is no HTML."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from hposvc.schema.resource import Resource

MOST_CHARACTERS = 20_000
NotesText = Annotated[str, StringConstraints(max_length=MOST_CHARACTERS, pattern=r"^[^\x00]*$")]
Tag = Literal[
    "p", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code", "em", "strong", "s", "a", "br", "hr",
    "table", "thead", "tbody", "tr", "th", "td",
]  # fmt: skip


class NotesElement(Resource):
    """A part of the notes: a paragraph, a list, a link and so on."""

    tag: Tag
    """What it is, by the name of HTML. Headings begin with h3: the page has those above."""
    href: str | None = None
    """Where a link leads: `http:`, `https:`, `mailto:`, or a path of the service. null: it is no link."""
    start: int | None = None
    """The first number of a numbered list. null: 1."""
    children: list[NotesElement | str] = Field([])
    """What is in it, in order. Texts are texts: nothing in them is to be read as HTML."""


class Notes(Resource):
    """What people wrote about a job."""

    text: str
    """The notes in Markdown. Empty: there are none."""
    rendered: list[NotesElement | str]
    """The same as a tree, for pages."""


class NotesRequest(Resource):
    """New notes, in place of those that are there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: NotesText
    """The notes in Markdown (CommonMark, with tables), at most 20,000 characters. HTML in it is shown as text, and
    pictures are links. Empty: no notes.
    """
