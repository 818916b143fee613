"""Keys, tenants, webhooks, and jobs changed and deleted, from the command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from hposvc.faults import Exit
from tests.support.commands import HPOSVC, SPEC, ServerProcess, run, until
from tests.support.environment import without_settings


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerProcess]:
    """An API of this test's own, whose keys bother no other test; the commands find it by the data directory."""
    assert run("db", "upgrade").exit_code == 0
    server = ServerProcess("api", tmp_path / "data", HPOSVC_WEBHOOKS_PRIVATE="true")
    yield server
    server.stop()


def test_from_no_key_to_tenants_that_do_not_see_each_other(own: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No keys: nobody is asked" in run("keys", "list").output
    assert "no key is asked for" in run("whoami").output
    made = run("keys", "create", "--name", "my laptop", "--scope", "admin")
    assert made.exit_code == 0
    key = made.stdout.strip()
    assert key.startswith("hposvc_")
    assert "this once" in made.stderr
    assert "only key" in made.stderr

    def denied() -> bool:
        result = run("jobs")
        return result.exit_code == Exit.DENIED and "HPOSVC_KEY" in result.stderr

    until(denied, "asking for the key")  # a second at most
    monkeypatch.setenv("HPOSVC_KEY", key)
    assert "key 'my laptop'" in run("whoami").output
    assert json.loads(run("whoami", "--json").stdout)["quotas"]["queued_jobs"]["limit"] == 10_000
    job_id = json.loads(run("submit", "-", "--json", input=SPEC).stdout)["id"]

    assert run("tenants", "create", "acme", "--name", "Acme Inc").exit_code == 0
    assert run("tenants", "create", "acme").exit_code == Exit.REFUSED
    assert run("tenants", "create", "Not An Id").exit_code == Exit.REFUSED
    assert run("tenants", "set", "acme", "--queued-jobs", "0", "--running-jobs", "2").exit_code == 0
    assert run("tenants", "set", "acme", "--queued-jobs", "many").exit_code == Exit.USAGE
    assert run("tenants", "set", "acme").exit_code == Exit.USAGE
    assert run("tenants", "set", "nobody", "--queued-jobs", "1").exit_code == Exit.REFUSED
    listed = {item["id"]: item for item in json.loads(run("tenants", "list", "--json").stdout)}
    assert listed["acme"]["running_jobs"] == {"used": 0, "limit": 2}
    assert "0 of 2" in run("tenants", "list").output

    assert "There before: key_" in (second := run("keys", "create", "--name", "second")).stderr
    assert "'my laptop', admin, tenant default" in second.stderr
    other = json.loads(run("keys", "create", "--name", "theirs", "--tenant", "acme", "--json").stdout)
    monkeypatch.setenv("HPOSVC_KEY", other["key"])
    assert run("watch", job_id).exit_code == Exit.REFUSED
    assert json.loads(run("jobs", "--json").stdout) == []
    full = run("submit", "-", input=SPEC)
    assert full.exit_code == Exit.DENIED
    assert "queued_jobs" in full.stderr
    assert run("webhooks", "list").exit_code == Exit.DENIED  # submit is not admin
    assert run("tenants", "set", "acme", "--queued-jobs", "default").exit_code == 0
    assert run("submit", "-", input=SPEC).exit_code == 0

    kept = run("keys", "revoke", other["id"])
    assert (kept.exit_code, "nothing is revoked" in kept.stderr, "--yes" in kept.stderr) == (Exit.USAGE, True, True)
    assert run("keys", "revoke", other["id"], "--yes").exit_code == 0
    assert run("keys", "revoke", "key_nothing", "--yes").exit_code == Exit.REFUSED
    until(lambda: run("jobs").exit_code == Exit.DENIED, "the revocation")  # five seconds at most
    by_name = {item["name"]: item for item in json.loads(run("keys", "list", "--json").stdout)}
    assert by_name["theirs"]["revoked_at"]
    assert not any("key" in item for item in by_name.values())


@pytest.mark.parametrize("arguments", [["--name", "x", "--scope", "root"], ["--name", ""], []])
def test_a_key_that_cannot_be_made(arguments: list[str]) -> None:
    assert run("db", "upgrade").exit_code == 0
    assert run("keys", "create", *arguments).exit_code == Exit.USAGE
    assert run("keys", "create", "--name", "x", "--tenant", "nobody").exit_code == Exit.REFUSED
    assert json.loads(run("keys", "list", "--json").stdout) == []


def test_without_a_database_keys_say_what_to_do() -> None:
    result = run("keys", "list")
    assert result.exit_code == Exit.ENVIRONMENT
    assert "hposvc db upgrade" in result.stderr


@pytest.mark.usefixtures("own")
def test_webhooks() -> None:
    assert "No webhooks" in run("webhooks", "list").output
    made = run("webhooks", "add", "http://127.0.0.1:9/hook")
    assert made.stdout.startswith("whsec_")
    (hook,) = json.loads(run("webhooks", "list", "--json").stdout)
    assert "Nothing was told" in run("webhooks", "deliveries", hook["id"]).output
    job_id = json.loads(run("submit", "-", "--json", input=SPEC).stdout)["id"]
    run("cancel", job_id)
    (delivery,) = json.loads(run("webhooks", "deliveries", hook["id"], "--json").stdout)
    assert (delivery["type"], delivery["job_id"]) == ("job.cancelled", job_id)
    assert job_id in run("webhooks", "deliveries", hook["id"]).output
    kept = run("webhooks", "rm", hook["id"])
    assert (kept.exit_code, "nothing is removed" in kept.stderr, "--yes" in kept.stderr) == (Exit.USAGE, True, True)
    assert run("webhooks", "rm", hook["id"], "--yes").exit_code == 0
    assert run("webhooks", "rm", hook["id"], "--yes").exit_code == Exit.REFUSED
    wrong = run("webhooks", "add", "ftp://example.org")
    assert wrong.exit_code == Exit.USAGE
    assert "url" in wrong.stderr


@pytest.fixture
def at(api: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> ServerProcess:
    monkeypatch.setenv("HPOSVC_URL", api.url)
    return api


@pytest.mark.usefixtures("at")
def test_jobs_are_changed_listed_and_deleted() -> None:
    job_id = json.loads(run("submit", "-", "--json", input=SPEC).stdout)["id"]
    assert run("edit", job_id, "--name", "renamed", "--tag", "x1", "--tag", "y", "--priority", "7").exit_code == 0
    (job,) = json.loads(run("jobs", "--tag", "x1", "--json").stdout)
    assert (job["name"], job["tags"], job["spec"]["priority"]) == ("renamed", ["x1", "y"], 7)
    assert json.loads(run("edit", job_id, "--name", "", "--json").stdout)["name"] is None
    assert run("edit", job_id).exit_code == Exit.USAGE
    listed = ["jobs", "--state", "queued", "--state", "running", "--order", "priority", "--json", "--tag", "x1"]
    assert [item["id"] for item in json.loads(run(*listed).stdout)] == [job_id]
    tomorrow = (datetime.now() + timedelta(days=1)).strftime("%Y-%m-%d")  # noqa: DTZ005 - this machine's own day
    assert json.loads(run(*listed, "--since", tomorrow).stdout) == []
    assert len(json.loads(run(*listed, "--until", tomorrow).stdout)) == 1
    assert run("jobs", "--order", "sideways").exit_code == Exit.USAGE
    assert run("jobs", "--since", "yesterday").exit_code == Exit.USAGE
    assert run("iterations", job_id).output.startswith("iteration,upper_loss")
    assert json.loads(run("iterations", job_id, "--format", "json").output)["total"] == 0
    assert run("iterations", job_id, "--format", "xml").exit_code == Exit.USAGE
    refused = run("rm", job_id, "--yes")
    assert refused.exit_code == Exit.REFUSED
    assert "cancel it first" in refused.stderr
    run("cancel", job_id)
    assert run("rm", job_id, "--yes").output == f"{job_id} is deleted\n"
    assert run("rm", job_id, "--yes").exit_code == Exit.REFUSED
    assert "No workers" in run("worker", "list").output
    assert json.loads(run("worker", "list", "--json").stdout) == []


def test_the_shell_completes_commands_and_values(tmp_path: Path) -> None:
    def asked_by_the_shell(**variables: str) -> str:
        environment = without_settings(**variables, HOME=str(tmp_path))
        return subprocess.run([HPOSVC], env=environment, capture_output=True, text=True, check=False).stdout

    def complete(words: str) -> str:
        place = str(words.count(" "))
        return asked_by_the_shell(_HPOSVC_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=place)

    assert {"submit", "keys", "rm"} <= set(complete("hposvc ").split())
    assert complete("hposvc jobs --state run").split() == ["running"]
    assert complete("hposvc keys create --scope a").split() == ["admin"]
    # What --show-completion prints, without its guess which shell it runs under.
    assert "complete -o default -F" in asked_by_the_shell(_HPOSVC_COMPLETE="source_bash")
