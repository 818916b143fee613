"""Start Jittor: offline, with oneDNN products, leaving the process as it was found.

Importing Jittor takes over signal handlers, turns off TLS checks, replaces ``sys.exit`` and the excepthook, raises
the recursion and stack limits and reseeds the global random generators. :func:`start` imports it and puts all of
that back. Flush-to-zero of denormals stays on: Jittor's kernels are compiled for it.

Other modules write ``from hposvc.bilevel.runtime import jt``; the first attribute taken from ``jt`` starts Jittor on
the CPU if :func:`start` was not called before. Where somebody imported Jittor before, it is set up all the same as far
as that is still possible.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import random
import re
import shutil
import signal
import ssl
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hposvc.bilevel.precompiled import include_prelude
from hposvc.child_process import end_with_parent
from hposvc.copyable import Copyable
from hposvc.machine import cuda, cuda_overlay
from hposvc.machine.jittor_cache import jittor_cache

Device = Literal["cpu", "cuda"]

ONEDNN_FOLDER = "dnnl_lnx_2.2.0_cpu_gomp"
ONEDNN_WHEELS = "onednn-cpu-gomp==2021.2.0 onednn-devel-cpu-gomp==2021.2.0"

# Jittor reads its options from the environment, once, at import.
ENVIRONMENT = {
    "use_mpi": "0",
    "use_nccl": "0",
    "use_cutt": "0",  # cutt and cutlass would be downloaded
    "use_cutlass": "0",
    "use_parallel_op_compiler": "0",  # the parallel compiler crashes now and then
    "gdb_path": "",
    "cache_name": "default",  # otherwise the name of whatever git branch the environment lies in
}

NO_CUDA = {"nvcc_path": ""}  # a stray nvcc breaks an import for the CPU

# What Jittor's handlers turn into an immediate exit.
SIGNALS = (
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGCHLD,
    signal.SIGQUIT,
    signal.SIGSEGV,
    signal.SIGFPE,
    signal.SIGBUS,
    signal.SIGILL,
    signal.SIGABRT,
)


class RuntimeStartError(Copyable, RuntimeError):
    """Jittor could not be started. ``remedy`` says what to do about it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.message = message
        self.remedy = remedy


class _Jittor:
    """Jittor, imported when the first attribute is asked for."""

    def __getattr__(self, name: str) -> Any:
        value = getattr(_module(), name)
        setattr(self, name, value)  # found directly from now on
        return value


jt: Any = _Jittor()
_device: Device = "cpu"
_ready = False


def start(device: Device | None = None, seed: int = 0) -> None:
    """Import Jittor and seed it. Later calls only seed, and choose the ``device`` of the operations that follow.

    None is the device that the process was started for: the CPU, unless the first call said otherwise. A process that
    was started for CUDA computes on the CPU, too, when asked to. Must first be called from the main thread, because
    only that may restore signal handlers. The first start on a machine compiles Jittor, which takes minutes; see
    :mod:`hposvc.machine.warmup`. On ``cuda`` all arrays are float32 (:func:`hposvc.bilevel.arrays.device_array`). It
    was run on a stand-in for CUDA and not on a GPU yet (docs/decisions/gpu.md).

    Raises:
        RuntimeStartError: a compiler, oneDNN, CUDA or a GPU is missing, Jittor already runs without CUDA, or somebody
            has used it in a way that spoils float64.
    """
    global _device  # noqa: PLW0603 - a process has one Jittor
    if "jittor" not in sys.modules:
        _device = device or "cpu"
    elif device == "cuda" != _device:
        raise RuntimeStartError("Jittor already runs without CUDA.", "Use a new process for CUDA.")
    module = _module()
    module.flags.use_cuda = int((device or _device) == "cuda")
    module.set_seed(seed)


def device() -> Device:
    """What operations run on now. Starts Jittor on the CPU if it was not started."""
    return "cuda" if _module().flags.use_cuda else "cpu"


def out_of_device_memory(error: BaseException) -> int | None:
    """How many bytes the GPU had no room for, if that is what ``error`` of Jittor's says; otherwise None."""
    found = re.search(r"Unable to alloc cuda device memory for size\D*(\d+)", str(error))
    return int(found[1]) if isinstance(error, RuntimeError) and found else None


