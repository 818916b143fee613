"""``hposvc doctor``: what keeps the service from running on this machine, and how to mend it."""

from __future__ import annotations

import errno
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Group
from rich.table import Table
from rich.text import Text

from hposvc.machine import cuda
from hposvc.machine.causes import Cause
from hposvc.operate.embedded import announced
from hposvc.settings import SECRET, Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

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
    """One thing that was looked at: ``good``, a ``note`` that stops nothing, or a ``fault`` with its ``remedy``.

    ``cause`` names what is wrong, for scripts; None when nothing is.
    """

    name: str
    status: Literal["good", "note", "fault"]
    message: str
    remedy: str = ""
    cause: Cause | None = None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def good(name: str, message: str) -> Finding:
    """Nothing is wrong."""
    return Finding(name, "good", message)


def note(name: str, cause: Cause, message: str, remedy: str) -> Finding:
    """Something is not as it could be, and stops nothing."""
    return Finding(name, "note", message, remedy, cause)


def fault(name: str, cause: Cause, message: str, remedy: str) -> Finding:
    """Something keeps the service from running."""
    return Finding(name, "fault", message, remedy, cause)


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at everything, one finding each; changes nothing on the machine."""
    of_workers: list[tuple[str, Callable[[], Finding]]] = [
        ("compiler", compiler),
        ("Python's headers", python_headers),
        ("python-config", python_config),
        ("oneDNN", onednn),
        ("CUDA", partial(gpu, settings)),
        ("Jittor", partial(jittor_cache, settings)),
    ]
    looks: list[tuple[str, Callable[[], Finding]]] = [
        ("Python", python_version),
        *(of_workers if find_spec("jittor") else [("Jittor", no_worker)]),
        ("data directory", partial(data_directory, settings)),
        ("database", partial(database, settings)),
        ("clock", partial(clocks, settings)),
        ("store", partial(store, settings)),
        ("port", partial(port, settings)),
    ]
    answers = True
    for name, look in looks:
        if name == "clock" and not answers:
            continue
        try:
            finding = look()
        except Exception as error:  # noqa: BLE001 - one look that fails must not hide what the others see
            remedy = "This is a fault of doctor's own; the other lines are right. Report it."
            message = f"could not be looked at: {type(error).__name__}: {error}"
            finding = fault(name, Cause.EXAMINATION_FAILED, message, remedy)
        if name == "database":
            answers = finding.status == "good"
        yield finding


def table(findings: list[Finding]) -> Group:
    """The findings for a person, each with its remedy below it, and what they come to."""
    rows = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        mark, style = MARKS[finding.status]
        message = Text(finding.message)
        if finding.remedy:
            message.append(f"\n{finding.remedy}", style="dim")
        rows.add_row(Text(mark, style), finding.name, message)
    return Group(rows, "", _summary(findings))


def _summary(findings: list[Finding]) -> Text:
    faults = [finding.name for finding in findings if finding.status == "fault"]
    notes = sum(finding.status == "note" for finding in findings)
    besides = f" {notes} note{'s' if notes > 1 else ''}, which stop nothing." if notes else ""
    if faults:
        return Text(f"{len(faults)} to mend before the service runs here: {', '.join(faults)}.{besides}", "red")
    return Text(f"The service can run here.{besides}", "green")


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


def gpu(settings: Settings) -> Finding:
    """What a worker with HPOSVC_DEVICE=cuda needs; for workers on the CPU, a stray nvcc is worth a note and no more."""
    if settings.device == "cuda":
        if obstacles := cuda.obstacles():
            message = "HPOSVC_DEVICE is cuda, but " + "; ".join(obstacle.message for obstacle in obstacles)
            return fault("CUDA", obstacles[0].cause, message, obstacles[0].remedy)
        return good("CUDA", "a GPU, its driver and a toolkit that Jittor compiles with")
    found = cuda.toolkit()
    if found is None:
        return good("CUDA", "no nvcc on PATH; workers use the CPU")
    for cause, message, remedy in found.obstacles():
        return note("CUDA", cause, message, f"Workers on the CPU ignore it. For GPU work: {remedy}")
    return good("CUDA", f"{found.nvcc}; workers use the CPU unless HPOSVC_DEVICE is cuda")


def jittor_cache(settings: Settings) -> Finding:
    """Whether Jittor's compiled core is there, or can be written."""
    from hposvc.machine.warmup import is_warm

    folder = Path.home() / ".cache" / "jittor"
    if not _is_writable(folder):
        remedy = "Give this user a home directory that it may write: set HOME."
        return fault("Jittor", Cause.CACHE_UNWRITABLE, f"{folder} cannot be written", remedy)
    if is_warm(settings.device):
        return good("Jittor", f"compiled, in {folder}")
    remedy = "`hposvc warmup` does it: five to ten minutes on two cores."
    return note("Jittor", Cause.JITTOR_NOT_COMPILED, "not compiled yet", remedy)


def data_directory(settings: Settings) -> Finding:
    """Where the database and the artifacts go by default."""
    folder = settings.data_dir
    if not _is_writable(folder):
        remedy = "Mend its permissions, or choose another one with HPOSVC_DATA_DIR."
        return fault("data directory", Cause.DATA_DIRECTORY_UNWRITABLE, f"{folder} cannot be written", remedy)
    return good("data directory", str(folder))


