"""The simulated reviewer of the benchmark runs on the code as it is now, and never makes labels worse."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.answers.cells import Cell
from benchmarks.review.simulated import arrays_of, reviewed


def test_a_simulated_reviewer_leaves_fewer_wrong_rows_each_round(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    x = draw.normal(size=(150, 2))
    lines = (f"{a:.3f},{b:.3f},{'up' if a > 0 else 'down'}\n" for a, b in x)
    file = tmp_path / "small.csv"
    file.write_text("a,b,label\n" + "".join(lines))
    arrays = arrays_of(file, Cell("small", 0, "uniform", 0.2, "unknown"), rounds=1, rows=10)
    assert len(arrays["x"]) == len(arrays["given"]) > 100
    (before, _), (after, accuracy) = reviewed(arrays)
    assert before == (arrays["given"] != arrays["truth"]).sum() > 0
    assert before - 10 <= after <= before - 5
    assert accuracy > 0.8
