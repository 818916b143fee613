"""Keys, scopes, sessions and tenants: who gets in, who sees what, and what is left of it in the log."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from api.app import UnsafeAddressError, create_app
from api.middleware import auth
from api.middleware.auth import OPEN
from api.openapi import document
from hposvc.access import keys, tenants
from hposvc.db.engine import write
from hposvc.db.tables import DEFAULT_TENANT, api_keys, metadata, sessions
from hposvc.fleet.workers import Fleet, WorkerReport
from hposvc.jobs.service import Jobs
from hposvc.jobs.stored_file import StoredFile
from hposvc.schema.access import Scope
from hposvc.schema.spec import JobSpec
from hposvc.settings import Settings
from hposvc.webhooks import service
from tests.support.problems import problem
from tests.support.serving import PATIENCE, RESULT, SPEC, Server, Worker, curve

BEARER = "Authorization"


def bearer(token: str) -> dict[str, str]:
    return {BEARER: f"Bearer {token}"}


@pytest.fixture
def key(server: Server) -> str:
    """A key of the default tenant that allows everything."""
    return keys.Keys(server.engine).create(tenant=DEFAULT_TENANT, name="first", scope="admin")[1]


def test_nobody_is_asked_until_the_first_key_is_made_and_everybody_from_then_on(
    client: httpx.Client, server: Server
) -> None:
    assert client.get("/v1/jobs").status_code == 200
    refused = problem(client.post("/v1/keys", json={"name": "mine", "scope": "admin"}), 403, "missing-scope")
    assert "hposvc keys create" in refused["detail"]
    made, token = keys.Keys(server.engine).create(tenant=DEFAULT_TENANT, name="first", scope="admin")
    server.stop()  # another process of the service would need a second to notice
    server.start()
    document = problem(client.get("/v1/jobs"), 401, "missing-key")
    assert "Bearer" in client.get("/v1/jobs").headers["WWW-Authenticate"]
    assert "shows none" in document["detail"]
    assert client.get("/v1/jobs", headers=bearer(token)).status_code == 200
    revoked = client.delete(f"/v1/keys/{made.id}", headers=bearer(token))
    assert revoked.json()["revoked_at"]
    problem(client.get("/v1/jobs", headers=bearer(token)), 401, "invalid-key")
    problem(client.get("/v1/jobs"), 401, "missing-key")  # the last key's end opens nothing


def test_a_key_is_looked_up_once_for_all_requests_and_waits_for_no_other_key(
    client: httpx.Client, server: Server, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a proxy all of them come from one address."""
    tenants.Tenants(server.engine).create("neighbour")
    other = keys.Keys(server.engine).create(tenant="neighbour", name="theirs", scope="read")[1]
    for token in (key, other):
        assert client.get("/v1/jobs", headers=bearer(token)).status_code == 200
    monkeypatch.setattr(auth, "TRUSTED_SECONDS", -1.0)  # from now on each request looks anew
    go_on, looks, look = threading.Event(), [], keys.identify

    def held_up(engine: sa.Engine, token: str) -> Any:
        looks.append(token)
        assert token != key or go_on.wait(60)
        return look(engine, token)

    monkeypatch.setattr(keys, "identify", held_up)
    with ThreadPoolExecutor(20) as pool:
        mine = [pool.submit(client.get, "/v1/jobs", headers=bearer(key), timeout=60) for _ in range(20)]
        try:
            assert client.get("/v1/jobs", headers=bearer(other), timeout=60).status_code == 200
            assert not any(future.done() for future in mine)
        finally:
            go_on.set()
        assert [future.result().status_code for future in mine] == [200] * 20
    assert looks.count(key) < 20


def test_only_a_hash_of_a_key_is_kept(server: Server, key: str) -> None:
    with server.engine.connect() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(sa.select(table)):
                assert key not in repr(row)
                assert key.removeprefix("hposvc_") not in repr(row)
        stored = connection.execute(sa.select(api_keys.c.hash)).scalar_one()
    assert stored == hashlib.sha256(key.encode()).hexdigest()


