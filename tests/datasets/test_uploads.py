"""Data sets that are in order: what is understood of them, what is kept once, and what may be removed when."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from hposvc.db.tables import datasets
from tests.support.bad_files import CSV, NPZ, PARQUET, npz
from tests.support.problems import problem
from tests.support.serving import RESULT, Server, Worker

HEADER = "customer,age,city,zip,since,active,note,nothing,same,part,churned"
PARTS = ["train", "train", "train", "validation", "test", "validation"]


def people(rows: int = 60) -> bytes:
    lines = [HEADER]
    for i in range(rows):
        age = "" if i % 10 == 3 else f"{20 + i % 50}"
        city = ("Lima", "Oslo", "Rome, Lazio")[i % 3]
        lines.append(
            f'c-{i:03d},{age},"{city}",00{i % 4}23,2024-01-{1 + i % 28:02d},{"true" if i % 2 else "False"},'
            f'"a text, number {i}\nof two lines",NA,1,{PARTS[i % 6]},{"yes" if i % 3 else "no"}'
        )
    return ("\ufeff" + "\r\n".join(lines) + "\r\n").encode()


@pytest.fixture
def clean(client: httpx.Client, server: Server) -> Iterator[None]:
    yield
    for item in client.get("/v1/datasets").json()["items"]:
        if item["source"] == "upload":
            for job in client.get("/v1/jobs").json()["items"]:
                client.post(f"/v1/jobs/{job['id']}/cancel")
            assert client.delete(f"/v1/datasets/{item['id']}").status_code == 204
    assert [path for path in (server.settings.data_dir / "store").rglob("*") if path.is_file()] == []


def send(client: httpx.Client, content: bytes, media_type: str = CSV, **parameters: str) -> dict[str, Any]:
    answer = client.post("/v1/datasets", params=parameters, content=content, headers={"Content-Type": media_type})
    assert answer.status_code in (200, 201), answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.usefixtures("clean")
def test_a_look_at_long_rows_shows_as_many_as_fit(client: httpx.Client) -> None:
    lines = "".join(f"{row},{'x' * 500_000},{row % 2}\n" for row in range(40))
    found = send(client, f"age,note,target\n{lines}".encode())
    answer = client.get(f"/v1/datasets/{found['id']}/rows", params={"limit": 40})
    assert len(answer.content) < 6 * 2**20
    assert [row[0] for row in answer.json()["rows"]] == list(range(8))
    assert answer.json()["total"] == 40


@pytest.mark.usefixtures("clean")
def test_every_column_is_typed_and_what_is_done_to_it_is_said(client: httpx.Client) -> None:
    found = send(client, people(), name="people.csv", label="churned", id_column="customer")
    columns = {column["name"]: column for column in found["columns"]}
    assert list(columns) == HEADER.split(",")  # without the mark at the start
    assert {name: column["dtype"] for name, column in columns.items()} == {
        "customer": "text",
        "age": "integer",
        "city": "text",
        "zip": "text",  # 0023 is a name
        "since": "date",
        "active": "boolean",
        "note": "text",
        "nothing": "empty",
        "same": "integer",
        "part": "text",
        "churned": "text",
    }
    roles = {name: column["role"] for name, column in columns.items()}
    assert [name for name, role in roles.items() if role == "feature"] == ["age", "city", "zip", "since", "active"]
    assert (roles["customer"], roles["churned"]) == ("id", "label")
    assert [name for name, role in roles.items() if role == "ignored"] == ["note", "nothing", "same", "part"]
    assert columns["age"]["missing"] == 6
    assert "median" in columns["age"]["treatment"]
    assert "same value" in columns["same"]["treatment"]
    assert (found["rows"], found["features"], found["classes"]) == (60, 5, ["no", "yes"])
    shown = client.get(found["links"]["rows"], params={"limit": 4}).json()
    assert shown["total"] == 60
    assert shown["rows"][3][:4] == ["c-003", None, "Lima", "00323"]
    assert client.get(found["links"]["self"]).json() == found


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_other_delimiters_are_recognized(client: httpx.Client, delimiter: str) -> None:
    lines = [delimiter.join(["a", "b", "target"]), *(delimiter.join([str(i), f"{i}.5", str(i % 2)]) for i in range(12))]
    found = send(client, "\n".join(lines).encode())
    assert [column["dtype"] for column in found["columns"]] == ["integer", "number", "integer"]
    assert (found["target"], found["task"]) == ("target", "classification")


@pytest.mark.usefixtures("clean")
def test_types_that_show_late_are_still_found(client: httpx.Client) -> None:
    """A column is an integer for five megabytes, then a fraction, then text: nothing is guessed from the beginning."""
    rows = [f"{i},{i},{i % 2}" for i in range(300_000)]
    rows[-2], rows[-1] = "0.5,7,1", "1,seven,0"
    found = send(client, "\n".join(["a,b,y", *rows]).encode())
    assert [column["dtype"] for column in found["columns"]] == ["number", "text", "integer"]


@pytest.mark.usefixtures("clean")
def test_parquet_and_npz_are_understood_alike(client: httpx.Client) -> None:
    rng = np.random.default_rng(0)
    table = pa.table(
        {
            "a": pa.array(rng.normal(size=30), pa.float32()),
            "d": pa.array(["u", "v", None] * 10).dictionary_encode(),
            "t": pa.array(np.arange(30).astype("datetime64[D]")),
            "l": [[1, 2]] * 30,
            "y": rng.normal(size=30),
        }
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    found = send(client, buffer.getvalue(), PARQUET, label="y")
    assert [column["dtype"] for column in found["columns"]][:4] == ["number", "text", "date", "number"]
    assert (found["task"], found["columns"][-1]["role"]) == ("regression", "ignored")
    images = npz(X=rng.integers(0, 255, (30, 6, 5), dtype=np.uint8), y=np.arange(30) % 3, ids=np.arange(30).astype(str))
    found = send(client, images, NPZ, name="images.npz")
    assert found["image_shape"] == [6, 5, 1]
    assert (found["features"], found["target"], found["id_column"]) == (30, "y", "ids")
    assert len(client.get(found["links"]["rows"], params={"limit": 1}).json()["rows"][0][0]) == 30


@pytest.mark.usefixtures("clean")
def test_the_same_content_is_one_data_set(client: httpx.Client, server: Server) -> None:
    content = people()
    first = client.post("/v1/datasets?label=churned", content=content, headers={"Content-Type": CSV})
    assert first.status_code == 201
    assert first.headers["Location"] == first.json()["links"]["self"]
    again = client.post("/v1/datasets?name=other.csv", content=content, headers={"Content-Type": CSV})
    assert (again.status_code, again.json()) == (200, first.json())
    other = client.post("/v1/datasets?label=city", content=content, headers={"Content-Type": CSV})
    assert first.json()["id"] in problem(other, 409, "dataset-conflict")["detail"]
    with server.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(datasets)).scalar() == 1


@pytest.mark.usefixtures("clean")
def test_a_label_that_was_not_said_at_first_is_given_later(client: httpx.Client, server: Server) -> None:
    content, headers = people(), {"Content-Type": CSV}
    first = send(client, content)
    assert first["target"] is None

    def again(**roles: str) -> httpx.Response:
        return client.post("/v1/datasets", params=roles, content=content, headers=headers)

    assert problem(again(label="height"), 422, "invalid-dataset")["errors"][0]["field"] == "label"
    labelled = again(label="churned")
    assert (labelled.status_code, labelled.json()["id"]) == (200, first["id"])
    assert (labelled.json()["target"], labelled.json()["classes"]) == ("churned", ["no", "yes"])
    named = again(id_column="customer").json()
    roles = {column["name"]: column["role"] for column in named["columns"]}
    assert (roles["churned"], roles["customer"], named["task"]) == ("label", "id", "classification")
    assert client.get(first["links"]["self"]).json() == named
    assert named["content_sha256"] == first["content_sha256"]
    job = client.post("/v1/jobs", json={"kind": "data_reweighting", "dataset": {"id": first["id"]}})
    assert job.json()["spec"]["dataset"]["label"] == "churned"
    problem(again(label="city"), 409, "dataset-conflict")
    with server.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(datasets)).scalar() == 1


@pytest.mark.usefixtures("clean")
def test_a_job_keeps_its_data_set_as_it_was_when_the_file_comes_again_with_a_label(client: httpx.Client) -> None:
    """A default label is no feature: the job on another label would lose one."""
    content = people()
    first = send(client, content)
    dataset = {"id": first["id"], "label": "city"}
    assert client.post("/v1/jobs", json={"kind": "data_reweighting", "dataset": dataset}).status_code == 202
    assert send(client, content, label="churned") == first


@pytest.mark.usefixtures("clean")
def test_pages_show_every_upload_once_and_the_bundled_ones_last(client: httpx.Client) -> None:
    sent = [send(client, people(20 + i))["id"] for i in range(5)]
    seen, page = [], None
    while True:
        answer = client.get("/v1/datasets", params={"limit": 2} | ({"page": page} if page else {})).json()
        seen += [item["id"] for item in answer["items"]]
        if (page := answer["next_page"]) is None:
            break
    assert seen[:5] == sent[::-1]
    assert seen[5] == "sklearn:digits"
    problem(client.get("/v1/datasets", params={"page": "x"}), 422, "invalid-parameter")


@pytest.mark.usefixtures("clean")
def test_a_data_set_stays_while_a_job_needs_it(client: httpx.Client, server: Server) -> None:
    found = send(client, people(), label="churned")
    spec = {"kind": "data_reweighting", "dataset": {"id": found["id"]}}
    job = client.post("/v1/jobs", json=spec).json()
    assert job["spec"]["dataset"] | {"split": None} == {
        "id": found["id"],
        "label": "churned",
        "task": "classification",
        "features": None,
        "categorical": None,
        "id_column": None,
        "split": None,
        "trusted": "split",
        "unlabelled": None,
        "label_noise": None,
    }
    refusal = problem(client.delete(found["links"]["self"]), 409, "dataset-in-use")
    assert refusal["jobs"] == [job["id"]]
    Worker(server.engine).take(server_job(server, job["id"])).succeed(RESULT, [])
    assert client.delete(found["links"]["self"]).status_code == 204
    for call in (
        client.get(found["links"]["self"]),
        client.get(found["links"]["rows"]),
        client.delete(found["links"]["self"]),
    ):
        problem(call, 404, "dataset-not-found")
    errors = problem(client.post("/v1/jobs", json=spec), 422, "invalid-spec")["errors"]
    assert errors[0]["field"] == "dataset.id"


def server_job(server: Server, job_id: str) -> Any:
    from hposvc.jobs import queries

    return queries.get(server.engine, job_id)


@pytest.mark.usefixtures("clean")
@pytest.mark.parametrize(
    ("dataset", "field"),
    [
        ({}, "dataset.label"),  # nobody said which
        ({"label": "churn"}, "dataset.label"),
        ({"label": "age"}, "dataset.label"),  # missing in some rows
        ({"label": "since"}, "dataset.label"),
        ({"label": "note"}, "dataset.label"),  # a class for every row
        ({"label": "churned", "task": "regression"}, "dataset.task"),
        ({"label": "churned", "features": ["age", "height"]}, "dataset.features.1"),
        ({"label": "churned", "features": ["churned"]}, "dataset.features"),
        ({"label": "churned", "features": ["age", "age"]}, "dataset.features"),
        ({"label": "churned", "id_column": "city"}, "dataset.id_column"),
        ({"label": "churned", "id_column": "name"}, "dataset.id_column"),
        ({"label": "churned", "split": {"column": "city"}}, "dataset.split.column"),
        ({"label": "churned", "split": {"column": "fold"}}, "dataset.split.column"),
        ({"label": "churned", "split": {"validation": "ds_1", "test": "ds_2"}}, "dataset.split.validation"),
        ({"label": "churned", "split": {"train": 0.98, "validation": 0.01, "test": 0.01}}, "dataset.split.validation"),
    ],
)
def test_a_job_that_does_not_fit_its_data_is_refused(client: httpx.Client, dataset: dict[str, Any], field: str) -> None:
    found = send(client, people())
    before = len(client.get("/v1/jobs", params={"limit": 100}).json()["items"])
    spec = {"kind": "data_reweighting", "dataset": {"id": found["id"]} | dataset}
    errors = problem(client.post("/v1/jobs", json=spec), 422, "invalid-spec")["errors"]
    assert field in {error["field"] for error in errors}
    if not dataset:
        assert "churned" in errors[0]["remedy"]
    assert len(client.get("/v1/jobs", params={"limit": 100}).json()["items"]) == before


def test_bundled_sets_are_described_and_cannot_be_removed(client: httpx.Client) -> None:
    found = client.get("/v1/datasets/sklearn:iris").json()
    assert (found["source"], found["target"], found["classes"]) == (
        "bundled",
        "target",
        ["setosa", "versicolor", "virginica"],
    )
    assert client.get("/v1/datasets/sklearn:iris/rows?limit=1").json()["rows"] == [[5.1, 3.5, 1.4, 0.2, "setosa"]]
    problem(client.delete("/v1/datasets/sklearn:iris"), 404, "dataset-not-found")


def test_a_data_set_leaves_for_a_spreadsheet_without_formulas_where_one_says_so(client: httpx.Client) -> None:
    lines = ["who,=n,y", *(f"=cmd|{i}!A1,{i - 3}.5,{'ab'[i % 2]}" for i in range(12))] + ["plain,2.5,a"] * 12
    sent = client.post("/v1/datasets", content="\n".join(lines) + "\n", headers={"Content-Type": CSV})
    file = sent.json()["links"]["file"]
    as_it_came, marked = (client.get(file, params={"spreadsheet": said}).text for said in ("false", "true"))
    assert as_it_came.splitlines()[0] == '"who","=n","y"'
    assert '"=cmd|0!A1",-3.5,"a"' in as_it_came
    assert marked.splitlines()[0] == '"who","\'=n","y"'
    assert '"\'=cmd|0!A1",-3.5,"a"' in marked  # numbers stay numbers
    assert marked.count("'") == 13
