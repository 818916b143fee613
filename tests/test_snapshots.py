"""λ in short: how often it is kept, and what of it."""

import math
from itertools import pairwise

import numpy as np
import pytest

from hposvc.snapshots import BINS, EXTREMES, FEW, PROBABILITIES, Group, due, histogram, take


def name(place: int) -> dict[str, str]:
    return {"name": f"row {place}"}


def test_ten_million_iterations_leave_few_snapshots_close_together_for_their_age() -> None:
    kept = [0]
    for iteration in range(50, 10_000_001, 50):
        if due(kept[-1], iteration):
            kept.append(iteration)
    assert len(kept) < 700
    assert all(after - before <= max(50, after // 16) for before, after in pairwise(kept))
    assert sum(due(0 if n == 1 else n - 1, n) for n in range(1, 65)) == 64  # slow iterations: every one, at first


def test_many_entries_are_kept_as_quantiles_and_extremes() -> None:
    lam = np.random.default_rng(0).normal(size=1000)
    snapshot = take(7, lam, [Group("first", 400), Group("rest", 600)], "log", name)
    assert snapshot.summary["values"] is None
    for kept, part in zip(snapshot.summary["groups"], (lam[:400], lam[400:]), strict=True):
        assert kept == pytest.approx(np.quantile(part, PROBABILITIES), rel=1e-6)
    lowest = snapshot.detail["lowest"]
    assert [entry["lam"] for entry in lowest] == sorted(lam)[:EXTREMES]
    assert all(entry["name"] == f"row {entry['place']}" and lam[entry["place"]] == entry["lam"] for entry in lowest)
    assert [entry["lam"] for entry in snapshot.detail["highest"]] == sorted(lam, reverse=True)[:EXTREMES]
    for group in snapshot.detail["groups"]:
        assert sum(group["histogram"]["counts"]) == group["size"]


@pytest.mark.parametrize("size", [1, FEW, FEW + 1])
def test_few_entries_are_kept_one_by_one(size: int) -> None:
    lam = np.linspace(-1, 1, size)
    snapshot = take(0, lam, [Group("rows", size)], "logistic", name)
    if size > FEW:
        assert snapshot.summary["values"] is None
        assert snapshot.detail["names"] is None
    else:
        assert snapshot.summary["values"] == pytest.approx(lam)
        assert snapshot.detail["names"] == [f"row {place}" for place in range(size)]


def test_what_is_not_finite_is_left_out_of_histograms_and_seen_in_quantiles() -> None:
    lam = np.array([0.0, math.nan, math.inf, -2.0])
    assert sum(histogram(lam, "log")["counts"]) == 2
    assert sum(histogram(np.array([math.nan]), "log")["counts"]) == 0
    assert len(histogram(np.zeros(5), "log")["edges"]) == BINS + 1
    assert math.isnan(take(1, lam, [Group("rows", 4)], "log", name).summary["groups"][0][3])


def test_long_names_are_cut() -> None:
    snapshot = take(0, np.zeros(2), [Group("x" * 999, 2)], "log", lambda place: {"name": "y" * 999})
    assert {len(entry["name"]) for entry in snapshot.detail["lowest"]} == {200}
