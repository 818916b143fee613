"""Experiments from the command line, on a real service whose jobs are played."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hposvc.jobs import queries
from tests.support.commands import run
from tests.support.experimenting import DECAY, JOB, SEARCH, by_decay
from tests.support.serving import Server, Worker, curve


@pytest.fixture
def playing(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Server]:
    """A service whose jobs end at once, with results."""
    for file in migrated_sqlite.parent.glob(f"{migrated_sqlite.name}*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    over = threading.Event()
    with Server(f"sqlite:///{tmp_path / migrated_sqlite.name}", tmp_path) as server:

        def play() -> None:
            while not over.wait(0.1):
                for job in queries.list_(server.engine).items:
                    if job.state == "queued":
                        attempt = Worker(server.engine).take(job)
                        attempt.record(curve(1, job.spec.stop.iterations))
                        attempt.succeed(by_decay(job.spec), [])

        thread = threading.Thread(target=play)
        thread.start()
        yield server
        over.set()
        thread.join()


def test_a_sweep_and_repeats(playing: Server, tmp_path: Path) -> None:
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump({"name": "decay", "job": JOB, "plan": SEARCH | {"jobs": 3}}))
    checked = run("sweep", file, "--check", "--url", playing.url)
    assert json.loads(checked.stdout)["trials"] == 3
    swept = run("sweep", file, "--watch", "--url", playing.url)
    assert swept.exit_code == 0, swept.output
    assert "is succeeded: 3 of 3 trials, the lowest loss" in swept.stdout
    assert "Being the best of 3, it is partly luck" in swept.stdout
    assert DECAY in swept.stdout
    job = tmp_path / "job.yaml"
    job.write_text(yaml.safe_dump(JOB | {"solver": {"lower": {"weight_decay": 0.01}}}))
    repeated = run("repeat", job, "-n", "2", "--watch", "--url", playing.url)
    assert repeated.exit_code == 0, repeated.output
    assert "Over 2 repeats" in repeated.stdout
    assert "2 of 2" in repeated.stdout
    listed = run("experiments", "list", "--url", playing.url).stdout
    assert "repeat" in listed
    assert "search" in listed
    assert len(json.loads(run("experiments", "trials", "last", "--url", playing.url).stdout)) == 2
    wrong = run("repeat", job, "--over", "rows", "--url", playing.url)
    assert wrong.exit_code == 2
    assert "plan.over: must be 'split'" in wrong.output
    assert run("experiments", "cancel", "last", "--url", playing.url).exit_code == 4
    assert run("experiments", "rm", "last", "--yes", "--url", playing.url).exit_code == 0
    assert run("experiments", "show", "exp_0", "--url", playing.url).exit_code == 4
