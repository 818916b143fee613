"""``hposvc doctor``: what keeps the service from running on this machine, and how to mend it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec

from hposvc.machine.causes import Cause
from hposvc.operate.doctor import cuda, machine, service
from hposvc.operate.doctor.findings import Finding, fault, table
from hposvc.settings import Settings

__all__ = ["Finding", "examine", "table"]


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything, one finding each; changes nothing on the machine."""
    of_workers: list[tuple[str, Callable[[], Finding]]] = [
        ("compiler", machine.compiler),
        ("Python's headers", machine.python_headers),
        ("python-config", machine.python_config),
        ("oneDNN", machine.onednn),
        ("CUDA", partial(cuda.gpu, settings)),
        ("Jittor", partial(machine.compiled_jittor, settings)),
    ]
    looks: list[tuple[str, Callable[[], Finding]]] = [
        ("Python", machine.python_version),
        *(of_workers if find_spec("jittor") else [("Jittor", machine.no_worker)]),
        ("data directory", partial(service.data_directory, settings)),
        ("database", partial(service.database, settings)),
        ("clock", partial(service.clocks, settings)),
        ("store", partial(service.store, settings)),
        ("port", partial(service.port, settings)),
    ]
    reachable = True
    for name, look in looks:
        if name == "clock" and not reachable:
            continue
        try:
            finding = look()
        except Exception as error:  # noqa: BLE001 - one look that fails must not hide what the others see
            remedy = "This is a fault of doctor's own; the other lines are right. Report it."
            message = f"could not be looked at: {type(error).__name__}: {error}"
            finding = fault(name, Cause.EXAMINATION_FAILED, message, remedy)
        if name == "database":
            reachable = finding.status == "good"
        yield finding
