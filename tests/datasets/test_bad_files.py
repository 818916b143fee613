"""Whatever is wrong with a file: a 4xx that names the place and the remedy, and nothing of it is left."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from hposvc.db.tables import datasets
from tests.support.bad_files import BAD, Bad, csv
from tests.support.problems import problem
from tests.support.serving import Server


def nothing_is_left(server: Server) -> None:
    with server.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(datasets)).scalar() == 0
    data_dir = server.settings.data_dir
    files = [path for folder in ("uploads", "store") for path in (data_dir / folder).rglob("*") if path.is_file()]
    assert files == []


def test_there_are_many_of_them() -> None:
    assert len({bad.case for bad in BAD}) == len(BAD) >= 100


@pytest.mark.parametrize("bad", BAD, ids=[bad.case for bad in BAD])
def test_a_bad_file_is_refused_and_nothing_is_left(bad: Bad, client: httpx.Client, server: Server) -> None:
    answer = client.post(
        "/v1/datasets", params=bad.parameters, content=bad.content, headers={"Content-Type": bad.media_type}
    )
    slugs = {415: "unsupported-file", 422: "invalid-dataset"}
    slug = "invalid-parameter" if answer.json()["type"].endswith("invalid-parameter") else slugs[bad.status]
    errors = problem(answer, bad.status, slug)["errors"]
    assert errors[0]["field"] == bad.field
    assert all(error["remedy"].strip() and error["message"].strip() for error in errors)
    nothing_is_left(server)
    assert not Path("/tmp/hposvc-was-unpickled").exists()


def test_a_body_over_the_cap_is_refused_whether_it_names_its_length_or_not(
    client: httpx.Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = server.settings.model_copy(update={"max_upload_bytes": 100_000})
    monkeypatch.setattr(server, "settings", settings)
    server.stop()
    server.start()
    large = csv(20_000)
    try:
        for content in (large, iter([large[i : i + 1000] for i in range(0, len(large), 1000)])):
            try:
                answer = client.post("/v1/datasets", content=content, headers={"Content-Type": "text/csv"})
            except httpx.WriteError:  # refused before all of it was sent
                continue
            problem(answer, 413, "body-too-large")
        nothing_is_left(server)
    finally:
        server.stop()
        monkeypatch.undo()
        server.start()
