"""A CUDA toolkit laid out as Jittor 1.3.11 wants it, and the variables that Jittor is to be imported with.

Jittor looks for headers in ``../include`` and for libraries without a version in ``../lib64`` of the folder of nvcc,
and resolves links on the way. Wheels, distributions and toolkits with libraries elsewhere have another layout. So a
folder of links is made in Jittor's cache, once for each toolkit, with a script in the place of nvcc. Nothing that is
installed is changed.

What the script and the variables change, and why:

- ``-std=c++17`` for ``-std=c++14``: the headers of CUDA 13 (CCCL) need it.
- ``--use_fast_math`` is left out: it is meant for graphics. Quotients, roots and exponentials of float32 would be
  rounded to two units or worse, and a finite difference divides what is left of them by its radius.
- ``-code=compute_90`` beside ``-arch=compute_90``: Jittor knows architectures up to 9.0, and machine code for that one
  does not run on a later card. The driver of such a card compiles the intermediate code instead.
- ``npp.h``, where it is missing: Jittor includes it for the limits of integers alone, and NPP is 200 MB.
- ``-DcomputeMode=… -DclockRate=…``: CUDA 13 took both fields out of ``cudaDeviceProp``. Jittor reads them to choose the
  fastest of several cards, which nothing here asks of it; the names of two fields that are still there let it compile.
- ``conv_opt=1``: leaves out cuDNN, of which Jittor needs the release 8, and libraries that nothing here uses.
- ``FIX_TORCH_ERROR=0``: otherwise Jittor imports PyTorch, where it is installed, with its CUDA libraries.
- ``cache_name``: a folder of its own in Jittor's cache. With other flags, Jittor would compile anew what workers on the
  CPU share, and end the process after it.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from hposvc.machine.cuda import LIBRARIES, Toolkit
from hposvc.machine.jittor_cache import jittor_cache

SCRIPT = """\
#!/bin/sh
# nvcc as Jittor calls it; hposvc/machine/cuda_overlay.py says why.
for argument do
    shift
    case $argument in
        --use_fast_math) continue ;;
        -std=c++14) {standard} ;;
        -arch=compute_*) set -- "$@" "-code=${{argument#-arch=}}" ;;
    esac
    set -- "$@" "$argument"
done
exec {nvcc} "$@"
"""

# The values are those of the C types, which nvcc's host compilers share.
NPP = """\
// What Jittor takes of NPP: the limits of integers, not the library.
#pragma once
#include <limits.h>
#define NPP_MIN_32U 0
#define NPP_MAX_32U UINT_MAX
#define NPP_MIN_32S INT_MIN
#define NPP_MAX_32S INT_MAX
#define NPP_MIN_64U 0
#define NPP_MAX_64U ULLONG_MAX
#define NPP_MIN_64S LLONG_MIN
#define NPP_MAX_64S LLONG_MAX
"""

GONE_FIELDS = "-DcomputeMode=integrated -DclockRate=major"


class Overlay(NamedTuple):
    """The folder with ``bin/nvcc``, ``include`` and ``lib64``, and the variables for Jittor's import."""

    folder: Path
    environment: dict[str, str]

    @property
    def nvcc(self) -> Path:
        """The script that stands for nvcc."""
        return self.folder / "bin" / "nvcc"


def laid_out(toolkit: Toolkit) -> Overlay:
    """The overlay of a toolkit without obstacles, made if it is not there. Processes may make it at the same time."""
    newer = toolkit.major is not None and toolkit.major >= 13
    standard = "argument=-std=c++17" if newer else ":"
    files = {"bin/nvcc": SCRIPT.format(nvcc=shlex.quote(toolkit.nvcc), standard=standard)}
    if toolkit.header("npp.h") is None:
        files["include/npp.h"] = NPP
    links = dict(_links(toolkit))
    identity = "\n".join([*files.values(), *(f"{name} {target}" for name, target in links.items())])
    name = f"cuda-{toolkit.release}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}"
    folder = jittor_cache() / "hposvc" / name
    if not folder.exists():
        _make(folder, files, links)
    flags = " ".join(filter(None, [os.environ.get("cc_flags"), GONE_FIELDS if newer else None]))
    environment = {
        "nvcc_path": str(folder / "bin" / "nvcc"),
        "cc_flags": flags,
        "conv_opt": "1",
        "FIX_TORCH_ERROR": "0",
        "cache_name": name,
    }
    return Overlay(folder, environment)


def _links(toolkit: Toolkit) -> Iterator[tuple[str, Path]]:
    """Every header of the toolkit, the first of each name, and its libraries with and without their version."""
    for name in LIBRARIES:
        library = toolkit.library(name)
        if library is not None:
            yield f"lib64/lib{name}.so", library
            for sibling in sorted(library.parent.glob(f"lib{name}.so.*")):
                yield f"lib64/{sibling.name}", sibling
    archive = toolkit.archive("cudadevrt")
    if archive is not None:
        yield f"lib64/{archive.name}", archive
    seen: set[str] = set()
    for folder in toolkit.folders:
        for place in (folder / "include", folder / "targets/x86_64-linux/include"):
            for entry in sorted(place.iterdir()) if place.is_dir() else []:
                if entry.name not in seen:
                    seen.add(entry.name)
                    yield f"include/{entry.name}", entry


def _make(folder: Path, files: dict[str, str], links: dict[str, Path]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, target in links.items():
            (fresh / name).parent.mkdir(exist_ok=True)
            (fresh / name).symlink_to(target)
        for name, text in files.items():
            (fresh / name).parent.mkdir(exist_ok=True)
            (fresh / name).write_text(text)
        (fresh / "bin" / "nvcc").chmod(0o755)
        fresh.chmod(0o755)
        if not folder.exists():
            fresh.rename(folder)
    except OSError:
        if not folder.exists():  # otherwise another process was faster
            raise
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
