"""One file for a machine with a GPU and no network: ``python -m benchmarks.gpu.bundle FILE`` (``make gpu-bundle``).

It holds what that machine does not have: hposvc, Jittor's source, oneDNN, and NumPy and SciPy for its Python, unpacked,
beside the check itself. nvcc, a driver, g++, Python with its headers, and PyTorch with its CUDA wheels are expected
there. The file must stay below 64 MiB.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tarfile
import tempfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parents[2]
LARGEST = 64 * 2**20
PYTHON = "3.12"
PACKAGES = ("numpy", "scipy", "threadpoolctl", "safetensors", "astunparse", "six", "tqdm", "pillow", "wheel")
PLATFORMS = ("manylinux2014_x86_64", "manylinux_2_27_x86_64", "manylinux_2_28_x86_64")
# Tests of the packages and what only compiling against them needs.
LEFT_OUT = ("tests", "testing/data", "*.pyx", "*.pxd", "*.a", "*.pyi", "__pycache__")


def gather(folder: Path, python: str = PYTHON) -> None:
    """Put everything below ``folder``: ``site`` (packages), ``env`` (oneDNN) and ``check``."""
    site = folder / "site"
    pinned = [f"{name}=={metadata.version(name)}" for name in PACKAGES]
    platforms = [f"--platform={name}" for name in PLATFORMS]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--only-binary=:all:", "--no-compile"]
    subprocess.run([*pip, f"--python-version={python}", *platforms, f"--target={site}", *pinned], check=True)
    for name in ("jittor", "jittor_utils"):  # source only: the same for every Python
        source = Path(next(iter(_folders(name))))
        shutil.copytree(source, site / name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", "demo", "dataset"))
    shutil.copytree(ROOT / "hposvc", site / "hposvc", ignore=shutil.ignore_patterns("__pycache__"))
    for pattern in LEFT_OUT:
        for place in [*(site / "numpy").rglob(pattern), *(site / "scipy").rglob(pattern)]:
            shutil.rmtree(place) if place.is_dir() else place.unlink()
    environment = Path(sys.prefix)
    (folder / "env" / "lib").mkdir(parents=True)
    shutil.copy(environment / "lib" / "libmkldnn.so", folder / "env" / "lib" / "libmkldnn.so.2")
    (folder / "env" / "lib" / "libmkldnn.so").symlink_to("libmkldnn.so.2")
    (folder / "env" / "include").mkdir()
    for header in (environment / "include").glob("dnnl*.h*"):
        shutil.copy(header, folder / "env" / "include")
    for header in (environment / "include").glob("mkldnn*"):
        shutil.copy(header, folder / "env" / "include")
    shutil.copytree(ROOT / "benchmarks" / "gpu", folder / "check" / "benchmarks" / "gpu")
    (folder / "check" / "tests" / "support").mkdir(parents=True)
    for name in ("__init__.py", "cuda_cases.py", "stand_in.py"):
        shutil.copy(ROOT / "tests" / "support" / name, folder / "check" / "tests" / "support")
    shutil.copy(ROOT / "benchmarks" / "gpu" / "run.sh", folder / "gpu-check")


def _folders(package: str) -> list[str]:
    from importlib.util import find_spec

    found = find_spec(package)
    return list(found.submodule_search_locations or []) if found else []


def main(target: Path) -> None:
    """Write the file. Fails where it is too large."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "gpu-check")
        gather(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(target, "w:xz", preset=6) as archive:
            archive.add(folder, "gpu-check")
    size = target.stat().st_size
    print(f"{target}: {size / 2**20:.1f} MiB. Unpack it there and run gpu-check/gpu-check")
    if size > LARGEST:
        sys.exit(f"it must be below {LARGEST / 2**20:.0f} MiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
