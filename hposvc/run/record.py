"""What the result needs of a run so far; saved with every checkpoint."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from hposvc.bilevel import Iteration
from hposvc.machine.arithmetic import Arithmetic
from hposvc.schema import cautions


@dataclass
class RunRecord:
    """``start`` is where every λ begins, ``single`` the λ of the best single strength where strengths are tuned.

    ``per`` is the kind of λ, ``tried`` what was tried to choose it. ``first`` and ``last`` hold the losses of those
    iterations, ``path`` the test loss along the way. ``arithmetic`` is where the newest iterations were computed; None
    in checkpoints of earlier releases.
    """

    start: float
    single: float = 0.0
    per: str | None = None
    tried: list[dict[str, Any]] = field(default_factory=list)
    path: list[dict[str, float | int | None]] = field(default_factory=list)
    first: dict[str, float | None] | None = None
    last: dict[str, float | None] | None = None
    best_upper_loss: float | None = None
    seen: cautions.Seen = field(default_factory=cautions.Seen)
    arithmetic: Arithmetic | None = field(default_factory=Arithmetic.here)

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> RunRecord:
        """The record that :meth:`as_dict` gave, of this release or an earlier one. Raises TypeError, KeyError."""
        arithmetic = saved.get("arithmetic")
        return cls(
            **saved
            | {
                "seen": cautions.Seen(**saved["seen"]),
                "arithmetic": None if arithmetic is None else Arithmetic(**arithmetic),
            }
        )

    def moved_here(self) -> list[str]:
        """Note that this process goes on. Returns what its owner should know about that."""
        before, self.arithmetic = self.arithmetic, Arithmetic.here()
        unlike = None if before is None else before.unlike(self.arithmetic)
        if unlike is None:
            return []
        return [
            f"went on with {unlike}: the last digits of its numbers may differ from those of one run without a pause"
        ]

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return asdict(self)

    def note(self, iteration: Iteration) -> None:
        """Take in one more iteration."""
        self.seen = self.seen.after(iteration)
        names = ("upper_loss", "hypergradient_norm", "selection_loss")
        values = {name: getattr(iteration, name) for name in names}
        self.first, self.last = self.first or values, values
        best = self.best_upper_loss
        self.best_upper_loss = iteration.upper_loss if best is None else min(best, iteration.upper_loss)
