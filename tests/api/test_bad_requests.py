"""Requests that are wrong in their address, headers, parameters or small bodies. Bad jobs are in test_submit.

Each gets a 4xx with its problem; where a field is at fault, the field and what to do; and afterwards nothing is stored.
"""

from __future__ import annotations

import json
import socket
from typing import Any, NamedTuple

import httpx
import pytest

from tests.support.counting import queued, rows
from tests.support.problems import problem
from tests.support.serving import RESULT, SPEC, Server, submit, succeeded

DEEP = 100_000
JSON = "application/json"


class Bad(NamedTuple):
    """``{job}`` in the path is a queued job, ``{done}`` an ended one; ``field`` is the one at fault, if any is."""

    method: str
    path: str
    status: int
    slug: str
    field: str | None = None
    body: Any = None
    headers: dict[str, str] = {}  # noqa: RUF012


def parameter(path: str, field: str) -> Bad:
    return Bad("GET", path, 422, "invalid-parameter", field)


def body(method: str, path: str, value: Any, field: str) -> Bad:
    return Bad(method, path, 422, "invalid-body", field, value)


def raw(method: str, path: str, content: bytes, status: int, slug: str, media_type: str = JSON) -> Bad:
    return Bad(method, path, status, slug, None, content, {"Content-Type": media_type})


