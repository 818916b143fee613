"""Wrong labels that are classes: the noise matrix, calibrated probabilities, and no claims where there is nothing."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from hposvc.labels import noise_matrix
from hposvc.labels.analysis import LabelAnalysis, analyse, fit_candidate, overrules
from hposvc.labels.classifiers import RowLosses, SoftmaxRegression, one_hot, soft
from hposvc.labels.cross_fit import Labels

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def clouds(rows: int, spread: float = 1.0, seed: int = 0) -> tuple[Floats, Integers]:
    """Three classes, each a cloud of points in the plane, beside two columns of noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % 3
    centres = np.array([[0.0, 2.0], [2.0, -1.0], [-2.0, -1.0]])
    points = centres[labels] + spread * rng.normal(size=(rows, 2))
    return np.column_stack([points, rng.normal(size=(rows, 2))]), labels


def with_noise(labels: Integers, noise: Floats, seed: int = 1) -> Integers:
    rng = np.random.default_rng(seed)
    return np.array([rng.choice(3, p=noise[label]) for label in labels])


def analysed(given: Integers, features: Floats, true: Integers, trusted: int) -> LabelAnalysis:
    """Of rows behind the first ``trusted``, which are known to be right."""
    return analyse(
        Labels(features[trusted:], given[trusted:], features[:trusted], true[:trusted], 3), SoftmaxRegression()
    )


@pytest.mark.parametrize("noisy", [True, False])
def test_the_gradient_of_either_loss_is_q_minus_the_soft_label(noisy: bool) -> None:
    rng = np.random.default_rng(0)
    logits, values = rng.normal(size=(7, 3)), rng.dirichlet(np.ones(3), 7)
    rows = RowLosses(values, np.full(7, noisy))

    def loss(z: Floats) -> float:
        powers = np.exp(z)
        return rows(powers / powers.sum(1, keepdims=True))[0]

    q = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    analytic = q - rows(q)[1]
    step = 1e-6
    for place in np.ndindex(logits.shape):
        moved = np.zeros_like(logits)
        moved[place] = step
        slope = (loss(logits + moved) - loss(logits - moved)) / (2 * step)
        assert analytic[place] == pytest.approx(slope, abs=1e-6)


def test_expectation_maximization_finds_the_noise_matrix() -> None:
    noise = np.array([[0.7, 0.2, 0.1], [0.0, 0.9, 0.1], [0.25, 0.05, 0.7]])
    features, true = clouds(6000, spread=0.6)
    q = SoftmaxRegression().predict(SoftmaxRegression().fit(features, soft(one_hot(true, 3)), 1.0, steps=200), features)
    found = noise_matrix.fit(q, with_noise(true, noise))
    np.testing.assert_allclose(found, noise, atol=0.03)


@pytest.mark.parametrize("trusted", [60, 0])
def test_wrong_labels_are_found_and_counted(trusted: int) -> None:
    features, true = clouds(900)
    given = with_noise(true, noise_matrix.uniform(3, 0.25))
    found = analysed(given, features, true, trusted)
    wrong = given[trusted:] != true[trusted:]
    hits = (found.suspects & wrong).sum()
    assert hits / found.suspects.sum() > 0.85
    assert hits / wrong.sum() > 0.75
    assert found.wrong_rows.low <= wrong.sum() <= found.wrong_rows.high
    # calibrated: of all rows, the mean probability is the share of wrong ones, and so in either half of the ranking
    order = np.argsort(found.probability_wrong)
    for part in np.array_split(order, 2):
        assert found.probability_wrong[part].mean() == pytest.approx(wrong[part].mean(), abs=0.05)


@pytest.mark.parametrize("trusted", [60, 0])
@pytest.mark.parametrize("spread", [0.5, 1.5])
def test_nothing_is_claimed_where_no_label_is_wrong(trusted: int, spread: float) -> None:
    features, true = clouds(600, spread)
    found = analysed(true, features, true, trusted)
    assert found.suspects.mean() < 0.03
    assert found.wrong_rows.low == 0
    assert (found.probability_wrong[found.suspects] > 0.15).all()  # at least one in seven: nobody reads rows in vain


def test_features_that_say_nothing_accuse_no_row() -> None:
    rng = np.random.default_rng(0)
    features, labels = rng.normal(size=(400, 5)), rng.integers(0, 3, 400)
    found = analysed(labels, features, labels, 0)
    assert not found.suspects.any()


@pytest.mark.parametrize("trusted", [12, 0])
@pytest.mark.parametrize("rate", [0.0, 0.6])
def test_how_many_are_wrong_is_left_open_where_features_say_nothing_about_the_labels(rate: float, trusted: int) -> None:
    """Useless features and very many wrong labels look alike, and an interval around none would miss the second."""
    features, true = clouds(120, spread=0.5 if rate else 50)
    given = with_noise(true, noise_matrix.uniform(3, rate))
    wrong = given[trusted:] != true[trusted:]
    found = analysed(given, features, true, trusted)
    assert found.wrong_rows.low <= wrong.sum() <= found.wrong_rows.high
    if not rate:
        assert found.wrong_rows.high == len(wrong)


