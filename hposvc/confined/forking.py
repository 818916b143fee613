"""Ask the fork server of this process for a child, and wait for what it has to say."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from typing import IO, NamedTuple

SERVER = "hposvc.confined.server"
STARTS_WITHIN = 120.0  # seconds for the imports of a module and a fork; a server that takes longer is replaced


class Done(NamedTuple):
    """How a child ended: its exit status (negative: a signal), its answer, and what it said on standard error."""

    status: int
    answer: bytes
    said: bytes


def run(module: str, given: bytes, environment: Mapping[str, str], *, seconds: float, memory: int, nice: int) -> Done:
    """``module.respond`` on what is ``given``, in a child that may take ``memory`` bytes of address space.

    It yields the processor by ``nice``. Raises TimeoutError after ``seconds``, and the child is gone by then.
    """
    with _file() as input_, _file() as answer, _file() as said:
        input_.write(given)
        input_.seek(0)
        request = {"module": module, "memory": memory, "nice": nice}
        with _channel(request, [input_.fileno(), answer.fileno(), said.fileno()], environment) as channel:
            channel.settimeout(max(seconds, 1e-3))
            try:
                status = channel.recv(64)
            except TimeoutError:
                channel.shutdown(socket.SHUT_WR)  # the server ends the child then
                channel.settimeout(None)
                channel.recv(64)
                raise
        answer.seek(0)
        said.seek(0)
        # a server that is gone has taken its children along, as the kernel does when there is no memory
        return Done(int(status or b"-9"), answer.read(), said.read())


def _file() -> IO[bytes]:
    """A file that is in no folder. In memory where there is Linux: keys of a store must not come to lie on a disk."""
    if sys.platform == "linux":
        return os.fdopen(os.memfd_create("confined"), "w+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)


class _Server:
    """A fork server with its environment."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self.parent = os.getpid()
        self._control, theirs = socket.socketpair()
        self._control.settimeout(STARTS_WITHIN)
        with theirs:
            # -P: a folder called api or workers in the current directory is not ours. A session of its own: a Ctrl-C is
            # meant for the parent, with which the server ends.
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", SERVER, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=self.environment,
                start_new_session=True,
            )

    def fork(self, request: Mapping[str, object], files: list[int]) -> socket.socket:
        """The connection over which the status of a child comes. Raises OSError: the server is gone."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                socket.send_fds(self._control, [json.dumps(request).encode()], [theirs.fileno(), *files])
                forked = self._control.recv(1)  # one at a time: a stream keeps no two requests apart
        except BaseException:
            ours.close()
            raise
        if not forked:
            ours.close()
            raise BrokenPipeError("the fork server ended")
        return ours

    def end(self) -> None:
        """Kill it, because it may be one that does not respond. The kernel ends its children with it."""
        self._control.close()
        if self.parent == os.getpid():
            self._process.kill()
            self._process.wait()


_lock = threading.Lock()
_server: _Server | None = None


def _channel(request: Mapping[str, object], files: list[int], environment: Mapping[str, str]) -> socket.socket:
    global _server  # noqa: PLW0603 - a process has one
    with _lock:
        if _server is not None and (_server.parent, _server.environment) == (os.getpid(), environment):
            try:
                return _server.fork(request, files)
            except OSError:  # somebody ended it
                pass
        end()
        _server = _Server(environment)
        return _server.fork(request, files)


def end() -> None:
    """End the server, if one runs."""
    global _server  # noqa: PLW0603 - a process has one
    if _server is not None:
        with contextlib.suppress(OSError):
            _server.end()
        _server = None


atexit.register(end)
