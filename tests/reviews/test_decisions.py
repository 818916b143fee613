"""Decisions about rows: what counts, what is refused, what two people at once may rely on."""

from __future__ import annotations

import threading
from io import BytesIO
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from hposvc.access.keys import Keys
from hposvc.access.tenants import Tenants
from hposvc.confined import Bounds
from hposvc.datasets import confined_reading
from hposvc.db.tables import reviews
from hposvc.reviews import confined_review
from hposvc.reviews.judged import is_described
from hposvc.training_data import Upload
from tests.support.problems import problem
from tests.support.reviewing import add_flowers, decide, flowers_csv, relabel, right
from tests.support.serving import Server, submit


def counting(client: httpx.Client, path: str, **params: Any) -> dict[str, Any]:
    found = client.get(f"{path}/reviews", params=params).json()["items"]
    return {item["row"]: (item["decision"], item["relabelled_to"]) for item in found}


def test_the_newest_decision_counts_and_the_older_ones_are_kept(client: httpx.Client, flowers: str) -> None:
    decide(client, flowers, right("f-07"), relabel("f-03", "virginica"), {"row": "f-01", "decision": "drop"})
    decide(client, flowers, {"row": "f-07", "decision": "unsure"})
    assert counting(client, flowers) == {
        "f-01": ("drop", None),
        "f-03": ("relabel", "virginica"),
        "f-07": ("unsure", None),
    }
    history = client.get(f"{flowers}/reviews/f-07")
    assert history.headers["ETag"] == '"2"'
    assert [(item["version"], item["decision"]) for item in history.json()["items"]] == [(2, "unsure"), (1, "right")]


def test_undo_lets_the_decision_before_count_again_and_leaves_newer_ones(client: httpx.Client, flowers: str) -> None:
    decide(client, flowers, right("f-01"))
    batch = decide(client, flowers, *(relabel(f"f-{i:02d}", "setosa") for i in range(5)))["batch"]
    decide(client, flowers, {"row": "f-04", "decision": "drop"})
    for _ in range(2):  # safe to repeat
        undone = client.delete(f"{flowers}/reviews", params={"batch": batch})
        assert undone.json() == {"batch": batch, "undone": 4, "kept": 1}
    assert counting(client, flowers) == {"f-01": ("right", None), "f-04": ("drop", None)}
    decide(client, flowers, {"row": "f-01", "decision": "unsure"})  # versions are never given twice
    items = client.get(f"{flowers}/reviews/f-01").json()["items"]
    assert [(item["version"], item["undone_at"] is not None) for item in items] == [(3, False), (2, True), (1, False)]


def test_pages_follow_the_rows_of_the_file(client: httpx.Client, flowers: str) -> None:
    decide(client, flowers, *(right(f"f-{i:02d}") for i in reversed(range(25))))
    seen, page = [], None
    while True:
        params = {"limit": "10"} | ({} if page is None else {"page": page})
        found = client.get(f"{flowers}/reviews", params=params).json()
        seen += [item["row"] for item in found["items"]]
        if (page := found["next_page"]) is None:
            break
    assert seen == [f"f-{i:02d}" for i in range(25)]


@pytest.mark.parametrize(
    ("decision", "field", "message"),
    [
        ({"row": "f-99", "decision": "right"}, "decisions.1.row", "there is no row 'f-99'"),
        (relabel("f-01", "tulip"), "decisions.1.relabelled_to", "'tulip' is no class of column 'kind'"),
        ({"row": "f-01", "decision": "relabel"}, "decisions.1", "`relabel` needs it"),
        (right("f-01", relabelled_to="setosa"), "decisions.1", "nothing else takes it"),
        ({"row": "f-01", "decision": "maybe"}, "decisions.1.decision", "must be 'right', 'relabel'"),
        (right("f-00"), "decisions", "row 'f-00' is named twice"),
    ],
)
def test_what_cannot_be_is_refused_with_its_field_and_nothing_is_kept(
    client: httpx.Client, flowers: str, decision: dict[str, Any], field: str, message: str
) -> None:
    answer = client.put(f"{flowers}/reviews", json={"decisions": [right("f-00"), decision]})
    found = problem(answer, 422, "invalid-body")
    assert any(error["field"] == field and message in f"{error['message']}" for error in found["errors"]), found
    assert counting(client, flowers) == {}


