"""The example package with three problems: installed as an operator would, and each solved to what it promises."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.environment import without_settings

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]

# In a process of its own: getting at a problem shuts the database drivers out of the process.
SOLVE = """
import json, sys
from hposvc.entry_points import installed
from hposvc.problems.describe import described
from hposvc.run.own import OwnRun
from hposvc.schema.spec import JobSpec

found = {"installed": {name: problem.version for name, problem in installed().items()}}
for name, spec in json.loads(sys.argv[1]).items():
    about = described(name)
    run = OwnRun(JobSpec.model_validate({"kind": "custom", "problem": name, **spec}))
    for batch in run.iterations():
        pass
    again = OwnRun(run.spec, run.checkpoint())
    outcome = run.finish()
    found[name] = {
        "summary": about["summary"],
        "defaults": about["defaults"],
        "result": outcome.result,
        "files": sorted(outcome.artifacts),
        "resumed": again.iteration,
    }
json.dump(found, open(sys.argv[2], "w"))
"""
UPPER = {"solver": {"upper": {"learning_rate": 0.03}}}
SPECS: dict[str, Any] = {
    "hposvc_examples:few_shot": {
        "parameters": {"tasks": 30, "units": 10},
        "solver": {"estimator": "unrolled", "lower": {"steps": 2}, "upper": {"learning_rate": 0.02}},
        "stop": {"iterations": 60},
    },
    "hposvc_examples:label_smoothing": {"parameters": {"rows": 150}, "stop": {"iterations": 60}},
    "hposvc_examples:meta_weight_net": {"parameters": {"rows": 150}, "stop": {"iterations": 100}, **UPPER},
}


@pytest.fixture(scope="module")
def solved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a run of each returned, by name."""
    folder = tmp_path_factory.mktemp("example")
    source, target, answer = folder / "source", folder / "installed", folder / "answer.json"
    shutil.copytree(ROOT / "examples" / "plugin", source)  # the build leaves files beside what it builds
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", target, source], check=True)
    done = subprocess.run(
        [sys.executable, "-c", SOLVE, json.dumps(SPECS), answer],
        env=without_settings(PYTHONPATH=f"{target}:{ROOT}"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


def numbers(found: dict[str, Any]) -> dict[str, float]:
    return {number["name"]: number["value"] for number in found["result"]["numbers"]}


def test_all_three_are_found_described_and_resumed(solved: dict[str, Any]) -> None:
    assert solved["installed"] == dict.fromkeys(SPECS, "1.0.0")
    for name, spec in SPECS.items():
        found = solved[name]
        assert found["summary"].endswith(".")
        assert found["resumed"] == spec["stop"]["iterations"]
        losses = found["result"]["upper_loss"]
        assert losses["last"] < 0.95 * losses["first"], name


def test_a_learned_start_is_better_on_new_tasks_than_a_random_one(solved: dict[str, Any]) -> None:
    found = solved["hposvc_examples:few_shot"]
    errors = numbers(found)
    assert errors["error from the learned start"] < 0.9 * errors["error from the random start"]
    assert "own-start.npz" in found["files"]


def test_rows_with_wrong_labels_get_smaller_weights(solved: dict[str, Any]) -> None:
    weights = numbers(solved["hposvc_examples:meta_weight_net"])
    assert weights["mean weight of wrong rows"] < 0.8 * weights["mean weight of right rows"]


def test_every_class_has_its_smoothing(solved: dict[str, Any]) -> None:
    (table,) = solved["hposvc_examples:label_smoothing"]["result"]["tables"]
    smoothing = [row[1] for row in table["rows"]]
    assert len(smoothing) == 10
    assert all(0 < value < 1 for value in smoothing)
    assert max(smoothing) > 1.2 * min(smoothing)  # all began at 0.1
