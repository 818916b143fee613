"""Errors that a person at the command line can mend, and the exit status that each leaves with."""

from __future__ import annotations

from enum import IntEnum

from hposvc.copyable import Copyable


class Exit(IntEnum):
    """What the exit status of every command means."""

    OK = 0
    FAILED = 1  # the job failed or was cancelled; doctor found a fault
    USAGE = 2  # a wrong option, a file that cannot be read, a specification that the service refused
    UNREACHABLE = 3  # nothing responds at the service's address
    REFUSED = 4  # there is no such job, or its state does not allow the request
    ENVIRONMENT = 5  # this machine cannot do it: a port taken, a compiler missing, a database behind
    DENIED = 6  # a key is needed, or does not allow it, or a quota is used up
    INTERRUPTED = 130  # Ctrl-C


class Fault(Copyable, Exception):
    """Something that the user can mend: ``message`` says what is wrong, ``remedy`` what to do, ``code`` the status."""

    def __init__(self, message: str, remedy: str = "", *, code: Exit = Exit.ENVIRONMENT) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.code = code
