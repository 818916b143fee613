"""What stands before the routes, and the errors that have no route."""

from __future__ import annotations

import html
import re
import socket
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from api.app import UnsafeAddressError, create_app
from api.dashboard.pages import PLOTLY, VENDOR
from api.http.problem_types import TYPES
from hposvc.access import keys
from hposvc.settings import Settings
from tests.support.problems import problem
from tests.support.serving import PATIENCE, SPEC, Server, submit


def test_without_keys_only_loopback_is_listened_on(tmp_path: Path) -> None:
    for host in ("0.0.0.0", "::", "192.0.2.7", "example.org", ""):
        with pytest.raises(UnsafeAddressError, match="HPOSVC_HOST"):
            create_app(Settings(data_dir=tmp_path, host=host))
    for host in ("127.0.0.1", "localhost", "::1", "127.9.9.9"):
        create_app(Settings(data_dir=tmp_path, host=host))
    create_app(Settings(data_dir=tmp_path, host="0.0.0.0", trust_network=True))


def test_a_name_of_another_site_is_not_answered(client: httpx.Client, server: Server) -> None:
    for host in ("evil.example", "127.0.0.1.evil.example", "169.254.169.254", "localhost.evil.example:80", ""):
        problem(client.get("/v1/jobs", headers={"Host": host}), 421, "unknown-host")
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]:8080"):
        assert client.get("/v1/jobs", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("trusted", [True, False], ids=["trusted network", "keys"])
def test_names_are_checked_beyond_loopback_too(database_url: str, tmp_path: Path, trusted: bool) -> None:
    server = Server(database_url, tmp_path, host="0.0.0.0", trust_network=trusted, hosts="api")
    shown = {}
    if not trusted:
        token = keys.Keys(server.engine).create(tenant="default", name="first", scope="admin")[1]
        shown = {"Authorization": f"Bearer {token}"}
    with server, httpx.Client(base_url=server.url, trust_env=False, headers=shown, timeout=PATIENCE) as client:
        for host in ("evil.example", "api.evil.example", ""):
            found = problem(client.get("/v1/jobs", headers={"Host": host}), 421, "unknown-host")
            assert "HPOSVC_HOSTS" in found["detail"]
        for host in ("api:8080", "10.1.2.3:8080", "[fd00::1]", "localhost", socket.gethostname()):
            assert client.get("/v1/jobs", headers={"Host": host}).status_code == 200, host


def test_another_site_cannot_change_anything(client: httpx.Client, server: Server) -> None:
    job = submit(server.engine)
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:1"},
    ):
        problem(client.post(f"/v1/jobs/{job.id}/cancel", headers=headers), 403, "cross-site-request")
        problem(client.post("/v1/jobs", json=SPEC, headers=headers), 403, "cross-site-request")
    assert client.get(f"/v1/jobs/{job.id}").json()["state"] == "queued"
    own = {"Origin": server.url, "Sec-Fetch-Site": "same-origin"}
    assert client.post(f"/v1/jobs/{job.id}/cancel", headers=own).status_code == 202
    preflight = client.options(
        "/v1/jobs", headers={"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    )
    assert "Access-Control-Allow-Origin" not in preflight.headers


def test_every_answer_tells_browsers_to_be_careful(client: httpx.Client) -> None:
    for path in ("/", "/v1/jobs", "/docs", "/healthz", "/nothing", "/static/nothing"):
        headers = client.get(path).headers
        assert headers["Content-Security-Policy"].startswith("default-src 'self'; ")
        assert "unsafe-eval" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_what_does_not_exist(client: httpx.Client) -> None:
    for path in ("/nothing", "/v1", "/v1/jobs/", "/v2/jobs", "/static/../app.py", "/problems/nothing"):
        problem(client.get(path), 404, "not-found")
    for method, path, allowed in (
        ("PUT", "/v1/jobs", "POST"),
        ("DELETE", "/healthz", "GET"),
        ("GET", "/v1/jobs/x/cancel", "POST"),
    ):
        answer = client.request(method, path)
        problem(answer, 405, "method-not-allowed")
        assert allowed in answer.headers["Allow"]


def test_every_kind_of_problem_explains_itself(client: httpx.Client) -> None:
    for kind in TYPES.values():
        page = client.get(kind.uri)
        assert page.status_code == 200
        assert str(kind.status) in page.text


def test_alive_and_ready(client: httpx.Client, server: Server) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ok"}
    with server.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM hposvc_alembic_version"))
    assert client.get("/healthz").status_code == 200
    assert "db upgrade" in client.get(problem(client.get("/readyz"), 503, "not-ready")["type"]).text


def test_a_database_without_tables_is_said_and_not_a_crash_page(empty_database_url: str, tmp_path: Path) -> None:
    with (
        Server(empty_database_url, tmp_path) as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE) as client,
    ):
        assert client.get("/healthz").status_code == 200
        assert client.get("/readyz").status_code == 503
        answer = client.get("/v1/jobs")
        assert answer.status_code in (500, 503)
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "SELECT" not in answer.text


def test_files_of_the_dashboard_may_be_kept_for_ever(client: httpx.Client) -> None:
    page = client.get("/jobs/job_1").text
    paths = {part.split('"')[0] for part in page.split('"/static/')[1:]}
    assert any("plotly" in path for path in paths)
    for path in paths:
        answer = client.get(f"/static/{path}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]


def test_the_charts_are_drawn_by_the_release_that_its_name_says() -> None:
    *_, version = PLOTLY.removesuffix(".min.js").split("-")
    assert f"plotly.js (basic - minified) v{version}\n" in (VENDOR / PLOTLY).read_text(encoding="utf-8")[:100]


def test_the_pages_name_no_other_origin(client: httpx.Client) -> None:
    for path in ("/", "/jobs/job_1", "/docs"):
        page = client.get(path)
        assert page.status_code == 200
        assert re.findall(r"(?:src|href|action|import)\W{1,3}https?://", page.text) == []


def test_the_reference_shows_every_call(client: httpx.Client) -> None:
    page = html.unescape(client.get("/docs").text)
    for path, operations in client.get("/openapi.json").json()["paths"].items():
        assert path in page
        assert all(call["summary"] in page for call in operations.values())
