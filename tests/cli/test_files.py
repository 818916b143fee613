"""What the commands say about a file, and the remedies that they propose, each tried."""

from __future__ import annotations

import json
import os
import re
import shlex
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from hposvc.cli.jobs import write_predictions
from hposvc.client import Client
from hposvc.db.engine import create_engine
from hposvc.faults import Exit, Fault
from hposvc.files.durable import sha256_of
from hposvc.jobs.stored_file import StoredFile
from hposvc.prediction import Predictions
from hposvc.run.artifacts import model_file
from hposvc.schema.job import JobResource
from hposvc.schema.spec import JobSpec
from hposvc.tables import DataError
from hposvc.tables.ingest import ingest
from hposvc.tables.options import Reading, UploadOptions
from hposvc.tables.reading import read_table
from hposvc.training_data import Upload, check, load, prepare
from tests.support.bad_files import BAD
from tests.support.commands import ServerProcess, run, until
from tests.support.serving import RESULT, succeeded

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


POLISH = [("Kraków", "Łódź")[i % 2] for i in range(ROWS)]


def in_encoding(path: Path, encoding: str, cities: list[str]) -> Path:
    rows = "".join(f"{i},{cities[i]},{'ab'[i % 2]}\n" for i in range(ROWS))
    path.write_bytes(f"x,city,y\n{rows}".encode(encoding))
    return path


