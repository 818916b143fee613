"""Whether a worker with HPOSVC_DEVICE=cuda can start: a kernel compiled with what is there, then driver and GPU."""

from __future__ import annotations

from hposvc.machine import cuda
from hposvc.machine.causes import Cause
from hposvc.machine.cuda_compiles import compile_error
from hposvc.machine.cuda_overlay import laid_out
from hposvc.operate.doctor.findings import Finding, fault, good, note
from hposvc.settings import Settings


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