@pytest.mark.usefixtures("key")
def test_what_is_no_key_opens_nothing(client: httpx.Client, server: Server, subtests: pytest.Subtests) -> None:
    with server.engine.connect() as connection:
        hash_ = connection.execute(sa.select(api_keys.c.hash)).scalar_one()
    for value in (
        "Bearer",
        "Basic aHBvc3ZjOng=",
        "Bearer hposvc_" + "x" * 43,
        f"Bearer {hash_}",
        f"Bearer hposvc_{hash_}",
        "Bearer " + "x" * 600,
        "Bearer hposvc_ é".encode("latin-1"),
        "bearer ' OR 1=1 --",
        "",
    ):
        with subtests.test(value=value):
            problem(client.get("/v1/jobs", headers={BEARER: value}), 401, "invalid-key")
    for cookie in ("hposvc_session=x", f"hposvc_session={hash_}"):
        with subtests.test(cookie=cookie):
            problem(client.get("/v1/jobs", headers={"Cookie": cookie}), 401, "invalid-key")
    for cookie in ("hposvc_session=", "=;;=,\x01", "hposvc_session"):
        with subtests.test(cookie=cookie):
            problem(client.get("/v1/jobs", headers={"Cookie": cookie}), 401, "missing-key")


def test_a_key_is_no_cookie_and_a_query_is_no_place_for_it(client: httpx.Client, key: str) -> None:
    problem(client.get("/v1/jobs", headers={"Cookie": f"hposvc_session={key}"}), 401, "missing-key")
    problem(client.get("/v1/jobs", params={"key": key, "access_token": key}), 401, "missing-key")


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, calls in json.loads(document())["paths"].items():
        for method, call in calls.items():
            yield method.upper(), path, call


def test_every_call_needs_a_key_unless_it_is_known_to_be_open(client: httpx.Client, key: str) -> None:
    for method, path, call in operations():
        answer = client.request(method, re.sub(r"\{\w+\}", "x", path))
        if path in ("/healthz", "/readyz"):
            assert answer.status_code == 200
            assert call["security"] == []
        elif (method, path) == ("DELETE", "/v1/session"):
            assert answer.status_code == 204
        else:
            problem(answer, 401, "missing-key")
    for path in ("/nothing", "/v1/nothing", "/metrics"):
        problem(client.get(path), 401, "missing-key")
    for path in OPEN:
        if path != "/v1/session":
            assert client.get(path).status_code == 200


RANK = {"read": 0, "submit": 1, "admin": 2}


def scopes_for(method: str, path: str) -> set[str]:
    """The scopes with which a call is allowed."""
    draining = path.startswith("/v1/workers") and method != "GET"
    admin = draining or path.startswith(("/v1/keys", "/v1/webhooks"))
    needed = "admin" if admin else "read" if method == "GET" else "submit"
    return {scope for scope in RANK if RANK[scope] >= RANK[needed]}


def test_scopes(client: httpx.Client, server: Server, key: str) -> None:
    tokens = {
        scope: client.post("/v1/keys", json={"name": scope, "scope": scope}, headers=bearer(key)).json()["key"]
        for scope in ("read", "submit", "admin")
    }
    for method, path, _ in operations():
        if path in OPEN:
            continue
        allowed = scopes_for(method, path)
        for scope, token in tokens.items():
            answer = client.request(method, re.sub(r"\{\w+\}", "x", path), headers=bearer(token))
            if scope not in allowed:
                assert min(allowed, key=RANK.__getitem__) in problem(answer, 403, "missing-scope")["detail"]
            else:
                assert answer.status_code not in (401, 403), (method, path, scope)


def test_the_dashboard_trades_a_key_for_a_cookie_that_no_script_can_read(
    client: httpx.Client, server: Server, key: str
) -> None:
    problem(client.post("/v1/session"), 401, "missing-key")
    problem(client.get("/v1/session"), 401, "missing-key")
    signed_in = client.post("/v1/session", headers=bearer(key))
    assert (signed_in.status_code, signed_in.json()["key"]) == (201, "first")
    set_cookie = signed_in.headers["Set-Cookie"]
    for attribute in ("HttpOnly", "SameSite=strict", "Path=/", "Max-Age=43200"):
        assert attribute in set_cookie
    assert "Domain" not in set_cookie
    assert key not in set_cookie
    behind_tls = httpx.post(
        f"{server.url}/v1/session", headers=bearer(key) | {"X-Forwarded-Proto": "https"}, timeout=PATIENCE
    )
    assert "Secure" in behind_tls.headers["Set-Cookie"]
    assert client.get("/v1/jobs").status_code == 200  # the client keeps the cookie
    assert client.get("/v1/session").json() == {
        "tenant": "default",
        "key": "first",
        "scopes": ["read", "submit", "admin"],
    }
    problem(client.post("/v1/jobs", json=SPEC, headers={"Origin": "https://evil.example"}), 403, "cross-site-request")
    assert client.post("/v1/jobs", json=SPEC).status_code == 202
    old = client.cookies["hposvc_session"]
    problem(client.post("/v1/session"), 401, "missing-key")  # no session makes another, which would outlive it
    problem(client.post("/v1/session", headers=bearer(old)), 401, "missing-key")
    assert client.delete("/v1/session").status_code == 204
    problem(client.get("/v1/jobs", headers={"Cookie": f"hposvc_session={old}"}), 401, "invalid-key")


