"""What people ask of a job, passed on to its runner, and pressed where the runner does not follow."""

from __future__ import annotations

from hposvc.jobs.attempt import Asked
from hposvc.schema.states import State
from workers.child import Child
from workers.clock import clock
from workers.timing import Timing


class Requests:
    """What the runner of one attempt was asked: ``stop``, ``pause`` or ``finish``; None as long as nothing was."""

    def __init__(self, timing: Timing, deadline: float) -> None:
        """``deadline``: when the job is to end, by ``clock``."""
        self.asked: str | None = None
        self._asked_at = 0.0
        self._timing = timing
        self._deadline = deadline
        self.escalated = False  # the runner was told to end, and not only the job

    @property
    def overdue(self) -> bool:
        """Whether the job is beyond its time limit."""
        return clock() > self._deadline

    def pass_on(self, child: Child, asked: Asked, *, draining: bool) -> None:
        """Ask the runner what ``asked`` says of the job, or to hand it back where its worker is ``draining``."""
        wish = _wish(asked, draining=draining, overdue=self.overdue)
        if wish is None:
            return
        now = clock()
        if wish != self.asked:
            child.send({"command": wish})
            self.asked, self._asked_at = wish, now
        waited = now - self._asked_at
        pressing = wish == "stop" or self.overdue
        if pressing and waited > self._timing.ask and not self.escalated:
            child.terminate()
            self.escalated = True
        if (pressing and waited > self._timing.ask + self._timing.terminate) or (
            draining and waited > self._timing.drain
        ):
            child.kill()


def _wish(asked: Asked, *, draining: bool, overdue: bool) -> str | None:
    if asked.state is State.CANCELLING:
        return "stop"
    if draining or overdue or asked.state is State.PAUSING:
        return "pause"
    return "finish" if asked.finish_early else None
