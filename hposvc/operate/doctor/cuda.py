"""Whether a worker with HPOSVC_DEVICE=cuda can start: a kernel compiled with what is there, then driver and GPU."""

from __future__ import annotations

import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from hposvc.machine import cuda
from hposvc.machine.causes import Cause
from hposvc.machine.cuda_overlay import Overlay, laid_out
from hposvc.operate.doctor.findings import Finding, fault, good, note
from hposvc.settings import Settings

# What Jittor's kernels include, the fields of a device that its own files read, a kernel, and a call into each library.
SOURCE = """\
#include <cub/util_device.cuh>
#include <cublas_v2.h>
#include <curand.h>
#include "misc/cuda_limits.h"
#include "misc/cuda_atomic.h"
__global__ void sum(float* x) { atomicAdd(x, x[threadIdx.x] + numeric_max<int>()); }
extern "C" int look(float* x) {
  int version;
  cublasHandle_t handle;
  cudaDeviceProp device;
  curandGetVersion(&version);
  sum<<<1, 32>>>(x);
  return int(cudaGetDeviceProperties(&device, 0)) + device.computeMode + device.clockRate + int(cublasCreate(&handle));
}
"""


def gpu(settings: Settings) -> Finding:
    """What a worker with HPOSVC_DEVICE=cuda needs; for workers on the CPU, a stray nvcc is worth a note and no more."""
    found = cuda.toolkit()
    if settings.device == "cuda":
        return _needed(found)
    if found is None:
        return good("CUDA", "no nvcc on PATH; workers use the CPU")
    for cause, message, remedy in found.obstacles():
        return note("CUDA", cause, message, f"Workers on the CPU ignore it. For GPU work: {remedy}")
    return good("CUDA", f"{found.nvcc}; workers use the CPU unless HPOSVC_DEVICE is cuda")


def _needed(found: cuda.Toolkit | None) -> Finding:
    obstacles = cuda.obstacles()
    compiled = ""
    if found is not None and not any(found.obstacles()):
        compiled = f"CUDA {found.release} compiles kernels ({found.nvcc})"
        if (said := compile_error(laid_out(found))) is not None:
            message = f"{found.nvcc} of CUDA {found.release} does not compile for Jittor: {said}"
            return fault("CUDA", Cause.CUDA_DOES_NOT_COMPILE, message, cuda.INSTALL)
    if obstacles:
        missing = "; ".join(obstacle.message for obstacle in obstacles)
        message = f"{compiled}, but {missing}" if compiled else f"HPOSVC_DEVICE is cuda, but {missing}"
        return fault("CUDA", obstacles[0].cause, message, obstacles[0].remedy)
    return good("CUDA", f"a GPU and its driver; {compiled}")


def compile_error(overlay: Overlay) -> str | None:
    """The last lines of nvcc, if it does not compile and link a kernel as Jittor would; None if it does."""
    jittor = find_spec("jittor")
    source_of_jittor = Path(next(iter(jittor.submodule_search_locations or []))) if jittor else Path()
    command: list[str | Path]
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "look.cu")
        source.write_text(SOURCE)
        as_jittor = ["-std=c++14", "-shared", "-w", "-Xcompiler", "-fPIC", "--cudart=shared", "-DIS_CUDA"]
        architecture = ["-arch=compute_80", "-code=sm_80"]
        headers = [f"-I{source_of_jittor}/src", f"-I{overlay.folder}/include", *overlay.environment["cc_flags"].split()]
        libraries = [f"-L{overlay.folder}/lib64", "-lcublas", "-lcurand", "-o", f"{folder}/look.so"]
        command = [overlay.nvcc, *as_jittor, *architecture, source, *headers, *libraries]
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    return None if run.returncode == 0 else " ".join((run.stderr or run.stdout).strip().splitlines()[-3:])
