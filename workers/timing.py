"""How long a worker waits for what."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """How long the supervisor waits for what, in seconds."""

    lease: float = 60.0
    # With the second until the request is seen, and the last writes, the device is free within 15.
    ask: float = 8.0  # after a request to stop, until SIGTERM
    terminate: float = 4.0  # after SIGTERM, until SIGKILL
    drain: float = 20.0  # for the runner to hand over when the worker ends
    hang: float = 300.0  # without a heartbeat; the compiler can keep the runner's interpreter busy for long
    silence: float = 900.0  # with heartbeats, but without anything done: own problems may loop for ever
    start: float = 120.0  # for a runner to get ready, once Jittor is compiled
    judge: float = 5.0  # for the verdict on a trial; there is none while no API runs
    heartbeat: float = 5.0  # of the worker

    @property
    def poll(self) -> float:
        """How often to look what people ask of the running job."""
        return min(1.0, self.lease / 10)

    @property
    def sweep(self) -> float:
        """How often to look for abandoned jobs."""
        return self.lease / 4