def test_the_corrected_model_is_better_than_that_of_the_labels_as_they_came() -> None:
    features, true = clouds(900)
    given = with_noise(true, np.array([[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    labels = Labels(features[30:600], given[30:600], features[:30], true[:30], 3)
    classifier, held_out = SoftmaxRegression(), (features[600:], true[600:])
    analysis = analyse(labels, classifier)

    def loss(name: str) -> float:
        q = classifier.predict(fit_candidate(labels, classifier, analysis, name, 180), held_out[0])
        return -float(np.log(q[np.arange(len(q)), held_out[1]]).mean())

    assert loss("posterior") < 0.9 * loss("all_rows")
    assert loss("posterior") < loss("trusted_only")


@pytest.mark.parametrize("trusted", [40, 0])
def test_what_a_linear_model_cannot_see_is_found_too(trusted: int) -> None:
    """The class is whether two features have the same sign: each alone says nothing."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(800 + trusted, 4))
    true = (features[:, 0] * features[:, 1] > 0).astype(np.int64)
    given = np.where(rng.random(len(true)) < 0.15, 1 - true, true)
    labels = Labels(features[trusted:], given[trusted:], features[:trusted], true[:trusted], 2)
    found = analyse(labels, SoftmaxRegression())
    wrong = given[trusted:] != true[trusted:]
    assert (found.suspects & wrong).sum() / wrong.sum() > 0.5
    assert (found.suspects & wrong).sum() / found.suspects.sum() > 0.7


def test_rows_beyond_the_first_look_get_a_probability_too() -> None:
    from dataclasses import replace

    from hposvc.labels.analysis import LINEAR

    features, true = clouds(3000)
    given = with_noise(true, noise_matrix.uniform(3, 0.2))
    labels = Labels(features[60:], given[60:], features[:60], true[:60], 3)
    found = analyse(labels, SoftmaxRegression(), replace(LINEAR, most_work=12_000.0))  # a thousand rows of 2,940
    wrong = given[60:] != true[60:]
    assert found.probability_wrong.shape == (2940,)
    assert (found.suspects & wrong).sum() / wrong.sum() > 0.75
    assert found.wrong_rows.low <= wrong.sum() <= found.wrong_rows.high


def test_checked_rows_say_how_often_labels_of_a_class_are_wrong() -> None:
    checked = noise_matrix.Checked(right=np.array([80.0, 90.0, 40.0]), wrong=np.array([20.0, 10.0, 0.0]))
    nobody = np.zeros((0, 3)), np.zeros(0, dtype=np.int64)
    noise = noise_matrix.fit(*nobody, pseudo_rows=1e-6, checked=checked)
    np.testing.assert_allclose(np.diag(noise), [0.8, 0.9, 1.0], atol=1e-4)
    assert checked.log_likelihood(noise) > checked.log_likelihood(noise_matrix.uniform(3, 0.2))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rows_that_a_review_picked_do_not_judge_the_others(seed: int) -> None:
    """The rows that are shown first are of one class here. Taken for a sample, they said that most labels are wrong."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 2, 900)
    features = rng.normal(size=(900, 4))
    features[:, 0] += 1.5 * true
    given = np.where(rng.random(600) < 0.2, 1 - true[:600], true[:600])
    classifier = SoftmaxRegression()
    nobody = Labels(features[:600], given, features[:0], true[:0], 2)
    suspicious = np.argsort(-analyse(nobody, classifier).probability_wrong, kind="stable")
    picked = suspicious[true[suspicious] == 1][:20]
    others = np.setdiff1d(np.arange(600), picked)
    wrong = given != true[:600]
    labels = Labels(
        features[others], given[others], features[picked], true[picked], 2, picked=True, were_wrong=wrong[picked]
    )
    found = analyse(labels, classifier)
    assert 0.5 < found.wrong_rows.expected / wrong[others].sum() < 1.5
    assert found.wrong_rows.low <= wrong[others].sum() <= found.wrong_rows.high
    assert found.suspects.sum() < len(others) / 3

    def accuracy(of: Labels, name: str) -> float:
        model = fit_candidate(of, classifier, analyse(of, classifier), name, 180)
        return float((classifier.predict(model, features[600:]).argmax(1) == true[600:]).mean())

    assert accuracy(labels, "posterior") >= accuracy(nobody, "all_rows") - 0.05


def test_a_candidate_overrules_only_beyond_chance() -> None:
    rng = np.random.default_rng(0)
    ours = rng.exponential(size=200)
    assert not overrules(ours, ours + rng.normal(scale=0.5, size=200))
    assert overrules(ours, 0.5 * ours)
    assert not overrules(ours[:10], 0.5 * ours[:10])  # ten rows do not speak against it