def _module() -> Any:
    global _ready  # noqa: PLW0603 - a process has one Jittor
    if _ready:
        return sys.modules["jittor"]
    if "jittor" not in sys.modules:
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeStartError(
                "Jittor was first used outside the main thread.", "Call runtime.start() there first."
            )
        if shutil.which(os.environ.get("cc_path", "g++")) is None:
            raise RuntimeStartError(
                "Jittor needs g++ at run time and found none.", "Install g++ (Debian: apt install g++)."
            )
        link_onednn()
        os.environ.update(ENVIRONMENT)
        os.environ.setdefault("log_silent", "1")
        _end_compilers_with_this_process()
        with _process_left_as_found(), _variables(_cuda() if _device == "cuda" else NO_CUDA):
            importlib.import_module("jittor")
    module = sys.modules["jittor"]
    flags = module.flags
    flags.python_path = _interpreter()
    flags.cc_flags = include_prelude(Path(flags.cache_path), flags.cc_path, flags.cc_flags)
    for use_cuda in (0, 1) if _device == "cuda" else (0,):  # each device has kernels of its own
        flags.use_cuda = use_cuda
        try:
            in_full = _copy_scalars_in_full(module)
        except RuntimeError as error:
            if out_of_device_memory(error) is None:
                raise
            remedy = "`nvidia-smi` lists what holds its memory; or use HPOSVC_DEVICE=cpu."
            raise RuntimeStartError("The GPU has no room, not even to start.", remedy) from error
        if not in_full:
            raise RuntimeStartError(
                "Jittor was used before hposvc, with float32: all float64 numbers of this process would be garbage.",
                "Call hposvc.bilevel.runtime.start() before the first use of jittor.",
            )
    _ready = True
    return module


def _copy_scalars_in_full(module: Any) -> bool:
    """Make the kernel that copies a lone scalar copy eight bytes, before any is compiled for four.

    A scalar with consumers in two kernels gets a kernel of its own, whose key lacks the scalar's type. Whichever type
    comes first in a process is then used for all, and a float64 scalar copied as float32 is half garbage. Copied as
    float64, one of four bytes keeps its value: allocations are larger than eight bytes.

    Returns whether a float64 scalar was copied in full: not if this process copied a float32 one before.
    """
    third = np.array([1 / 3])
    scalar, *others = (module.array(a, dtype="float64") for a in (third, np.ones((2, 3)), np.ones((3, 2))))
    products = [scalar * other for other in others]
    module.sync(products)
    return all((product.numpy() == third).all() for product in products)


def _interpreter() -> str:
    """One name for this Python, however it was called.

    It is part of the command that compiles a kernel, and Jittor compiles a kernel again when its command changes: with
    ``python`` and ``python3`` taking turns, none would ever stay compiled.
    """
    named = Path(sys.prefix, "bin", f"python{sys.version_info.major}.{sys.version_info.minor}")
    return str(named) if named.exists() else sys.executable


def _end_compilers_with_this_process() -> None:
    """Let the processes that Jittor forks to compile die with this one, however it ends.

    They inherit the lock of Jittor's cache. Left behind by a process that was killed, they would hold it for ever, and
    every later start on this machine would wait for it.
    """
    os.register_at_fork(after_in_child=end_with_parent)


def _cuda() -> dict[str, str]:
    """The variables with which Jittor compiles for CUDA."""
    found, obstacles = cuda.toolkit(), cuda.obstacles()
    if found is None or obstacles:
        raise RuntimeStartError(f"CUDA cannot be used: {obstacles[0].message}.", obstacles[0].remedy)
    return cuda_overlay.laid_out(found).environment


def link_onednn() -> None:
    """Put the oneDNN of the installed wheels where Jittor looks for it, so that it downloads nothing.

    Without it Jittor falls back to plain loops, ten times slower.
    """
    library, headers = Path(sys.prefix, "lib"), Path(sys.prefix, "include")
    if not (library / "libmkldnn.so").exists() or not (headers / "dnnl.hpp").exists():
        raise RuntimeStartError("oneDNN 2.2 is not installed in this environment.", f"Run: pip install {ONEDNN_WHEELS}")
    folder = jittor_cache() / "mkl" / ONEDNN_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in (("lib", library), ("include", headers)):
        link = folder / name
        if link.is_symlink() and link.readlink() == target:
            continue
        if link.exists() and not link.is_symlink():
            continue  # a download of Jittor's own: the same version, leave it
        fresh = folder / f".{name}.{os.getpid()}"
        fresh.symlink_to(target)
        fresh.replace(link)  # atomic, for processes that start together


@contextlib.contextmanager
def _variables(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the import alone: processes started later choose their own device."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _process_left_as_found() -> Iterator[None]:
    """Undo what Jittor's import does to signals, TLS, exit and exception hooks, limits and random generators."""
    import resource

    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    fault_handler = faulthandler.is_enabled()
    https_context = ssl._create_default_https_context  # noqa: SLF001 - what Jittor replaces
    leave, hook = sys.exit, sys.excepthook
    recursion_limit, stack_limit = sys.getrecursionlimit(), resource.getrlimit(resource.RLIMIT_STACK)
    random_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002 - the global state is what Jittor reseeds
    try:
        yield
    finally:
        for number, handler in handlers.items():
            if handler is not None:  # None: installed by something other than Python, which cannot put it back
                signal.signal(number, handler)
        if fault_handler:
            faulthandler.enable()
        ssl._create_default_https_context = https_context  # noqa: SLF001
        sys.exit, sys.excepthook = leave, hook
        sys.setrecursionlimit(recursion_limit)
        hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
        resource.setrlimit(resource.RLIMIT_STACK, (stack_limit[0], hard))
        random.setstate(random_state)
        np.random.set_state(numpy_state)  # noqa: NPY002
