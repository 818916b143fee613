"""One worker process, from its settings to its end."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from functools import partial

from hposvc.db import migrate
from hposvc.db.engine import unreachable_is_fault
from hposvc.machine import gpus
from hposvc.machine.memory import main_memory
from hposvc.machine.warmup import WarmupProgress, is_warm, warm_up
from hposvc.schema.capabilities import offers as offers_of
from hposvc.settings import Settings
from hposvc.storage.store import Store
from workers.problems import described
from workers.supervisor import Supervisor
from workers.timing import Timing

RUNNER = (sys.executable, "-P", "-m", "workers.runner")  # -P: no folder of the user's stands in for a package


def main(settings: Settings) -> None:
    """Run a worker until SIGTERM or SIGINT. Raises Fault when it cannot start."""
    with unreachable_is_fault():
        migrate.check(settings.database_url)
    supervisor = Supervisor(
        settings.database_url,
        Store(settings.store_url),
        settings.data_dir / "work",
        runner=(*RUNNER, settings.device),
        timing=Timing(lease=settings.lease_seconds),
        memory_limit=None if settings.memory_limit_gib is None else settings.memory_limit_gib * 2**30,
        offers=capabilities(settings),
        metrics_address=None if settings.metrics_port is None else (settings.metrics_host, settings.metrics_port),
        retention=None if settings.retention_days is None else settings.retention_days * 86400,
        running_jobs=settings.quota_running_jobs,
        describe_problems=described,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    signal.signal(signal.SIGUSR1, lambda *_: supervisor.drain())
    supervisor.run(partial(prepare, device=settings.device))


def capabilities(settings: Settings) -> tuple[str, ...]:
    """What a worker with these settings offers on this machine."""
    sizes: dict[str, int] = {}
    for device in settings.offers:
        sizes[device] = max((gpu.memory for gpu in gpus.visible()), default=0) if device == "cuda" else main_memory()
    return offers_of(sizes)


def prepare(show: Callable[[str], None], *, device: str) -> None:
    """Compile Jittor, if this machine has not done so. Raises Fault."""

    def progress(step: WarmupProgress) -> None:
        show(f"{step.message} ({step.done} of {step.total})")

    if not is_warm(device):
        show("preparing Jittor, which takes some minutes on the first start")
        warm_up(progress, device)
