"""A CSV file of made-up reviews of products: texts that no two rows share, whose words tell the label."""

from __future__ import annotations

import csv
import io

import numpy as np

GOOD = ("love", "great", "perfect", "sturdy", "excellent", "recommend", "happy", "quick")
BAD = ("broken", "refund", "terrible", "useless", "cheap", "disappointed", "slow", "waste")
OTHERS = (
    *("the", "a", "this", "that", "it", "was", "is", "for", "my", "after", "two", "days", "weeks", "kitchen", "garden"),
    *("phone", "lamp", "chair", "bag", "battery", "colour", "size", "box", "price", "seller", "arrived", "bought"),
    *("looks", "feels", "works", "with", "and", "but", "very", "also", "again", "really", "morning", "daughter"),
)
LABELS = ("bad", "good")


def reviews_csv(rows: int = 240, *, seed: int = 0, missing: int = 0, wrong: tuple[int, ...] = ()) -> bytes:
    """Reviews with an id, stars that say little, and the label ``opinion``; a text of every row after ``missing``.

    The labels of the rows ``wrong`` are swapped.
    """
    rng = np.random.default_rng(seed)
    out = io.StringIO()
    lines = csv.writer(out)
    lines.writerow(["id", "review", "stars", "opinion"])
    for row in range(rows):
        good = row % 2
        words = [*rng.choice(OTHERS, rng.integers(8, 20)), *rng.choice((BAD, GOOD)[good], 3)]
        text = " ".join(rng.permutation(words)).capitalize() + "."
        label = LABELS[good != (row in wrong)]
        lines.writerow([f"r{row}", "" if row < missing else text, rng.integers(1, 6), label])
    return out.getvalue().encode()
