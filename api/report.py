"""The report of a finished job as one page of HTML, to be read, kept or printed."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader

from hposvc.jobs.resources import JobResource

LISTED = 20

environment = Environment(loader=PackageLoader("api"), autoescape=True, trim_blocks=True, lstrip_blocks=True)


def render_report(job: JobResource) -> str:
    """The page. It loads nothing: its styles are within it."""
    result: dict[str, Any] = job.result or {}
    score = {"accuracy": "accuracy", "r2": "R²"}.get(result.get("score_name", ""), "score")
    return environment.get_template("report.html").render(
        job=job, result=result, score=score, listed=LISTED, rows=_bars(result.get("models") or [])
    )


def _bars(models: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The candidates with the share of the largest test score, as a length in percent."""
    scores = [float(model["test_score"]) for model in models]
    largest = max([*scores, 0.0]) or 1.0
    return [
        model | {"length": round(100 * max(0.0, score) / largest, 1)}
        for model, score in zip(models, scores, strict=True)
    ]


def _number(value: Any, digits: int = 4) -> str:
    return "–" if value is None else f"{float(value):.{digits}g}"


environment.filters["number"] = _number
