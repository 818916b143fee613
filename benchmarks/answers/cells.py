"""The cells of the tables: what is varied, one thing at a time around a usual case."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

Trusted = Literal["unknown", "10 rows", "1 %", "5 %", "20 %"]
TRUSTED: tuple[Trusted, ...] = ("unknown", "10 rows", "1 %", "5 %", "20 %")
RATES = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6)
KINDS = ("uniform", "pair", "boundary", "annotator")
TEST = 0.3  # share of the rows that only score, whose labels are right


@dataclass(frozen=True)
class Cell:
    """One question about labels: a table with ``rate`` of its labels wrong, and what is known of them."""

    table: str
    seed: int
    noise: str = "uniform"
    rate: float = 0.2
    trusted: Trusted = "5 %"
    model: Literal["linear", "mlp"] = "linear"

    def trusted_rows(self, rows: int) -> int:
        """How many of ``rows`` rows are known to be right; a job needs at least four."""
        shares = {"1 %": 0.01, "5 %": 0.05, "20 %": 0.2}
        return {"unknown": 0, "10 rows": 10}.get(self.trusted, max(4, round(shares.get(self.trusted, 0) * rows)))


@dataclass(frozen=True)
class StrengthCell:
    """One question about strengths: a table, with or without columns of noise."""

    table: str
    seed: int
    noise_columns: int


def of_labels(tables: Sequence[str], seeds: int) -> Iterator[Cell]:
    """By noise rate and kind with 5 % trusted rows and with none known, by trusted share, and by model."""
    for seed in range(seeds):
        for table in tables:
            usual = Cell(table, seed)
            yield from dict.fromkeys(
                [
                    *(replace(usual, rate=rate) for rate in RATES),
                    *(replace(usual, noise=noise, rate=0.2) for noise in KINDS),
                    *(replace(usual, trusted=trusted) for trusted in TRUSTED),
                    *(replace(usual, trusted="unknown", rate=rate) for rate in (0.0, 0.1, 0.4)),
                    *(replace(usual, trusted="unknown", noise=noise, rate=0.2) for noise in KINDS),
                    *(replace(usual, model="mlp", trusted=trusted) for trusted in ("unknown", "5 %")),
                ]
            )


def of_strengths(tables: Sequence[str], seeds: int) -> Iterator[StrengthCell]:
    """With a hundred columns of noise, and without."""
    for seed in range(seeds):
        for table in tables:
            yield StrengthCell(table, seed, 0)
            yield StrengthCell(table, seed, 100)
