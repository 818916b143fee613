"""What the parts of the service need: data directory, database, clock, store, port."""

from __future__ import annotations

import errno
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

from hposvc.machine.causes import Cause
from hposvc.operate.doctor.findings import Finding, fault, good, note
from hposvc.operate.doctor.folders import file_system, is_writable
from hposvc.operate.embedded import announced
from hposvc.settings import SECRET, Settings

if TYPE_CHECKING:
    import sqlalchemy as sa

NETWORK_FILE_SYSTEMS = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "lustre", "gpfs", "ceph", "afs", "beegfs", "fuse.glusterfs"}
)
CLOCK_NOTE_SECONDS = 2.0
CLOCK_FAULT_SECONDS = 60.0


def data_directory(settings: Settings) -> Finding:
    """Where the database and the artifacts go by default."""
    folder = settings.data_dir
    if not is_writable(folder):
        remedy = "Mend its permissions, or choose another one with HPOSVC_DATA_DIR."
        return fault("data directory", Cause.DATA_DIRECTORY_UNWRITABLE, f"{folder} cannot be written", remedy)
    return good("data directory", str(folder))


def database(settings: Settings) -> Finding:
    """Whether the database responds and is at this version."""
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
    kind = file_system(file)
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

    from hposvc.db.clock import now
    from hposvc.db.engine import create_engine, read

    engine = create_engine(settings.database_url)
    try:
        with read(engine) as connection:
            before = time.time()
            there = connection.execute(sa.select(now())).scalar_one()
            here = (before + time.time()) / 2
    except sa.exc.SQLAlchemyError as error:
        remedy = "See whether the database responds now, and look again."
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
        if settings.store_url.startswith("file:") and not is_writable(Path(path)):
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