@pytest.fixture(scope="module")
def finished(api: ServerProcess, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A finished job on Polish cities, with a model that was never trained: it reads files as others do."""
    folder = tmp_path_factory.mktemp("model")
    path = in_encoding(folder / "cities.csv", "utf-8", POLISH)
    description = ingest(path, folder / "stored.parquet", UploadOptions(label="y"))
    upload = Upload("ds_1", path.name, description, lambda: (folder / "stored.parquet").open("rb"))
    spec = JobSpec.model_validate({"kind": "data_reweighting", "dataset": {"id": "ds_1"}})
    spec = check(spec, {"ds_1": upload}).spec
    prepared = prepare(load(spec.dataset, uploads={"ds_1": upload}), spec)
    w = [np.zeros((prepared.dataset.features.shape[1], 2)), np.zeros(2)]
    model = folder / "model.safetensors"
    model.write_bytes(model_file(spec, prepared.dataset, prepared.splits, w))
    file = StoredFile(model.name, "model", model.stat().st_size, sha256_of(model), model.as_uri())
    engine = create_engine(f"sqlite:///{api.settings.data_dir / 'hposvc.sqlite3'}")
    job = succeeded(engine, RESULT, [file], name="cities").id
    engine.dispose()
    return job


def read_by(command: str, finished: str, file: Path, api: ServerProcess, *options: str) -> Result:
    words = {"data add": ["data", "add", file, "--label", "y"], "predict": ["predict", finished, file]}[command]
    return run(*words, *options, "--url", api.url)


@pytest.mark.parametrize("command", ["data add", "predict"])
def test_the_remedies_of_encodings(command: str, finished: str, api: ServerProcess, tmp_path: Path) -> None:
    """Of each message, that the option that it names is one of this command, and works there."""
    file = in_encoding(tmp_path / "a.csv", "cp1250", POLISH)
    refused = read_by(command, finished, file, api)
    assert refused.exit_code == Exit.USAGE
    assert "line 2 is not UTF-8" in " ".join(refused.output.split())
    options = proposed(refused.output)
    assert options[0] == "--encoding"
    assert read_by(command, finished, file, api, *options).exit_code == 0

    unknown = read_by(command, finished, file, api, "--encoding", "cp9999")
    assert unknown.exit_code == Exit.USAGE
    for said in ("there is no encoding 'cp9999'", "name one such as cp1252"):
        assert said in " ".join(unknown.output.split())
    western = in_encoding(tmp_path / "b.csv", "cp1252", ["Málaga"] * ROWS)
    assert read_by(command, finished, western, api, "--encoding", "cp1252").exit_code == 0

    wide = in_encoding(tmp_path / "c.csv", "utf-16-le", POLISH)
    nulls = read_by(command, finished, wide, api, "--encoding", "cp1250")
    assert "name its encoding by --encoding" in " ".join(nulls.output.split())
    assert read_by(command, finished, wide, api, "--encoding", "utf-16-le").exit_code == 0

    wrong = read_by(command, finished, file, api, "--encoding", "ascii")
    assert "is not ascii" in " ".join(wrong.output.split())
    assert read_by(command, finished, file, api, "--encoding", "cp1250").exit_code == 0


def test_the_caution_of_an_encoding_that_was_told_by_words(api: ServerProcess, tmp_path: Path) -> None:
    file = in_encoding(tmp_path / "b.csv", "cp1252", [("Málaga", "Zürich")[i % 2] for i in range(ROWS)])
    said = json.loads(run("data", "add", file, "--label", "y", "--url", api.url, "--json").stdout)["cautions"]
    (caution,) = [each for each in said if "--encoding" in each]
    options = proposed(caution.rstrip("."))
    assert options == ["--encoding", "cp1250"]
    assert run("data", "add", file, "--label", "y", *options, "--url", api.url).exit_code == 0


@pytest.mark.parametrize(
    ("content", "said", "mended"),
    [
        ("1,2,3\n" * ROWS, "write the names of the columns into the first line", "x,city,y\n" + "1,Łódź,a\n" * ROWS),
        ("x,x,city\n1,2,Łódź\n", "name each column once", "x,z,city\n1,2,Łódź\n"),
        ("x,y\n1,a\n", "add it: the model needs it", "x,y,city\n1,a,Łódź\n"),
        ("x,city\nmany,Łódź\n", "leave it empty where it is missing", "x,city\n,Łódź\n"),
        ("", "send a file with a header and rows", "x,city\n1,Łódź\n"),
    ],
    ids=["no header", "twice", "absent", "no number", "empty"],
)
def test_the_remedies_of_predictions(
    content: str, said: str, mended: str, finished: str, api: ServerProcess, tmp_path: Path
) -> None:
    file = tmp_path / "f.csv"
    file.write_text(content)
    refused = run("predict", finished, file, "--url", api.url)
    assert refused.exit_code == Exit.USAGE
    assert said in " ".join(refused.output.split())
    assert proposed(refused.output) == []
    file.write_text(mended)
    assert run("predict", finished, file, "--url", api.url).exit_code == 0


def test_no_message_about_a_file_to_predict_names_an_option_that_is_not_there(tmp_path: Path) -> None:
    named: set[str] = set()
    for number, bad in enumerate(BAD):
        path = tmp_path / str(number)
        path.write_bytes(bad.content)
        with suppress(DataError):
            try:
                read_table(path, Reading())
            except DataError as error:
                named |= set(re.findall(r"--[a-z-]+", str(error)))
                raise
    assert named <= set(re.findall(r"--[a-z-]+", run("predict", "--help").output))
    assert "--encoding" in named


def test_names_with_quotes_are_proposed_as_a_shell_takes_them(api: ServerProcess, tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    rows = "".join(f"{'-' if i == 7 else i}.5,{i % 7},{'None' if i % 2 else 'some'}\n" for i in range(ROWS))
    file.write_text(f"it's,x,who's\n{rows.replace('-.5', '-')}")
    refused = run("data", "add", file, "--label", "who's", "--url", api.url)
    told = " ".join(refused.output.split()).partition("none is missing there: ")[2]
    options = shlex.split(told.rstrip(" )"))[:2]
    assert options == ["--missing-values-in", "who's="]
    added = run("data", "add", file, "--label", "who's", *options, "--url", api.url, "--json")
    assert added.exit_code == 0, added.output
    (caution,) = [each for each in json.loads(added.stdout)["cautions"] if "it's" in each and "use" in each]
    more = shlex.split(caution.partition("for a missing value, use ")[2])
    again = run("data", "add", file, "--label", "who's", *options, *more, "--url", api.url, "--json")
    assert caution not in json.loads(again.stdout)["cautions"]
