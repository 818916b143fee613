"""The whole service as a person runs it: ``hposvc up``, a job, its answer, and an end that leaves nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from hposvc.client import Client
from hposvc.faults import Exit
from hposvc.operate.serve import listen
from hposvc.settings import Settings
from tests.support.commands import HPOSVC, SECONDS, ServerProcess, until
from tests.support.environment import without_settings

pytestmark = pytest.mark.slow  # each starts the worker, which imports Jittor

SPEC = """\
kind: data_reweighting
name: digits with wrong labels
dataset: {id: "sklearn:digits", label_noise: {rate: 0.6}}
stop: {iterations: 60}
"""


def hposvc(server: ServerProcess, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """A command as its own process, which finds the server by the data directory."""
    variables = without_settings(HPOSVC_DATA_DIR=str(server.settings.data_dir))
    return subprocess.run(
        [HPOSVC, *arguments], env=variables, input=given, capture_output=True, text=True, check=False, timeout=600
    )


def descendants(pid: int) -> set[int]:
    """The processes below ``pid``, all the way down."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, rest = set(), [pid]
    while rest:
        for child in children.get(rest.pop(), []):
            found.add(child)
            rest.append(child)
    return found


def gone(pids: set[int]) -> bool:
    def state(pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return "gone"

    return all(state(pid) in ("gone", "Z") for pid in pids)


def test_submit_watch_results(service: ServerProcess, tmp_path: Path) -> None:
    watched = hposvc(service, "submit", "-", "--watch", given=SPEC)
    assert watched.returncode == 0, watched.stdout + watched.stderr
    job_id = watched.stdout.split()[0]
    for promised in ("succeeded", "60 of 60 iterations", "hypergradient norm", "test accuracy", "planted errors: F1"):
        assert promised in watched.stdout

    listed = json.loads(hposvc(service, "jobs", "--json").stdout)
    assert [job["state"] for job in listed if job["id"] == job_id] == ["succeeded"]

    shown = hposvc(service, "results", job_id, "--suspects", "3", "--save", str(tmp_path / "answer"))
    assert shown.returncode == 0, shown.stderr
    assert "The 3 rows to look at first" in shown.stdout
    assert (tmp_path / "answer" / "report.json").is_file()
    result = json.loads(hposvc(service, "results", job_id, "--json").stdout)
    assert {model["name"] for model in result["models"]} >= {"tuned", "all_rows", "trusted_only", "both"}
    assert result["sentence"] in " ".join(shown.stdout.split())

    with Client(service.url) as client:
        assert client.iterations(job_id).total == 60


def test_a_job_that_diverges_says_why_and_ends_with_failure(service: ServerProcess) -> None:
    spec = SPEC + "solver: {lower: {learning_rate: 1.0e+9}, upper: {learning_rate: 1.0e+9}}\n"
    watched = hposvc(service, "submit", "-", "--watch", given=spec)
    assert watched.returncode == Exit.FAILED, watched.stdout + watched.stderr
    assert "diverged" in watched.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopping_leaves_no_process_and_no_address(tmp_path: Path, number: signal.Signals) -> None:
    server = ServerProcess("up", tmp_path / "stopped")
    until(lambda: len(descendants(server.process.pid)) >= 2, "API and worker")
    below = descendants(server.process.pid)
    assert server.stop(number) == 0, server.log.read_text()
    assert gone(below)
    assert not server.settings.server_file.exists()


def test_nothing_outlives_up_even_when_it_is_killed(tmp_path: Path) -> None:
    server = ServerProcess("up", tmp_path / "killed")
    until(lambda: len(descendants(server.process.pid)) >= 2, "API and worker")
    below = descendants(server.process.pid)
    server.stop(signal.SIGKILL)
    until(lambda: gone(below), "the end of the API and the worker")


def test_up_ends_with_failure_when_a_part_of_it_dies(tmp_path: Path) -> None:
    server = ServerProcess("up", tmp_path / "died")
    below = descendants(server.process.pid)
    api = json.loads(server.settings.server_file.read_text())["pid"]
    os.kill(api, signal.SIGKILL)
    assert server.process.wait(SECONDS) == Exit.ENVIRONMENT
    assert "the api stopped by itself" in server.log.read_text()
    until(lambda: gone(below), "the end of the worker")


def test_one_data_directory_has_one_service(service: ServerProcess) -> None:
    second = hposvc(service, "up", "--port", "0")
    assert second.returncode == Exit.ENVIRONMENT
    assert service.url in second.stderr


def test_an_answer_does_not_wait_for_the_receipt_of_its_headers(tmp_path: Path) -> None:
    """Nagle's algorithm is off on every connection: with it each answer takes the 40 ms of a delayed receipt."""
    with (
        listen(Settings(data_dir=tmp_path, port=0)) as listener,
        socket.create_connection(listener.getsockname()),
        listener.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
