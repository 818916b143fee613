"""Connections on which little or nothing comes end, and take nothing from others."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack

import httpx
import pytest

from api import connections
from api.middleware import guard
from tests.support.serving import SPEC, Server

PATIENCE = 30.0


def opened(server: Server) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    connection.settimeout(PATIENCE)
    return connection


def everything(connection: socket.socket) -> bytes:
    """What comes until the server closes the connection."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def head(server: Server, length: int) -> bytes:
    return (
        f"POST /v1/jobs?dry_run=true HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {length}\r\n\r\n"
    ).encode()


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "])
def test_a_head_that_does_not_come_ends_the_connection(
    server: Server, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.2)
    with opened(server) as connection:
        connection.sendall(begun)
        assert everything(connection) == b""


def test_so_does_the_second_head_on_a_connection(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 1.0)
    with opened(server) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b"200 OK" in connection.recv(65536)
        connection.sendall(b"GET /hea")
        rest = everything(connection)
    assert b"HTTP/1.1" not in rest


def test_a_body_that_does_not_come_is_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    body = json.dumps(SPEC).encode()
    monkeypatch.setattr(guard, "BODY_SECONDS", 0.2)
    with opened(server) as connection:
        connection.sendall(head(server, len(body)) + body[:-1])
        assert b"HTTP/1.1 408" in everything(connection)


def test_idle_connections_keep_nobody_out(server: Server, client: httpx.Client) -> None:
    with ExitStack() as open_:
        for _ in range(300):
            open_.enter_context(opened(server))
        assert client.get("/healthz").status_code == 200
        assert client.post("/v1/jobs", json=SPEC).status_code == 202
