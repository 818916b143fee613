"""What a confined process is given, and what becomes of one that takes too much."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any


def respond(command: str) -> dict[str, Any]:
    """The environment and the bound on memory; or whatever ``command`` asks for."""
    if command == "die":
        os.abort()
    if command == "grow":
        bytearray(2**33)
    if command == "linger":
        os.read(os.pipe()[0], 1)
    if command == "print":
        print("something that is no answer", flush=True)
    return {
        "variables": dict(os.environ),
        "memory": resource.getrlimit(resource.RLIMIT_AS)[0],
        "files": sorted(int(path.name) for path in Path("/proc/self/fd").iterdir()),
        "pid": os.getpid(),
        "parent": os.getppid(),
    }
