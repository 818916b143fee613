"""A stand-in for CUDA on a machine without a GPU: builds it, and gives the variables of processes that use it.

Jittor's CUDA path runs on the CPU with it: its memory, its copies, its generated kernels, its calls of cuBLAS and
cuRAND. Device memory is a region that the host cannot touch, and fresh memory is NaN. Launches, copies and waits are
counted. It says nothing of speed, of races between threads, or of what depends on warps.

It needs the real nvcc and the headers of cuBLAS and cuRAND: ``make cuda`` installs the wheels of ``hposvc[cuda]``.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from hposvc.machine import cuda, cuda_overlay

SOURCES = Path(__file__).parents[1] / "cuda" / "stand_in"
ROOT = Path(__file__).parents[2]

# The wheels, the stand-in and the home of its processes; Jittor's cache in it is not the one of other tests.
FOLDER = Path(os.environ.get("HPOSVC_CUDA_TESTS", ROOT / ".peers" / "cuda")).absolute()
WHEELS = FOLDER / "wheels" / "nvidia" / "cu13"

LIBRARIES = {
    "cudart.cpp": "libcudart.so.13",
    "cublas.cpp": "libcublas.so.13",
    "curand.cpp": "libcurand.so.10",
    "cuda.cpp": "libcuda.so.1",
}


class Counts(NamedTuple):
    """What a process has asked of the device so far."""

    launches: int
    waits: int
    uploads: int
    downloads: int
    copies: int
    allocations: int
    uploaded_bytes: int
    downloaded_bytes: int
    copied_bytes: int

    @classmethod
    def now(cls) -> Counts:
        """Of this process, if it has the stand-in in its library path; zeros on a card."""
        found = (ctypes.c_long * len(cls._fields))()
        counting = getattr(ctypes.CDLL("libcudart.so.13"), "stand_in_counts", None)
        if counting is not None:
            counting(found)
        return cls(*found)

    def since(self, before: Counts) -> Counts:
        """The difference."""
        return Counts(*(a - b for a, b in zip(self, before, strict=True)))


def build() -> Path:
    """A folder like that of a CUDA toolkit, compiled anew where a source is newer."""
    folder = FOLDER / "stand-in"
    if not (WHEELS / "bin" / "nvcc").is_file():
        raise FileNotFoundError(f"no CUDA wheels in {WHEELS}: run `make cuda`")
    for name in ("bin", "lib64"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    _link(folder / "include", WHEELS / "include")
    for source, library in LIBRARIES.items():
        _compile(SOURCES / source, folder / "lib64" / library)
        _link(folder / "lib64" / f"{library.partition('.so')[0]}.so", library)
    for name in ("libcublasLt.so.13", "libcublasLt.so"):
        _link(folder / "lib64" / name, "libcublas.so.13")
    nvcc = folder / "bin" / "nvcc"
    nvcc.write_text(f"#!/bin/sh\nexec '{sys.executable}' '{SOURCES}/nvcc.py' '{folder}' '{WHEELS}/bin/nvcc' \"$@\"\n")
    nvcc.chmod(0o755)
    return folder


def _compile(source: Path, target: Path) -> None:
    if target.exists() and target.stat().st_mtime > source.stat().st_mtime:
        return
    runtime = [] if source.stem in {"cudart", "cuda"} else [f"-L{target.parent}", "-lcudart"]
    command = ["g++", "-shared", "-fPIC", "-O2", "-w", f"-I{WHEELS}/include", source, "-o", target]
    subprocess.run([*command, f"-Wl,-soname,{target.name}", *runtime], check=True)


def _link(place: Path, target: str | Path) -> None:
    if not place.is_symlink():
        place.symlink_to(target)


def variables(**others: str) -> dict[str, str]:
    """The environment of a process that takes the stand-in for CUDA, with ``others`` set."""
    return os.environ | own(**others)


def own(**others: str) -> dict[str, str]:
    """The variables of such a process that other processes do not have."""
    folder = build()
    home = FOLDER / "home"
    home.mkdir(exist_ok=True)
    mine = {
        "HOME": str(home),
        "nvcc_path": str(folder / "bin" / "nvcc"),
        "LD_LIBRARY_PATH": str(folder / "lib64"),
        "PYTHONPATH": str(ROOT),
        "HPOSVC_DEVICE": "cuda",
    }
    return mine | others


def real_overlay() -> list[str]:
    """The flags with which the real nvcc finds the headers and libraries of the wheels."""
    toolkit = cuda.Toolkit(str(WHEELS / "bin" / "nvcc"), "13.0", (WHEELS,))
    folder = cuda_overlay.laid_out(toolkit).folder
    return [f"-I{folder}/include", f"-L{folder}/lib64"]
