"""What must hold for every error."""

from __future__ import annotations

from typing import Any

import httpx


def problem(response: httpx.Response, status: int, slug: str, root: str = "") -> dict[str, Any]:
    """The problem document of an answer below ``root``, after checking what all of them share."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    document: dict[str, Any] = response.json()
    assert document["type"] == f"{root}/problems/{slug}"
    assert document["status"] == status
    assert document["title"]
    assert document["detail"]
    assert document["instance"].startswith(f"{root}/")
    for error in document.get("errors", []):
        assert error["message"]
        assert error["remedy"]
    return document
