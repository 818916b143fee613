"""How often something may happen: token buckets in the memory of this process."""

from __future__ import annotations

import time


class TokenBuckets:
    """One bucket per name. A full bucket holds ``burst`` tokens, and ``rate`` of them come back each second."""

    def __init__(self) -> None:
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens at the time of the last taking

    def take(self, name: str, rate: float, burst: float) -> float:
        """Take one token; 0, or the seconds until there is one."""
        now = time.monotonic()
        if len(self._buckets) > 10_000:  # there may be many addresses; most of the buckets are full again
            self._buckets = {key: (left, at) for key, (left, at) in self._buckets.items() if now - at < 60}
        left, at = self._buckets.get(name, (burst, now))
        left = min(burst, left + (now - at) * rate)
        if left < 1:
            return (1 - left) / rate
        self._buckets[name] = (left - 1, now)
        return 0.0
