"""The right to work on a job: renewed on a thread of its own, and given up in time when it cannot be.

Another worker may take the job as soon as the lease has run out by the database's clock. So this side stops earlier,
at two thirds of it, by its own clock: a runner never works on a job that somebody else may hold. The watch for that
moment is a second thread, because the first one may hang in the database.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import sqlalchemy as sa

from hposvc.jobs.attempt import Asked, Attempt, Fenced
from hposvc.schema.states import State
from workers.clock import clock

log = logging.getLogger(__name__)

SAFE = 2 / 3  # of the lease
RENEW = 1 / 3


class Lease:
    """The lease of one attempt. ``on_lost`` is called once, on another thread, when it is given up."""

    def __init__(
        self, attempt: Attempt, *, seconds: float, claimed_at: float, poll: float, on_lost: Callable[[], None]
    ) -> None:
        """``claimed_at``: the time by ``clock`` just before the claim; ``poll``: how often to look for requests."""
        self.asked = Asked(State.STARTING, finish_early=False)
        self.lost = threading.Event()
        self._attempt = attempt
        self._seconds = seconds
        self._poll = poll
        self._on_lost = on_lost
        self._renewed_at = claimed_at
        self._ended = threading.Event()
        threading.Thread(target=self._renew, name="lease", daemon=True).start()
        threading.Thread(target=self._watch, name="lease-watch", daemon=True).start()

    def look(self) -> None:
        """Look now what people ask. Raises Fenced."""
        self.asked = self._attempt.asked()

    def end(self) -> None:
        """Stop renewing, because the attempt is over."""
        self._ended.set()

    def assert_held(self) -> None:
        """Raise Fenced if the lease was lost."""
        if self.lost.is_set():
            raise Fenced(f"the lease on job {self._attempt.job_id} is lost")

    def _renew(self) -> None:
        while not self._ended.wait(self._poll) and not self.lost.is_set():
            before = clock()
            try:
                if before >= self._renewed_at + self._seconds * RENEW:
                    self.asked = self._attempt.renew(self._seconds)
                    self._renewed_at = before
                else:
                    self.asked = self._attempt.asked()
            except Fenced as fenced:
                if not self._ended.is_set():
                    self._give_up(str(fenced))
            except sa.exc.SQLAlchemyError as error:
                log.warning("job %s: the lease could not be renewed: %s", self._attempt.job_id, error)

    def _watch(self) -> None:
        while (rest := self._renewed_at + self._seconds * SAFE - clock()) > 0:
            # in small steps: a wait does not count the time in which the process was stopped
            if self._ended.wait(min(rest, 0.5)) or self.lost.is_set():
                return
        self._give_up(f"the lease on job {self._attempt.job_id} could not be renewed in time")

    def _give_up(self, why: str) -> None:
        if not self.lost.is_set():
            self.lost.set()
            log.warning("%s: ending its runner", why)
            self._on_lost()
