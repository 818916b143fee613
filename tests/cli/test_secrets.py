"""Secrets are planted, errors provoked, and then everything that the service said is searched for them."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from hposvc.access import keys
from hposvc.db import migrate
from hposvc.db.engine import create_engine
from hposvc.webhooks import service
from tests.support.commands import HPOSVC, ServerProcess, until
from tests.support.environment import without_settings
from tests.support.postgresql import PostgreSQL
from tests.support.serving import PATIENCE, RESULT, SPEC, succeeded

PASSWORD = "pw-4f1c9a-of-the-database"
HOOK_SECRET = "whsec_" + "c2VjcmV0IG9mIHRoZSB3ZWJob29rIDEyMzQ1"


def command_lines() -> str:
    """What every process of this machine shows in `ps`."""
    lines = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                lines.append((entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
    return "\n".join(lines)


@pytest.mark.parametrize("format_", ["json", "console"])
def test_no_secret_is_in_logs_errors_or_command_lines(postgresql: PostgreSQL, tmp_path: Path, format_: str) -> None:
    plain = postgresql.create(f"secrets_{format_}")
    url = plain.replace("hposvc@", f"hposvc:{PASSWORD}@")
    migrate.upgrade(url)
    engine = create_engine(url)
    key = keys.Keys(engine).create(tenant="default", name="first", scope="admin")[1]
    environment = {
        "HPOSVC_DATABASE_URL": url,
        "HPOSVC_DATA_DIR": str(tmp_path / "data"),
        "HPOSVC_LOG_LEVEL": "debug",
        "HPOSVC_LOG_FORMAT": format_,
        "HPOSVC_WEBHOOKS_PRIVATE": "true",
        "HPOSVC_KEY": key,
    }
    said: list[str] = []
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(contextlib.closing(_Closing(tmp_path, environment)))
        client = stack.enter_context(
            httpx.Client(
                base_url=server.url, trust_env=False, headers={"Authorization": f"Bearer {key}"}, timeout=PATIENCE
            )
        )

        def call(method: str, path: str, **request: object) -> httpx.Response:
            answer = client.request(method, path, **request)  # type: ignore[arg-type]
            said.append(f"{answer.headers} {answer.text}")
            return answer

        session = client.post("/v1/session").cookies["hposvc_session"]
        client.cookies.clear()
        assert (
            call("POST", "/v1/webhooks", json={"url": "http://127.0.0.1:9/", "secret": HOOK_SECRET}).status_code == 201
        )
        said.pop()  # shown this once
        hook = client.get("/v1/webhooks").json()["items"][0]["id"]
        succeeded(engine, RESULT)
        until(lambda: service.deliveries(engine, "default", hook)[0].attempts > 0, "an attempt at the webhook")
        assert call("POST", "/v1/jobs", json=SPEC).status_code == 202
        assert call("GET", f"/v1/webhooks/{hook}/deliveries").status_code == 200
        # What is wrong is shown to whoever sent it, but never a key.
        for headers in ({"Authorization": f"Bearer {key}x"}, {"Authorization": f"Basic {key}"}, {"Cookie": f"a={key}"}):
            assert call("GET", "/v1/jobs", headers=headers).status_code in (200, 401)
        call("POST", "/v1/jobs", content=b"{", headers={"Content-Type": "application/json"})
        call("GET", "/v1/jobs/nothing")
        for arguments in (
            ["jobs"],
            ["whoami"],
            ["config"],
            ["config", "--json"],
            ["keys", "list"],
            ["webhooks", "list"],
        ):
            done = subprocess.run(
                [HPOSVC, *arguments],
                env=without_settings(**environment, HPOSVC_URL=server.url),
                capture_output=True,
                text=True,
                check=True,
            )
            said.append(done.stdout + done.stderr)
        said.append(command_lines())
        # A defect, as far as the service knows: its statements, with their values, must not get into the log.
        with engine.begin() as connection:
            connection.execute(sa.text("ALTER TABLE webhooks RENAME TO gone"))
        body = {"url": "http://127.0.0.1:9/", "secret": HOOK_SECRET}
        assert call("POST", "/v1/webhooks", json=body).status_code == 500
        postgresql.restart()  # connections break
        call("GET", "/v1/jobs")
        log = server.log.read_text()
    said.append(log)
    said.append(server.log.read_text())
    engine.dispose()
    everything = "\n".join(said)
    for secret in (key, key.removeprefix("hposvc_"), PASSWORD, HOOK_SECRET, session):
        assert secret not in everything, (
            f"…{everything[max(0, everything.find(secret) - 300) : everything.find(secret)]}"
        )
    assert "UndefinedTable" in log, "the defect is in the log"
    if format_ == "console":
        return
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    audited = [line for line in lines if line.get("logger") == "hposvc.audit" and line["path"] == "/v1/jobs"]
    assert audited[0]["who"] == "first"
    assert audited[0]["key"].startswith("key_")
    assert (audited[0]["tenant"], audited[0]["method"], audited[0]["status"]) == ("default", "POST", 202)
    assert audited[0]["made"].startswith("/v1/jobs/job_")


class _Closing(ServerProcess):
    """The API as a process with settings of its own."""

    def __init__(self, tmp_path: Path, environment: dict[str, str]) -> None:
        super().__init__("api", tmp_path / "data", **environment)

    def close(self) -> None:
        self.stop()
