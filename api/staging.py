"""Files on their way in: a tenant has so many bytes of them on this machine at a time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from api.http.problem_details import HTTPProblem


class Staging:
    """Counts, in one event loop, the bytes of files that are being received or read, by tenant."""

    def __init__(self, most: int) -> None:
        """``most`` bytes of one tenant."""
        self._most = most
        self._bytes: Counter[str] = Counter()

    @contextmanager
    def file(self, tenant: str) -> Iterator[Callable[[int], None]]:
        """Gives what takes the size of each piece that comes, before it is written. Raises HTTPProblem: too many."""
        mine = 0

        def take(size: int) -> None:
            nonlocal mine
            if self._bytes[tenant] + size > self._most:
                detail = f"Uploads of yours that are under way have {self._most:,} bytes, which is the most."
                raise HTTPProblem("too-many-requests", detail, headers={"Retry-After": "10", "Connection": "close"})
            mine += size
            self._bytes[tenant] += size

        try:
            yield take
        finally:
            self._bytes[tenant] -= mine
            self._bytes = +self._bytes  # forgets who has nothing here
