"""Backup and restore: the database first, then the files that it names; both while the service runs.

A backup is a folder: ``manifest.json``, the database as ``database.sqlite3`` or ``database.dump`` (pg_dump's custom
format), and ``store/`` with the files. The files are copied after the database, so that all that it names were there;
a checkpoint that was replaced meanwhile is left out, and its job goes on from an earlier one, or from the start.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from hposvc import __version__
from hposvc.db import migrate
from hposvc.db.engine import create_engine, parse_url, read, write
from hposvc.db.tables import artifacts, jobs, workers
from hposvc.faults import Exit, Fault
from hposvc.settings import Settings
from hposvc.storage.store import Store

MANIFEST = "manifest.json"
SQLITE = "database.sqlite3"
POSTGRESQL = "database.dump"
INSTALL = (
    "Install PostgreSQL's client programs (Debian: apt install postgresql-client) of the server's version or newer."
)


@dataclass(frozen=True)
class Copied:
    """What a backup holds: ``missing`` files had gone before they could be copied."""

    jobs: int
    files: int
    bytes: int
    missing: int


def backup(settings: Settings, folder: Path, *, files: bool = True) -> Copied:
    """Copy database and files into a new ``folder``. Raises Fault; a folder that is not complete has no manifest."""
    if folder.exists():
        raise Fault(f"{folder} is there already", "Name a new folder for each backup.", code=Exit.USAGE)
    url = parse_url(settings.database_url)
    if url.get_backend_name() == "sqlite" and not Path(str(url.database)).exists():
        raise Fault(f"there is no database at {url.database}", "See `hposvc config` for the one in use.")
    migrate.check(settings.database_url)
    folder.mkdir(parents=True, mode=0o700)
    if url.get_backend_name() == "sqlite":
        source, target = sqlite3.connect(str(url.database)), sqlite3.connect(folder / SQLITE)
        with closing(source), closing(target):
            source.backup(target)
        copy = f"sqlite:///{folder.absolute() / SQLITE}"
    else:
        _run_client("pg_dump", url, "--format=custom", "--no-owner", f"--file={folder / POSTGRESQL}")
        copy = settings.database_url
    engine = create_engine(copy)
    try:
        with read(engine) as connection:
            urls = list(connection.execute(sa.select(artifacts.c.url)).scalars()) if files else []
            number = connection.execute(sa.select(sa.func.count()).select_from(jobs)).scalar_one()
    finally:
        engine.dispose()
    copied = _copy_files(Store(settings.store_url), settings.store_url, urls, folder / "store")
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    done = Copied(number, copied, size, len(urls) - copied)
    manifest = {
        "version": __version__,
        "revision": migrate.head(),
        "at": time.time(),
        "backend": url.get_backend_name(),
        "store_url": settings.store_url.rstrip("/"),
        "files": files,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2))
    return done


def restore(settings: Settings, folder: Path) -> Copied:
    """Bring ``folder`` back into the database and the store of ``settings``, which must be empty. Raises Fault."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise Fault(f"{folder} is not a complete backup: {error}", code=Exit.USAGE) from error
    url = parse_url(settings.database_url)
    backend = url.get_backend_name()
    if backend != manifest["backend"]:
        raise Fault(
            f"the backup is of {manifest['backend']}, HPOSVC_DATABASE_URL is {backend}",
            "Restore into a database of the same kind.",
            code=Exit.USAGE,
        )
    if backend == "sqlite":
        target = Path(str(url.database))
        if target.exists():
            raise Fault(f"{target} is there already", "Restore into an empty data directory.", code=Exit.USAGE)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(folder / SQLITE, target)
    else:
        engine = create_engine(settings.database_url)
        with read(engine) as connection:
            there = sa.inspect(connection).get_table_names()
        engine.dispose()
        if there:
            raise Fault("the database is not empty", "Restore into a new one: createdb.", code=Exit.USAGE)
        _run_client("pg_restore", url, "--no-owner", "--exit-on-error", str(folder / POSTGRESQL))
    migrate.upgrade(settings.database_url)  # a backup of an earlier version
    engine = create_engine(settings.database_url)
    try:
        return _restore_files(engine, settings.store_url.rstrip("/"), manifest["store_url"], folder / "store")
    finally:
        engine.dispose()


def _restore_files(engine: sa.Engine, store_url: str, old_url: str, folder: Path) -> Copied:
    store = Store(store_url)
    paths = [path for path in folder.rglob("*") if path.is_file()] if folder.is_dir() else []
    for path in paths:
        store.put(path, path.relative_to(folder).as_posix())
    with write(engine) as connection:
        connection.execute(workers.delete())  # none of them is here
        moved = sa.literal(store_url) + sa.func.substr(artifacts.c.url, len(old_url) + 1)
        inside = artifacts.c.url.startswith(f"{old_url}/", autoescape=True)
        connection.execute(artifacts.update().where(inside).values(url=moved))
        number = connection.execute(sa.select(sa.func.count()).select_from(jobs)).scalar_one()
    return Copied(number, len(paths), sum(path.stat().st_size for path in paths), 0)


def _copy_files(store: Store, store_url: str, urls: list[str], folder: Path) -> int:
    """Copy what is below ``store_url``; returns how many were still there."""
    prefix, number = store_url.rstrip("/") + "/", 0
    for url in urls:
        if not url.startswith(prefix):
            continue
        target = folder / url.removeprefix(prefix)
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            store.get(url, target)
        except FileNotFoundError:
            target.unlink(missing_ok=True)
            continue
        number += 1
    return number


def _run_client(program: str, url: sa.URL, *arguments: str) -> None:
    """Run one of PostgreSQL's programs; the password goes by the environment, where other users cannot read it."""
    found = shutil.which(program) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"), reverse=True)), None
    )
    if found is None:
        raise Fault(f"{program} is not installed", INSTALL)
    environment = os.environ | {"PGPASSWORD": str(url.password or "")}
    shown = url.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    command = [found, f"--dbname={shown}", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Fault(f"{program} failed: {done.stderr.strip()}", "See whether the database responds: `hposvc doctor`.")
