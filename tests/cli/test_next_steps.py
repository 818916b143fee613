"""What is said after what went well: commands that can be typed as they are."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from api.examples import DATASET, DATASET_ID, JOB
from hposvc.cli.data import reading
from hposvc.cli.next_steps import after_job, after_review, after_upload
from hposvc.cli.render import problems_table, results
from hposvc.schema.datasets import DatasetResource
from hposvc.schema.job import JobResource
from hposvc.schema.problems import ProblemResource
from tests.support.serving import RESULT


def finished(dataset: dict[str, Any], result: dict[str, Any]) -> JobResource:
    document = JOB | {"state": "succeeded", "result": result, "spec": JOB["spec"] | {"dataset": dataset}}
    return JobResource.model_validate(document)


def commands(steps: list[str]) -> list[list[str]]:
    """The words of each command in the steps."""
    return [shlex.split(step[step.index("hposvc ") :])[1:] for step in steps if "hposvc " in step]


def test_suspects_lead_to_a_sheet_back_and_to_a_new_job() -> None:
    job = finished({"id": DATASET_ID, "label": "is wrong"}, RESULT)
    label = ["--label", "is wrong"]
    assert commands(after_job(job)) == [
        ["review", "export", DATASET_ID, "--job", job.id, *label, "--output", "sheet.csv"],
        ["review", "import", DATASET_ID, "sheet.csv", "--job", job.id, *label],
        ["tune", "--reviewed", DATASET_ID, *label],
        ["predict", job.id, "FILE"],
        ["results", job.id, "--save", "."],
    ]


def test_what_cannot_be_reviewed_is_not_said_to_be() -> None:
    bundled = commands(after_job(finished({"id": "sklearn:digits", "label": "target"}, RESULT)))
    clean = commands(after_job(finished({"id": DATASET_ID, "label": "y"}, RESULT | {"suspects": None})))
    assert [words[0] for words in bundled] == [words[0] for words in clean] == ["predict", "results"]


def test_no_prediction_is_proposed_where_there_is_no_model() -> None:
    custom = {"kind": "custom", "problem": "package:name", "stop": {"iterations": 10}}
    job = JobResource.model_validate(JOB | {"state": "succeeded", "kind": "custom", "result": RESULT, "spec": custom})
    assert commands(after_job(job)) == [["results", job.id, "--save", "."]]


@pytest.mark.parametrize(
    ("target", "said", "expected"),
    [
        ("churned", {}, []),
        (None, {}, ["--label", "COLUMN"]),
        (
            "churned",
            {"missing_values": ["-", ""], "missing_values_in": ["age=-1"], "decimal": ",", "header": False},
            [
                *("--decimal", ",", "--missing-values", "-", "--missing-values", ""),
                *("--missing-values-in", "age=-1", "--no-header"),
            ],
        ),
    ],
)
def test_an_upload_leads_to_the_command_that_tunes_it(
    target: str | None, said: dict[str, Any], expected: list[str]
) -> None:
    options = dict.fromkeys(("date_format", "decimal", "missing_values", "missing_values_in", "encoding"))
    read_as = reading(**(options | {"header": True} | said))
    added = DatasetResource.model_validate(DATASET | {"target": target})
    (words,) = commands(after_upload(Path("my people.csv"), added, read_as))
    assert words == ["tune", "my people.csv", *expected]


def test_decisions_lead_to_a_new_job() -> None:
    assert commands(after_review(DATASET_ID, "y")) == [["tune", "--reviewed", DATASET_ID, "--label", "y"]]
    assert commands(after_review(DATASET_ID, None)) == [["tune", "--reviewed", DATASET_ID]]


def shown(renderable: Any) -> str:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(renderable)
    return console.export_text()


def test_the_terminal_names_the_model_that_predicts_the_suspects() -> None:
    said = "Predicted by models that have not seen the row."
    assert said in shown(results(RESULT | {"opinion": "models that have not seen the row"}))
    assert "Predicted by" not in shown(results(RESULT))


def test_suspects_are_counted_among_all_rows_that_were_judged() -> None:
    """Without trusted rows, validation rows are judged as well."""
    counted = {"expected": 20, "low": 10, "high": 30, "rows": 1436, "suspect_above": 0.5}
    assert "suspects in 1,436 rows" in shown(results(RESULT | {"wrong_rows": counted}))
    assert "suspects in 1,077 rows" in shown(results(RESULT))


def test_a_noise_matrix_is_told_in_shares_and_groups_in_weights() -> None:
    groups = [{"name": "no → yes", "rows": 47, "lam": -1.1, "weight": 0.25}]
    said = shown(results(RESULT | {"groups": groups, "per": "noise_matrix"}))
    assert "the share that was labelled b" in said
    assert "25.0 %" in said
    assert "smallest weights" not in said
    assert "The smallest weights" in shown(results(RESULT | {"groups": groups, "per": "group"}))


def test_one_is_singular() -> None:
    text = shown(results(RESULT | {"suspects": RESULT["suspects"][:1], "suspects_total": 1}))
    assert "The 1 row to look at first, of 1 suspect in 1,077 rows" in text
    installed = {
        "name": "mine:net",
        "version": "1",
        "summary": "",
        "parameters": {},
        "defaults": {},
        "fault": None,
        "reported_at": JOB["created_at"],
    }
    for workers, said in ((1, "1 live worker has it"), (2, "2 live workers have it"), (0, "no live worker has it")):
        assert said in shown(problems_table([ProblemResource.model_validate(installed | {"workers": workers})]))