def test_a_decision_for_a_version_that_counts_no_more_is_refused_as_a_whole(client: httpx.Client, flowers: str) -> None:
    decide(client, flowers, right("f-01", version=0))
    answer = client.put(f"{flowers}/reviews", json={"decisions": [right("f-02"), right("f-01", version=0)]})
    assert problem(answer, 412, "decided-meanwhile")["rows"] == ["f-01"]
    assert counting(client, flowers) == {"f-01": ("right", None)}
    row = f"{flowers}/reviews/f-01"
    late = client.put(row, json={"decision": "drop"}, headers={"If-Match": '"0"'})
    problem(late, 412, "decided-meanwhile")
    kept = client.put(row, json={"decision": "drop"}, headers={"If-Match": '"1"'})
    assert (kept.status_code, kept.headers["ETag"]) == (200, '"2"')


def test_of_two_reviewers_at_once_one_is_told_and_no_decision_is_lost(
    server: Server, client: httpx.Client, flowers: str
) -> None:
    """Both decide about the same rows, naming what they saw; of each row exactly one decision is kept."""
    kept: list[list[str]] = [[], []]

    def review(reviewer: int) -> None:
        with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as own:
            for i in range(20):
                name = f"f-{i:02d}"
                decision = {"decision": ("right", "unsure")[reviewer]}
                answer = own.put(f"{flowers}/reviews/{name}", json=decision, headers={"If-Match": '"0"'})
                assert answer.status_code in (200, 412), answer.text
                if answer.status_code == 200:
                    kept[reviewer].append(name)

    reviewers = [threading.Thread(target=review, args=(number,)) for number in range(2)]
    for thread in reviewers:
        thread.start()
    for thread in reviewers:
        thread.join()
    assert sorted(kept[0] + kept[1]) == [f"f-{i:02d}" for i in range(20)]
    expected = dict.fromkeys(kept[0], ("right", None)) | dict.fromkeys(kept[1], ("unsure", None))
    assert counting(client, flowers) == expected


def test_without_a_version_the_last_of_many_at_once_counts_and_all_are_kept(
    server: Server, client: httpx.Client, flowers: str
) -> None:
    def review() -> None:
        with httpx.Client(base_url=server.url, trust_env=False, timeout=60) as own:
            for _ in range(5):
                decide(own, flowers, right("f-01"), right("f-02"))

    reviewers = [threading.Thread(target=review) for _ in range(3)]
    for thread in reviewers:
        thread.start()
    for thread in reviewers:
        thread.join()
    items = client.get(f"{flowers}/reviews/f-01").json()["items"]
    assert [item["version"] for item in items] == list(range(15, 0, -1))


def test_rows_without_ids_are_named_by_their_numbers_and_any_column_can_be_judged(client: httpx.Client) -> None:
    path = add_flowers(client, flowers_csv(ids=False))
    decide(client, path, right("0"), right("59"))
    for wrong in ("60", "-1", "00", "²", "9" * 30):
        problem(client.put(f"{path}/reviews", json={"decisions": [right(wrong)]}), 422, "invalid-body")
    decide(client, path, relabel("3", "0.25"), label="width")  # a column of numbers
    refused = client.put(f"{path}/reviews", json={"decisions": [relabel("4", "wide")], "label": "width"})
    assert "'wide' is no number" in problem(refused, 422, "invalid-body")["detail"]
    assert counting(client, path) == {"0": ("right", None), "59": ("right", None)}
    assert counting(client, path, label="width") == {"3": ("relabel", "0.25")}


def show_key(
    server: Server, client: httpx.Client, *, name: str = "x", tenant: str = "default", scope: Any = "submit"
) -> None:
    token = Keys(server.engine).create(tenant=tenant, name=name, scope=scope)[1]
    client.headers["Authorization"] = f"Bearer {token}"


def test_decisions_say_by_which_key_and_from_which_job_they_are(server: Server, client: httpx.Client) -> None:
    show_key(server, client, name="Ada")
    flowers = add_flowers(client)
    job = submit(server.engine, dataset={"id": flowers.rpartition("/")[2]})
    (kept,) = decide(client, flowers, right("f-01"), job=job.id)["items"]
    assert (kept["decided_by"], kept["job"]) == ("Ada", job.id)
    other = client.put(f"{flowers}/reviews", json={"decisions": [right("f-02")], "job": "job_of_others"})
    assert "there is no job" in problem(other, 422, "invalid-body")["detail"]


def test_another_tenant_finds_no_such_data_set(server: Server, client: httpx.Client) -> None:
    show_key(server, client)
    flowers = add_flowers(client)
    Tenants(server.engine).create("others")
    show_key(server, client, tenant="others")
    for answer in (
        client.get(f"{flowers}/reviews"),
        client.get(f"{flowers}/reviews/f-01"),
        client.put(f"{flowers}/reviews", json={"decisions": [right("f-01")]}),
        client.delete(f"{flowers}/reviews", params={"batch": "rev_1"}),
    ):
        problem(answer, 404, "dataset-not-found")


