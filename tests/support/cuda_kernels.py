"""Compile the kernels that runs on the stand-in have left, with NVIDIA's nvcc.

``python -m tests.support.cuda_kernels`` does so on its own.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.support import stand_in

ARCHITECTURES = (80, 90)


class Done(NamedTuple):
    """How many kernels there were, how many compiled now or before, and what nvcc said of the others."""

    kernels: int
    compiled: int
    failures: dict[str, str]


def commands(home: Path) -> Iterator[tuple[str, list[str]]]:
    """The name of each kernel and the command that Jittor compiled it with."""
    for key in sorted(home.glob(".cache/jittor/jt*/**/jit/*.so.key")):
        command = shlex.split(key.read_text().splitlines()[0])
        if command and command[0].endswith("bin/nvcc"):
            yield key.name.removesuffix(".so.key"), command


def for_nvcc(command: list[str], target: Path) -> list[str]:
    """What the device runs of it, compiled by the real nvcc with its own headers, for both architectures.

    The rest of the source is C++, which g++ has compiled for the stand-in.
    """
    own = [*stand_in.real_overlay(), *(f"-gencode=arch=compute_{n},code=sm_{n}" for n in ARCHITECTURES)]
    skipped = re.compile(
        r"-arch=|-code=|--use_fast_math|-std=|-I.*/hposvc/cuda-|-[Ll]|-shared$|--cudart=|-Xlinker$|-rpath="
    )
    rest = [argument for argument in command[1:] if not skipped.match(argument)]
    rest[rest.index("-o") + 1] = str(target)
    return [str(stand_in.WHEELS / "bin" / "nvcc"), "--fatbin", "-std=c++17", *rest, *own]


def compile_kernels(home: str | Path, folder: Path | None = None, processes: int = 2) -> Done:
    """Compile every kernel of the caches in ``home``; those that were compiled before are not compiled again."""
    results = folder or stand_in.FOLDER / "compiled"
    results.mkdir(exist_ok=True)
    todo = list(commands(Path(home)))

    def one(item: tuple[str, list[str]]) -> tuple[str, str]:
        name, command = item
        target = results / f"{name[-60:]}.fatbin"
        if target.exists():
            return name, ""
        run = subprocess.run(
            ["nice", *for_nvcc(command, target)], capture_output=True, text=True, check=False, timeout=600
        )
        return name, "" if run.returncode == 0 else run.stderr[-1500:] or "failed"

    with ThreadPoolExecutor(processes) as pool:
        failures = {name: said for name, said in pool.map(one, todo) if said}
    return Done(len(todo), len(todo) - len(failures), failures)


if __name__ == "__main__":
    done = compile_kernels(stand_in.FOLDER / "home")
    print(f"{done.compiled} of {done.kernels} kernels compiled for sm_80 and sm_90")
    for name, said in done.failures.items():
        print(name, said)
    sys.exit(bool(done.failures))
