"""What an API process does besides requests: small work, repeated, each kind on a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable

import sqlalchemy as sa
import structlog

log = structlog.get_logger(__name__)


class Repeated:
    """Calls ``work`` every ``seconds``, and once more at once whenever it returns True: there is more to do."""

    def __init__(self, name: str, work: Callable[[], bool | None], seconds: float) -> None:
        self._work = work
        self._seconds = seconds
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; returns when the work that runs is done."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            more = False
            try:
                more = bool(self._work())
            except sa.exc.SQLAlchemyError as error:
                log.warning("the database does not answer", doing=self._thread.name, error=type(error).__name__)
            except Exception:
                log.exception("a defect, which only costs a repetition", doing=self._thread.name)
            if not more:
                self._stopping.wait(self._seconds)
