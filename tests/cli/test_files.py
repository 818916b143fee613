"""What the commands say about a file, and the remedies that they propose, each tried."""

from __future__ import annotations

import json
import os
import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hposvc.cli.jobs import write_predictions
from hposvc.client import Client
from hposvc.faults import Exit, Fault
from hposvc.prediction import Predictions
from hposvc.schema.job import JobResource
from tests.support.commands import ServerProcess, run, until

ROWS = 60


def cycle(*values: str) -> list[str]:
    return [values[i % len(values)] for i in range(ROWS)]


def write(path: Path, f: list[str], y: list[str]) -> Path:
    path.write_text("x;f;y\n" + "".join(f"{i * i};{f[i]};{y[i]}\n" for i in range(ROWS)))
    return path


def proposed(said: str) -> list[str]:
    """The options that a message proposes."""
    found = re.findall(r"--[a-z-]+ (?:'[^']*'|[^\s',]+|,)", " ".join(said.split()))
    return shlex.split(" ".join(found))


NEARLY = [f"{i}.5" for i in range(ROWS - 1)] + ["na"]


@pytest.mark.parametrize(
    ("f", "y", "said"),
    [
        (cycle("01/02/2024", "03/04/2024"), cycle("a", "b"), "could as well be %m/%d/%Y"),
        (cycle("1,234", "5"), cycle("a", "b"), "could as well have a decimal comma"),
        (NEARLY, cycle("a", "b"), "59 of 60 values are numbers; row 60 has 'na'"),
        (cycle("1", "2"), cycle("1.0", "2.0"), "taken as classes"),
    ],
    ids=["dates", "decimals", "odd", "classes"],
)
def test_a_caution_and_its_remedy(f: list[str], y: list[str], said: str, api: ServerProcess, tmp_path: Path) -> None:
    file = write(tmp_path / "f.csv", f, y)
    first = run("data", "add", file, "--label", "y", "--url", api.url, "--json")
    assert first.exit_code == 0, first.output
    (caution,) = json.loads(first.stdout)["cautions"]
    assert said in caution
    shown = run("data", "show", json.loads(first.stdout)["id"], "--url", api.url)
    assert " ".join(caution.split()) in " ".join(shown.output.split())
    with Client(api.url) as client:
        spec = {"kind": "data_reweighting", "dataset": {"id": json.loads(first.stdout)["id"]}}
        assert client.check(spec).warnings == [caution]
        client.remove_dataset(json.loads(first.stdout)["id"])
    again = run("data", "add", file, "--label", "y", *proposed(caution), "--url", api.url, "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["cautions"] == []


def test_the_remedy_of_texts_that_are_meant(api: ServerProcess, tmp_path: Path) -> None:
    file = write(tmp_path / "f.csv", cycle("1", "2"), cycle("None", "some"))
    refused = run("data", "add", file, "--label", "y", "--url", api.url)
    assert refused.exit_code != 0
    assert "missing in 30 rows, the first is row 1: 'None' in 30 rows" in " ".join(refused.output.split())
    options = proposed(refused.output)[-2:]  # the other one leaves those rows out
    assert options == ["--missing-values-in", "y="]
    added = run("data", "add", file, "--label", "y", *options, "--url", api.url, "--json")
    assert json.loads(added.stdout)["classes"] == ["None", "some"]


def tuned(api: ServerProcess, file: Path, *options: str) -> dict[str, Any]:
    """The data set of the job that ``hposvc tune`` makes; nobody computes it here, so it is cancelled."""
    with ThreadPoolExecutor() as threads, Client(api.url) as client:
        done = threads.submit(run, "tune", file, *options, "--url", api.url)

        def made() -> JobResource | bool | None:  # other tests leave jobs in the queue
            queued = (job for job in client.jobs(state="queued") if job.name == file.name)
            return next(queued, None) or done.done() or None

        job = until(made, "a job")
        assert job is not True, done.result().output
        client.cancel(job.id)
        done.result()
        return job.spec.dataset.model_dump()


def test_options_that_are_corrected_go_into_the_job(api: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "second.csv"
    rows = (f"{i},c{i},{i % 7}.0,{i % 2}.0,{'ab'[i % 3 > 0]}\n" for i in range(ROWS))
    file.write_text("x,name,f,y,other\n" + "".join(rows))
    first = tuned(api, file, "--label", "other")
    assert (first["label"], first["task"], first["features"]) == ("other", "classification", None)
    second = tuned(api, file, "--label", "y", "--task", "regression", "--id-column", "name")
    assert second["id"] == first["id"]
    assert (second["label"], second["task"], second["id_column"]) == ("y", "regression", "name")
    assert second["features"] == ["x", "f", "other"]  # as if it were sent for the first time
    assert tuned(api, file, "--label", "y", "--leave-out", "x")["features"] == ["f", "other"]


def test_the_remedy_of_rows_without_a_label(api: ServerProcess, tmp_path: Path) -> None:
    file = write(tmp_path / "unlabelled.csv", cycle("1.5", "2"), cycle("no", "yes", "", "yes"))
    refused = run("data", "add", file, "--label", "y", "--url", api.url)
    assert "'y' is missing in 15 rows, the first is row 3" in " ".join(refused.output.split())
    options = ["--label", "y", *proposed(refused.output)]
    assert options[2:] == ["--unlabelled", "leave_out"]
    added = json.loads(run("data", "add", file, *options, "--url", api.url, "--json").stdout)
    assert added["classes"] == ["no", "yes"]
    assert "15 rows have no label" in added["cautions"][0]
    assert tuned(api, file, *options)["unlabelled"] == "leave_out"


@pytest.mark.parametrize("command", [["data", "add"], ["tune"], ["predict", "job_1"]])
def test_a_pipe_is_refused_and_not_waited_for(command: list[str], api: ServerProcess, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    refused = run(*command, tmp_path / "pipe", "--url", api.url)
    assert refused.exit_code == Exit.USAGE
    assert "is no file" in refused.output


@pytest.mark.parametrize("name", ["predictions.csv", "predictions.parquet"])
def test_predictions_that_cannot_be_written_are_a_fault(name: str, tmp_path: Path) -> None:
    found = Predictions(np.array([1.0]), None, None, np.array(["0"]), None, "R²", [])
    with pytest.raises(Fault, match="cannot write"):
        write_predictions(found, tmp_path / "nowhere" / name, as_json=False)
