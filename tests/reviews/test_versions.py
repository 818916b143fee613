"""New versions of a data set: what was decided is done to the rows, and the parent stays as it is."""

from __future__ import annotations

import csv
import io
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest

from hposvc import training_data
from hposvc.datasets.service import Datasets
from hposvc.reviews.service import Reviews
from hposvc.run.run import Run
from hposvc.schema.spec import JobSpec
from hposvc.storage.store import Store
from tests.support.bad_files import NPZ, npz
from tests.support.problems import problem
from tests.support.reviewing import add_flowers, decide, flowers_csv, relabel, right
from tests.support.serving import Server, submit


def make(client: httpx.Client, path: str, **params: str) -> dict[str, Any]:
    answer = client.post(f"{path}/versions", params=params)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def rows_of(client: httpx.Client, path: str) -> dict[str, dict[str, str]]:
    text = client.get(f"{path}/file").text
    return {row["id"]: row for row in csv.DictReader(io.StringIO(text))}


def test_a_version_holds_what_was_decided_and_the_parent_stays(client: httpx.Client, flowers: str) -> None:
    parent, before = client.get(flowers).json(), rows_of(client, flowers)
    dropped = {"row": "f-05", "decision": "drop"}
    unsure = {"row": "f-07", "decision": "unsure"}
    decide(client, flowers, right("f-01"), relabel("f-03", "virginica"), relabel("f-04", "versicolor"), dropped, unsure)
    made = make(client, flowers)
    assert {name: made[name] for name in ("name", "parent", "version", "rows", "target", "id_column", "classes")} == {
        "name": "flowers v2.csv",
        "parent": parent["id"],
        "version": 2,
        "rows": 59,
        "target": "kind",
        "id_column": "id",
        "classes": parent["classes"],
    }
    assert made["reviewed"] == {"right": 1, "relabel": 2, "drop": 1, "unsure": 1}
    assert [column["name"] for column in made["columns"]] == ["id", "length", "width", "note", "kind", "review"]
    assert [column["role"] for column in made["columns"]] == ["id", "feature", "feature", "ignored", "label", "ignored"]
    found = rows_of(client, made["links"]["self"])
    assert {row: said["review"] for row, said in found.items() if said["review"]} == {
        "f-01": "confirmed",
        "f-03": "relabelled",
        "f-04": "confirmed",  # it had that label already
        "f-07": "unsure",
    }
    expected = {row: values for row, values in before.items() if row != "f-05"}
    expected["f-03"] = expected["f-03"] | {"kind": "virginica"}
    assert {row: {k: v for k, v in said.items() if k != "review"} for row, said in found.items()} == expected
    assert client.get(flowers).json() == parent
    assert rows_of(client, flowers) == before
    parquet = client.get(f"{made['links']['self']}/file", params={"format": "parquet"})
    assert pq.read_table(io.BytesIO(parquet.content)).column("review").null_count == 55


def test_the_same_decisions_make_one_version_and_others_another(client: httpx.Client, flowers: str) -> None:
    decide(client, flowers, right("f-01"))
    made = make(client, flowers)
    again = client.post(f"{flowers}/versions")
    assert (again.status_code, again.json()["id"]) == (200, made["id"])
    decide(client, flowers, {"row": "f-02", "decision": "drop"})
    assert make(client, flowers)["id"] != made["id"]


def test_a_second_round_keeps_what_the_first_said_of_rows(client: httpx.Client, flowers: str) -> None:
    decide(client, flowers, right("f-01"), right("f-02"), {"row": "f-00", "decision": "drop"})
    second = make(client, flowers)
    path = second["links"]["self"]
    decide(client, path, relabel("f-02", "setosa"), right("f-09"))
    third = make(client, path)
    assert (third["name"], third["version"], third["parent"]) == ("flowers v3.csv", 3, second["id"])
    said = {row: values["review"] for row, values in rows_of(client, third["links"]["self"]).items()}
    assert {row: done for row, done in said.items() if done} == {
        "f-01": "confirmed",
        "f-02": "relabelled",
        "f-09": "confirmed",
    }


def test_without_decisions_there_is_no_version_and_nothing_is_kept(
    server: Server, client: httpx.Client, flowers: str
) -> None:
    problem(client.post(f"{flowers}/versions"), 422, "invalid-dataset")
    decide(client, flowers, *({"row": f"f-{i:02d}", "decision": "drop"} for i in range(55)))
    assert "only 5 rows are left" in problem(client.post(f"{flowers}/versions"), 422, "invalid-dataset")["detail"]
    assert [item["id"] for item in client.get("/v1/datasets").json()["items"] if item["source"] == "upload"] == [
        flowers.rpartition("/")[2]
    ]
    assert len([path for path in (server.settings.data_dir / "store").rglob("*") if path.is_file()]) == 1


