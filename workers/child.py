"""A runner process, as its supervisor sees it."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from workers import losses, protocol
from workers.clock import clock
from workers.environment import of_runner
from workers.losses import Loss
from workers.protocol import Message

log = logging.getLogger(__name__)

BACKLOG = 256  # frames that wait for the supervisor; then the runner waits
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
LOG_LINES = 50
LOG_LINE_BYTES = 4096
LAST_WORDS_SECONDS = 2.0  # to read what a runner that has ended had printed; a process that it began may hold the pipe
GARBAGE = "garbage"  # a message of this class, not of the runner: what came was not a frame


class Child:
    """One runner. Must be started from a thread that outlives it: the kernel kills it when that thread ends."""

    def __init__(self, command: Sequence[str]) -> None:
        read_end, write_end = os.pipe()
        environment = of_runner(os.environ) | {
            protocol.RUNNER_FD: str(write_end),
            protocol.RUNNER_PARENT: str(os.getpid()),
        }
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(write_end,),
            env=environment,
            start_new_session=True,  # a group to be killed as one, and out of reach of Ctrl-C in a terminal
        )
        os.close(write_end)
        self.versions: dict[str, str] = {}
        self.device = "unknown"
        self.tenant: str | None = None  # whose jobs it has done
        self.ready = threading.Event()
        self.last_heard = clock()
        self._closed = threading.Event()
        self._messages: queue.Queue[Message | None] = queue.Queue(BACKLOG)
        self._log: deque[bytes] = deque(maxlen=LOG_LINES)
        self._oom_kills = oom_kills()
        threading.Thread(target=self._receive, args=(read_end,), name="runner-frames", daemon=True).start()
        self._capturing = threading.Thread(target=self._capture, name="runner-log", daemon=True)
        self._capturing.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def begin(self, tenant: str | None) -> None:
        """Forget what was of the job before: the next one is a job of ``tenant``."""
        self.tenant = tenant
        self.ready.clear()
        self._log.clear()
        self._oom_kills = oom_kills()

    def receive(self, timeout: float) -> Message | None:
        """The next message; None when there will be no more. Raises queue.Empty."""
        return self._messages.get(timeout=timeout)

    def send(self, message: Message) -> None:
        """Send a command. One that is gone does not get it; that it is gone shows in ``receive``."""
        assert self._process.stdin is not None  # noqa: S101 - a pipe, for the type checker
        with contextlib.suppress(OSError):
            self._process.stdin.write(protocol.encode(message))
            self._process.stdin.flush()

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def memory(self) -> int:
        """The memory that the process holds, in bytes; 0 once it has ended."""
        try:
            return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * PAGE_BYTES
        except (OSError, IndexError):
            return 0

    def terminate(self) -> None:
        """Ask the process to end."""
        self._process.terminate()

    def kill(self) -> None:
        """End the process with the compilers and helpers that it has started, and wait until it is gone."""
        if self.alive():
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()

    def close(self, patience: float) -> None:
        """Give the process ``patience`` seconds to end by itself, then end it."""
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
        self._closed.set()

    def exit_reason(self) -> Loss:
        """Why a process that ended without a result did."""
        code = self._process.wait()
        if code == -signal.SIGKILL and oom_kills() > self._oom_kills:
            return losses.out_of_memory()
        self._capturing.join(LAST_WORDS_SECONDS)
        return losses.ended(code, self.last_line())

    def last_line(self) -> str:
        """The last line that the runner printed."""
        lines = [line.decode(errors="replace").strip() for line in list(self._log)]
        return next((line for line in reversed(lines) if line), "")

    def _receive(self, descriptor: int) -> None:
        with os.fdopen(descriptor, "rb") as stream:
            try:
                while (message := protocol.read(stream)) is not None:
                    self.last_heard = clock()
                    match message.get("type"):
                        case "heartbeat":
                            pass
                        case "ready":
                            self.versions, self.device = message["versions"], message["device"]
                            self.ready.set()
                        case _:
                            self._put(message)
            except (protocol.ProtocolError, KeyError) as error:
                self._put({"type": GARBAGE, "message": str(error)})
            self._put(None)

    def _put(self, message: Message | None) -> None:
        while not self._closed.is_set():
            with contextlib.suppress(queue.Full):
                self._messages.put(message, timeout=1)
                return

    def _capture(self) -> None:
        assert self._process.stdout is not None  # noqa: S101 - a pipe, for the type checker
        while line := self._process.stdout.readline(LOG_LINE_BYTES):
            self._log.append(line)
            log.debug("runner %d: %s", self.pid, line.decode(errors="replace").rstrip())


def oom_kills() -> int:
    """How many processes this machine has killed for want of memory since it started."""
    for line in Path("/proc/vmstat").read_text().splitlines():
        if line.startswith("oom_kill "):
            return int(line.split()[1])
    return 0
