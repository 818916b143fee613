"""What a job needs of a worker, and what a worker offers: names that meet in a queue.

A need is ``any``, ``cpu`` or ``cuda``, with ``-large`` or ``-huge`` behind it when the job asks for memory; or the name
of an installed problem, ``package:name``. A worker offers every need that it can meet, and receives the queues of those
names.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

Device = Literal["auto", "cpu", "cuda"]
Memory = Literal["standard", "large", "huge"]

GIB = 2**30
# The least that a worker of a class has; a little below 16 and 64 GiB, because machines keep some for themselves.
CLASSES: Mapping[Memory, int] = {"standard": 0, "large": 14 * GIB, "huge": 56 * GIB}
ANY = "any"


def need(device: Device, memory: Memory) -> str:
    """The name of what a job asks for."""
    name = ANY if device == "auto" else device
    return name if memory == "standard" else f"{name}-{memory}"


def offers(memory: Mapping[str, int]) -> tuple[str, ...]:
    """What a worker offers. ``memory``: bytes by device that it computes on, ``cpu`` or ``cuda``, its own one first."""
    names = []
    for place, (device, size) in enumerate(memory.items()):
        for class_, least in CLASSES.items():
            if size >= least:
                names += [need("auto", class_)] if place == 0 else []
                names += [need("cuda" if device == "cuda" else "cpu", class_)]
    return tuple(names)


def unmet(wanted: str, offered: Collection[str]) -> str | None:
    """Why a job has to wait although workers are there; None when one of the ``offered`` names is what it needs."""
    if wanted in offered:
        return None
    if ":" in wanted:
        return f"no live worker has the problem {wanted}: the job waits for a worker that has it installed"
    device, _, memory = wanted.partition("-")
    what = {ANY: "a worker", "cpu": "a worker on the CPU", "cuda": "a worker with a GPU (HPOSVC_DEVICE=cuda)"}[device]
    size = f" with {'16' if memory == 'large' else '64'} GiB of memory" if memory else ""
    return f"no live worker offers {wanted}: the job waits for {what}{size}"
