"""What of CUDA is on this machine, and whether Jittor can use it. Looks at files and runs nvcc; imports no Jittor.

Jittor 1.3.11 compiles its kernels with nvcc. It does not compile with CUDA 13, whose ``cudaDeviceProp`` lacks fields
that it reads, nor import with cuDNN 9. CUDA 12.2 with cuDNN 8 is what its authors use.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from hposvc.machine.causes import Cause

NEWEST = 12
NEWEST_CUDNN = 8
INSTALL = "Install the CUDA 12.2 toolkit with cuDNN 8, or name the nvcc of one in the variable nvcc_path."


class Obstacle(NamedTuple):
    """Something that keeps Jittor from the GPU, and how to mend it."""

    cause: Cause
    message: str
    remedy: str


@dataclass(frozen=True)
class Toolkit:
    """A CUDA toolkit: its compiler, the release that the compiler names, and what lies beside it."""

    nvcc: str
    release: str | None
    runtime: bool
    cudnn: int | None

    def obstacles(self) -> Iterator[Obstacle]:
        """Why Jittor cannot compile with it."""
        if self.release is None:
            yield Obstacle(Cause.NVCC_BROKEN, f"{self.nvcc} does not run", INSTALL)
        elif int(self.release.partition(".")[0]) > NEWEST:
            message = f"{self.nvcc} is of CUDA {self.release}, which Jittor 1.3.11 does not compile with"
            yield Obstacle(Cause.CUDA_TOO_NEW, message, INSTALL)
        if not self.runtime:
            message = f"{self.nvcc} has no CUDA runtime (libcudart) beside it"
            yield Obstacle(Cause.CUDA_RUNTIME_MISSING, message, INSTALL)
        if self.cudnn is not None and self.cudnn > NEWEST_CUDNN:
            message = f"cuDNN {self.cudnn} lies beside {self.nvcc}; Jittor 1.3.11 needs cuDNN 8"
            yield Obstacle(Cause.CUDNN_TOO_NEW, message, INSTALL)


def toolkit() -> Toolkit | None:
    """The toolkit of ``nvcc_path`` or of the first nvcc on PATH."""
    nvcc = os.environ.get("nvcc_path") or shutil.which("nvcc")
    if not nvcc:
        return None
    root = Path(nvcc).resolve().parent.parent
    libraries = [*root.glob("lib*/libcudart*"), *root.glob("targets/*/lib/libcudart*")]
    return Toolkit(nvcc, _release(nvcc), bool(libraries), _cudnn(root))


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
    try:
        said = subprocess.run([nvcc, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"release (\d+\.\d+)", said)
    return found[1] if found else None


def _cudnn(root: Path) -> int | None:
    for header in (root / "include" / "cudnn_version.h", Path("/usr/include/cudnn_version.h")):
        if header.is_file():
            found = re.search(r"#define\s+CUDNN_MAJOR\s+(\d+)", header.read_text(errors="replace"))
            return int(found[1]) if found else None
    return None
