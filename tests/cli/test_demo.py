"""``make demo``, the first thing that anybody runs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import HPOSVC
from tests.support.environment import without_settings


@pytest.mark.slow
def test_the_demonstration_finds_the_wrong_labels_and_leaves_nothing_running(tmp_path: Path) -> None:
    words = [HPOSVC, "demo", "--data-dir", str(tmp_path / "demo")]
    run = subprocess.run(
        words,
        env=without_settings(COLUMNS="120"),
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        cwd=tmp_path,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    score = re.search(r"F1\s+(\d+\.\d) %", run.stdout)
    assert score is not None, run.stdout
    assert float(score[1]) >= 95
    accuracy = {
        candidate: float(re.findall(rf"{candidate}.*?(\d+\.\d\d) %", run.stdout)[0])
        for candidate in ("handed over: ", "trusted rows only ")
    }
    assert accuracy["handed over: "] > accuracy["trusted rows only "] + 3
    for shown in ("Trained from scratch", "suspects in", "up --data-dir demo"):
        assert shown in run.stdout
    assert not (tmp_path / "demo" / "server.json").exists()
