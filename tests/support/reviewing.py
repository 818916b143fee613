"""A small data set to review."""

from __future__ import annotations

import csv
from typing import Any

import httpx
import numpy as np

from tests.support.bad_files import CSV, NPZ, npz
from tests.support.reviews_of_products import LABELS, reviews_csv
from tests.support.serving import RESULT, Server, answer, succeeded

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


def judged_job(
    server: Server,
    client: httpx.Client,
    rows: int = 60,
    wrong: tuple[int, ...] = (3, 10, 17, 31),
    dataset: str | None = None,
) -> str:
    """A finished job about flowers of which some are labelled wrong, as a worker leaves it; returns its id.

    They are uploaded, or are those of ``dataset``.
    """
    dataset = dataset or add_flowers(client, flowers_csv(rows, wrong)).rpartition("/")[2]
    table = list(csv.DictReader(flowers_csv(rows, wrong).decode().splitlines()))
    order = sorted(range(rows), key=lambda i: (i not in wrong, i % 7, i))
    probability = [0.99 - 0.01 * rank if i in wrong else 0.4 * 0.9**rank for rank, i in enumerate(order)]
    files: dict[str, list[Any]] = {
        "row_id": [table[i]["id"] for i in order],
        "part": ["train"] * rows,
        "rank": list(range(1, rows + 1)),
        "weight": [1 - each for each in probability],
        "label": [table[i]["kind"] for i in order],
        "predicted": [KINDS[i % 3] for i in order],
        "probability": [0.97] * rows,
        "probability_wrong": probability,
        **{name: [float(table[i][name]) for i in order] for name in ("length", "width")},
        **{name: [table[i][name] for i in order] for name in ("id", "note", "kind")},
    }
    wrong_rows = {"expected": len(wrong), "low": 2, "high": 7, "rows": rows, "suspect_above": 0.5}
    listed = ("rank", "row_id", "label", "weight", "predicted", "probability_wrong")
    suspects = [{name: files[name][rank] for name in listed} for rank in range(len(wrong))]
    suspects = [suspect | {"predicted_probability": 0.97} for suspect in suspects]
    result = RESULT | {"noise": None, "wrong_rows": wrong_rows, "suspects": suspects, "suspects_total": len(wrong)}
    result |= {"opinion": "models that have not seen the row"}
    kept = answer(server.settings.data_dir, files, "rows")
    of_file = {"id": dataset, "label": "kind", "id_column": "id", "trusted": "unknown"}
    return succeeded(server.engine, result, [kept], name="flowers", dataset=of_file).id


def judged_texts(server: Server, client: httpx.Client, rows: int = 60, wrong: tuple[int, ...] = (3, 10)) -> str:
    """A finished job about reviews of products; returns its id."""
    content = reviews_csv(rows, wrong=wrong)
    sent = client.post("/v1/datasets", params={"name": "reviews.csv"}, content=content, headers={"Content-Type": CSV})
    table = list(csv.DictReader(content.decode().splitlines()))
    order = sorted(range(rows), key=lambda i: (i not in wrong, i))
    files = {
        "row_id": [table[i]["id"] for i in order],
        "part": ["train"] * rows,
        "rank": list(range(1, rows + 1)),
        "label": [table[i]["opinion"] for i in order],
        "predicted": [LABELS[i % 2] for i in order],
        "probability": [0.9] * rows,
        "probability_wrong": [0.9 if i in wrong else 0.5 - i / 200 for i in order],
        "review": [table[i]["review"] for i in order],
    }
    result = RESULT | {"noise": None, "suspects": [], "suspects_total": len(wrong)}
    kept = answer(server.settings.data_dir, files, "rows")
    of_file = {"id": sent.json()["id"], "label": "opinion", "id_column": "id", "trusted": "unknown"}
    return succeeded(server.engine, result, [kept], name="reviews", dataset=of_file).id


def judged_images(server: Server, client: httpx.Client, rows: int = 40, wrong: tuple[int, ...] = (3, 10)) -> str:
    """A finished job about images of two classes; returns its id."""
    draw = np.random.default_rng(0)
    kinds = np.arange(rows) % 2
    content = npz(X=draw.integers(0, 255, (rows, 8, 8, 1)).astype(np.uint8), y=kinds)
    sent = client.post("/v1/datasets", params={"name": "dots.npz"}, content=content, headers={"Content-Type": NPZ})
    order = sorted(range(rows), key=lambda i: (i not in wrong, i))
    files = {
        "row_id": [str(i) for i in order],
        "part": ["train"] * rows,
        "rank": list(range(1, rows + 1)),
        "label": [str(kinds[i]) for i in order],
        "predicted": [str((kinds[i] + (i in wrong)) % 2) for i in order],
        "probability": [0.9] * rows,
        "probability_wrong": [0.9 if i in wrong else 0.1 for i in order],
    }
    result = RESULT | {"noise": None, "suspects": [], "suspects_total": len(wrong)}
    kept = answer(server.settings.data_dir, files, "rows")
    of_file = {"id": sent.json()["id"], "label": "y", "trusted": "unknown"}
    return succeeded(server.engine, result, [kept], name="dots", dataset=of_file).id


def judged_numbers(server: Server, client: httpx.Client, rows: int = 40) -> str:
    """A finished job about numbers, the first of which is far off; returns its id."""
    lines = ["id,x,kind", *(f"p-{i:02d},{i % 7}.5,{3 * i + (500 if i == 0 else 0)}.25" for i in range(rows))]
    dataset = add_flowers(client, "\n".join(lines).encode()).rpartition("/")[2]
    files = {
        "row_id": [f"p-{i:02d}" for i in range(rows)],
        "part": ["train"] * rows,
        "rank": list(range(1, rows + 1)),
        "label": [3 * i + (500 if i == 0 else 0) + 0.25 for i in range(rows)],
        "predicted": [3.0 * i for i in range(rows)],
        "probability_wrong": [0.9] + [0.1] * (rows - 1),
        "x": [i % 7 + 0.5 for i in range(rows)],
    }
    result = RESULT | {"task": "regression", "score_name": "r2", "noise": None, "suspects": [], "suspects_total": 1}
    kept = answer(server.settings.data_dir, files, "rows")
    of_file = {"id": dataset, "label": "kind", "id_column": "id", "trusted": "unknown"}
    return succeeded(server.engine, result, [kept], name="prices", dataset=of_file).id
