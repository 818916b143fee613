"""The NVIDIA GPUs of this machine, found by ``nvidia-smi`` or the driver's own library; imports no Jittor."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from dataclasses import dataclass, replace

MIB = 2**20


@dataclass(frozen=True)
class Gpu:
    """One GPU: its number, the name that CUDA_VISIBLE_DEVICES takes, and its memory in bytes."""

    index: int
    id: str
    memory: int


def visible() -> list[Gpu]:
    """The GPUs that this process may use: those of CUDA_VISIBLE_DEVICES where it is set, otherwise all."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = None if allowed is None else [name.strip() for name in allowed.split(",") if name.strip()]
    found = _by_nvidia_smi()
    if not found:  # the driver obeys the variable by itself, and counts from 0 within it
        return [replace(gpu, id=names[gpu.index]) if names else gpu for gpu in _by_driver()]
    if names is None:
        return found
    return [gpu for name in names for gpu in found if name == str(gpu.index) or gpu.id.startswith(name)]


def choose(wanted: str) -> list[Gpu]:
    """The GPUs that ``wanted`` names: ``all``, or numbers as in ``0,2``. Raises ValueError."""
    found = visible()
    if wanted == "all":
        return found
    by_index = {str(gpu.index): gpu for gpu in found}
    names = [name.strip() for name in wanted.split(",")]
    missing = [name for name in names if name not in by_index]
    if missing:
        there = ", ".join(by_index) or "none"
        raise ValueError(f"there is no GPU {', '.join(missing)} here; there are: {there}")
    return [by_index[name] for name in dict.fromkeys(names)]


def _by_nvidia_smi() -> list[Gpu]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=index,uuid,memory.total", "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[cell.strip() for cell in line.split(",")] for line in said.splitlines() if line.strip()]
    return [
        Gpu(int(index), uuid, int(size) * MIB if size.isdigit() else 0)
        for index, uuid, size in (row for row in rows if len(row) == 3)
        if index.isdigit()
    ]


def _by_driver() -> list[Gpu]:
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return []
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return []
    found = []
    for index in range(count.value):
        device, size = ctypes.c_int(), ctypes.c_size_t()
        if driver.cuDeviceGet(ctypes.byref(device), index):
            continue
        driver.cuDeviceTotalMem_v2(ctypes.byref(size), device)
        found.append(Gpu(index, str(index), size.value))
    return found