def test_a_session_ends_by_itself_and_with_its_key(client: httpx.Client, server: Server, key: str) -> None:
    client.post("/v1/session", headers=bearer(key))
    with write(server.engine) as connection:
        connection.execute(sessions.update().values(expires_at=1.0))
    problem(client.get("/v1/jobs"), 401, "invalid-key")
    client.cookies.clear()
    client.post("/v1/session", headers=bearer(key))
    with server.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(sessions)).scalar_one() == 1  # old ones go
    (listed,) = client.get("/v1/keys").json()["items"]
    assert client.delete(f"/v1/keys/{listed['id']}").status_code == 200
    problem(client.get("/v1/jobs"), 401, "invalid-key")


@pytest.mark.usefixtures("key")
def test_a_page_asks_to_sign_in_and_a_script_is_told_why(client: httpx.Client) -> None:
    page = client.get("/jobs/job_1", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (page.status_code, page.headers["Location"]) == (303, "/login?next=/jobs/job_1")
    problem(client.get("/jobs/job_1"), 401, "missing-key")
    assert client.get("/login").status_code == 200


def test_use_is_noted_now_and_then_and_by_no_request(client: httpx.Client, server: Server, key: str) -> None:
    for _ in range(20):
        assert client.get("/v1/tenant", headers=bearer(key)).status_code == 200
    (listed,) = keys.list_(server.engine)
    assert listed.last_used_at is None
    server.stop()  # what is not written yet is written now
    (listed,) = keys.list_(server.engine)
    assert listed.last_used_at is not None
    server.start()


def test_with_a_key_any_address_may_be_listened_on(database_url: str, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, database_url=database_url, host="192.0.2.7")
    with pytest.raises(UnsafeAddressError, match="hposvc keys create"):
        create_app(settings)
    with Server(database_url, tmp_path) as server:
        keys.Keys(server.engine).create(tenant=DEFAULT_TENANT, name="first", scope="read")
    create_app(settings)


def test_a_proxy_s_name_is_answered_when_it_is_told(database_url: str, tmp_path: Path) -> None:
    with (
        Server(database_url, tmp_path, hosts="hposvc.example.org, other.example.org") as server,
        httpx.Client(base_url=server.url, trust_env=False, timeout=PATIENCE) as client,
    ):
        assert client.get("/v1/jobs", headers={"Host": "hposvc.example.org"}).status_code == 200
        problem(client.get("/v1/jobs", headers={"Host": "evil.example.org"}), 421, "unknown-host")


# --- two tenants -------------------------------------------------------------------------------------------------

# What stands in a path, and where an id for it comes from. A path with something else fails the test below until its
# name is added here, with something of the owner's that it names.
IDS = {
    "job_id": "job",
    "experiment_id": "experiment",
    "name": "file",
    "key_id": "key",
    "webhook_id": "webhook",
    "dataset_id": "dataset",
    "row": "row",
}


# Calls that take ids in their query, and whose; with another's they answer 404, too.
QUERIES = {
    ("GET", "/v1/compare"): {"jobs": "job"},
    ("GET", "/v1/jobs/{job_id}/rows"): {"id": "0"},
    ("GET", "/v1/jobs/{job_id}/rows/features"): {"id": "0"},
    ("DELETE", "/v1/datasets/{dataset_id}/reviews"): {"batch": "rev_0"},
}


# What belongs to no tenant, but to whoever runs the service.
SHARED = {("GET", "/metrics"), ("POST", "/v1/workers/{worker_id}/drain")}

# Calls that the owner's job, which a real solver never saw, has no answer for; its owner is told so in other words.
MAY_BE_EMPTY = {
    ("GET", "/v1/jobs/{job_id}/rows"),
    ("GET", "/v1/jobs/{job_id}/rows/features"),
    ("POST", "/v1/jobs/{job_id}/predictions"),
    ("DELETE", "/v1/datasets/{dataset_id}/reviews"),
}


GONE = ("/problems/job-not-found", "/problems/dataset-not-found", "/problems/experiment-not-found")


def made_key(server: Server, tenant: str, scope: Scope) -> str:
    return keys.Keys(server.engine).create(tenant=tenant, name=f"of {tenant}", scope=scope)[1]


class Owner:
    """A tenant that owns one of everything."""

    def __init__(self, server: Server, tenant: str, tmp_path: Path) -> None:
        if tenant != DEFAULT_TENANT:
            tenants.Tenants(server.engine).create(tenant)
        self.tenant = tenant
        key, self.token = keys.Keys(server.engine).create(tenant=tenant, name=f"named by {tenant}", scope="admin")
        self.tokens = {scope: made_key(server, tenant, scope) for scope in ("read", "submit")} | {"admin": self.token}
        spec = JobSpec.model_validate(SPEC | {"name": f"named by {tenant}"})
        self.queued = Jobs(server.engine).submit(spec, tenant=tenant)
        self.job = Jobs(server.engine).submit(spec, tenant=tenant, idempotency_key="same")
        attempt = Worker(server.engine).take(self.job)
        attempt.record(curve(1, 20))
        stored = tmp_path / f"{tenant}.json"
        stored.write_text(f"secret of {tenant}")
        file = StoredFile("report.json", "report", stored.stat().st_size, "0" * 64, stored.as_uri())
        attempt.succeed(RESULT | {"sentence": f"secret of {tenant}"}, [file])
        Fleet(server.engine).beat(
            WorkerReport(f"worker-{secrets.token_hex(3)}", "host", "cpu", {}, "busy", self.queued.id)
        )
        webhook = service.Webhooks(server.engine).add(tenant, "https://example.org/hook", secret=None, private=False)
        self.experiment = self._experiment(server)
        self.ids = {
            "job": self.job.id,
            "experiment": self.experiment,
            "file": "report.json",
            "key": key.id,
            "webhook": webhook.id,
            "dataset": self._upload(server),
            "row": "0",
        }
        self.secrets = {f"secret of {tenant}", f"named by {tenant}", self.job.id, self.queued.id, key.id, webhook.id}
        self.secrets.add(self.experiment)

    def _experiment(self, server: Server) -> str:
        spec = {"name": f"named by {self.tenant}", "job": SPEC, "plan": {"type": "repeat", "repeats": 2}}
        answer = httpx.post(f"{server.url}/v1/experiments", headers=bearer(self.token), json=spec, timeout=PATIENCE)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def _upload(self, server: Server) -> str:
        rows = "".join(f"{number},{number % 2}\n" for number in range(20))
        answer = httpx.post(
            f"{server.url}/v1/datasets",
            params={"name": f"named by {self.tenant}.csv", "label": "y", "task": "classification"},
            headers=bearer(self.token) | {"Content-Type": "text/csv"},
            content=f"x,y\n{rows}",
            timeout=PATIENCE,
        )
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def query(self, method: str, path: str) -> dict[str, str]:
        return {name: self.ids.get(value, value) for name, value in QUERIES.get((method, path), {}).items()}

    def path(self, path: str) -> str:
        return re.sub(r"\{(\w+)\}", lambda match: self.ids[IDS[match[1]]], path)


BODIES: dict[tuple[str, str], Any] = {
    ("PATCH", "/v1/jobs/{job_id}"): {"name": "renamed"},
    ("PUT", "/v1/jobs/{job_id}/notes"): {"text": "what was tried"},
    ("PUT", "/v1/datasets/{dataset_id}/reviews"): {"decisions": [{"row": "0", "decision": "right"}]},
    ("PUT", "/v1/datasets/{dataset_id}/reviews/{row}"): {"decision": "relabel", "relabelled_to": "1"},
}


@pytest.fixture(
    params=[(DEFAULT_TENANT, "other"), ("other", DEFAULT_TENANT), ("tenant_one", "tenant_two")], ids="-".join
)
def two(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> tuple[Owner, Owner]:
    owner, stranger = request.param
    return Owner(server, owner, tmp_path), Owner(server, stranger, tmp_path)


def test_nothing_of_another_tenant_is_there(
    client: httpx.Client, two: tuple[Owner, Owner], subtests: pytest.Subtests
) -> None:
    """Every call of the OpenAPI document: with another's ids it returns 404, without ids it shows nothing of theirs."""
    owner, stranger = two
    for method, path, _ in operations():
        if path in OPEN or (method, path) in SHARED:
            continue
        with subtests.test(method=method, path=path):
            named = re.findall(r"\{(\w+)\}", path)
            assert set(named) <= IDS.keys(), "add what this path names to IDS"
            answer = client.request(
                method,
                owner.path(path),
                params=owner.query(method, path),
                headers=bearer(stranger.token),
                json=BODIES.get((method, path)),
            )
            if named or (method, path) in QUERIES:
                assert answer.status_code == 404, answer.text
                assert answer.headers["Content-Type"] == "application/problem+json"
            for secret in owner.secrets - set(owner.ids.values()):
                assert secret not in answer.text
            if not named and (method, path) not in QUERIES:  # an id that was sent may be named in the refusal
                assert not any(secret in answer.text for secret in owner.secrets)


# Deleting, and what ends the key that asks, comes last.
LAST = ["/v1/datasets/{dataset_id}", "/v1/jobs/{job_id}", "/v1/webhooks/{webhook_id}", "/v1/keys/{key_id}"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # scopes are not looked up by the database
@pytest.mark.parametrize("scope", ["read", "submit"])
def test_nothing_of_another_tenant_is_there_for_a_key_that_allows_less(
    client: httpx.Client, server: Server, tmp_path: Path, scope: Scope
) -> None:
    """Every call of the OpenAPI document: what the scope allows returns 404, the rest says which scope it takes."""
    owner, stranger = Owner(server, "one", tmp_path), Owner(server, "another", tmp_path)
    for method, path, _ in operations():
        if path in OPEN or (method, path) in SHARED:
            continue
        answer = client.request(
            method,
            owner.path(path),
            params=owner.query(method, path),
            headers=bearer(stranger.tokens[scope]),
            json=BODIES.get((method, path)),
        )
        if scope not in scopes_for(method, path):
            problem(answer, 403, "missing-scope")
        elif "{" in path or (method, path) in QUERIES:
            assert answer.status_code == 404, (method, path, answer.text)
        for secret in owner.secrets - set(owner.ids.values()):
            assert secret not in answer.text, (method, path)


def test_its_own_things_are_there_for_each_tenant(
    client: httpx.Client, two: tuple[Owner, Owner], subtests: pytest.Subtests
) -> None:
    """The same calls with one's own ids: so that the test above cannot pass because nothing is found at all."""
    for owner in two:
        calls = sorted(
            operations(), key=lambda call: (call[0] == "DELETE", LAST.index(call[1]) if call[1] in LAST else -1)
        )
        for method, path, _ in calls:
            if "{" not in path or (method, path) in SHARED:
                continue
            with subtests.test(method=method, path=path, tenant=owner.tenant):
                body = BODIES.get((method, path))
                answer = client.request(
                    method, owner.path(path), headers=bearer(owner.token), json=body, params=owner.query(method, path)
                )
                if (method, path) not in MAY_BE_EMPTY:
                    assert answer.status_code in (200, 201, 202, 204, 409), answer.text
                else:
                    assert answer.json().get("type") not in GONE, answer.text


def test_what_all_tenants_share_belongs_to_whoever_runs_the_service(
    client: httpx.Client, two: tuple[Owner, Owner]
) -> None:
    for one in two:
        for method, path in SHARED:
            answer = client.request(method, path.format(worker_id="worker-1"), headers=bearer(one.token))
            if one.tenant == DEFAULT_TENANT:
                assert answer.status_code in (200, 202, 404), answer.text
            else:
                assert "all tenants" in problem(answer, 403, "missing-scope")["detail"]


def test_one_idempotency_key_of_two_tenants_is_two_jobs(client: httpx.Client, two: tuple[Owner, Owner]) -> None:
    owner, stranger = two
    for one in two:
        answer = client.post("/v1/jobs", json=SPEC, headers=bearer(one.token) | {"Idempotency-Key": "both"})
        assert answer.status_code == 202
        assert client.get(answer.headers["Location"], headers=bearer(one.token)).status_code == 200
        other = stranger if one is owner else owner
        assert client.get(answer.headers["Location"], headers=bearer(other.token)).status_code == 404
