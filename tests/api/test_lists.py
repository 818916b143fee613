"""Lists of jobs: filters, orders and pages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from hposvc.db.engine import write
from hposvc.db.tables import jobs
from hposvc.jobs import queries
from hposvc.schema.paging import MAX_PAGE_BYTES
from hposvc.schema.spec import JobSpec
from tests.support.harness import UncheckedJobs
from tests.support.problems import problem
from tests.support.serving import RESULT, SPEC, Server, running, submit, succeeded


def long_spec(number: int) -> JobSpec:
    """Of 600 kB."""
    features = [f"{number} {'x' * 190} {column}" for column in range(3000)]
    return JobSpec.model_validate(SPEC | {"name": f"{number}", "dataset": {"id": "sklearn:iris", "features": features}})


def test_long_specs_make_short_pages(client: httpx.Client, server: Server) -> None:
    for number in range(8):
        UncheckedJobs(server.engine).submit(long_spec(number))
    seen, page = [], None
    while page is not None or not seen:
        answer = client.get("/v1/jobs", params={"limit": "1000"} | ({"page": page} if page else {}))
        assert len(answer.content) < 2 * MAX_PAGE_BYTES
        seen += [job["name"] for job in answer.json()["items"]]
        page = answer.json()["next_page"]
    assert seen == [f"{number}" for number in reversed(range(8))]


def test_many_jobs_are_counted_up_to_a_bound(
    client: httpx.Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(5):
        submit(server.engine)
    assert client.get("/v1/jobs?limit=1").json()["total"] == 5
    monkeypatch.setattr(queries, "MOST_COUNTED", 3)
    assert client.get("/v1/jobs?limit=1").json()["total"] == 3


def test_jobs_of_an_earlier_release_are_listed_and_found(client: httpx.Client, server: Server) -> None:
    job = submit(server.engine)
    with write(server.engine) as connection:
        connection.execute(jobs.update().values(dataset_id=None, spec_bytes=None))
    for params in ({}, {"text": "iris"}, {"order": "dataset"}):
        assert [found["id"] for found in client.get("/v1/jobs", params=params).json()["items"]] == [job.id]


def test_lists_by_time_order_and_several_states(client: httpx.Client, server: Server) -> None:
    made = [submit(server.engine, name=name, priority=priority) for name, priority in (("a", 0), ("b", 5), ("c", 5))]
    low, _ = running(server.engine, 30, name="low")
    high, _ = running(server.engine, 3, name="high")
    with write(server.engine) as connection:
        for number, job in enumerate((*made, low, high)):
            connection.execute(jobs.update().where(jobs.c.id == job.id).values(created_at=1_700_000_000.0 + number))

    def found(**params: Any) -> str:
        return " ".join(job["name"] for job in client.get("/v1/jobs", params=params).json()["items"])

    assert found() == "high low c b a"
    assert found(order="oldest") == "a b c low high"
    assert found(order="priority") == "c b high low a"
    assert found(order="best_upper_loss") == "low high a b c"
    assert found(order="gain") == "high low c b a"
    assert found(order="name") == "a b c high low"
    assert found(order="state").split()[-2:] == ["low", "high"]
    assert found(order="progress").split()[:2] == ["low", "high"]
    assert found(order="upper_loss").split()[:2] == ["low", "high"]
    assert found(state=["queued", "running"], order="oldest") == "a b c low high"
    assert found(state="queued") == "c b a"
    moment = datetime.fromtimestamp(1_700_000_002, UTC)
    assert found(created_after=moment.isoformat()) == "high low c"
    assert found(created_before=moment.isoformat()) == "b a"
    assert found(created_after=moment.isoformat(), created_before="2023-11-14T23:13:23+01:00") == "c"
    for wrong in ("yesterday", "2023-11-14T23:13:23", "99999-01-01T00:00:00Z", "NaN"):
        answer = client.get("/v1/jobs", params={"created_after": wrong})
        assert problem(answer, 422, "invalid-parameter")["errors"][0]["field"] == "created_after"


@pytest.mark.parametrize("order", ["newest", "oldest", "priority", "best_upper_loss", "gain"])
def test_pages_of_every_order_show_each_job_once(client: httpx.Client, server: Server, order: str) -> None:
    for number in range(6):
        submit(server.engine, name=f"{number}", priority=number % 2)
    running(server.engine, 3, name="6")
    whole = [job["id"] for job in client.get("/v1/jobs", params={"order": order}).json()["items"]]
    paged, page = [], None
    while True:
        params = {"order": order, "limit": "2"} | ({"page": page} if page else {})
        answer = client.get("/v1/jobs", params=params).json()
        paged += [job["id"] for job in answer["items"]]
        if (page := answer["next_page"]) is None:
            break
        other = "oldest" if order != "oldest" else "newest"
        document = problem(client.get("/v1/jobs", params={"order": other, "page": page}), 422, "invalid-parameter")
        assert order in document["detail"]
    assert paged == whole
    assert len(set(paged)) == 7


def test_jobs_are_listed_by_what_they_gained(client: httpx.Client, server: Server) -> None:
    def result(score: float) -> dict[str, Any]:
        figures = {"train_loss": 0.1, "selection_loss": 0.1, "test_loss": 0.1}
        models = [{"name": "tuned", "test_score": score}, {"name": "all rows", "test_score": 0.9}]
        return RESULT | {"models": [figures | model for model in models], "best_rival": "all rows"}

    for name, score in (("a little", 0.91), ("much", 0.99), ("harm", 0.5)):
        succeeded(server.engine, result(score), name=name)
    submit(server.engine, name="not yet")
    items = client.get("/v1/jobs", params={"order": "gain"}).json()["items"]
    assert [job["name"] for job in items] == ["much", "a little", "harm", "not yet"]
    assert items[0]["gain"] == {"value": pytest.approx(0.09), "of": "score"}
    assert items[-1]["gain"] is None


def test_the_search_finds_names_tags_and_data_sets(client: httpx.Client, server: Server) -> None:
    table = b"age,town,churned\n" + b"".join(b"%d,Oslo,%d\n" % (row, row % 2) for row in range(40))
    sent = client.post(
        "/v1/datasets",
        params={"name": "Customers_2026.csv", "label": "churned"},
        content=table,
        headers={"Content-Type": "text/csv"},
    )
    own = sent.json()["id"]
    submit(server.engine, name="by name: wine", tags=["first"])
    submit(server.engine, name="a", tags=["Second wine"])
    submit(server.engine, name="b", dataset={"id": "sklearn:wine"})
    submit(server.engine, name="c", dataset={"id": own})

    def found(text: str) -> set[str]:
        return {job["name"] for job in client.get("/v1/jobs", params={"text": text}).json()["items"]}

    assert found("WINE") == {"by name: wine", "a", "b"}
    assert found("customers_") == {"c"}
    assert found("customersX") == set()  # _ is no wildcard
    assert found(own[:9]) == {"c"}
    assert found("sklearn:w") == {"b"}
    assert found("learn") == set()  # no job for the middle of what all have in common


def test_jobs_and_experiments_name_their_data_set_and_jobs_are_ordered_by_it(
    client: httpx.Client, server: Server
) -> None:
    def sent(name: str) -> str:
        table = f"age,{name}\n" + "".join(f"{row},{row % 2}\n" for row in range(40))
        params = {"name": f"{name}.csv", "label": name}
        answer = client.post("/v1/datasets", params=params, content=table, headers={"Content-Type": "text/csv"})
        return str(answer.json()["id"])

    ids = {"zebras": sent("zebras"), "Apples": sent("Apples")}
    for name, dataset in ids.items():
        submit(server.engine, name=name, dataset={"id": dataset})
    submit(server.engine, name="bundled", dataset={"id": "sklearn:iris"})
    items = client.get("/v1/jobs", params={"order": "dataset"}).json()["items"]
    assert [(job["name"], job["dataset_name"]) for job in items] == [
        ("Apples", "Apples.csv"),
        ("bundled", None),
        ("zebras", "zebras.csv"),
    ]
    assert client.get(f"/v1/jobs/{items[0]['id']}").json()["dataset_name"] == "Apples.csv"
    plan = {"type": "repeat", "repeats": 2}
    for dataset in (ids["zebras"], "sklearn:iris"):
        job = {"kind": "data_reweighting", "dataset": {"id": dataset}}
        made = client.post("/v1/experiments", json={"job": job, "plan": plan})
        assert made.json()["dataset_name"] == ("zebras.csv" if dataset == ids["zebras"] else None)
    names = [found["dataset_name"] for found in client.get("/v1/experiments").json()["items"]]
    assert names == [None, "zebras.csv"]


@pytest.mark.parametrize("order", ["name", "dataset", "state", "progress", "upper_loss", "newest"])
def test_every_order_goes_on_from_page_to_page_and_counts_all(client: httpx.Client, server: Server, order: str) -> None:
    for number in range(5):
        submit(server.engine, name=f"job {number % 2}", dataset={"id": f"sklearn:{('iris', 'wine')[number % 2]}"})
    running(server.engine, 7, name=None)
    whole = [job["id"] for job in client.get("/v1/jobs", params={"order": order}).json()["items"]]
    walked: list[str] = []
    token = None
    while True:
        params = {"order": order, "limit": 2} | ({"page": token} if token else {})
        answer = client.get("/v1/jobs", params=params).json()
        assert answer["total"] == 6
        walked += [job["id"] for job in answer["items"]]
        if (token := answer["next_page"]) is None:
            break
    assert walked == whole
    assert len(set(walked)) == 6
