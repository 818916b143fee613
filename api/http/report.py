"""The report of a finished job as one page of HTML, to be read, kept or printed."""

from __future__ import annotations

import math

from jinja2 import Environment, PackageLoader

from hposvc.schema.figures import duration, number, percent, score, score_heading
from hposvc.schema.job import JobResource
from hposvc.schema.result import Candidate, read_result

LISTED = 20

environment = Environment(loader=PackageLoader("api"), autoescape=True, trim_blocks=True, lstrip_blocks=True)


def render_report(job: JobResource) -> str:
    """The page. It loads nothing: its styles are within it. What the result lacks is left out, and said."""
    result = read_result(job.result)
    return environment.get_template("report.html").render(
        job=job,
        result=result,
        called=score_heading(result.score_name).removeprefix("test "),
        listed=LISTED,
        rows=list(zip(result.compared, _lengths(result.compared), strict=True)),
    )


def _lengths(models: list[Candidate]) -> list[float]:
    """The test scores as lengths in percent of the largest."""
    found = [0.0 if model.test_score is None or math.isnan(model.test_score) else model.test_score for model in models]
    largest = max([each for each in found if math.isfinite(each)] + [0.0]) or 1.0
    return [round(100 * min(1.0, max(0.0, each / largest)), 1) for each in found]


def _count(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _text(value: str | None) -> str:
    return "–" if value is None else value


environment.filters |= {
    "number": number,
    "percent": percent,
    "score": score,
    "duration": duration,
    "count": _count,
    "text": _text,
}
