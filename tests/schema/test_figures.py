"""One style of numbers: the same value looks the same wherever it is shown."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path
from typing import Any

import playwright
import pytest
from rich.console import Console

from api.examples import JOB
from api.http.report import render_report
from hposvc.cli.render import results
from hposvc.schema import figures
from hposvc.schema.job import JobResource
from hposvc.schema.notebook import job_html
from tests.support.serving import RESULT

ROOT = Path(__file__).parents[2]
NODE = Path(playwright.__file__).parent / "driver" / "node"
VALUES = [
    None, 0.0, 0.9556, -0.5, 0.03125, 0.00005, -0.00012345, 0.001, 0.99996, 9.96, 9.94, 59.6, 999.9999, 1000.0,
    1234.567, 65_432.1, 999_999.6, 1e6, -2.5e9, 3_661.0, 90_061.0, "NaN", "Infinity", "-Infinity",
]  # fmt: skip


def printed(result: dict[str, Any]) -> str:
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(results(result))
    return console.export_text()


def shown(result: dict[str, Any]) -> dict[str, str]:
    job = JobResource.model_validate(JOB).model_copy(update={"result": result})
    return {"terminal": printed(result), "report": render_report(job), "notebook": job_html(job)}


def test_a_result_has_the_same_numbers_on_a_terminal_in_a_report_and_in_a_notebook() -> None:
    for where, text in shown(RESULT).items():
        for number in ("95.56 %", "94.17 %", "0.1874", "1.1204"):
            assert number in text, (where, number)
        assert "0.9556" not in text, where
    judged = [row | {"probability_wrong": 0.9871} for row in RESULT["suspects"]]
    found = shown(RESULT | {"suspects": judged, "wrong_rows": {"expected": 600, "low": 1, "high": 2, "rows": 1077}})
    for where in ("terminal", "report"):
        for number in ("F1 98.5 %", "precision 98.9 %", "recall 98.1 %", "98.7 %", "99.7 %"):
            assert number in found[where], (where, number)


def test_a_score_that_is_no_accuracy_is_a_number() -> None:
    for where, text in shown(RESULT | {"score_name": "r2"}).items():
        assert "0.9556" in text, where
        assert "95.56" not in text, where


def test_the_pages_follow_the_same_rules() -> None:
    """What Python writes is what the module of the pages writes, of values at every edge of the rules."""
    module = ROOT / "api" / "dashboard" / "static" / "js" / "format.js"
    script = (
        f"import {{ number, percent, score, duration }} from {json.dumps(module.as_uri())};"
        f"const values = {json.dumps(VALUES)};"
        "const times = values.filter((x) => x === null || (typeof x === 'number' && x >= 0));"
        "process.stdout.write(JSON.stringify([values.map(number), values.map((x) => percent(x)), "
        "values.map((x) => score(x, 'accuracy')), values.map((x) => score(x, 'r2')), times.map(duration)]));"
    )
    words = [NODE, "--no-warnings", "--input-type=module", "-e", script]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    times = [value for value in VALUES if value is None or (isinstance(value, float) and value >= 0)]
    assert json.loads(done.stdout) == [
        [figures.number(value) for value in VALUES],
        [figures.percent(value) for value in VALUES],
        [figures.score(value, "accuracy") for value in VALUES],
        [figures.score(value, "r2") for value in VALUES],
        [figures.duration(value) for value in times],
    ]


@pytest.mark.parametrize(("value", "said"), [(0.25, "+0.2500"), (-0.25, "−0.2500"), (0.0, "+0.0000")])
def test_a_difference_has_its_sign(value: float, said: str) -> None:
    assert figures.signed(value) == said


def test_what_is_not_finite_has_its_name() -> None:
    assert [figures.number(x) for x in (math.nan, math.inf, -math.inf)] == ["NaN", "∞", "−∞"]
    assert figures.duration(math.inf) == "∞ s"
