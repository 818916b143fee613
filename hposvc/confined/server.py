"""A process that forks others, which have at once what it has imported: ``python -m hposvc.confined.server FD``.

``FD`` is a socket to the process that asks. With each request come four files: a socket for the status of the child,
its input, its answer, and its standard error. The server has one thread, no setting and no secret; it reads nothing of
what strangers sent. It ends with the socket, and its children with it. A child ends when its own socket does.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import resource
import selectors
import signal
import socket
import sys
import traceback
import warnings
from typing import Any, NoReturn

from hposvc.child_process import end_with_parent

FILES = 4
LONGEST = 4096  # bytes of a request


class Server:
    """The children that live, by process, with the sockets over which their status goes out."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        woken, waker = socket.socketpair()
        waker.setblocking(False)
        signal.set_wakeup_fd(waker.fileno())
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._sockets = (woken, waker)
        self._selector.register(control, selectors.EVENT_READ)
        self._selector.register(woken, selectors.EVENT_READ)

    def serve(self) -> None:
        """Fork, and say how children ended, until nobody asks any more."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._sockets[0]:
                    self._sockets[0].recv(4096)
                    self._reap()
                elif key.fileobj is self._control:
                    request, files, _, _ = socket.recv_fds(self._control, LONGEST, FILES)
                    if not request:
                        return
                    self._fork(json.loads(request), files)
                elif key.data in self._children:  # whoever asked does not wait any more
                    self._selector.unregister(key.fileobj)
                    os.kill(key.data, signal.SIGKILL)

    def _fork(self, request: dict[str, Any], files: list[int]) -> None:
        channel, *three = files
        module = prepared(request["module"])
        child = os.fork()
        if child == 0:
            _become(module, request, three)
        for file in three:
            os.close(file)
        self._children[child] = socket.socket(fileno=channel)
        self._selector.register(self._children[child], selectors.EVENT_READ, child)
        self._control.send(b".")

    def _reap(self) -> None:
        for child in list(self._children):
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                channel = self._children.pop(child)
                if channel in self._selector.get_map():
                    self._selector.unregister(channel)
                with channel:
                    channel.send(str(os.waitstatus_to_exitcode(status)).encode())


def prepared(name: str) -> Any:
    """The module with what it needs. One that cannot be imported is for its child to say."""
    already = len(sys.modules)
    try:
        module = importlib.import_module(name)
        for needed in getattr(module, "NEEDS", ()):
            importlib.import_module(needed)
    except ImportError:
        return None
    if len(sys.modules) > already:
        gc.collect()
        gc.freeze()  # children share these pages as long as no collection touches them
    return module


def _become(module: Any, request: dict[str, Any], files: list[int]) -> NoReturn:
    """Respond, in the child; never returns."""
    status = 1
    try:
        end_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        input_, answer, said = (os.dup(file) for file in files)
        for file, place in ((input_, 0), (said, 1), (said, 2), (answer, 3)):
            os.dup2(file, place)
        os.closerange(4, resource.getrlimit(resource.RLIMIT_NOFILE)[0])  # among them the socket of the server
        os.nice(request["nice"])
        resource.setrlimit(resource.RLIMIT_AS, (request["memory"], request["memory"]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with os.fdopen(0, "rb", closefd=False) as stream:
            variables, command = json.load(stream)
        os.environ.update(variables)
        module = module or importlib.import_module(request["module"])
        with os.fdopen(3, "w") as stream:
            json.dump(module.respond(command), stream)
        status = 0
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001 - nothing above this frame is for the child
        os.write(2, traceback.format_exc().encode(errors="replace"))
    finally:
        os._exit(status)


if __name__ == "__main__":
    # the only other thread is one of jemalloc, with which pyarrow comes; it starts anew in a child
    warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
    Server(socket.socket(fileno=int(sys.argv[1]))).serve()
