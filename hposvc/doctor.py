"""``hposvc doctor``: what keeps the service from running on this machine, and how to mend it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rich.table import Table
from rich.text import Text

from hposvc import cuda
from hposvc.embedded import announced
from hposvc.settings import SECRET, Settings

PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"
MARKS = {"good": ("✓", "green"), "note": ("•", "yellow"), "fault": ("✗", "red")}
NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "lustre", "gpfs", "ceph", "afs", "beegfs", "fuse.glusterfs"}
)
MOUNTS = Path("/proc/mounts")
CLOCK_NOTE_SECONDS = 2.0
CLOCK_FAULT_SECONDS = 60.0


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: ``good``, a ``note`` that stops nothing, or a ``fault`` with its ``remedy``."""

    name: str
    status: Literal["good", "note", "fault"]
    message: str
    remedy: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything, one finding each; changes nothing on the machine."""
    yield python_version()
    yield compiler()
    yield python_headers()
    yield python_config()
    yield onednn()
    yield gpu(settings)
    yield jittor_cache(settings)
    yield data_directory(settings)
    reached = database(settings)
    yield reached
    if reached.status == "good":
        yield clocks(settings)
    yield store(settings)
    yield port(settings)


def table(findings: list[Finding]) -> Table:
    """The findings for a person, each with its remedy below it."""
    rows = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        mark, style = MARKS[finding.status]
        message = finding.message + (f"\n{finding.remedy}" if finding.remedy else "")
        rows.add_row(Text(mark, style), finding.name, Text(message))
    return rows


def python_version() -> Finding:
    """Jittor runs on Python 3.11 and 3.12."""
    version = ".".join(map(str, sys.version_info[:3]))
    if (3, 11) <= sys.version_info[:2] < (3, 13):
        return Finding("Python", "good", version)
    return Finding("Python", "fault", f"{version} cannot run Jittor", "Use Python 3.11 or 3.12.")


def compiler() -> Finding:
    """Jittor compiles its kernels with g++ while it runs."""
    name = os.environ.get("cc_path", "g++")
    if shutil.which(name) is None:
        remedy = "Install it. Debian: apt install g++. Or name another in the variable cc_path."
        return Finding("compiler", "fault", f"{name} is not on PATH", remedy)
    try:
        version = subprocess.run([name, "-dumpfullversion"], capture_output=True, text=True, check=True, timeout=30)
    except (OSError, subprocess.SubprocessError) as error:
        return Finding(
            "compiler", "fault", f"{name} does not run: {error}", "Install it anew. Debian: apt install g++."
        )
    return Finding("compiler", "good", f"{name} {version.stdout.strip()}")


def python_headers() -> Finding:
    """Python.h, which Jittor's kernels include."""
    header = Path(sysconfig.get_paths()["include"], "Python.h")
    if header.is_file():
        return Finding("Python's headers", "good", str(header.parent))
    return Finding("Python's headers", "fault", f"{header} is missing", f"Debian: apt install {PYTHON}-dev")


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
            return Finding("python-config", "good", str(place))
    base = Path(sys.base_prefix, "bin", f"{PYTHON}-config")
    remedy = f"Set python_config_path={base}" if base.is_file() else f"Debian: apt install {PYTHON}-dev"
    return Finding("python-config", "fault", f"{PYTHON}-config is nowhere that Jittor looks", remedy)


def onednn() -> Finding:
    """The oneDNN of the wheels, without which matrix products are ten times slower and Jittor wants to download."""
    missing = [
        str(path)
        for path in (Path(sys.prefix, "lib", "libmkldnn.so"), Path(sys.prefix, "include", "dnnl.hpp"))
        if not path.exists()
    ]
    if missing:
        remedy = "Run: pip install onednn-cpu-gomp==2021.2.0 onednn-devel-cpu-gomp==2021.2.0"
        return Finding("oneDNN", "fault", f"missing: {', '.join(missing)}", remedy)
    return Finding("oneDNN", "good", "2.2, from its wheels")


def gpu(settings: Settings) -> Finding:
    """What a worker with HPOSVC_DEVICE=cuda needs; for workers on the CPU, a stray nvcc is worth a note and no more."""
    if settings.device == "cuda":
        if obstacles := cuda.obstacles():
            message = "HPOSVC_DEVICE is cuda, but " + "; ".join(obstacle.message for obstacle in obstacles)
            return Finding("CUDA", "fault", message, obstacles[0].remedy)
        return Finding("CUDA", "good", "a GPU, its driver and a toolkit that Jittor compiles with")
    found = cuda.toolkit()
    if found is None:
        return Finding("CUDA", "good", "no nvcc on PATH; workers use the CPU")
    for message, remedy in found.obstacles():
        return Finding("CUDA", "note", message, f"Workers on the CPU ignore it. For GPU work: {remedy}")
    return Finding("CUDA", "good", f"{found.nvcc}; workers use the CPU unless HPOSVC_DEVICE is cuda")


def jittor_cache(settings: Settings) -> Finding:
    """Whether Jittor's compiled core is there, or can be written."""
    from hposvc.warmup import is_warm

    folder = Path.home() / ".cache" / "jittor"
    if not _is_writable(folder):
        remedy = "Give this user a home directory that it may write: set HOME."
        return Finding("Jittor", "fault", f"{folder} cannot be written", remedy)
    if is_warm(settings.device):
        return Finding("Jittor", "good", f"compiled, in {folder}")
    return Finding("Jittor", "note", "not compiled yet", "`hposvc warmup` does it: five to ten minutes on two cores.")


