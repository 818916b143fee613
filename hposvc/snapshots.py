"""λ at one iteration, small enough to be kept: quantiles by group, a histogram, the extremes; all values where few.

What is kept of a job stays bounded: the stretch between two snapshots doubles with every doubling of the iteration, so
ten million iterations leave less than 700 of them, and the newest alone carries its ``detail``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scale = Literal["logistic", "log", "linear"]

PROBABILITIES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
BINS = 32
FEW = 32  # entries of λ that are kept one by one
EXTREMES = 50
PER_DOUBLING = 5  # 2⁵ snapshots from one power of two to the next
LONGEST_NAME = 200
IN_CHECKPOINT = "hyperparameters"  # the tensor of a checkpoint file with all of λ: bytes of Parquet, a row per entry


@dataclass(frozen=True)
class Snapshot:
    """λ after ``iteration``, ready for JSON.

    ``summary``: ``groups``, the PROBABILITIES quantiles of λ of each group; ``values``, all of λ where it is short.
    ``detail``: ``scale``; ``groups`` with name, size, histogram; ``names`` where there are values; the ``lowest`` and
    ``highest`` entries, each with its ``place`` in λ, its name and whatever else is known about it.
    """

    iteration: int
    summary: dict[str, Any]
    detail: dict[str, Any]


@dataclass(frozen=True)
class Group:
    """Consecutive entries of λ that belong together."""

    name: str
    size: int


def due(previous: int, iteration: int) -> bool:
    """Whether another snapshot is wanted at ``iteration``, after one at ``previous``."""
    length = stretch(iteration)
    return iteration // length > previous // length


def stretch(iteration: int) -> int:
    """How far apart snapshots are around ``iteration``."""
    return 1 << max(0, iteration.bit_length() - 1 - PER_DOUBLING)


def take(
    iteration: int, lam: Floats, groups: Sequence[Group], scale: Scale, describe: Callable[[int], dict[str, Any]]
) -> Snapshot:
    """The snapshot of ``lam`` (n,), whose entries ``describe`` names: at least by ``name``."""
    parts = split(lam, groups)
    named = [_short(describe(index)) for index in range(len(lam))] if len(lam) <= FEW else None
    order = np.argsort(lam, kind="stable")
    lowest, highest = order[:EXTREMES], order[::-1][:EXTREMES]

    def listed(indices: NDArray[np.int64]) -> list[dict[str, Any]]:
        return [_short(describe(int(place))) | {"place": int(place), "lam": float(lam[place])} for place in indices]

    return Snapshot(
        iteration,
        {
            "groups": [quantiles(part) for part in parts],
            "values": None if named is None else [_rounded(value) for value in lam],
        },
        {
            "scale": scale,
            "groups": [
                {"name": group.name[:LONGEST_NAME], "size": group.size, "histogram": histogram(part, scale)}
                for group, part in zip(groups, parts, strict=True)
            ],
            "names": None if named is None else [entry["name"] for entry in named],
            "lowest": listed(lowest),
            "highest": listed(highest),
        },
    )


def split(lam: Floats, groups: Sequence[Group]) -> list[Floats]:
    """``lam`` by group."""
    return np.split(lam, np.cumsum([group.size for group in groups])[:-1])


def quantiles(lam: Floats) -> list[float]:
    """λ at PROBABILITIES; NaN where λ has one."""
    with np.errstate(invalid="ignore"):  # between two infinite values
        return [_rounded(value) for value in np.quantile(lam, PROBABILITIES)]


def histogram(lam: Floats, scale: Scale) -> dict[str, Any]:
    """``edges`` (BINS + 1) and ``counts`` (BINS), without entries that are not finite.

    Weights are counted from 0 to 1; strengths between powers of e, from the weakest to the strongest; λ that means
    nothing else from the lowest to the highest.
    """
    finite = lam[np.isfinite(lam)]
    if scale == "logistic":
        counts, edges = np.histogram(values(finite, scale), BINS, (0.0, 1.0))
    else:
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
        if high - low < 1e-9:
            low, high = low - 0.5, high + 0.5
        counts, edges = np.histogram(finite, BINS, (low, high))
        edges = np.exp(edges) if scale == "log" else edges
    return {"edges": [_rounded(edge) for edge in edges], "counts": counts.tolist()}


def values(lam: Floats, scale: Scale) -> Floats:
    """What λ means: weights σ(λ) of rows, strengths e^λ of penalties, or λ itself."""
    if scale == "linear":
        return lam
    found: Floats = 0.5 * (1 + np.tanh(lam / 2)) if scale == "logistic" else np.exp(lam)
    return found


def _rounded(value: float) -> float:
    return float(f"{value:.7g}")


def _short(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value[:LONGEST_NAME] if isinstance(value, str) else value for name, value in entry.items()}
