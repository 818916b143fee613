"""What the tuned model of a job gained over the best rival, in one number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from hposvc.schema import figures
from hposvc.schema.result import Candidate, JobResult, read_result
from hposvc.schema.spec import Kind


class Gained(NamedTuple):
    """``gain`` is above 0 for an improvement; what ``gain_in`` says is compared: test scores, or test losses."""

    gain: float
    gain_in: Literal["score", "loss"]


def by_loss(kind: Kind, result: JobResult) -> bool:
    """Whether candidates of such a job are judged by their test loss; otherwise by their test accuracy."""
    return kind == "regularization_tuning" or result.score_name != "accuracy"


def best_rival(kind: Kind, result: JobResult) -> Candidate | None:
    """The candidate that the result names as the best other one, or the one with the best test figures; None: none."""
    others = [model for model in result.models if model.name != "tuned"]
    named = next((model for model in others if model.name == result.best_rival), None)
    if named is not None:
        return named
    measure, sign = ("test_loss", -1) if by_loss(kind, result) else ("test_score", 1)
    judged = [model for model in others if getattr(model, measure) is not None]
    return max(judged, key=lambda model: sign * float(getattr(model, measure)), default=None)


def gained(kind: Kind, stored: dict[str, Any]) -> Gained | None:
    """The gain in the result of a job; None where nothing is compared, or a figure is not finite.

    Of accuracies the difference, 0.01 for a point; of losses, or where both are as accurate, the share of the rival's
    loss that was saved. 0 where the result says that nothing was gained.
    """
    result = read_result(stored)
    tuned = next((model for model in result.models if model.name == "tuned"), None)
    rival = best_rival(kind, result)
    if tuned is None or rival is None:
        return None
    losses, scores = (tuned.test_loss, rival.test_loss), (tuned.test_score, rival.test_score)
    alike = len({figures.score(score, result.score_name) for score in scores}) == 1  # as they are shown
    if by_loss(kind, result) or alike:
        if not _finite(losses) or not rival.test_loss:
            return None
        own, other = map(float, losses)  # type: ignore[arg-type]
        found = Gained((other - own) / abs(other), "loss")
    elif _finite(scores):
        own, other = map(float, scores)  # type: ignore[arg-type]
        found = Gained(own - other, "score")
    else:
        return None
    nothing = "nothing gained" in (tuned.label or "").lower()
    return found._replace(gain=0.0) if nothing else found


def _finite(values: Sequence[float | None]) -> bool:
    return all(value is not None and math.isfinite(value) for value in values)
