"""What of CUDA is on this machine, and whether Jittor can use it. Looks at files and runs nvcc; imports no Jittor.

Jittor 1.3.11 compiles its kernels with nvcc, and needs the CUDA runtime, cuBLAS and cuRAND with their headers. They may
all lie in one toolkit, or the libraries in wheels of NVIDIA: those of ``hposvc[cuda]``, or those that PyTorch brings.
:mod:`hposvc.machine.cuda_overlay` puts them together. cuDNN is not used.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hposvc.machine.causes import Cause

NEWEST = 13
INSTALL = (
    "Run: pip install 'hposvc[cuda]' (all of CUDA 13.0 that is needed, as wheels), or name the nvcc of a CUDA 12 or 13 "
    "toolkit in the variable nvcc_path."
)

# What Jittor links, and the header that goes with it.
LIBRARIES = {"cudart": "cuda_runtime.h", "cublas": "cublas_v2.h", "cublasLt": "cublasLt.h", "curand": "curand.h"}


class Obstacle(NamedTuple):
    """Something that keeps Jittor from the GPU, and how to mend it."""

    cause: Cause
    message: str
    remedy: str


@dataclass(frozen=True)
class Toolkit:
    """A CUDA compiler, the release that it names, and the folders with the headers and libraries of that release.

    The compiler's own folder comes first, then those of wheels.
    """

    nvcc: str
    release: str | None
    folders: tuple[Path, ...]

    @property
    def major(self) -> int | None:
        """13 for CUDA 13.0."""
        return None if self.release is None else int(self.release.partition(".")[0])

    def library(self, name: str) -> Path | None:
        """The file of a library such as ``cublas``, with its version in the name, where there is one."""
        return self._first(f"lib{name}.so.*")

    def archive(self, name: str) -> Path | None:
        """The file of a static library such as ``cudadevrt``, which nvcc links into what uses the device."""
        return self._first(f"lib{name}.a")

    def _first(self, pattern: str) -> Path | None:
        for folder in self.folders:
            for place in ("lib64", "lib", "targets/x86_64-linux/lib"):
                if found := sorted(folder.joinpath(place).glob(pattern), key=lambda path: len(path.name)):
                    return found[0]
        return None

    def header(self, name: str) -> Path | None:
        """A header such as ``curand.h``."""
        places = (folder / place for folder in self.folders for place in ("include", "targets/x86_64-linux/include"))
        return next((place / name for place in places if (place / name).is_file()), None)

    def obstacles(self) -> Iterator[Obstacle]:
        """Why Jittor cannot compile with it."""
        if self.major is None:
            yield Obstacle(Cause.NVCC_BROKEN, f"{self.nvcc} does not run", INSTALL)
        elif self.major > NEWEST:
            message = f"{self.nvcc} is of CUDA {self.release}, with which Jittor 1.3.11 was not tried"
            yield Obstacle(Cause.CUDA_TOO_NEW, message, INSTALL)
        if self.library("cudart") is None:
            message = f"{self.nvcc} has no CUDA runtime (libcudart) beside it"
            yield Obstacle(Cause.CUDA_RUNTIME_MISSING, message, INSTALL)
        lacking = [f"lib{name}" for name in LIBRARIES if name != "cudart" and self.library(name) is None]
        lacking += [header for header in LIBRARIES.values() if self.header(header) is None]
        if lacking:
            message = f"neither beside {self.nvcc} nor in wheels of CUDA {self.release} lie {', '.join(lacking)}"
            yield Obstacle(Cause.CUDA_LIBRARIES_MISSING, message, INSTALL)


def toolkit() -> Toolkit | None:
    """The toolkit of ``nvcc_path``, of wheels, or of the first nvcc on PATH, in this order."""
    wheels = _wheels(NEWEST)
    in_wheels = next((str(folder / "bin" / "nvcc") for folder in wheels if (folder / "bin" / "nvcc").is_file()), None)
    nvcc = os.environ.get("nvcc_path") or in_wheels or shutil.which("nvcc")
    if not nvcc:
        return None
    release = _release(nvcc)
    major = NEWEST if release is None else int(release.partition(".")[0])
    return Toolkit(nvcc, release, (_root(nvcc), *_wheels(major)))


def driver_obstacle(release: str | None = None) -> Obstacle | None:
    """Why no GPU can be reached, by the driver's own library; None where at least one can.

    ``release``: of the toolkit whose programs the driver is to run, like ``12.2``.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        message = "the NVIDIA driver (libcuda.so.1) is not installed"
        return Obstacle(Cause.GPU_DRIVER_MISSING, message, "Install it, or use HPOSVC_DEVICE=cpu.")
    count, version = ctypes.c_int(), ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
        remedy = "See whether `nvidia-smi` lists one, or use HPOSVC_DEVICE=cpu."
        return Obstacle(Cause.GPU_MISSING, "the NVIDIA driver sees no GPU", remedy)
    if driver.cuDriverGetVersion(ctypes.byref(version)) or release is None:
        return None
    newest = version.value // 1000  # 12020 is 12.2; within a major version older drivers run newer programs
    if newest < int(release.partition(".")[0]):
        message = f"the NVIDIA driver runs programs of CUDA {newest} and older, and nvcc is of CUDA {release}"
        return Obstacle(Cause.GPU_DRIVER_TOO_OLD, message, "Install a newer driver, or the toolkit of an older CUDA.")
    return None


def obstacles() -> list[Obstacle]:
    """Everything that keeps a worker with HPOSVC_DEVICE=cuda from starting here."""
    found = toolkit()
    if found is None:
        missing = [Obstacle(Cause.NVCC_MISSING, "no CUDA compiler (nvcc) was found", INSTALL)]
    else:
        missing = list(found.obstacles())
    driver = driver_obstacle(found.release if found else None)
    return [*missing, *([driver] if driver else [])]


def _release(nvcc: str) -> str | None:
    found = re.search(r"release (\d+\.\d+)", _said(nvcc, "--version"))
    return found[1] if found else None


def _root(nvcc: str) -> Path:
    """The folder of the toolkit, as nvcc says: what is on PATH may be a script that calls one elsewhere."""
    found = re.search(r"^#\$ TOP=(.+)$", _said(nvcc, "--dryrun", "-c", "nothing.cu"), re.MULTILINE)
    return Path(found[1].strip() if found else Path(nvcc).resolve().parent.parent).resolve()


def _said(*command: str) -> str:
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        return ""
    return run.stdout + run.stderr


def _wheels(major: int) -> list[Path]:
    """Where wheels of NVIDIA put this CUDA: one folder for all of 13, and a folder for each library before."""
    sites = [Path(entry, "nvidia") for entry in sys.path if entry]
    if major >= 13:
        return [site / f"cu{major}" for site in sites if (site / f"cu{major}").is_dir()]
    runtime = [folder for site in sites for folder in site.glob("cuda_runtime") if _of_major(folder, major)]
    return [folder for one in runtime for folder in (one, one.parent / "cublas", one.parent / "curand")]


def _of_major(folder: Path, major: int) -> bool:
    return any(folder.joinpath("lib").glob(f"libcudart.so.{major}*"))
