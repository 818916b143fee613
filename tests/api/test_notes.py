"""Notes about a job: kept as they were written, read as a tree in which nothing can do harm."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from api.http.markdown import tree
from tests.support.problems import problem
from tests.support.serving import Server, submit


def test_notes_are_written_and_read(client: httpx.Client, server: Server) -> None:
    path = f"/v1/jobs/{submit(server.engine).id}/notes"
    empty = client.get(path)
    assert empty.json() == {"text": "", "rendered": []}
    kept = client.put(path, json={"text": "a *b*"}, headers={"If-Match": empty.headers["ETag"]})
    assert kept.json()["rendered"][0]["children"][1]["tag"] == "em"
    assert client.get(path).json() == kept.json()
    assert client.get(path, headers={"If-None-Match": kept.headers["ETag"]}).status_code == 304


def test_notes_that_somebody_else_changed_are_not_overwritten(client: httpx.Client, server: Server) -> None:
    path = f"/v1/jobs/{submit(server.engine).id}/notes"
    seen = client.get(path).headers["ETag"]
    client.put(path, json={"text": "theirs"})
    for tag in (seen, '"x"', "theirs"):
        answer = client.put(path, json={"text": "mine"}, headers={"If-Match": tag})
        problem(answer, 412, "notes-changed")
    assert client.get(path).json()["text"] == "theirs"
    assert client.put(path, json={"text": "mine"}, headers={"If-Match": answer.headers["ETag"]}).status_code == 200


def test_notes_have_an_end_and_a_job(client: httpx.Client, server: Server) -> None:
    path = f"/v1/jobs/{submit(server.engine).id}/notes"
    assert client.put(path, json={"text": "x" * 20_000}).status_code == 200
    for text in ("x" * 20_001, "a\0b"):
        problem(client.put(path, json={"text": text}), 422, "invalid-body")
    problem(client.get("/v1/jobs/job_none/notes"), 404, "job-not-found")
    problem(client.put("/v1/jobs/job_none/notes", json={"text": ""}), 404, "job-not-found")


def plain(nodes: list[Any]) -> str:
    return "".join(node if isinstance(node, str) else plain(node.children) for node in nodes)


def links(nodes: list[Any]) -> list[str]:
    inner = [node for node in nodes if not isinstance(node, str)]
    return [node.href for node in inner if node.href] + [href for node in inner for href in links(node.children)]


@pytest.mark.parametrize(
    "text",
    [
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](java\tscript:alert(1))",
        "[x](<java\nscript:alert(1)>)",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](data:image/svg+xml;base64,AAAA)",
        "[x](vbscript:x)",
        "[x](file:///etc/passwd)",
        "[x](//elsewhere.example)",
        "[x]: javascript:alert(1)\n\n[x]",
        "<javascript:alert(1)>",
        "<img src=x onerror=alert(1)>",
        "<script>alert(1)</script>",
        "<a href='javascript:alert(1)'>x</a>",
        "![x](javascript:alert(1))",
    ],
)
def test_hostile_notes_have_no_link_and_no_html(text: str) -> None:
    found = tree(text)
    assert links(found) == []
    if text.startswith("<"):
        assert plain(found) == text  # it is there to be read


def test_what_markdown_is_for_is_understood() -> None:
    text = (
        "# Title\n\nOne **bold** ~~gone~~ `code`  \nnext\n\n3. three\n4. four\n\n> said\n\n```\n<b>\n```\n\n---\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n[there](https://example.com?a=1&b=2) [here](/jobs/job_1) "
        "![a picture](/x.png)"
    )
    found = tree(text)
    tags = [node.tag for node in found if not isinstance(node, str)]
    assert tags == ["h3", "p", "ol", "blockquote", "pre", "hr", "table", "p"]
    assert links(found) == ["https://example.com?a=1&b=2", "/jobs/job_1", "/x.png"]
    numbered = found[2]
    assert not isinstance(numbered, str)
    assert numbered.start == 3
    assert "<b>\n" in plain(found)


@pytest.mark.parametrize(
    "piece", ["[", "*", "![", "> ", "- ", "`", "~~", "<", "[a](", "|a|\n|-|\n", "a_b_", "\\", "&#", "[x]: /\n"]
)
def test_no_notes_nest_without_end_or_take_long(piece: str) -> None:
    text = (piece * 20_000)[:20_000]
    began = time.process_time()
    deepest = depth(tree(text))
    assert deepest < 60
    assert time.process_time() - began < 5  # a stop against what grows with the square, not a measure


def depth(nodes: list[Any]) -> int:
    return max((1 + depth(node.children) for node in nodes if not isinstance(node, str)), default=0)
