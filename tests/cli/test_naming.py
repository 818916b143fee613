"""How jobs and data sets are named on the command line, and what is asked before they are gone."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
from pathlib import Path

import pytest

from hposvc.cli.render import PlainConsole, plain_table
from hposvc.client import Client
from hposvc.faults import Exit
from tests.support.browser import people
from tests.support.commands import HPOSVC, SECONDS, SPEC, ServerProcess, run, until
from tests.support.environment import without_settings


@pytest.fixture(autouse=True)
def at(api: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> ServerProcess:
    monkeypatch.setenv("HPOSVC_URL", api.url)
    return api


def submitted() -> str:
    return str(json.loads(run("submit", "-", "--json", input=SPEC).stdout)["id"])


def state(job_id: str) -> str:
    return str(json.loads(run("jobs", "--text", job_id, "--json").stdout)[0]["state"])


def test_the_beginning_of_an_id_and_last_are_enough() -> None:
    first, second = submitted(), submitted()
    assert run("pause", "last").output == f"{second} is paused\n"
    assert run("pause", first[:16]).output == f"{first} is paused\n"
    assert run("cancel", first.removeprefix("job_")[:12]).output == f"{first} is cancelled\n"
    several = run("cancel", "job_")
    assert several.exit_code == Exit.USAGE
    assert "beginning of several ids" in several.stderr
    none = run("watch", "job_zzz")
    assert none.exit_code == Exit.REFUSED
    assert "there is no job job_zzz" in none.stderr
    assert "hposvc jobs" in none.stderr
    assert state(second) == "paused"


def test_the_last_job_is_never_a_trial(at: ServerProcess) -> None:
    job_id = submitted()
    made = swept()
    with Client(at.url) as client:
        until(lambda: list(client.jobs(experiment=made)), "trials")
    assert run("pause", "last").output == f"{job_id} is paused\n"


def test_data_sets_are_named_so_too(tmp_path: Path) -> None:
    added = json.loads(run("data", "add", people(tmp_path / "named.csv", 60), "--json").stdout)["id"]
    assert json.loads(run("data", "show", added[:12], "--json").stdout)["id"] == added
    assert json.loads(run("data", "show", "last", "--json").stdout)["id"] == added
    assert json.loads(run("data", "show", "sklearn:iris", "--json").stdout)["id"] == "sklearn:iris"
    assert run("data", "show", "ds_zzz").exit_code == Exit.REFUSED
    refused = run("data", "rm", added)
    assert refused.exit_code == Exit.USAGE
    assert "--yes" in refused.stderr
    assert run("data", "rm", "last", "--yes").output == f"{added} is removed\n"


def test_nothing_is_deleted_without_a_yes_where_nobody_can_be_asked() -> None:
    job_id = submitted()
    run("cancel", job_id)
    refused = run("rm", job_id)
    assert refused.exit_code == Exit.USAGE
    assert "nothing is deleted" in refused.stderr
    assert "--yes" in refused.stderr
    assert state(job_id) == "cancelled"
    assert run("rm", job_id, "--yes").output == f"{job_id} is deleted\n"


def test_the_shell_completes_ids(tmp_path: Path, at: ServerProcess) -> None:
    job_id = submitted()

    def complete(words: str, url: str) -> list[str]:
        variables = {"_HPOSVC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        environment = without_settings(**variables, HOME=str(tmp_path), HPOSVC_URL=url)
        done = subprocess.run([HPOSVC], env=environment, capture_output=True, text=True, check=False)
        assert done.stderr == ""
        return done.stdout.split()

    assert job_id in complete("hposvc watch job_", at.url)
    assert complete(f"hposvc watch {job_id[:20]}", at.url) == [job_id]
    assert complete("hposvc results las", at.url) == ["last"]
    made = swept()
    assert complete(f"hposvc experiments watch {made[:20]}", at.url) == [made]
    assert "sklearn:iris" not in complete("hposvc data show ds_", at.url)
    assert complete("hposvc watch job_", "http://127.0.0.1:9") == []  # no server, and no noise in the shell


LONG = "a name that is much longer than what is left of a line of a terminal"


def swept() -> str:
    """The id of a new experiment, whose name is long."""
    job = {"kind": "data_reweighting", "dataset": {"id": "sklearn:iris"}, "stop": {"iterations": 5}}
    document = {"name": LONG, "job": job, "plan": {"type": "repeat", "repeats": 2}}
    return str(json.loads(run("sweep", "-", "--json", input=json.dumps(document)).stdout)["id"])


@pytest.mark.parametrize("words", [["jobs", "--limit", "3"], ["experiments", "list"]], ids=" ".join)
def test_ids_stay_on_one_line_in_a_terminal_of_80_columns(at: ServerProcess, words: list[str]) -> None:
    if words[0] == "jobs":
        made = json.loads(run("submit", "-", "--json", input=SPEC.replace("three wines", LONG)).stdout)["id"]
    else:
        made = swept()
    main, terminal = pty.openpty()
    environment = without_settings(HPOSVC_URL=at.url, COLUMNS="80", TERM="xterm", NO_COLOR="1")
    subprocess.run([HPOSVC, *words], env=environment, stdout=terminal, check=True, timeout=SECONDS)
    os.close(terminal)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", os.read(main, 100_000).decode())  # without colours
    os.close(main)
    assert made in shown
    assert max(len(line) for line in shown.splitlines()) <= 80


HEADINGS = [
    ("trial", "loss", "test score", "model", "solver.lower.weight_decay", "solver.upper.learning_rate", "job"),
    ("message", "type", "about", "state", "attempts", "answer", "made"),
    ("key", "tenant", "name", "scope", "made", "last used", "revoked"),
    ("webhook", "url", "made"),
]


@pytest.mark.parametrize("headings", HEADINGS, ids=lambda headings: headings[0])
def test_a_table_folds_everything_but_ids(headings: tuple[str, ...]) -> None:
    ids = {"job", "message", "about", "key", "webhook"}
    short = {"trial": "17", "tenant": "acme"}
    row = [f"{name:_<24}" if name in ids else short.get(name, f"{LONG} {LONG}") for name in headings]
    console = PlainConsole(width=80)
    with console.capture() as shown:
        console.print(plain_table(headings, [row]))
    for name, cell in zip(headings, row, strict=True):
        assert name not in ids or cell in shown.get()
    assert max(len(line.rstrip()) for line in shown.get().splitlines()) <= 80


@pytest.mark.parametrize("words", [["experiments", "watch", "last"], ["repeat", "FILE", "-w"]], ids=" ".join)
def test_leaving_an_experiment_says_that_it_goes_on(at: ServerProcess, tmp_path: Path, words: list[str]) -> None:
    file = tmp_path / "job.yaml"
    file.write_text(SPEC)
    made = swept()
    watching = subprocess.Popen(
        [HPOSVC, *(str(file) if word == "FILE" else word for word in words)],
        env=without_settings(HPOSVC_URL=at.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watching.stderr is not None
    watched = watching.stderr.readline().split()[0]  # it watches
    assert (watched == made) is (words[0] == "experiments")
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=SECONDS)
    assert watching.returncode == Exit.INTERRUPTED
    assert f"{watched} goes on without you" in said
    assert f"hposvc experiments watch {watched}" in said
    assert f"hposvc experiments cancel {watched}" in said
    assert "Traceback" not in said


def test_leaving_a_watch_says_that_the_job_goes_on(at: ServerProcess) -> None:
    job_id = submitted()
    environment = without_settings(HPOSVC_URL=at.url)
    watching = subprocess.Popen(
        [HPOSVC, "watch", "last"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert watching.stdout is not None
    assert job_id in watching.stdout.readline()  # it watches
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=SECONDS)
    assert watching.returncode == Exit.INTERRUPTED
    assert f"{job_id} goes on without you" in said
    assert f"hposvc watch {job_id}" in said
    assert f"hposvc cancel {job_id}" in said
    assert "Traceback" not in said
    assert state(job_id) == "queued"


def test_tune_says_which_columns_the_model_will_not_see(at: ServerProcess, tmp_path: Path) -> None:
    file = people(tmp_path / "left.csv", 60)
    head, *rows = file.read_text().splitlines()
    file.write_text("\n".join([f"{head},note", *(f"{row}," for row in rows)]) + "\n")
    tuning = subprocess.Popen(
        [HPOSVC, "tune", file, "--label", "churned"],
        env=without_settings(HPOSVC_URL=at.url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert tuning.stdout is not None
    job_id = tuning.stdout.readline().split()[0]
    assert job_id in tuning.stdout.readline()  # it watches
    tuning.send_signal(signal.SIGINT)
    _, said = tuning.communicate(timeout=SECONDS)
    assert "1 column is left out: note (dropped: it has no values)." in said
    assert "hposvc data show ds_" in said
    assert f"{job_id} goes on without you" in said


def test_a_notebook_shows_a_job(at: ServerProcess) -> None:
    spec = {"kind": "data_reweighting", "dataset": {"id": "sklearn:iris"}, "name": "<b>bold</b>"}
    with Client(at.url) as client:
        shown = client.submit(spec)._repr_html_()
    assert "&lt;b&gt;bold&lt;/b&gt;</strong> · queued · 0 of 500 iterations" in shown
    assert "<b>" not in shown
