"""What a call of the client raises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from hposvc.copyable import Copyable


class ClientError(Copyable, Exception):
    """The service did not do what was asked. The message says why, and what to do about it where that is known."""


class ServerUnreachableError(ClientError):
    """Nothing responds at the address of the service."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        super().__init__(f"no answer from {url}: {reason}")


class ProblemError(ClientError):
    """The service refused: its problem document (RFC 9457), readable.

    ``status`` is the HTTP status, ``type`` the stable name of the problem, ``errors`` what is wrong field by field
    (``field``, ``message``, ``remedy``), ``document`` everything the service said.
    """

    def __init__(self, status: int, document: Mapping[str, Any]) -> None:
        self.status = status
        self.document = dict(document)
        self.type = str(document.get("type", "about:blank"))
        self.title = str(document.get("title", f"HTTP {status}"))
        self.detail = str(document.get("detail", ""))
        self.errors: list[dict[str, Any]] = list(document.get("errors", []))
        lines = [f"{error['field']}: {error['message']} ({error['remedy']})" for error in self.errors]
        super().__init__("\n  ".join([f"{self.title}:", *lines]) if lines else f"{self.title}: {self.detail}")


class Repeated(Copyable, Exception):
    """A deletion was refused after an earlier request for it got no response: that one may have done it."""

    def __init__(self, problem: ProblemError) -> None:
        self.problem = problem


def document_of(response: httpx.Response) -> Mapping[str, Any]:
    """The problem document of an error, or what can be said when something else than the service responded."""
    if response.headers.get("Content-Type", "").startswith("application/problem+json"):
        document = response.json()
        if isinstance(document, dict):
            return document
    return {"title": f"HTTP {response.status_code}", "detail": response.text[:200] or response.reason_phrase}
