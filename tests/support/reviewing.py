"""A small data set to review."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np

KINDS = ("setosa", "versicolor", "virginica")


def flowers_csv(rows: int = 60, wrong: tuple[int, ...] = (), *, ids: bool = True) -> bytes:
    """Rows that a linear model tells apart, three classes in turn; those that are ``wrong`` carry the next class."""
    draw = np.random.default_rng(0)
    lines = ["id,length,width,note,kind" if ids else "length,width,note,kind"]
    for i in range(rows):
        length, width = (5.0, 1.0, 0.0)[i % 3] + draw.normal(0, 0.4), (0.0, 4.0, 1.0)[i % 3] + draw.normal(0, 0.4)
        kind = KINDS[(i + (i in wrong)) % 3]
        name = f"f-{i:02d}," if ids else ""
        lines.append(f"{name}{length:.3f},{width:.3f},petal of flower number {i},{kind}")
    return ("\n".join(lines) + "\n").encode()


def add_flowers(client: httpx.Client, content: bytes | None = None) -> str:
    """Upload them; returns the path of the data set."""
    answer = client.post(
        "/v1/datasets",
        params={"label": "kind", "name": "flowers.csv"},
        content=content or flowers_csv(),
        headers={"Content-Type": "text/csv"},
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["links"]["self"])


def decide(client: httpx.Client, path: str, *decisions: dict[str, Any], **more: Any) -> Any:
    """Send decisions; returns what was kept."""
    answer = client.put(f"{path}/reviews", json={"decisions": list(decisions), **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def right(row: str, **more: Any) -> dict[str, Any]:
    return {"row": row, "decision": "right", **more}


def relabel(row: str, to: str, **more: Any) -> dict[str, Any]:
    return {"row": row, "decision": "relabel", "relabelled_to": to, **more}
