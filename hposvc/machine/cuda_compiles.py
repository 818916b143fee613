"""Whether nvcc compiles and links a kernel with what Jittor's kernels include. Imports no Jittor, and needs no GPU."""

from __future__ import annotations

import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from hposvc.machine.cuda_overlay import Overlay

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
