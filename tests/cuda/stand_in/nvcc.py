"""nvcc for the stand-in: kernels become C++ that runs on the CPU; everything else goes to the real nvcc.

``nvcc.py TOOLKIT REAL_NVCC arguments…``. Jittor compiles each kernel in one command with ``-shared``; its own files
and what the doctor compiles end with ``.cu``.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

# name<<<blocks, threads>>>(arguments), the name with a namespace or template arguments
LAUNCH = re.compile(r"(?<![\w:])((?:\w+::)*\w+(?:<[\w, :*]*>)?)\s*<<<\s*")
WITH_VALUE = {"-o", "-x"}
ONLY_FOR_NVCC = ("--cudart", "-ccbin", "--use_fast_math", "-arch", "-code", "-gencode", "-std", "-w")
COMPILER = ["g++", "-std=c++17", "-w", "-O1"]
LAUNCHING = ("misc/cuda_atomic.h",)
PRELUDE = """\
#define JIT 1
#define JIT_cuda 1
#include "stand_in.h"
#include "var.h"
#include "ops/op_register.h"
#include <assert.h>
#include "fused_op.h"
"""
LINKING = ("-l", "-L", "-Wl", "-shared")


def closing(text: str, opening: int) -> int:
    """Where the bracket at ``opening`` closes."""
    depth = 0
    for place in range(opening, len(text)):
        if text[place] in "([{":
            depth += 1
        elif text[place] in ")]}":
            depth -= 1
            if depth == 0:
                return place
    raise SystemExit("a bracket is not closed")


def waits(text: str, kernel: str) -> bool:
    """Whether the threads of a block wait for each other in the kernel of this name."""
    found = re.search(rf"__global__[^;{{]*\b{re.escape(kernel)}\s*\(", text)
    if found is None:
        return False
    start = text.index("{", found.end())
    body = text[start : closing(text, start)]
    return "__syncthreads" in body or "shared_reduce" in body or "block_" in body


def translated(text: str) -> str:
    """The launches in CUDA source as calls of the stand-in."""
    parts, done = [], 0
    for found in LAUNCH.finditer(text):
        if found.start() < done:
            continue
        end = text.index(">>>", found.end())
        opening = text.index("(", end)
        last = closing(text, opening)
        name = found[1]
        fibers = str(waits(text, re.sub("<.*", "", name).rpartition("::")[2])).lower()
        parts += [
            text[done : found.start()],
            f"{{ stand_in::Config<> config({text[found.end() : end]}); stand_in::launch(",
            f'"{name}", {fibers}, config.g, config.b, [=]{{ {name}({text[opening + 1 : last]}); }}); }}',
        ]
        done = last + 1
    return "".join([*parts, text[done:]])


def for_compiler(arguments: list[str]) -> tuple[list[str], str, str]:
    """The flags that g++ understands, the source and the output."""
    source = next(a for a in arguments if not a.startswith("-") and a.endswith((".cc", ".cu")))
    flags, output = [], ""
    rest = iter(arguments)
    for argument in rest:
        if argument in WITH_VALUE:
            value = next(rest)
            output = value if argument == "-o" else output
        elif argument == "-Xcompiler":
            value = next(rest)
            flags += [] if value.startswith("-fdiagnostics") else [value]
        elif argument == "-Xlinker":
            flags.append(f"-Wl,{next(rest)}")
        elif argument != source and not argument.startswith(ONLY_FOR_NVCC):
            flags.append(argument)
    return flags, source, output


def compile_kernel(arguments: list[str], toolkit: Path) -> int:
    """The exit status of g++."""
    flags, source, output = for_compiler(arguments)
    compiling = [flag for flag in flags if not flag.startswith(LINKING)]
    compiling = [f"-I{HERE}/include", f"-I{headers_with_launches(compiling, toolkit)}", *compiling]
    kernel = Path(f"{output}.stand-in.cc")
    kernel.write_text(f'#line 1 "{source}"\n{translated(Path(source).read_text())}')
    included = ["-include", prelude(compiling, toolkit)]
    linking = [flag for flag in flags if flag.startswith(LINKING)]
    command = [*COMPILER, *included, *compiling, kernel, *linking, "-lcudart", "-o", output]
    status = subprocess.run(command, check=False).returncode
    if status == 0:
        kernel.unlink()
    return status


def headers_with_launches(flags: list[str], toolkit: Path) -> Path:
    """The headers of Jittor that launch kernels themselves, translated."""
    folder = toolkit / "translated"
    for name in LAUNCHING:
        target = folder / name
        if not target.exists():
            source = next(file for flag in flags if (file := Path(flag.removeprefix("-I").strip('"'), name)).is_file())
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(translated(source.read_text()))
    return folder


def prelude(flags: list[str], toolkit: Path) -> Path:
    """The headers of all kernels, precompiled for these flags."""
    text = " ".join([*flags, *(file.read_text() for file in sorted((HERE / "include").rglob("*.*h")))])
    header = toolkit / f"prelude-{hashlib.sha256(text.encode()).hexdigest()[:12]}.h"
    target = header.with_name(f"{header.name}.gch")
    if not target.exists():
        header.write_text(PRELUDE)
        fresh = target.with_name(f".{target.name}.{os.getpid()}")
        subprocess.run([*COMPILER, *flags, "-x", "c++-header", header, "-o", fresh], check=True)
        fresh.replace(target)
    return header


if __name__ == "__main__":
    toolkit, real, *arguments = sys.argv[1:]
    if "--dryrun" in arguments:  # where the toolkit is
        sys.stdout.write(f"#$ TOP={toolkit}\n")
        sys.exit()
    if "-shared" in arguments and not any(argument.endswith(".cu") for argument in arguments):
        sys.exit(compile_kernel(arguments, Path(toolkit)))
    os.execv(real, [real, *arguments, f"-L{Path(real).parents[1]}/lib"])
