"""The real runner with a problem so small that it needs no Jittor: what it computes is a few multiplications.

The name of the job says how it behaves, as words: ``slow=0.01`` seconds an iteration, ``crash=30``, ``hang=30``,
``garbage=30``, ``flood=30``, ``oversize=30``, ``exit=30``, ``memory=30``, ``diverge=30``, ``deaf`` and so on, where
the number is the iteration at which it happens; ``once`` makes it happen on the first attempt only.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from hposvc import snapshots
from hposvc.schema.spec import JobSpec
from workers import runner


class TinyDiverged(Exception):
    def __init__(self, iteration: int) -> None:
        super().__init__(f"the upper loss is not finite at iteration {iteration}")
        self.iteration = iteration


@dataclass(frozen=True)
class TinyIteration:
    iteration: int
    upper_loss: float
    hypergradient_norm: float
    lower_loss: float
    upper_score: float | None
    fd_relative_error: float | None
    seconds: float
    selection_loss: float | None


@dataclass(frozen=True)
class TinyOutcome:
    result: dict[str, Any]
    artifacts: dict[str, bytes]


def step(lam: float, iteration: int) -> float:
    """A map whose numbers give away any iteration that was skipped, repeated or resumed from the wrong place."""
    return 3.9 * lam * (1 - lam) if iteration % 2 else 1 - 0.7 * lam


def expected(spec: JobSpec) -> list[float]:
    """The upper losses of an uninterrupted run."""
    lam, losses = 0.3 + spec.solver.seed / 1000, []
    for iteration in range(1, spec.stop.iterations + 1):
        lam = step(lam, iteration)
        losses.append(lam)
    return losses


class TinyRun:
    problem_version = None

    def __init__(self, spec: JobSpec, checkpoint: bytes | None = None) -> None:
        self.spec = spec
        self.resumed = checkpoint is not None
        state = json.loads(checkpoint) if checkpoint else {"iteration": 0, "lam": 0.3 + spec.solver.seed / 1000}
        self.iteration: int = state["iteration"]
        self.lam: float = state["lam"]
        self.ended: bool = state.get("ended", False)
        words = [word.partition("=") for word in (spec.name or "").split()]
        self.behaviour = {name: float(value or 0) for name, _, value in words}
        self.notes = ["went on elsewhere"] if self.resumed and "moved" in self.behaviour else []
        if "deaf" in self.behaviour:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)

    def iterations(self, ends: Collection[int] = ()) -> Iterator[list[TinyIteration]]:
        batch: list[TinyIteration] = []
        while self.iteration < self.spec.stop.iterations and not self.ended:
            self.iteration += 1
            self.lam = step(self.lam, self.iteration)
            time.sleep(self.behaviour.get("slow", 0.0))
            self._misbehave()
            loss = math.nan if self._now("diverge") else self.lam
            norm = math.inf if self._now("diverge") else abs(self.lam - 0.5)
            batch.append(TinyIteration(self.iteration, loss, norm, -self.lam, None, None, 0.001, self.lam))
            if len(batch) == 5 or "slow" in self.behaviour or self._now("diverge") or self.iteration in ends:
                yield batch
                batch = []
            if self._now("diverge"):
                raise TinyDiverged(self.iteration)
        if batch:
            yield batch

    def end(self) -> None:
        self.ended = True

    def checkpoint(self) -> bytes:
        return json.dumps({"iteration": self.iteration, "lam": self.lam, "ended": self.ended}).encode()

    def snapshot(self) -> snapshots.Snapshot:
        group, lam = snapshots.Group("rows", 2), np.array([self.lam, float(self.iteration)])
        return snapshots.take(self.iteration, lam, [group], "logistic", lambda index: {"name": str(index)})

    def finish(self) -> TinyOutcome:
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        result = {"iterations": self.iteration, "lam": self.lam, "gap": math.nan}
        return TinyOutcome(result, {"report.json": json.dumps({"lam": self.lam}).encode()})

    def _now(self, name: str) -> bool:
        return self.behaviour.get(name) == self.iteration and not ("once" in self.behaviour and self.resumed)

    def _misbehave(self) -> None:  # noqa: C901, PLR0912 - a list of misdeeds
        out = int(os.environ["HPOSVC_RUNNER_FD"])
        if self._now("environment"):
            names = json.dumps({"type": "note", "level": "info", "message": " ".join(sorted(os.environ))}).encode()
            os.write(out, len(names).to_bytes(4, "big") + names)
        if self._now("crash"):
            print("about to crash", flush=True)
            os.kill(os.getpid(), signal.SIGSEGV)
        if self._now("killed"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self._now("exit"):
            sys.stderr.write("something is wrong\n")
            sys.stderr.flush()
            os._exit(3)
        if self._now("memory"):
            raise MemoryError("cannot allocate 12 GiB")
        if self._now("fault"):
            raise RuntimeError("an unforeseen fault")
        if self._now("hang"):
            os.kill(os.getpid(), signal.SIGSTOP)
        if self._now("sleep"):
            time.sleep(3600)
        if self._now("helper") and os.fork() == 0:
            time.sleep(3600)
        if self._now("full"):  # no file may hold a byte any more
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        if self._now("garbage"):
            os.write(out, b"\x00\x00\x00\x05nonse")
        if self._now("oversize"):
            os.write(out, b"\xff\xff\xff\xffmore")
        if self._now("gap"):
            self.iteration += 1
        if self._now("chatter"):
            for _ in range(100_000):
                print("x" * 1000)
        if self._now("greed"):
            self.hoard = b"x" * 2**29
            time.sleep(3600)
        if self._now("phases"):
            phase = json.dumps({"type": "phase", "phase": "again"}).encode()
            while True:
                os.write(out, len(phase).to_bytes(4, "big") + phase)
        if self._now("twice"):
            started = json.dumps({"type": "started", "resumed_from": None}).encode()
            os.write(out, len(started).to_bytes(4, "big") + started)
        if self._now("flood"):
            note = json.dumps({"type": "note", "level": "info", "message": "again"}).encode()
            while True:
                os.write(out, len(note).to_bytes(4, "big") + note)


def explain(error: Exception) -> dict[str, Any]:
    if isinstance(error, TinyDiverged):
        return {"reason": "diverged", "message": str(error), "remedy": "Lower it.", "iteration": error.iteration}
    return runner.explain(error)


if __name__ == "__main__":
    runner.serve(lambda: (TinyRun, "cpu"), explain)
