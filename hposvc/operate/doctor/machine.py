"""What a worker needs of its machine: Python, compiler, headers, oneDNN, Jittor."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from hposvc.machine.causes import Cause
from hposvc.machine.jittor_cache import jittor_cache
from hposvc.operate.doctor.findings import Finding, fault, good, note
from hposvc.operate.doctor.folders import is_writable
from hposvc.settings import Settings

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"


def python_version() -> Finding:
    """Jittor runs on Python 3.11 and 3.12."""
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] < (3, 13):
        return good("Python", version)
    return fault("Python", Cause.PYTHON_UNSUPPORTED, f"{version} cannot run Jittor", "Use Python 3.11 or 3.12.")


def no_worker() -> Finding:
    """An installation without Jittor, as in the API's image, needs nothing of what workers need."""
    message = "not installed: the API and the commands can run here, a worker cannot"
    return note("Jittor", Cause.WORKER_NOT_INSTALLED, message, "For a worker, run: pip install hposvc")


def compiler() -> Finding:
    """Jittor compiles its kernels with g++ while it runs."""
    name = os.environ.get("cc_path", "g++")
    if shutil.which(name) is None:
        remedy = "Install it. Debian: apt install g++. Or name another in the variable cc_path."
        return fault("compiler", Cause.COMPILER_MISSING, f"{name} is not on PATH", remedy)
    try:
        version = subprocess.run([name, "-dumpfullversion"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        remedy = "Install it anew. Debian: apt install --reinstall g++."
        return fault("compiler", Cause.COMPILER_BROKEN, f"{name} does not run: {error}", remedy)
    return good("compiler", f"{name} {version.stdout.strip()}")


def python_headers() -> Finding:
    """Python.h, which Jittor's kernels include."""
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    if header.is_file():
        return good("Python's headers", str(header.parent))
    remedy = f"Debian: apt install {PYTHON}-dev"
    return fault("Python's headers", Cause.HEADERS_MISSING, f"{header} is missing", remedy)


def python_config() -> Finding:
    """The script that tells Jittor how Python was built, in the places where Jittor looks for it."""
    beside = Path(sys.executable).parent
    places = [
        Path(os.environ.get("python_config_path", beside / f"{PYTHON}-config")),
        beside / f"{PYTHON}-config",
        Path(f"{sys.executable}-config"),
        Path(f"/usr/bin/{PYTHON}-config"),
        Path(f"/usr/local/bin/{PYTHON}-config"),
        beside / "python3-config",
    ]
    for place in places:
        if place.is_file():
            return good("python-config", str(place))
    base = Path(sys.base_prefix, "bin", f"{PYTHON}-config")
    remedy = f"Set python_config_path={base}" if base.is_file() else f"Debian: apt install {PYTHON}-dev"
    message = f"{PYTHON}-config is nowhere that Jittor looks"
    return fault("python-config", Cause.PYTHON_CONFIG_MISSING, message, remedy)


def onednn() -> Finding:
    """The oneDNN of the wheels, without which matrix products are ten times slower and Jittor wants to download."""
    missing = [
        str(path)
        for path in (Path(sys.prefix, "lib", "libmkldnn.so"), Path(sys.prefix, "include", "dnnl.hpp"))
        if not path.exists()
    ]
    if missing:
        remedy = "Run: pip install onednn-cpu-gomp==2021.2.0 onednn-devel-cpu-gomp==2021.2.0"
        return fault("oneDNN", Cause.ONEDNN_MISSING, f"missing: {', '.join(missing)}", remedy)
    return good("oneDNN", "2.2, from its wheels")


def compiled_jittor(settings: Settings) -> Finding:
    """Whether Jittor's compiled core is there, or can be written."""
    from hposvc.machine.warmup import is_warm

    folder = jittor_cache()
    for place in (Path.home() / ".cache" / "jittor", folder):  # Jittor notes in the first where the second is
        if not is_writable(place):
            remedy = "Give this user a home directory that it may write: set HOME, and JITTOR_HOME if that is set."
            return fault("Jittor", Cause.CACHE_UNWRITABLE, f"{place} cannot be written", remedy)
    if is_warm(settings.device):
        return good("Jittor", f"compiled, in {folder}")
    remedy = "`hposvc warmup` does it: five to ten minutes on two cores."
    return note("Jittor", Cause.JITTOR_NOT_COMPILED, "not compiled yet", remedy)
