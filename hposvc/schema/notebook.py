"""A job as a notebook shows it: a few lines of HTML that load nothing, in the notebook's own colours."""

from __future__ import annotations

import math
from html import escape
from typing import TYPE_CHECKING

from hposvc.schema.figures import number, score, score_heading
from hposvc.schema.result import JobResult, read_result

if TYPE_CHECKING:
    from hposvc.schema.job import JobResource, Sparkline

WIDTH, HEIGHT = 160, 32  # of the curve, in pixels
MUTED = "opacity:0.7"


def job_html(job: JobResource) -> str:
    """State, progress, curve of the upper loss, and what was found or went wrong."""
    progress = f"{job.progress.iteration:,} of {job.progress.iterations:,} iterations"
    parts = [
        f"<strong>{escape(job.name or job.kind)}</strong> · {escape(job.state)} · {progress}",
        f'<br><span style="{MUTED}"><code>{escape(job.id)}</code> · {escape(job.spec.subject)}</span>',
    ]
    if job.latest.upper_loss is not None:
        best = number(job.best.upper_loss)
        parts.append(f"<br>upper loss {number(job.latest.upper_loss)}, best {best} {_curve(job.sparkline)}")
    if job.error is not None:
        at = "" if job.error.iteration is None else f" at iteration {job.error.iteration:,}"
        parts.append(f"<p>{escape(job.error.reason)}{at}: {escape(job.error.message)} {escape(job.error.remedy)}</p>")
    if job.result is not None:
        result = read_result(job.result)
        parts.append(f"<p>{escape(result.sentence or '')}</p>{_candidates(result)}")
        parts += [f"<p>! {escape(warning)}</p>" for warning in result.warnings]
    return f"<div>{''.join(parts)}</div>"


def _candidates(result: JobResult) -> str:
    models, name = result.compared, result.score_name
    if not models:
        return ""
    head = "".join(f"<th>{text}</th>" for text in ("trained on", score_heading(name), "test loss"))
    rows = "".join(
        f"<tr><td>{escape(model.label or model.name or '–')}</td>"
        f"<td>{score(model.test_score, name)}</td><td>{number(model.test_loss)}</td></tr>"
        for model in models
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def _curve(points: Sparkline) -> str:
    pairs = zip(points.iteration, map(float, points.upper_loss), strict=True)
    finite = [(at, value) for at, value in pairs if math.isfinite(value)]
    if len(finite) < 2:
        return ""
    low, high = min(value for _, value in finite), max(value for _, value in finite)
    begin, end = finite[0][0], finite[-1][0]
    placed = " ".join(
        f"{WIDTH * (at - begin) / ((end - begin) or 1):.1f},{HEIGHT - HEIGHT * (value - low) / ((high - low) or 1):.1f}"
        for at, value in finite
    )
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="Upper loss from {number(finite[0][1])} to '
        f'{number(finite[-1][1])}" style="vertical-align:middle;overflow:visible"><polyline points="{placed}" '
        'fill="none" stroke="currentColor"/></svg>'
    )
