"""What repeats show together: means, spreads, and paired differences with intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

from hposvc.experiments.trials import Trial
from hposvc.schema.experiments import Interval, Repeated, Rival, Spread
from hposvc.schema.figures import number, plural, points, score

CONFIDENCE = 0.95
ROUNDING = 1e-9  # differences that are closer than this share of their mean are equal
TUNED = ("tuned", "tuned_lambda")
Model = dict[str, Any]


def interval(differences: Sequence[float]) -> Interval | None:
    """The mean of at least two paired differences with its 95 % interval, mean ± t(n − 1) · sd / √n.

    Student, "The probable error of a mean", Biometrika 6 (1908). Repeats over random splits of one table are
    independent draws given that table, so the interval is for the mean over all its splits. It is no interval for other
    tables from the same source: for these it is too narrow (Nadeau and Bengio, Machine Learning 52, 2003).
    Differences that are all equal, as those of scores over a few test rows often are, have no interval: one without
    width would claim certainty.
    """
    from scipy.special import stdtrit

    if len(differences) < 2:
        return None
    mean, sd = statistics.fmean(differences), statistics.stdev(differences)
    if max(differences) - min(differences) <= ROUNDING * abs(mean):
        return Interval(mean=mean, sd=0.0, low=None, high=None)
    half = float(stdtrit(len(differences) - 1, 0.5 + CONFIDENCE / 2)) * sd / math.sqrt(len(differences))
    return Interval(mean=mean, sd=sd, low=mean - half, high=mean + half)


def spread(values: Sequence[float]) -> Spread | None:
    """Mean, standard deviation (n − 1; 0 for one value), lowest and highest. None without values."""
    if not values:
        return None
    sd = statistics.stdev(values) if len(values) > 1 else 0.0
    return Spread(mean=statistics.fmean(values), sd=sd, low=min(values), high=max(values))


def together(trials: Sequence[Trial]) -> Repeated:
    """The repeats that succeeded, together."""
    ended = [trial for trial in trials if trial.state == "succeeded"]
    found = [trial.summary for trial in ended if trial.summary.get("models")]
    by_loss = any(summary["by_loss"] for summary in found)
    tuned = [_model(summary, "tuned") for summary in found]
    names = dict.fromkeys(
        model["name"] for summary in found for model in summary["models"] if model["name"] not in (*TUNED, None)
    )
    rivals = [_rival(found, name, by_loss=by_loss) for name in names]
    return Repeated(
        repeats=len(found) or len(ended),
        score_name=next((summary["score_name"] for summary in found if summary["score_name"]), "score"),
        compared_by="loss" if by_loss else "score",
        score=spread(_numbers(tuned, "test_score")),
        loss=spread(_numbers(tuned, "test_loss")),
        value=spread([trial.value for trial in ended if trial.value is not None]),
        rivals=sorted(rivals, key=lambda rival: _strength(rival, by_loss=by_loss)),
    )


def sentence(repeated: Repeated) -> str:
    """What the repeats show, in two sentences."""
    if not repeated.repeats:
        return "No repeat succeeded."
    by_loss = repeated.compared_by == "loss"
    in_points = repeated.score_name == "accuracy" and not by_loss
    mean = repeated.loss if by_loss else repeated.score
    what = "test loss" if by_loss else f"test {_in_words(repeated.score_name)}"
    head = f"Over {plural(repeated.repeats, 'repeat')}"
    if mean is not None:
        name = "loss" if by_loss else repeated.score_name
        head += f", the {what} is {score(mean.mean, name)} ± {score(mean.sd, name)} (mean and standard deviation)."
    elif repeated.value is not None:
        low, sd = number(repeated.value.mean), number(repeated.value.sd)
        head += f", the lowest loss of the iterations is {low} ± {sd} (mean and standard deviation)."
    rival = next(iter(repeated.rivals), None)
    difference = None if rival is None else (rival.loss if by_loss else rival.score)
    if rival is None or difference is None:
        return head
    gain = -difference.mean if by_loss else difference.mean
    name = rival.label[:1].lower() + rival.label[1:]
    if difference.low is None or difference.high is None:
        apart = f"{points(gain)} points" if in_points else number(abs(gain))
        how = f"{apart} {'better' if gain > 0 else 'worse'} than" if gain else "as good as"
        return f"{head} It is {how} the best rival, {name}, in each of {rival.repeats}: too alike for an interval."
    half = (difference.high - difference.low) / 2
    apart = f"{points(gain)} ± {points(half)} points" if in_points else f"{number(abs(gain))} ± {number(half)}"
    by = f"by {apart} on average (95 % interval)"
    if gain < 0:
        tail = f"It is worse than {name} {by}, and better in {rival.better} of {rival.repeats}"
    else:
        tail = f"It is better than the best rival, {name}, in {rival.better} of {rival.repeats}, {by}"
    if difference.low <= 0 <= difference.high:
        tail += ": that may be chance"
    return f"{head} {tail}."


def _in_words(score_name: str) -> str:
    return "R²" if score_name == "r2" else score_name


def _rival(found: Sequence[dict[str, Any]], name: str, *, by_loss: bool) -> Rival:
    pairs = [(_model(summary, "tuned"), _model(summary, name)) for summary in found]
    both = [(ours, theirs) for ours, theirs in pairs if ours and theirs]
    scores, losses = _differences(both, "test_score"), _differences(both, "test_loss")
    better = sum(loss < 0 for loss in losses) if by_loss else sum(score > 0 for score in scores)
    label = str(both[0][1]["label"] or name) if both else name
    return Rival(
        name=name, label=label, repeats=len(both), better=better, score=interval(scores), loss=interval(losses)
    )


def _strength(rival: Rival, *, by_loss: bool) -> float:
    """The least first: by how much the rival is behind."""
    difference = rival.loss if by_loss else rival.score
    if difference is None:
        return math.inf
    return -difference.mean if by_loss else difference.mean


def _differences(pairs: Sequence[tuple[Model, Model]], measure: str) -> list[float]:
    return [
        ours[measure] - theirs[measure]
        for ours, theirs in pairs
        if _is_number(ours[measure]) and _is_number(theirs[measure])
    ]


def _model(summary: dict[str, Any], name: str) -> Model:
    return next((model for model in summary["models"] if model["name"] == name), {})


def _numbers(models: Sequence[Model], measure: str) -> list[float]:
    return [model[measure] for model in models if model and _is_number(model[measure])]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
