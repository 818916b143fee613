"""The report of a job as a page, as JSON and on a terminal: whatever release wrote the result, it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from rich.console import Console

from api.examples import JOB
from api.http.report import render_report
from hposvc.cli.render import results
from hposvc.schema.job import JobResource
from hposvc.schema.result import read_result
from tests.support.serving import GROUPS, RESULT, STRENGTHS, Server, running, submit, succeeded


def page(client: httpx.Client, server: Server, result: dict[str, Any]) -> str:
    """The page of a job with this result, which is also to be had as JSON, compared, and printed."""
    job = succeeded(server.engine, result)
    path = f"/v1/jobs/{job.id}/report"
    stored = client.get(path, headers={"Accept": "application/json"})
    assert stored.status_code == 200
    assert stored.json() == client.get(f"/v1/jobs/{job.id}").json()["result"]
    assert client.get("/v1/compare", params={"jobs": job.id}).status_code == 200
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(results(stored.json()))
    shown = client.get(path)
    assert shown.status_code == 200, shown.text
    assert shown.headers["Content-Type"].startswith("text/html")
    assert shown.headers["Vary"] == "Accept"
    assert ("result lacks" in console.export_text()) == ("result lacks" in shown.text)
    return shown.text


@pytest.mark.parametrize("result", [RESULT, GROUPS, STRENGTHS], ids=["rows", "groups", "strengths"])
def test_a_whole_result_is_shown_whole(client: httpx.Client, server: Server, result: dict[str, Any]) -> None:
    text = page(client, server, result)
    assert result["sentence"] in text
    assert "95.56 %" in text or "97.37 %" in text
    assert "500, the result is that of iteration 487; ended by iterations" in text
    assert "lacks" not in text
    assert "–" not in text.split("<body>")[1]


def test_the_list_of_suspects_names_the_model_that_predicts_them(client: httpx.Client, server: Server) -> None:
    said = "the most suspicious first. Predicted by models that have not seen the row.</caption>"
    assert said in page(client, server, RESULT | {"opinion": "models that have not seen the row"})
    assert "Predicted by" not in page(client, server, RESULT)


def test_an_empty_result_is_a_page_that_says_so(client: httpx.Client, server: Server) -> None:
    text = page(client, server, {})
    assert "lacks its sentence, what it was compared with, how many iterations it took: another release" in text
    assert "The candidates" not in text
    assert "Iterations</dt><dd>–, the result is that of iteration –; ended by –" in text


def spoilt(result: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The result without each of its fields, at any depth, and with things in their place that do not belong there."""
    for name, value in result.items():
        yield f"no {name}", {key: other for key, other in result.items() if key != name}
        for nonsense in (None, "x", [1], {"a": []}, 1e400, "NaN"):
            yield f"{name} is {nonsense!r}", result | {name: nonsense}
        if isinstance(value, dict):
            for path, inner in spoilt(value):
                yield f"{name}: {path}", result | {name: inner}
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for path, inner in spoilt(value[0]):
                yield f"{name}[0]: {path}", result | {name: [inner, *value[1:]]}


@pytest.mark.parametrize("result", [RESULT, GROUPS, STRENGTHS], ids=["rows", "groups", "strengths"])
def test_nothing_in_a_result_keeps_the_rest_from_being_read(result: dict[str, Any]) -> None:
    whole = JobResource.model_validate(JOB)
    number = 0
    for what, changed in spoilt(result):
        text = render_report(whole.model_copy(update={"result": changed}))
        assert text.rstrip().endswith("</html>"), what
        assert what.startswith(("no sentence", "sentence is")) or result["sentence"] in text, what
        Console(width=80, quiet=True).print(results(changed))
        number += 1
    assert number > 100


def test_over_http_what_an_earlier_release_left_out_is_left_out(client: httpx.Client, server: Server) -> None:
    early = {name: RESULT[name] for name in ("sentence", "models", "suspects")}
    early["models"] = [{"name": "tuned", "test_score": 0.9}, {"label": "all", "test_score": "NaN", "test_loss": None}]
    text = page(client, server, early)
    assert RESULT["sentence"] in text
    assert "<td>tuned</td>" in text
    assert "20 of – suspects in – training rows" in text
    assert "lacks how many iterations it took" in text


def test_what_a_name_in_a_result_says_is_text(client: httpx.Client, server: Server) -> None:
    evil = "<img src=x onerror=alert(1)>"
    text = page(client, server, {"sentence": evil, "models": [{"label": evil}], "warnings": [evil]})
    assert "<img" not in text


def test_a_job_without_a_result_says_so(client: httpx.Client, server: Server) -> None:
    for job in (submit(server.engine), running(server.engine, 5)[0]):
        for accept in ("text/html", "application/json"):
            answer = client.get(f"/v1/jobs/{job.id}/report", headers={"Accept": accept})
            assert answer.status_code == 409
            assert answer.headers["Content-Type"].startswith("application/problem+json")
    assert client.get(f"/v1/jobs/{job.id}/report", headers={"Accept": "image/png"}).status_code == 406


def test_numbers_that_are_not_finite_are_read_by_their_names() -> None:
    result = read_result({"seconds": "Infinity", "models": [{"test_loss": "NaN"}, 3, {"test_loss": {}}]})
    assert result.seconds == float("inf")
    assert str(result.models[0].test_loss) == "nan"
    assert result.models[1].test_loss is None
