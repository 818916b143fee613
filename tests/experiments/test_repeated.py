"""What repeats show together, against SciPy's own tests."""

from __future__ import annotations

import pytest
from scipy import stats

from hposvc.experiments import repeated
from hposvc.experiments.trials import Trial

OURS, THEIRS = [0.95, 0.93, 0.96, 0.94, 0.955], [0.94, 0.925, 0.94, 0.93, 0.94]


def trials(ours: list[float], theirs: list[float], *, by_loss: bool = False) -> list[Trial]:
    measure, other = ("test_loss", "test_score") if by_loss else ("test_score", "test_loss")

    def models(one: float, two: float) -> list[dict[str, object]]:
        names = [("tuned", "Handed over", one), ("trusted_only", "Trusted rows only", two), ("all_rows", "All", two)]
        found = [{"name": name, "label": label, measure: value, other: 0.5} for name, label, value in names]
        found[2][measure] = two + (0.2 if by_loss else -0.2)
        return found

    return [
        Trial(
            number,
            {},
            state="succeeded",
            summary={"score_name": "accuracy", "by_loss": by_loss, "models": models(one, two)},
        )
        for number, (one, two) in enumerate(zip(ours, theirs, strict=True))
    ]


def test_the_interval_is_that_of_a_paired_t_test() -> None:
    found = repeated.together([*trials(OURS, THEIRS), Trial(5, {}, state="failed")])
    rival = found.rivals[0]
    expected = stats.ttest_rel(OURS, THEIRS).confidence_interval(0.95)
    assert rival.score is not None
    assert (rival.score.low, rival.score.high) == pytest.approx((expected.low, expected.high), rel=1e-9)
    assert (rival.name, rival.better, rival.repeats, found.repeats) == ("trusted_only", 5, 5, 5)
    assert found.rivals[1].name == "all_rows"
    assert repeated.sentence(found) == (
        "Over 5 repeats, the test accuracy is 94.70 % ± 1.20 % (mean and standard deviation). It is better than the "
        "best rival, trusted rows only, in 5 of 5, by 1.20 ± 0.71 points on average (95 % interval)."
    )


def test_chance_and_worse_are_said() -> None:
    close = repeated.sentence(repeated.together(trials([0.9, 0.92, 0.91], [0.91, 0.91, 0.905])))
    assert close.endswith("on average (95 % interval): that may be chance.")
    worse = repeated.sentence(repeated.together(trials(THEIRS, OURS)))
    assert (
        "It is worse than trusted rows only by 1.20 ± 0.71 points on average (95 % interval), and better in 0" in worse
    )
    by_loss = repeated.together(trials([0.2, 0.21, 0.2], [0.3, 0.32, 0.3], by_loss=True))
    assert (by_loss.compared_by, by_loss.rivals[0].better) == ("loss", 3)
    assert "the test loss is 0.2033" in repeated.sentence(by_loss)
    assert "in 3 of 3, by 0.1" in repeated.sentence(by_loss)
    equal = repeated.together(trials([0.9, 0.92], [0.9, 0.92]))
    assert equal.rivals[0].score is not None
    assert (equal.rivals[0].score.low, equal.rivals[0].score.high) == (None, None)  # never an interval without width
    assert repeated.sentence(equal).endswith(
        "It is as good as the best rival, trusted rows only, in each of 2: too alike for an interval."
    )
    ahead = repeated.sentence(repeated.together(trials([0.9, 0.92, 0.95], [0.8, 0.82, 0.85])))
    assert "It is 10.00 points better than the best rival, trusted rows only, in each of 3: too alike" in ahead
    assert repeated.sentence(repeated.together([])) == "No repeat succeeded."
