"""One worker for each GPU of this machine, each a process that sees only its own."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hposvc.machine.gpus import Gpu
from workers.clock import clock

log = logging.getLogger(__name__)

WORKER = (sys.executable, "-P", "-m", "hposvc", "worker")
# Before a worker is started again that ended by itself: it will probably do so again.
RESTART_SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
STEADY_SECONDS = 300.0  # one that worked for so long starts anew at the first of these


@dataclass
class _Place:
    gpu: Gpu
    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    failures: int = 0
    not_before: float = 0.0


class WorkerPerGpu:
    """Starts a worker for each GPU, passes signals on to them, and starts one again that crashes."""

    def __init__(self, gpus: Sequence[Gpu], *, metrics_port: int | None = None) -> None:
        """``metrics_port``: that of the first worker; each takes the next one, or a free one for 0."""
        self._asked: int | None = None
        self._places = [_Place(gpu, self._environment(gpu, place, metrics_port)) for place, gpu in enumerate(gpus)]

    @staticmethod
    def _environment(gpu: Gpu, place: int, metrics_port: int | None) -> dict[str, str]:
        variables = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": gpu.id, "HPOSVC_DEVICE": "cuda"}
        if metrics_port is not None:
            variables["HPOSVC_METRICS_PORT"] = str(metrics_port + place if metrics_port else 0)
        return variables

    def run(self) -> None:
        """Until every worker has ended: because they were asked to, or because they were drained."""
        before = {
            number: signal.signal(number, self._pass_on) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
        }
        try:
            while self._places:
                for place in list(self._places):
                    self._tend(place)
                time.sleep(0.1)
        finally:
            for place in self._places:
                if place.process is not None and place.process.poll() is None:
                    place.process.kill()
                    place.process.wait()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _tend(self, place: _Place) -> None:
        if place.process is None:
            if self._asked is not None:
                self._places.remove(place)
            elif clock() >= place.not_before:
                place.started_at = clock()
                place.process = subprocess.Popen(
                    WORKER, env=os.environ | place.environment, start_new_session=True
                )  # a session of its own: Ctrl-C reaches this process alone, which passes it on
                log.info("the worker of GPU %s is process %d", place.gpu.id, place.process.pid)
            return
        status = place.process.poll()
        if status is None:
            return
        place.process = None
        if status == 0 or self._asked is not None:
            self._places.remove(place)
            return
        if clock() - place.started_at > STEADY_SECONDS:
            place.failures = 0
        pause = RESTART_SECONDS[min(place.failures, len(RESTART_SECONDS) - 1)]
        place.failures += 1
        place.not_before = clock() + pause
        log.error("the worker of GPU %s ended with status %d; it starts again in %g s", place.gpu.id, status, pause)

    def _pass_on(self, number: int, _: object) -> None:
        self._asked = number
        for place in self._places:
            if place.process is not None and place.process.poll() is None:
                place.process.send_signal(number)
