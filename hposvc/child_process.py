"""What a child process does so that it never outlives its parent."""

from __future__ import annotations

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1
# Looked up here, because between fork and exec a process should do as little as it can.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Let the kernel send this process signal ``number`` when its parent ends, even if the parent is killed.

    May be called between fork and exec. Strictly, the parent is the thread that started this process. A parent that
    ended before the call is not noticed. Does nothing where there is no Linux.
    """
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, int(number))
