"""The whole service on one machine: API and worker as child processes on one data directory."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from hposvc import child_process
from hposvc.client import Client
from hposvc.faults import Fault
from hposvc.files.private import private_folder
from hposvc.settings import Settings

START_SECONDS = 60  # for the API to respond
STOP_SECONDS = 35  # a worker finishes its iteration and hands its job back within 30


def announced(settings: Settings) -> dict[str, Any]:
    """``url`` and ``pid`` of the server that runs on this data directory, or ran and was killed; empty if none did."""
    try:
        content = json.loads(settings.server_file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def upgrade_database(settings: Settings) -> None:
    """Bring the database to this version. Raises Fault."""
    from hposvc.db import migrate
    from hposvc.db.engine import unreachable_is_fault

    try:
        with unreachable_is_fault():
            migrate.upgrade(settings.database_url)
    except OSError as error:
        raise _unusable(error) from error


class Embedded:
    """API and worker as child processes on one data directory; a context manager that leaves no process behind.

    The children die with this process, even when it is killed. Their output goes to ``log_dir`` if it is given and
    otherwise to this process's own.
    """

    def __init__(self, settings: Settings, *, log_dir: Path | None = None) -> None:
        self.settings = settings
        self.url = ""
        self._log_dir = log_dir
        self._logs: dict[str, Path] = {}
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as undo:
            undo.callback(self.stop)
            self._resources.enter_context(_only_one(self.settings))
            upgrade_database(self.settings)
            self._spawn("api")
            self.url = self._wait_for_api()
            self._spawn("worker")
            undo.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def check(self) -> None:
        """Raise Fault if a child has died."""
        for name, child in self._children.items():
            if (status := child.poll()) is not None:
                raise Fault(f"the {name} stopped by itself (status {status})", self._last_words(name))

    def wait(self) -> None:
        """Return never: raise Fault when a child dies, KeyboardInterrupt at Ctrl-C."""
        while True:
            self.check()
            time.sleep(0.2)

    def stop(self) -> None:
        """Stop both, the worker first; a second Ctrl-C kills them at once."""
        try:
            for child in reversed(self._children.values()):
                child.terminate()
            deadline = time.monotonic() + STOP_SECONDS
            for child in self._children.values():
                child.wait(max(0.0, deadline - time.monotonic()))
        except (KeyboardInterrupt, subprocess.TimeoutExpired):
            pass  # they had their time: the next lines end them
        finally:
            for child in self._children.values():
                if child.poll() is None:
                    os.killpg(child.pid, signal.SIGKILL)
                    child.wait()
            self._children.clear()
            self._resources.close()

    def _spawn(self, name: str) -> None:
        output = None
        if self._log_dir:
            self._log_dir.mkdir(parents=True, exist_ok=True)
            self._logs[name] = self._log_dir / f"{name}.log"
            output = self._resources.enter_context(self._logs[name].open("wb"))
        self._children[name] = subprocess.Popen(
            child_process.command("hposvc", name, ends_by=signal.SIGTERM),
            env=os.environ | self.settings.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if output else None,
            start_new_session=True,  # Ctrl-C reaches this process alone, which stops them in order
        )

    def _wait_for_api(self) -> str:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self.check()
            server = announced(self.settings)
            if server.get("pid") == self._children["api"].pid:
                with Client(server["url"], timeout=5) as client:
                    if client.is_ready():
                        return client.url
            time.sleep(0.1)
        raise Fault(f"the API did not answer within {START_SECONDS} s", self._last_words("api"))

    def _last_words(self, name: str) -> str:
        if name not in self._logs:
            return "Its messages above say why."
        lines = self._logs[name].read_text(errors="replace").splitlines()[-15:]
        return f"The end of {self._logs[name]}:\n" + "\n".join(lines)


@contextlib.contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """Hold the data directory's lock, which ends with the process however it ends."""
    try:
        os.umask(0o077)  # of the children, too
        private_folder(settings.data_dir)
        lock = (settings.data_dir / "up.lock").open("w")
    except OSError as error:
        raise _unusable(error) from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            url = announced(settings).get("url", "an address not known yet")
            raise Fault(
                f"a service already runs on {settings.data_dir}, at {url}",
                "Use that one, stop it, or give this one a directory of its own with --data-dir.",
            ) from None
        yield


def _unusable(error: OSError) -> Fault:
    return Fault(
        f"the data directory cannot be used: {error}", "Choose another one with --data-dir or HPOSVC_DATA_DIR."
    )
