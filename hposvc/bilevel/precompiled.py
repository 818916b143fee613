"""Compile the headers of Jittor's kernels once, so that a kernel takes a third of the time.

A kernel is a few lines of C++ behind some hundred thousand lines of headers, which g++ reads again for each one. The
kernels are therefore compiled with ``-include kernel_prelude.h``, whose precompiled form lies beside it in Jittor's
cache. g++ takes the precompiled form when it was made with the very same flags and reads the header itself otherwise:
what a kernel computes never depends on it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
from pathlib import Path

from hposvc.files.durable import replacing

# What every kernel for the CPU begins with.
PRELUDE = """\
#define JIT 1
#define JIT_cpu 1
#include <cmath>
#include <algorithm>
#include "var.h"
#include "ops/op_register.h"
#include <assert.h>
#include "fused_op.h"
"""

_LINKING = ("-l", "-L", "-Wl,", "-shared")


def include_prelude(cache: Path, compiler: str, flags: str) -> str:
    """``flags`` with the prelude in front of each kernel. Makes what is missing of it, which takes some seconds.

    Args:
        cache: the folder that Jittor keeps for this version of itself, of the compiler, of Python and of the processor.
        compiler: the path of g++.
        flags: those with which Jittor calls it, for compiling and linking.
    """
    header = cache / "kernel_prelude.h"
    if not header.exists() or header.read_text() != PRELUDE:
        with replacing(header) as stream:
            stream.write(PRELUDE.encode())
    precompiled = header.with_name(f"{header.name}.gch")
    if not precompiled.exists():
        _precompile(header, precompiled, compiler, flags)
    return f"{flags} -include {shlex.quote(str(header))} "


def _precompile(header: Path, target: Path, compiler: str, flags: str) -> None:
    compiling = [flag for flag in shlex.split(flags) if not flag.startswith(_LINKING)]
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    # -g: Jittor asks for line numbers in the assembler that it goes through
    command = [compiler, *compiling, "-g", "-x", "c++-header", str(header), "-o", str(fresh)]
    try:
        with contextlib.suppress(OSError, subprocess.SubprocessError):  # kernels then read the header itself
            subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL)
            fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
