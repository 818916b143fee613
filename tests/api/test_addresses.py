"""Pages, health and links by HEAD, and below a path of a proxy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from hposvc.access import keys
from tests.support.commands import until
from tests.support.problems import problem
from tests.support.serving import PATIENCE, SPEC, Server

ROOT = "/tools/hposvc"


@pytest.mark.parametrize("path", ["/", "/new", "/datasets", "/jobs/job_1", "/login", "/docs", "/healthz", "/readyz"])
def test_head_is_get_without_a_body(path: str, client: httpx.Client) -> None:
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"] == str(len(got.content))
    assert head.headers["content-type"] == got.headers["content-type"]


def test_head_of_what_is_not_there(client: httpx.Client) -> None:
    assert client.head("/nothing").status_code == 404
    assert client.head("/v1/jobs").status_code == 405


@pytest.fixture(params=[ROOT, ""], ids=["kept by the proxy", "taken off by the proxy"])
def behind(request: pytest.FixtureRequest, database_url: str, tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """A server below ROOT, and the address at which a proxy asks for what lies there."""
    with Server(database_url, tmp_path, root_path=ROOT) as server:
        yield server, server.url + request.param


def test_what_leads_back_names_the_path_of_the_proxy(behind: tuple[Server, str]) -> None:
    server, url = behind
    token = keys.Keys(server.engine).create(tenant="default", name="k", scope="submit")[1]
    shown = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=url, trust_env=False, timeout=PATIENCE) as client:
        until(lambda: client.get("/v1/jobs").status_code == 401, "the key")
        client.headers.update(shown)
        for path in ("/", "/new", "/datasets", "/workers", "/docs", "/glossary", "/compare", "/login", "/jobs/job_1"):
            page = client.get(path)
            assert page.status_code == 200, path
            for attribute in ("href", "src"):
                for link in (part.split('"')[0] for part in page.text.split(f' {attribute}="')[1:]):
                    assert link.startswith((f"{ROOT}/", "#")), (path, link)
        made = client.post("/v1/jobs", json=SPEC)
        assert made.headers["location"] == f"{ROOT}/v1/jobs/{made.json()['id']}"
        assert client.get("/openapi.json").json()["servers"] == [{"url": ROOT}]
        signed_in = client.post("/v1/session")
        assert f"Path={ROOT};" in signed_in.headers["set-cookie"]
        del client.headers["Authorization"]
        out = client.delete("/v1/session", headers={"Cookie": signed_in.headers["set-cookie"].split(";")[0]})
        assert f"Path={ROOT};" in out.headers["set-cookie"]
        client.cookies.clear()
        wrong = client.get("/v1/jobs", headers={"Authorization": "Bearer hposvc_x"})
        explained = problem(wrong, 401, "invalid-key", ROOT)
        assert explained["instance"] == f"{ROOT}/v1/jobs"
        page = httpx.get(server.url + explained["type"], trust_env=False, timeout=PATIENCE)
        assert "<h1" in page.text  # it explains the problem, with or without a key
        assert client.head("/nothing").status_code == 401
        asked = client.get("/workers", headers={"Accept": "text/html"})
        assert asked.headers["location"] == f"{ROOT}/login?next=/workers"


def test_an_error_that_nobody_foresaw_is_explained_below_the_path_of_the_proxy(
    behind: tuple[Server, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, url = behind
    monkeypatch.setattr("api.routes.jobs.queries.list_", lambda *_, **__: 1 / 0)
    explained = problem(httpx.get(f"{url}/v1/jobs", trust_env=False, timeout=PATIENCE), 500, "internal-error", ROOT)
    assert explained["instance"] == f"{ROOT}/v1/jobs"


@pytest.mark.parametrize("wrong", ["hposvc", "/a b", "/a/", "//host", '/a"b'])
def test_a_path_that_can_be_none_is_refused(wrong: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="root_path"):
        Server(f"sqlite:///{tmp_path / 'x.sqlite3'}", tmp_path, root_path=wrong)