BAD = [
    # parameters
    parameter("/v1/jobs?order=sideways", "order"),
    parameter("/v1/jobs?order=best_upper_loss;drop table jobs", "order"),
    parameter("/v1/jobs?state=running&state=dancing", "state"),
    parameter("/v1/jobs?state=", "state"),
    parameter("/v1/jobs?" + "&".join(["state=queued"] * 10), "state"),
    parameter("/v1/jobs?created_after=yesterday", "created_after"),
    parameter("/v1/jobs?created_after=2026-01-15T09:30:00", "created_after"),
    parameter("/v1/jobs?created_before=99999-01-01T00:00:00Z", "created_before"),
    parameter("/v1/jobs?created_before=NaN", "created_before"),
    parameter("/v1/jobs?created_before=1e400", "created_before"),
    parameter("/v1/jobs?limit=1e3", "limit"),
    parameter("/v1/jobs?limit=-1", "limit"),
    parameter("/v1/jobs?limit=1001", "limit"),
    parameter("/v1/jobs?limit=0x10", "limit"),
    parameter("/v1/jobs?page=%FF", "page"),
    parameter("/v1/jobs?page=" + "A" * 501, "page"),
    parameter("/v1/jobs?page=WyJuZXdlc3QiLCBOYU4sICJ4Il0=", "page"),  # ["newest", NaN, "x"]
    parameter("/v1/jobs?page=WyJuZXdlc3QiLCAxZTk5OSwgIngiXQ==", "page"),  # ["newest", 1e999, "x"]
    parameter("/v1/jobs?page=WyJuZXdlc3QiLCB0cnVlLCAieCJd", "page"),  # ["newest", true, "x"]
    parameter("/v1/jobs?text=" + "x" * 201, "text"),
    parameter("/v1/jobs?tag=", "tag"),
    parameter("/v1/jobs/{job}/iterations?after=NaN", "after"),
    parameter("/v1/jobs/{job}/iterations?from=-1", "from"),
    parameter("/v1/jobs/{job}/iterations?to=Infinity", "to"),
    parameter("/v1/jobs/{job}/iterations?max_points=10001", "max_points"),
    parameter("/v1/jobs/{job}/iterations?limit=0", "limit"),
    parameter("/v1/jobs/{job}/events?after=-1", "after"),
    parameter("/v1/jobs/{job}/events?limit=10001", "limit"),
    parameter("/v1/webhooks/hook_x/deliveries?limit=0", "limit"),
    Bad("POST", "/v1/jobs?dry_run=perhaps", 422, "invalid-parameter", "dry_run", SPEC),
    # headers
    Bad("GET", "/v1/jobs/{job}/events", 422, "invalid-parameter", "last-event-id", None, {"Last-Event-ID": "7"}),
    Bad("GET", "/v1/jobs/{job}/events", 422, "invalid-parameter", "last-event-id", None, {"Last-Event-ID": "NaN.1"}),
    Bad("GET", "/v1/jobs/{job}", 422, "invalid-parameter", "prefer", None, {"Prefer": "wait=" + "9" * 300}),
    Bad("GET", "/v1/jobs/{job}/events", 406, "not-acceptable", None, None, {"Accept": "image/png"}),
    Bad("GET", "/v1/jobs/{job}/iterations", 406, "not-acceptable", None, None, {"Accept": "application/x-pickle"}),
    Bad("GET", "/v1/jobs/{job}/iterations", 422, "invalid-parameter", "accept", None, {"Accept": "a/b," * 300}),
    Bad("POST", "/v1/jobs", 422, "invalid-parameter", "idempotency-key", SPEC, {"Idempotency-Key": "k" * 256}),
    Bad("GET", "/v1/jobs", 421, "unknown-host", None, None, {"Host": "evil.example"}),
    Bad("GET", "/v1/jobs", 421, "unknown-host", None, None, {"Host": "127.0.0.1@evil.example"}),
    Bad("GET", "/v1/jobs", 421, "unknown-host", None, None, {"Host": "[::1"}),
    Bad("POST", "/v1/jobs", 403, "cross-site-request", None, SPEC, {"Origin": "https://evil.example"}),
    Bad("POST", "/v1/jobs", 403, "cross-site-request", None, SPEC, {"Origin": "http://["}),
    Bad("DELETE", "/v1/jobs/{done}", 403, "cross-site-request", None, None, {"Sec-Fetch-Site": "cross-site"}),
    Bad("DELETE", "/v1/jobs/{done}", 412, "precondition-failed", None, None, {"If-Match": '"1"'}),
    Bad("DELETE", "/v1/jobs/{done}", 412, "precondition-failed", None, None, {"If-Match": "NaN"}),
    Bad("PATCH", "/v1/jobs/{job}", 412, "precondition-failed", None, {"name": "x"}, {"If-Match": '"x", "y"'}),
    Bad("PATCH", "/v1/jobs/{job}", 422, "invalid-parameter", "if-match", {"name": "x"}, {"If-Match": "1" * 201}),
    # bodies
    body("PATCH", "/v1/jobs/{job}", {"state": "succeeded"}, "state"),
    body("PATCH", "/v1/jobs/{job}", {"nam": "x"}, "nam"),
    body("PATCH", "/v1/jobs/{job}", {"name": ""}, "name"),
    body("PATCH", "/v1/jobs/{job}", {"name": "x" * 201}, "name"),
    body("PATCH", "/v1/jobs/{job}", {"name": 7}, "name"),
    body("PATCH", "/v1/jobs/{job}", {"name": "a\x00b"}, "name"),
    body("PATCH", "/v1/jobs/{job}", {"tags": "a"}, "tags"),
    body("PATCH", "/v1/jobs/{job}", {"tags": ["a"] * 21}, "tags"),
    body("PATCH", "/v1/jobs/{job}", {"tags": ["\n"]}, "tags.0"),
    body("PATCH", "/v1/jobs/{job}", {"priority": 1001}, "priority"),
    body("PATCH", "/v1/jobs/{job}", {"priority": 1.5}, "priority"),
    body("PATCH", "/v1/jobs/{job}", {"priority": True}, "priority"),
    body("PATCH", "/v1/jobs/{job}", {"priority": None}, "priority"),
    body("PATCH", "/v1/jobs/{job}", [1], ""),
    body("POST", "/v1/keys", {}, "name"),
    body("POST", "/v1/keys", {"name": "x", "scope": "root"}, "scope"),
    body("POST", "/v1/keys", {"name": "x", "scope": ["admin"]}, "scope"),
    body("POST", "/v1/keys", {"name": "x", "tenant": "other"}, "tenant"),
    body("POST", "/v1/keys", {"name": "x", "key": "hposvc_mine"}, "key"),
    body("POST", "/v1/webhooks", {}, "url"),
    body("POST", "/v1/webhooks", {"url": 7}, "url"),
    body("POST", "/v1/webhooks", {"url": "javascript:alert(1)"}, "url"),
    body("POST", "/v1/webhooks", {"url": "file:///etc/passwd"}, "url"),
    body("POST", "/v1/webhooks", {"url": "https://exa mple.org"}, "url"),
    body("POST", "/v1/webhooks", {"url": "https://[::1"}, "url"),
    body("POST", "/v1/webhooks", {"url": "https://" + "a" * 2000 + ".org"}, "url"),
    body("POST", "/v1/webhooks", {"url": "https://example.org\r\nX-Injected: 1"}, "url"),
    body("POST", "/v1/webhooks", {"url": "https://example.org", "secret": "short"}, "secret"),
    body("POST", "/v1/webhooks", {"url": "https://example.org", "secret": "whsec_" + "A" * 300}, "secret"),
    raw("PATCH", "/v1/jobs/{job}", b"", 400, "malformed-body"),
    raw("PATCH", "/v1/jobs/{job}", b'{"name": ', 400, "malformed-body"),
    raw("PATCH", "/v1/jobs/{job}", b"\xff\xfe", 400, "malformed-body"),
    raw("PATCH", "/v1/jobs/{job}", b"[" * DEEP, 400, "malformed-body"),
    raw("PATCH", "/v1/jobs/{job}", b'{"tags":' * 40 + b"1" + b"}" * 40, 400, "malformed-body"),
    raw("PATCH", "/v1/jobs/{job}", b'{"name": "a", "name": "b"}', 400, "malformed-body"),
    raw("PATCH", "/v1/jobs/{job}", b"name=x", 415, "unsupported-media-type", "application/x-www-form-urlencoded"),
    raw("PATCH", "/v1/jobs/{job}", b"\x80\x04.", 415, "unsupported-media-type", "application/x-pickle"),
    raw("POST", "/v1/webhooks", b"!!python/object/apply:os.system ['true']", 400, "malformed-body", "text/yaml"),
    raw("POST", "/v1/keys", b"a: &a [*a]", 400, "malformed-body", "application/yaml"),
    Bad("POST", "/v1/keys", 415, "unsupported-media-type", None, {"name": "x"}, {"Content-Encoding": "gzip"}),
    # addresses
    Bad("GET", "/v1/jobs/..%2f..%2fetc%2fpasswd", 404, "not-found"),
    Bad("GET", "/v1/jobs/{job}/artifacts/..%2f..%2f..%2fetc%2fpasswd", 404, "not-found"),
    Bad("GET", "/v1/jobs/{job}/artifacts/%2e%2e", 404, "artifact-not-found"),
    Bad("GET", "/v1/jobs/{job}/artifacts/..%5c..%5csecret", 404, "artifact-not-found"),
    Bad("GET", "/v1/jobs/{job}/artifacts/" + "x" * 201, 422, "invalid-parameter", "name"),
    Bad("GET", "/v1/jobs/a%00b", 422, "invalid-parameter", "job_id"),
    Bad("GET", "/v1/jobs/" + "x" * 65, 422, "invalid-parameter", "job_id"),
    Bad("GET", "/v1/jobs/' OR '1'='1", 404, "job-not-found"),
    Bad("GET", "/v1/keys/key_0", 404, "key-not-found"),
    Bad("DELETE", "/v1/keys/key_0", 404, "key-not-found"),
    Bad("DELETE", "/v1/webhooks/hook_0", 404, "webhook-not-found"),
    Bad("DELETE", "/v1/jobs/{job}", 409, "job-not-finished"),
    Bad("PUT", "/v1/jobs/{job}", 405, "method-not-allowed"),
    Bad("DELETE", "/v1/jobs", 405, "method-not-allowed"),
    Bad("PATCH", "/v1/keys/key_0", 405, "method-not-allowed"),
    Bad("GET", "/static/..%2f..%2fapi%2fapp.py", 404, "not-found"),
]


