"""`hposvc review`: decide, list, undo, and the way through a spreadsheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from hposvc.faults import Exit
from tests.support.commands import ServerProcess, run
from tests.support.reviewing import flowers_csv


@pytest.fixture
def flowers(api: ServerProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[str]:
    monkeypatch.setenv("HPOSVC_URL", api.url)
    file = tmp_path / "flowers.csv"
    file.write_bytes(flowers_csv())
    dataset: str = json.loads(run("data", "add", file, "--label", "kind", "--json").stdout)["id"]
    yield dataset
    run("data", "rm", dataset, "--yes")


def decided(dataset: str) -> dict[str, str]:
    return {item["row"]: item["decision"] for item in json.loads(run("review", "list", dataset, "--json").stdout)}


def test_a_row_is_decided_listed_and_undone(flowers: str) -> None:
    said = run("review", "decide", flowers, "f-03", "relabel", "--to", "virginica")
    assert said.exit_code == 0, said.output
    assert "f-03: relabel to virginica" in said.output
    assert "virginica" in run("review", "list", flowers).output
    undo = said.output.splitlines()[1].removeprefix("To undo: hposvc ").split()
    assert "1 decision is undone" in run(*undo).output
    assert decided(flowers) == {}


def test_decisions_go_out_to_a_spreadsheet_and_come_back(flowers: str, tmp_path: Path) -> None:
    run("review", "decide", flowers, "f-03", "drop")
    file = tmp_path / "decisions.csv"
    assert run("review", "export", flowers, "--output", file).exit_code == 0
    lines = list(csv.DictReader(io.StringIO(file.read_text())))
    assert [(line["row"], line["decision"]) for line in lines] == [("f-03", "drop")]
    file.write_text("row,decision,relabelled_to,remark\nf-03,right,,looked\nf-04,,,\nf-05,relabel,setosa,\n")
    said = run("review", "import", flowers, file)
    assert "2 decisions are kept" in said.output, said.output
    assert f"hposvc tune --reviewed {flowers}\n" in said.output
    assert decided(flowers) == {"f-03": "right", "f-05": "relabel"}


def test_formulas_go_out_marked_where_one_says_so_and_come_back(
    api: ServerProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HPOSVC_URL", api.url)
    sent = tmp_path / "formulas.csv"
    ids = ["0", "1", "2", "=3", "+4", *map(str, range(5, 20))]
    rows = [f"{name},{number},{('-b', '@a')[number % 2]}\n" for number, name in enumerate(ids)]
    sent.write_text("id,x,kind\n" + "".join(rows))
    dataset = json.loads(run("data", "add", sent, "--label", "kind", "--json").stdout)["id"]
    assert run("review", "decide", dataset, "=3", "relabel", "--to", "-b").exit_code == 0
    file = tmp_path / "decisions.csv"
    for options, expected in ((["--spreadsheet"], ("'=3", "'-b")), ([], ("=3", "-b"))):
        assert run("review", "export", dataset, "--output", file, *options).exit_code == 0
        (line,) = csv.DictReader(io.StringIO(file.read_text()))
        assert (line["row"], line["relabelled_to"]) == expected
    file.write_text("row,decision,relabelled_to\n'=3,right,\n'+4,relabel,'@a\n5,drop,\n")
    assert "there is no row" in run("review", "import", dataset, file).output
    said = run("review", "import", dataset, file, "--spreadsheet")
    assert "3 decisions are kept" in said.output, said.output
    assert decided(dataset) == {"=3": "right", "+4": "relabel", "5": "drop"}
    whole = tmp_path / "whole.csv"
    assert run("review", "version", dataset, "--output", whole, "--spreadsheet").exit_code == 0
    assert {line["kind"] for line in csv.DictReader(io.StringIO(whole.read_text()))} == {"'@a", "'-b"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("row,verdict\nf-01,right\n", "has no column decision"),
        ("row,decision\nf-01,maybe\n", "line 2: decision"),
        ("row,decision,relabelled_to\nf-01,right,\nf-02,relabel,\n", "line 3"),
        ("row,decision\nf-99,right\n", "there is no row 'f-99'"),
    ],
)
def test_a_file_that_holds_no_decisions_is_refused_and_nothing_is_kept(
    flowers: str, tmp_path: Path, text: str, said: str
) -> None:
    file = tmp_path / "decisions.csv"
    file.write_text(text)
    result = run("review", "import", flowers, file)
    assert result.exit_code == Exit.USAGE, result.output
    assert said in result.output
    assert decided(flowers) == {}


def test_a_version_is_made_and_downloaded(flowers: str, tmp_path: Path) -> None:
    run("review", "decide", flowers, "f-03", "relabel", "--to", "virginica")
    file = tmp_path / "out.csv"
    said = run("review", "version", flowers, "--output", file)
    assert said.exit_code == 0, said.output
    assert "1 relabelled, 0 dropped, 0 confirmed, 0 unsure" in said.output
    (line,) = [line for line in csv.DictReader(io.StringIO(file.read_text())) if line["review"]]
    assert (line["id"], line["kind"], line["review"]) == ("f-03", "virginica", "relabelled")
    run("data", "rm", said.output.split()[0], "--yes")


def test_tune_takes_a_file_or_a_reviewed_data_set(flowers: str) -> None:
    assert run("tune").exit_code == Exit.USAGE
    nobody = run("tune", "--reviewed", flowers)
    assert nobody.exit_code == Exit.USAGE
    assert "nobody has decided about a row" in nobody.output


@pytest.mark.slow
def test_a_file_is_tuned_reviewed_and_tuned_again(
    service: ServerProcess, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The planted errors are among the first rows to look at; what was checked is trusted, and is listed no more."""
    monkeypatch.setenv("HPOSVC_URL", service.url)
    file, sheet = tmp_path / "flowers.csv", tmp_path / "sheet.csv"
    wrong = tuple(range(0, 150, 15))
    file.write_bytes(flowers_csv(150, wrong))
    first = json.loads(run("tune", file, "--label", "kind", "--iterations", "5", "--json").stdout)
    dataset = first["spec"]["dataset"]["id"]
    assert run("review", "export", dataset, "--job", first["id"], "--output", sheet).exit_code == 0
    lines = list(csv.DictReader(io.StringIO(sheet.read_text())))[:30]
    assert lines[0]["predicted"] != lines[0]["kind"]
    kinds = ("setosa", "versicolor", "virginica")
    for line in lines:
        truth = kinds[int(line["row"].removeprefix("f-")) % 3]
        line["decision"], line["relabelled_to"] = ("right", "") if line["kind"] == truth else ("relabel", truth)
    with sheet.open("w") as text:
        writer = csv.DictWriter(text, lines[0].keys())
        writer.writeheader()
        writer.writerows(lines)
    assert "30 decisions are kept" in run("review", "import", dataset, sheet, "--job", first["id"]).output
    again = json.loads(run("tune", "--reviewed", dataset, "--iterations", "5", "--json").stdout)
    assert again["state"] == "succeeded"
    version = json.loads(run("data", "show", again["spec"]["dataset"]["id"], "--json").stdout)
    assert (version["parent"], again["spec"]["dataset"]["trusted"]) == (dataset, "reviewed")
    assert version["reviewed"]["relabel"] >= 7
    checked = {line["row"] for line in lines}
    assert not checked & {suspect["row_id"] for suspect in again["result"]["suspects"]}
