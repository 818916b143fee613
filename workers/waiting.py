"""A runner that waits to be judged, because its job is a trial of a search that stops poor ones."""

from __future__ import annotations

from collections.abc import Callable

from hposvc.experiments.looks import Looks, Verdict
from workers.clock import clock


class Waiting:
    """Whether the runner waits, since when, and what became of its trial."""

    def __init__(self, find: Callable[[], Looks | None], patience: float) -> None:
        """``find()`` returns the looks at the trial, if the job is one; ``patience``: seconds until the runner goes on
        without having been judged.
        """
        self._find = find
        self._patience = patience
        self._looks: Looks | None = None
        self._iteration = 0
        self._since: float | None = None

    def find(self) -> list[int]:
        """The iterations after which the runner is to wait."""
        self._looks = self._find()
        return [] if self._looks is None else list(self._looks.iterations)

    def begin(self, iteration: int) -> None:
        """The runner waits, and everything up to ``iteration`` is recorded."""
        self._iteration, self._since = iteration, clock()

    def verdict(self) -> Verdict | None:
        """None unless it waits; ``goes_on`` ends the wait."""
        if self._since is None or self._looks is None:
            return None
        said = self._looks.verdict(self._iteration)
        if clock() - self._since > self._patience:
            said = "goes_on"
        if said == "goes_on":
            self._since = None
        return said
