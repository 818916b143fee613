"""Kernels begin with a header that g++ takes precompiled."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

from hposvc.bilevel.precompiled import include_prelude
from hposvc.bilevel.runtime import jt


def headers_read(flags: str) -> str:
    """What g++ says of the headers of an empty kernel; a precompiled one that it takes has an exclamation mark."""
    compiling = [flag for flag in shlex.split(flags) if not flag.startswith(("-l", "-L", "-Wl,", "-shared"))]
    command = [jt.flags.cc_path, *compiling, "-g", "-H", "-fsyntax-only", "-x", "c++", "/dev/null"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stderr


def test_the_compiler_takes_the_precompiled_header() -> None:
    said = headers_read(jt.flags.cc_flags)
    assert f"! {jt.flags.cache_path}/kernel_prelude.h.gch" in said


def test_what_cannot_be_precompiled_is_read_as_text(tmp_path: Path) -> None:
    plain = jt.flags.cc_flags.partition(" -include ")[0]
    flags = include_prelude(tmp_path, "/bin/false", plain)
    assert [file.name for file in tmp_path.iterdir()] == ["kernel_prelude.h"]
    said = headers_read(flags)
    assert "kernel_prelude.h.gch" not in said
    assert f"{tmp_path}/kernel_prelude.h" in said
