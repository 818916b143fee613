"""What the last digits of a sum depend on: the processor, and how many threads share the sum.

Kernels of this service add in a fixed order. oneDNN, which multiplies matrices and convolves, chooses its kernels by
the processor and divides some sums among the threads.
"""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Arithmetic:
    """Where sums are computed: the name of the processor, and the number of threads of OpenMP."""

    processor: str
    threads: int

    @classmethod
    def here(cls) -> Arithmetic:
        """That of this process."""
        return cls(processor(), _threads())

    def unlike(self, other: Arithmetic) -> str | None:
        """In what ``other`` differs from this, in words; None if in nothing."""
        found = []
        if self.threads != other.threads:
            found.append(f"{other.threads} thread{'s' * (other.threads > 1)} in the place of {self.threads}")
        if self.processor != other.processor:
            found.append(f"{other.processor} in the place of {self.processor}")
        return " and ".join(found) or None


def _threads() -> int:
    """As OpenMP counts: what OMP_NUM_THREADS says, or the processors that this process may use."""
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isdecimal() and int(first) else len(os.sched_getaffinity(0))


def processor() -> str:
    """The name of the processor where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