def data_directory(settings: Settings) -> Finding:
    """Where the database and the artifacts go by default."""
    folder = settings.data_dir
    if not _is_writable(folder):
        remedy = "Mend its permissions, or choose another one with HPOSVC_DATA_DIR."
        return Finding("data directory", "fault", f"{folder} cannot be written", remedy)
    return Finding("data directory", "good", str(folder))


def database(settings: Settings) -> Finding:
    """Whether the database answers and is at this version."""
    import sqlalchemy as sa

    from hposvc.db import migrate
    from hposvc.db.engine import DatabaseURLError, parse_url

    try:
        url = parse_url(settings.database_url)
        shown = url.render_as_string(hide_password=True)
        kind = _file_system(Path(str(url.database))) if url.get_backend_name() == "sqlite" else ""
        if kind in NETWORK_FILE_SYSTEMS:
            message = f"{shown} is on a network file system ({kind}), where SQLite's locks do not hold"
            return Finding("database", "fault", message, "Choose a local HPOSVC_DATA_DIR, or use PostgreSQL.")
        if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
            return Finding(
                "database", "note", f"{shown} is not there yet", "`hposvc up` or `hposvc db upgrade` makes it."
            )
        migrate.check(settings.database_url)
    except DatabaseURLError as error:
        return Finding("database", "fault", str(error), "Mend HPOSVC_DATABASE_URL.")
    except migrate.SchemaError as error:
        return Finding("database", "fault", str(error), "Before an upgrade, `hposvc db backup FOLDER` makes a copy.")
    except sa.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        return Finding(
            "database", "fault", f"{shown} does not answer: {reason}", "Start it, or mend HPOSVC_DATABASE_URL."
        )
    return Finding("database", "good", shown)


def clocks(settings: Settings) -> Finding:
    """How far this machine's clock is from that of the database.

    Leases go by the database's alone, so jobs are safe; S3 refuses requests that are far off, and logs mislead.
    """
    import sqlalchemy as sa

    from hposvc.db.engine import create_engine, read
    from hposvc.db.tables import now

    engine = create_engine(settings.database_url)
    try:
        with read(engine) as connection:
            before = time.time()
            there = connection.execute(sa.select(now())).scalar_one()
            here = (before + time.time()) / 2
    except sa.exc.SQLAlchemyError as error:
        return Finding("clock", "note", f"the database did not tell its time: {error}")
    finally:
        engine.dispose()
    apart = here - there
    message = f"{abs(apart):.1f} s {'ahead of' if apart > 0 else 'behind'} the database's"
    remedy = "Keep both machines' clocks right: `timedatectl set-ntp true`, or run chrony."
    if abs(apart) > CLOCK_FAULT_SECONDS:
        return Finding("clock", "fault", message, remedy)
    if abs(apart) > CLOCK_NOTE_SECONDS:
        return Finding("clock", "note", message, remedy)
    return Finding("clock", "good", "within two seconds of the database's")


def store(settings: Settings) -> Finding:
    """Whether the artifact store can be reached; nothing is written to it."""
    from hposvc.store import locate

    shown = SECRET.sub(r"\g<before>***", settings.store_url)
    try:
        filesystem, path = locate(settings.store_url)
        if settings.store_url.startswith("file:"):
            writable = _is_writable(Path(path))
            remedy = "Mend its permissions, or choose another one with HPOSVC_STORE_URL."
            return (
                Finding("store", "good", shown)
                if writable
                else Finding("store", "fault", f"{shown} cannot be written", remedy)
            )
        there = filesystem.exists(path)
    except ImportError as error:
        extra = "pip install 'hposvc[s3]'" if settings.store_url.startswith("s3:") else "Install what it names."
        return Finding("store", "fault", f"{shown} needs a package that is missing: {error}", extra)
    except Exception as error:  # noqa: BLE001 - each kind of store raises its own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        remedy = "Look at HPOSVC_STORE_URL, and at the address and the keys of the store (AWS_ENDPOINT_URL, …)."
        return Finding("store", "fault", f"{shown} does not answer: {reason}", remedy)
    if not there and settings.store_url.startswith("s3:"):
        return Finding("store", "fault", f"{shown} is not there", "Make the bucket, or mend HPOSVC_STORE_URL.")
    return Finding("store", "good", shown)


def port(settings: Settings) -> Finding:
    """Whether the API could listen, or does."""
    if server := announced(settings).get("url"):
        return Finding("server", "good", f"announced at {server}")
    address = f"{settings.host}:{settings.port}"
    try:
        socket.create_server((settings.host, settings.port), family=_family(settings.host)).close()
    except OSError as error:
        remedy = "Choose another port with HPOSVC_PORT or --port (0 takes a free one)."
        return Finding("port", "fault", f"cannot listen on {address}: {error.strerror}", remedy)
    return Finding("port", "good", f"{address} is free" if settings.port else "a free one is taken at start")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _is_writable(folder: Path) -> bool:
    """Whether files can be made in ``folder``, or in what exists above it."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            return True
    except OSError:
        return False


def _file_system(folder: Path) -> str:
    """The type of the file system that ``folder`` is on, as the kernel names it."""
    existing = next(path for path in (folder, *folder.parents) if path.exists()).resolve()
    best = ("", "")
    for line in MOUNTS.read_text().splitlines():
        _, mount, kind, *_ = line.split()
        if existing.is_relative_to(mount) and len(mount) >= len(best[0]):
            best = (mount, kind)
    return best[1]