def database(settings: Settings) -> Finding:
    """Whether the database answers and is at this version."""
    import sqlalchemy as sa

    from hposvc.db.engine import DatabaseURLError, parse_url

    try:
        url = parse_url(settings.database_url)
    except DatabaseURLError as error:
        return fault("database", Cause.DATABASE_URL_INVALID, str(error), "Mend HPOSVC_DATABASE_URL.")
    shown = url.render_as_string(hide_password=True)
    try:
        return _sqlite_file(url, shown) or _schema(settings) or good("database", shown)
    except sa.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).strip().splitlines()[0]
        remedy = "Start it, or mend HPOSVC_DATABASE_URL."
        return fault("database", Cause.DATABASE_UNREACHABLE, f"{shown} does not answer: {reason}", remedy)


def _sqlite_file(url: sa.URL, shown: str) -> Finding | None:
    """What is wrong with where the file of SQLite is."""
    if url.get_backend_name() != "sqlite":
        return None
    file = Path(str(url.database))
    kind = _file_system(file)
    if kind in NETWORK_FILE_SYSTEMS:
        message = f"{shown} is on a network file system ({kind}), where SQLite's locks do not hold"
        remedy = "Choose a local HPOSVC_DATA_DIR, or use PostgreSQL."
        return fault("database", Cause.DATABASE_ON_NETWORK_FILE_SYSTEM, message, remedy)
    if not file.exists():
        remedy = "`hposvc up` or `hposvc db upgrade` makes it."
        return note("database", Cause.DATABASE_ABSENT, f"{shown} is not there yet", remedy)
    return None


def _schema(settings: Settings) -> Finding | None:
    """What is wrong with the tables."""
    from hposvc.db import migrate

    try:
        migrate.check(settings.database_url)
    except migrate.BehindError as error:
        remedy = "Before an upgrade, `hposvc db backup FOLDER` makes a copy."
        return fault("database", Cause.DATABASE_BEHIND, str(error), remedy)
    except migrate.NewerError as error:
        remedy = "Install the version of hposvc that the other processes on this database have."
        return fault("database", Cause.DATABASE_NEWER, str(error), remedy)
    except migrate.ChangedError as error:
        remedy = "`hposvc db restore FOLDER` brings a backup back."
        return fault("database", Cause.DATABASE_CHANGED, str(error), remedy)
    return None


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
        remedy = "See whether the database answers now, and look again."
        return note("clock", Cause.CLOCK_UNKNOWN, f"the database did not tell its time: {error}", remedy)
    finally:
        engine.dispose()
    apart = here - there
    message = f"{abs(apart):.1f} s {'ahead of' if apart > 0 else 'behind'} the database's"
    remedy = "Keep both machines' clocks right: `timedatectl set-ntp true`, or run chrony."
    if abs(apart) > CLOCK_FAULT_SECONDS:
        return fault("clock", Cause.CLOCKS_APART, message, remedy)
    if abs(apart) > CLOCK_NOTE_SECONDS:
        return note("clock", Cause.CLOCKS_APART, message, remedy)
    return good("clock", "within two seconds of the database's")


def store(settings: Settings) -> Finding:
    """Whether the artifact store can be reached; nothing is written to it."""
    from hposvc.storage.store import locate

    shown = SECRET.sub(r"\g<before>***", settings.store_url)
    try:
        filesystem, path = locate(settings.store_url)
        if settings.store_url.startswith("file:") and not _is_writable(Path(path)):
            remedy = "Mend its permissions, or choose another one with HPOSVC_STORE_URL."
            return fault("store", Cause.STORE_UNWRITABLE, f"{shown} cannot be written", remedy)
        filesystem.exists(path)  # what is not there yet will be made; a bucket that is not there raises
    except Exception as error:  # noqa: BLE001 - each kind of store raises its own
        return _broken_store(settings.store_url, shown, error)
    return good("store", shown)


def _broken_store(url: str, shown: str, error: Exception) -> Finding:
    """What an error of the store means."""
    from hposvc.storage.aws_credentials import CredentialsError
    from hposvc.storage.store import OBJECT_STORES

    scheme, _, rest = url.partition("://")
    if isinstance(error, ImportError):
        remedy = "Run: pip install 'hposvc[s3]'" if scheme in OBJECT_STORES else "Install what it names."
        return fault("store", Cause.STORE_PACKAGE_MISSING, f"{shown} needs a package that is missing: {error}", remedy)
    if isinstance(error, CredentialsError):
        remedy = "Mend that file, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."
        return fault("store", Cause.STORE_CREDENTIALS_INVALID, f"{shown} cannot be used: {error}", remedy)
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if scheme in OBJECT_STORES and "404 Not Found" in reason:
        message = f"{shown} does not answer: there is no bucket {rest.partition('/')[0]}"
        return fault("store", Cause.BUCKET_MISSING, message, "Make the bucket, or mend HPOSVC_STORE_URL.")
    remedy = "Look at HPOSVC_STORE_URL, and at the address and the keys of the store (AWS_ENDPOINT_URL, …)."
    return fault("store", Cause.STORE_UNREACHABLE, f"{shown} does not answer: {reason}", remedy)


def port(settings: Settings) -> Finding:
    """Whether the API could listen, or does."""
    from hposvc.client import Client

    server = announced(settings).get("url")
    if server:
        with Client(server) as client:
            if client.is_ready():
                return good("port", f"a server runs at {server}")
    address = f"{settings.host}:{settings.port}"
    try:
        socket.create_server((settings.host, settings.port), family=_family(settings.host)).close()
    except OSError as error:
        message = f"cannot listen on {address}: {error.strerror}"
        if error.errno == errno.EADDRINUSE:
            remedy = "Choose another port with HPOSVC_PORT or --port (0 takes a free one)."
            return fault("port", Cause.PORT_TAKEN, message, remedy)
        remedy = "HPOSVC_HOST must be an address of this machine, and ports below 1024 are root's."
        return fault("port", Cause.PORT_REFUSED, message, remedy)
    return good("port", f"{address} is free" if settings.port else "a free one is taken at start")


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