def test_bundled_data_sets_are_not_reviewed_and_a_key_to_read_decides_nothing(
    server: Server, client: httpx.Client
) -> None:
    show_key(server, client)
    flowers = add_flowers(client)
    iris = "/v1/datasets/sklearn:iris/reviews"
    problem(client.put(iris, json={"decisions": [right("1")]}), 409, "not-reviewable")
    problem(client.get(iris), 409, "not-reviewable")
    problem(client.delete(f"{flowers}/reviews", params={"batch": "rev_none"}), 404, "batch-not-found")
    show_key(server, client, scope="read")
    problem(client.put(f"{flowers}/reviews", json={"decisions": [right("f-01")]}), 403, "missing-scope")


def test_decisions_end_with_their_data_set(server: Server, client: httpx.Client, flowers: str) -> None:
    decide(client, flowers, right("f-01"))
    assert client.delete(flowers).status_code == 204
    with server.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(reviews)).scalar_one() == 0


def test_ids_that_are_whole_numbers_name_rows(client: httpx.Client) -> None:
    lines = ["id,x,kind", *(f"{1000 + i},{i % 7}.5,{'ab'[i % 2]}" for i in range(20))]
    path = add_flowers(client, "\n".join(lines).encode())
    decide(client, path, right("1007"))
    problem(client.put(f"{path}/reviews", json={"decisions": [right("7")]}), 422, "invalid-body")
    assert counting(client, path) == {"1007": ("right", None)}


def test_what_may_take_much_is_read_by_a_process_with_bounds(
    client: httpx.Client, flowers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids of which the file says that they are many, any other column, and new versions."""
    asked: list[str] = []
    ask = confined_reading.ask

    def noted(module: str, command: dict[str, Any], *stored: Any) -> Any:
        asked.append(command["what"])
        return ask(module, command, *stored)

    monkeypatch.setattr(confined_reading, "ask", noted)
    assert decide(client, flowers, right("f-01"))["items"][0]["version"] == 1
    assert not asked
    monkeypatch.setattr(confined_review, "MOST_ROWS", 59)
    assert decide(client, flowers, relabel("f-01", "virginica"))["items"][0]["version"] == 2
    assert client.get(f"{flowers}/reviews/f-01").json()["version"] == 2
    refused = client.put(f"{flowers}/reviews", json={"decisions": [relabel("f-01", "rose"), right("g")]})
    assert "'g'" in problem(refused, 422, "invalid-body")["errors"][0]["message"]
    assert decide(client, flowers, right("f-01"), label="note")["items"][0]["version"] == 1
    assert client.post(f"{flowers}/versions").json()["reviewed"]["relabel"] == 1
    assert asked == ["place", "place", "place", "place", "revise"]


def test_a_file_that_takes_too_much_is_refused_and_not_read_by_the_service(
    client: httpx.Client, flowers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide(client, flowers, right("f-01"))
    monkeypatch.setattr(confined_review, "MOST_ROWS", 59)
    monkeypatch.setattr(confined_reading, "BOUNDS", Bounds(seconds=60, memory=64 * 2**20))
    refused = client.put(f"{flowers}/reviews", json={"decisions": [right("f-02")]})
    assert "memory" in problem(refused, 422, "invalid-body")["errors"][0]["message"]
    assert "memory" in problem(client.post(f"{flowers}/versions"), 422, "invalid-dataset")["errors"][0]["message"]


def test_a_row_is_refused_whose_file_the_store_lost(client: httpx.Client, server: Server, flowers: str) -> None:
    for file in (server.settings.data_dir / "store").rglob("data.parquet"):
        file.unlink()
    refused = client.put(f"{flowers}/reviews", json={"decisions": [right("f-02")]})
    assert "upload it again" in problem(refused, 422, "invalid-body")["errors"][0]["remedy"]


def test_a_label_that_the_description_knows_is_not_looked_at_again_for_a_job() -> None:
    """The job says the task, too: each decision on the page Review names its job."""
    description = {"target": "kind", "classes": ["a", "b"], "task": "classification"}
    upload = Upload("ds_1", "a.csv", description, BytesIO)
    assert is_described(upload, "kind", "classification")
    assert is_described(upload, None, None)
    assert not is_described(upload, "kind", "regression")
    assert not is_described(upload, "size", "classification")
