"""Every example runs, as it is written, on a real service; so does the tutorial, in as few commands as it promises."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from hposvc.client import Client
from tests.support.commands import HPOSVC, ServerProcess
from tests.support.environment import without_settings

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))
JOBS = sorted((ROOT / "examples").glob("*.yaml"))
EXPERIMENTS = sorted((ROOT / "examples" / "experiments").glob("*.yaml"))
SAYS = {
    "own_csv": "customers that came later",
    "images": "wrong labels, found with F1",
    "resuming": "the same, bit for bit",
    "comparing_radii": "auto",
    "notebook": "row_id",
    "own_problem": "mean weight of wrong rows",
}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_runs(script: Path, service: ServerProcess, tmp_path: Path) -> None:
    kernels = os.environ.get("JITTOR_HOME", str(Path.home()))  # those that are compiled; a home is without any
    done = subprocess.run(
        [sys.executable, script, service.url, tmp_path],
        env=without_settings(ITERATIONS="12", HOME=str(tmp_path), JITTOR_HOME=kernels),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert SAYS[script.stem] in done.stdout


@pytest.mark.parametrize("job", JOBS, ids=lambda path: path.stem)
def test_a_job_runs(job: Path, service: ServerProcess) -> None:
    spec = yaml.safe_load(job.read_text()) | {"stop": {"iterations": 5}}
    with Client(service.url) as client:
        done = client.wait(client.submit(spec).id, interval=0.1)
        assert done.state == "succeeded", done.error


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda path: path.stem)
def test_an_experiment_runs(experiment: Path, service: ServerProcess) -> None:
    spec = yaml.safe_load(experiment.read_text())
    spec["job"]["stop"] = {"iterations": 5}
    spec["plan"] |= {"jobs": 2} if spec["plan"]["type"] == "search" else {"repeats": 2}
    with Client(service.url) as client:
        done = client.experiments.wait(client.experiments.submit(spec).id, interval=0.1)
        assert (done.state, done.trials.ended) == ("succeeded", 2)
        assert done.result is not None
        if spec["plan"]["type"] == "repeat":
            assert "Over 2 repeats, the test loss is" in done.result.sentence
            assert len(client.experiments.strengths(done.id).items) == 30


def test_the_tutorial_goes_from_nothing_to_a_tuned_csv_in_at_most_five_commands(
    service: ServerProcess, tmp_path: Path
) -> None:
    """The commands are those on the page; installing and starting were done for all tests by the service that runs."""
    page = (ROOT / "docs" / "tutorial.md").read_text()
    first = page.partition("## What happened")[0]
    blocks = re.findall(r"```sh\n(.*?)```", first, re.DOTALL)
    commands = [line.strip() for block in blocks for line in block.splitlines() if line.strip()]
    assert len(commands) <= 5
    assert commands[0] == "make demo"
    assert commands[1].split()[:2] == [".venv/bin/hposvc", "up"]
    file = re.search(r"```csv\n(.*?)```", first, re.DOTALL)
    assert file is not None
    rows = [line.strip() for line in file[1].strip().splitlines()]
    body = [line for line in rows[1:] if "…" not in line]
    text = [rows[0]] + [re.sub(r"^\w+-\d+", f"f-{i:03d}", body[i % len(body)]) for i in range(120)]
    (tmp_path / "flowers.csv").write_text("\n".join(text) + "\n")
    (tmp_path / "new.csv").write_text("\n".join(text[:20]) + "\n")
    job_id = ""
    for command in commands[2:]:
        words = [word.replace("job_…", job_id) for word in shlex.split(command)]
        assert words[0] == ".venv/bin/hposvc"
        done = subprocess.run(
            [HPOSVC, *words[1:]],
            env=without_settings(HPOSVC_URL=service.url),
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (command, done.stderr)
        job_id = job_id or re.findall(r"job_[0-9a-f]{20}", done.stdout)[0]
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 20
