"""The commands as a person meets them: what they print, what they leave with, what they never do."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from hposvc.db import migrate
from hposvc.faults import Exit
from tests.support.commands import SPEC, ServerProcess, run
from tests.support.environment import without_settings


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    file = tmp_path / "job.yaml"
    file.write_text(SPEC)
    return file


@pytest.fixture
def at(api: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> ServerProcess:
    """The commands speak to this server without being told so on the command line."""
    monkeypatch.setenv("HPOSVC_URL", api.url)
    return api


def test_help_is_quick_because_it_imports_nothing_heavy() -> None:
    code = "import sys, hposvc.cli; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"jittor", "numpy", "sqlalchemy", "fastapi", "pydantic", "httpx", "sklearn"} & set(loaded)


def test_help_names_every_command_and_what_the_exit_status_means() -> None:
    text = run("--help").output
    names = "up api worker warmup doctor submit jobs watch results cancel pause resume retry config demo db data"
    for command in names.split():
        assert f" {command} " in text
    assert "Exit status" in text


def test_submit_prints_where_to_look(at: ServerProcess, spec: Path) -> None:
    result = run("submit", spec)
    assert result.exit_code == 0, result.output
    assert result.output.startswith("job_")
    assert f"{at.url}/jobs/job_" in result.output


@pytest.mark.usefixtures("at")
def test_submit_reads_standard_input_and_prints_json_for_scripts() -> None:
    job = json.loads(run("submit", "-", "--json", input=SPEC).stdout)
    assert (job["state"], job["name"]) == ("queued", "three wines")


@pytest.mark.usefixtures("at")
def test_one_key_one_job(spec: Path) -> None:
    ids = {json.loads(run("submit", spec, "--key", "k1", "--json").stdout)["id"] for _ in range(2)}
    assert len(ids) == 1


@pytest.mark.usefixtures("at")
def test_check_shows_the_defaults_and_submits_nothing(spec: Path) -> None:
    before = run("jobs", "--json", "--limit", "100").stdout
    checked = json.loads(run("submit", spec, "--check").stdout)
    assert checked["stop"]["iterations"] == 500
    assert run("jobs", "--json", "--limit", "100").stdout == before


@pytest.mark.usefixtures("at")
def test_check_says_what_is_doubtful() -> None:
    doubtful = SPEC + "solver: {upper: {learning_rate: 50}}\n"
    shown = run("submit", "-", "--check", input=doubtful)
    assert json.loads(shown.stdout)["solver"]["upper"]["learning_rate"] == 50
    assert "solver.upper.learning_rate: with adam, 50 moves" in shown.stderr
    for_scripts = run("submit", "-", "--check", "--json", input=doubtful)
    assert for_scripts.stderr == ""
    assert json.loads(for_scripts.stdout)["warnings"] == [shown.stderr.strip()]


@pytest.mark.usefixtures("at")
def test_a_wrong_job_is_refused_by_field_and_leaves_nothing(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(SPEC + "solver: {radius: -1}\nstop: {iterations: many}\n")
    before = run("jobs", "--json", "--limit", "100").stdout
    result = run("submit", wrong)
    assert result.exit_code == Exit.USAGE
    assert "solver.radius" in result.stderr
    assert "stop.iterations" in result.stderr
    assert "Traceback" not in result.output
    assert run("jobs", "--json", "--limit", "100").stdout == before


@pytest.mark.usefixtures("at")
@pytest.mark.parametrize("content", [b"\xff\xfe", b"kind: [", b"", b"- a list", b"%PDF-1.7 not yaml \x00"])
def test_a_file_that_is_no_job_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "job.yaml"
    file.write_bytes(content)
    result = run("submit", file)
    assert result.exit_code == Exit.USAGE, result.output
    assert result.stderr.startswith("hposvc: ")


def test_a_file_that_is_not_there() -> None:
    result = run("submit", "nowhere.yaml")
    assert result.exit_code == Exit.USAGE
    assert "nowhere.yaml: No such file" in result.stderr


@pytest.mark.usefixtures("at")
def test_jobs_are_listed_and_filtered(spec: Path) -> None:
    job_id = json.loads(run("submit", spec, "--json").stdout)["id"]
    assert job_id in run("jobs").output
    assert job_id in run("jobs", "--state", "queued", "--text", "wines").output
    assert job_id not in run("jobs", "--state", "running").output
    assert run("jobs", "--state", "asleep").exit_code == Exit.USAGE


@pytest.mark.usefixtures("at")
def test_steering_a_job(spec: Path) -> None:
    job_id = json.loads(run("submit", spec, "--json").stdout)["id"]
    for command, state in (("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled"), ("retry", "queued")):
        assert run(command, job_id).output == f"{job_id} is {state}\n"
    assert json.loads(run("cancel", job_id, "--json").stdout)["state"] == "cancelled"


@pytest.mark.usefixtures("at")
def test_what_the_state_does_not_allow_is_refused(spec: Path) -> None:
    job_id = json.loads(run("submit", spec, "--json").stdout)["id"]
    run("cancel", job_id)
    result = run("pause", job_id)
    assert result.exit_code == Exit.REFUSED
    assert "cancelled" in result.stderr


@pytest.mark.usefixtures("at")
def test_results_of_a_job_that_has_none_say_what_to_do(spec: Path) -> None:
    job_id = json.loads(run("submit", spec, "--json").stdout)["id"]
    result = run("results", job_id)
    assert result.exit_code == Exit.REFUSED
    assert f"hposvc watch {job_id}" in result.stderr


@pytest.mark.usefixtures("at")
@pytest.mark.parametrize("command", ["watch", "results", "cancel", "pause", "resume", "retry"])
def test_a_job_that_does_not_exist(command: str) -> None:
    result = run(command, "job_nothere")
    assert result.exit_code == Exit.REFUSED
    assert "job_nothere" in result.stderr


@pytest.mark.usefixtures("at")
def test_watching_a_cancelled_job_ends_with_failure(spec: Path) -> None:
    job_id = json.loads(run("submit", spec, "--json").stdout)["id"]
    run("cancel", job_id)
    result = run("watch", job_id)
    assert result.exit_code == Exit.FAILED
    assert "cancelled" in result.output


@pytest.mark.usefixtures("at")
def test_data_sets_are_listed() -> None:
    assert "sklearn:digits" in run("data", "list").output
    assert {item["id"] for item in json.loads(run("data", "list", "--json").stdout)} >= {
        "sklearn:wine",
        "sklearn:diabetes",
    }


@pytest.mark.parametrize("arguments", [["jobs"], ["submit", "-"], ["watch", "job_x"], ["data", "list"]])
def test_no_server(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPOSVC_URL", "http://127.0.0.1:9")
    result = run(*arguments, input=SPEC)
    assert result.exit_code == Exit.UNREACHABLE
    assert "http://127.0.0.1:9" in result.stderr
    assert "hposvc up" in result.stderr


def test_the_server_on_the_data_directory_is_found(api: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPOSVC_DATA_DIR", str(api.settings.data_dir))
    assert run("data", "list").exit_code == 0


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPOSVC_PORT", "eighty")
    result = run("jobs")
    assert result.exit_code == Exit.USAGE
    assert "HPOSVC_PORT" in result.stderr


def test_config_shows_sources_and_hides_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPOSVC_DATABASE_URL", "postgresql+psycopg://hposvc:hunter2@db/hposvc")
    text = run("config").output
    assert "hunter2" not in text
    rows = {row["variable"]: row for row in json.loads(run("config", "--json").stdout)}
    assert rows["HPOSVC_DATABASE_URL"]["origin"] == "environment"
    assert rows["HPOSVC_PORT"] | {"description": ""} == {
        "variable": "HPOSVC_PORT",
        "value": 8080,
        "origin": "default",
        "description": "",
    }


def test_upgrading_the_database_twice_is_harmless(tmp_path: Path) -> None:
    for _ in range(2):
        assert run("db", "upgrade").exit_code == 0
    assert (tmp_path / "data" / "hposvc.sqlite3").is_file()


@pytest.mark.parametrize(
    ("url", "says"),
    [("mysql://x/y", "mysql"), ("nonsense", "not a database URL"), ("postgresql://127.0.0.1:9/x", "refused")],
)
def test_a_database_that_cannot_be_used(url: str, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPOSVC_DATABASE_URL", url)
    result = run("db", "upgrade")
    assert result.exit_code == Exit.ENVIRONMENT
    assert says in result.stderr


def test_the_api_does_not_listen_where_strangers_could_reach_it() -> None:
    result = run("api", "--host", "0.0.0.0", "--port", "0")
    assert result.exit_code == Exit.USAGE
    assert "HPOSVC_TRUST_NETWORK" in result.stderr


def test_a_port_that_is_taken(api: ServerProcess, tmp_path: Path) -> None:
    port = api.url.rsplit(":", 1)[1]
    run("db", "upgrade")
    result = run("api", "--port", port)
    assert result.exit_code == Exit.ENVIRONMENT
    assert "--port" in result.stderr
    assert not (tmp_path / "data" / "server.json").exists()


@pytest.mark.parametrize("command", ["api", "worker"])
def test_tables_that_are_not_those_of_this_version_are_refused_at_start(command: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'changed.sqlite3'}"
    migrate.upgrade(url)
    with sqlite3.connect(tmp_path / "changed.sqlite3") as connection:
        connection.execute("DROP INDEX ix_jobs_state_lease")
    connection.close()
    variables = without_settings(HPOSVC_DATABASE_URL=url, HPOSVC_DATA_DIR=str(tmp_path), HPOSVC_PORT="0")
    words = [sys.executable, "-P", "-m", "hposvc", command]
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode != 0
    assert "ix_jobs_state_lease" in done.stdout + done.stderr
    assert "undo the change" in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["api", "worker"])
@pytest.mark.parametrize(
    ("store", "says"), [("nonsense://bucket", "nonsense"), ("s3://bucket/jobs", "no/such/file, which is not there")]
)
def test_a_store_that_can_never_work_is_refused_at_start(command: str, store: str, says: str, tmp_path: Path) -> None:
    """Rather than by each job at its end, or by each upload."""
    url = f"sqlite:///{tmp_path / 'hposvc.sqlite3'}"
    migrate.upgrade(url)
    variables = without_settings(
        HPOSVC_DATABASE_URL=url,
        HPOSVC_DATA_DIR=str(tmp_path),
        HPOSVC_PORT="0",
        HPOSVC_STORE_URL=store,
        AWS_SHARED_CREDENTIALS_FILE="/no/such/file",
    )
    words = [sys.executable, "-P", "-m", "hposvc", command]
    done = subprocess.run(words, env=variables, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == Exit.ENVIRONMENT
    assert says in done.stderr
    assert "hposvc doctor" in done.stderr


def test_help_shows_commands_by_what_they_are_for() -> None:
    """Twenty-seven in one list are no help. Each stands in one of three lists, those to begin with in the first."""
    text = run("--help").stdout
    panels = ["On one machine", "Jobs and their data", "Running it for others"]
    assert [text.index(panel) for panel in panels] == sorted(text.index(panel) for panel in panels)
    assert "─ Commands ─" not in text
    assert text.index(" demo ") < text.index(" up ") < text.index(" tune ") < text.index(" api ")


def test_the_module_is_the_command(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "hposvc", "--version"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path, env=without_settings())
    assert result.stdout.startswith("hposvc ")