@pytest.mark.parametrize(
    ("labels", "to", "expected"),
    [
        (["1", "2", "3"] * 20, "3", "3"),
        (["true", "false"] * 30, "false", "false"),
        ([str(i) for i in range(60)], "2.5", "2.5"),  # whole numbers become fractions
        ([f"{i}.5" for i in range(60)], "7", "7"),
    ],
)
def test_labels_of_every_kind_are_replaced(client: httpx.Client, labels: list[str], to: str, expected: str) -> None:
    lines = ["id,x,kind", *(f"f-{i:02d},{i % 7}.25,{label}" for i, label in enumerate(labels))]
    path = add_flowers(client, "\n".join(lines).encode())
    decide(client, path, relabel("f-00", to))
    made = make(client, path)
    row = rows_of(client, made["links"]["self"])["f-00"]
    assert (row["kind"], row["review"]) == (expected, "relabelled")
    assert made["task"] == client.get(path).json()["task"]


def test_images_come_through_a_review(client: httpx.Client) -> None:
    draw = np.random.default_rng(0)
    content = npz(X=draw.integers(0, 255, (40, 4, 4, 1)).astype(np.uint8), y=np.arange(40) % 2)
    answer = client.post("/v1/datasets", content=content, headers={"Content-Type": NPZ})
    path = answer.json()["links"]["self"]
    decide(client, path, {"row": "0", "decision": "drop"}, relabel("1", "0"))
    made = make(client, path)
    assert (made["rows"], made["image_shape"], made["features"]) == (39, [4, 4, 1], 16)
    table = list(csv.reader(io.StringIO(client.get(f"{made['links']['self']}/file").text)))
    assert (len(table), len(table[0])) == (40, 16 + 2)


def test_reviewed_rows_are_the_trusted_rows_of_the_next_job(server: Server, client: httpx.Client) -> None:
    path = add_flowers(client, flowers_csv(90, wrong=(0, 4)))
    checked = [f"f-{i:02d}" for i in range(30)]
    decide(client, path, *(relabel(row, "setosa") if row == "f-00" else right(row) for row in checked[:29]))
    decide(client, path, {"row": "f-29", "decision": "unsure"})
    made = make(client, path)
    spec = JobSpec.model_validate(
        {"kind": "data_reweighting", "dataset": {"id": made["id"], "trusted": "reviewed"}, "stop": {"iterations": 2}}
    )
    datasets = Datasets(server.engine, Store(server.settings.store_url))
    dataset = training_data.load(spec.dataset, uploads={made["id"]: datasets.upload(made["id"])})
    splits = training_data.prepare(dataset, spec).splits
    names = {part: {str(dataset.row_ids[row]) for row in getattr(splits, part).rows} for part in ("validation", "test")}
    assert names["validation"] | names["test"] == set(checked[:29])
    assert len(names["test"]) == 6  # a fifth
    assert set(dataset.feature_names) == {"length", "width"}
    assert dataset.were_wrong is not None
    assert list(dataset.row_ids[dataset.were_wrong]) == ["f-00"]
    run = Run(spec, uploads={made["id"]: datasets.upload(made["id"])})
    list(run.iterations())
    result = run.finish().result
    assert result["handed_over"] == "corrected"  # rows that were picked judge no candidate
    assert "The test rows are reviewed rows, picked because their labels looked wrong" in result["sentence"]
    refused = client.post(
        "/v1/jobs", json={"kind": "data_reweighting", "dataset": {"id": path.rpartition("/")[2], "trusted": "reviewed"}}
    )
    assert "no review made" in problem(refused, 422, "invalid-spec")["detail"]
    assert submit(server.engine, dataset=spec.dataset.model_dump(mode="json")).state == "queued"


def test_two_who_make_the_version_at_once_get_the_same(server: Server, client: httpx.Client, flowers: str) -> None:
    decide(client, flowers, right("f-01"))
    datasets = Datasets(server.engine, Store(server.settings.store_url), server.settings.data_dir / "uploads")
    reviews = Reviews(server.engine, datasets)
    dataset_id = flowers.rpartition("/")[2]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: reviews.make_version(dataset_id), range(4)))
    assert len({found.id for found, _ in made}) == 1
    assert sum(new for _, new in made) == 1
    assert len([path for path in (server.settings.data_dir / "store").rglob("*") if path.is_file()]) == 2