def test_a_bad_request_is_refused_and_leaves_nothing(
    client: httpx.Client, server: Server, subtests: pytest.Subtests
) -> None:
    ids = {"job": submit(server.engine).id, "done": succeeded(server.engine, RESULT).id}
    versions = {name: client.get(f"/v1/jobs/{job_id}").headers["ETag"] for name, job_id in ids.items()}
    before = rows(server), queued(server)
    assert len(BAD) >= 60
    for bad in BAD:
        with subtests.test(
            method=bad.method, path=bad.path[:80], body=repr(bad.body)[:40], headers=str(bad.headers)[:60]
        ):
            path = bad.path.replace("{job}", ids["job"]).replace("{done}", ids["done"])
            content = bad.body if isinstance(bad.body, bytes) or bad.body is None else json.dumps(bad.body)
            headers = ({} if bad.body is None else {"Content-Type": JSON}) | bad.headers
            document = problem(client.request(bad.method, path, content=content, headers=headers), bad.status, bad.slug)
            if bad.field is not None:
                named = [error for error in document["errors"] if error["field"].lower() == bad.field.lower()]
                assert named, document["errors"]
                assert named[0]["remedy"]
    assert (rows(server), queued(server)) == before
    for name, job_id in ids.items():
        assert client.get(f"/v1/jobs/{job_id}").headers["ETag"] == versions[name]


# What a client library would not even send; ``{port}`` is the server's.
HOSTILE = {
    "no HTTP at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "a header without end": b"GET /v1/jobs HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000,
    "two lengths": b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\nhello",
    "a length below zero": b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "a null in a header": b"GET /v1/jobs HTTP/1.1\r\nHost: local\x00host\r\n\r\n",
    "a bad chunk": b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n",
}


def test_what_is_hardly_http_is_refused_and_hurts_nobody(
    client: httpx.Client, server: Server, subtests: pytest.Subtests
) -> None:
    for what, request in HOSTILE.items():
        with subtests.test(what), socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
            try:
                connection.sendall(request)
                connection.shutdown(socket.SHUT_WR)
                answer = connection.recv(65_536)
            except OSError:  # hung up on
                answer = b""
            assert answer == b"" or answer.split()[1][:1] == b"4", answer[:200]
        assert client.get("/healthz").status_code == 200
    assert rows(server)["jobs"] == 0
