"""Names that other people chose reach a terminal as text, and a spreadsheet as text where that is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from hposvc.tables.formulas import marked
from tests.support.commands import ServerProcess, run

LINK = "\x1b]8;;https://evil.example\x07"
NAME = f"[/bold] [link=https://evil.example]x {LINK}\x9b2J\u202e"


@pytest.fixture(autouse=True)
def _at_the_service(api: ServerProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPOSVC_URL", api.url)


def harmless(text: str) -> bool:
    return not {"\x1b", "\x07", "\x9b", "\u202e"} & {*text}


def test_names_of_jobs_are_shown_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "job.json").write_text(
        json.dumps({"kind": "data_reweighting", "name": NAME, "dataset": {"id": "sklearn:iris"}})
    )
    job = json.loads(run("submit", "job.json", "--json").stdout)
    for command in (
        ["jobs"],
        ["jobs", "--json"],
        ["edit", job["id"], "--priority", "1"],
        ["top", "--once"],
        ["cancel", job["id"]],
    ):
        result = run(*command)
        assert result.exit_code == 0, result.output
        assert harmless(result.output), command
    assert "[/bold]" in run("jobs").stdout
    (listed,) = [item for item in json.loads(run("jobs", "--json").stdout) if item["id"] == job["id"]]
    assert listed["name"] == NAME


def test_so_are_names_of_columns(tmp_path: Path) -> None:
    header = "[/red],[bold]age[/bold],target\n"
    (tmp_path / "rows.csv").write_text(header + "".join(f"{n},{n * n},{n % 2}\n" for n in range(40)))
    added = run("data", "add", "rows.csv")
    assert added.exit_code == 0, added.output
    dataset = json.loads(run("data", "list", "--json").stdout)[0]["id"]
    shown = run("data", "show", dataset)
    assert shown.exit_code == 0, shown.output
    assert "[/red]" in shown.stdout
    assert "[bold]age[/bold]" in shown.stdout.replace("\n", "")
    assert harmless(added.output + shown.output)


def test_messages_of_the_server_are_text_too(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(json.dumps({"kind": f"x{LINK}", "dataset": {"id": f"y{LINK}"}}))
    refused = run("submit", "job.yaml")
    assert refused.exit_code != 0
    assert harmless(refused.output)


def test_text_that_looks_like_a_formula_is_marked_if_asked() -> None:
    rows = pa.table({"=name": ["=1+1", "+a", "-b", "@c", "plain", None], "number": [-1.0, 2, 3, 4, 5, 6]})
    found = marked(rows)
    assert found.column_names == ["'=name", "number"]
    assert found.column(0).to_pylist() == ["'=1+1", "'+a", "'-b", "'@c", "plain", None]
    assert found.column(1).to_pylist() == rows.column(1).to_pylist()
