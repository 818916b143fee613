"""What a child process does so that it never outlives its parent, and how one is started that does so.

``python -m hposvc.child_process`` is run inside the new process: it sees to its end, then becomes the module that was
asked for. Nothing of ours runs between fork and exec (no ``preexec_fn``), where a thread of the parent may hold a lock
that nobody will ever open.
"""

from __future__ import annotations

import ctypes
import os
import runpy
import signal
import sys

_PR_SET_PDEATHSIG = 1
# Looked up here, because after a fork a process should do as little as it can.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def end_with_parent(number: int = signal.SIGKILL) -> None:
    """Let the kernel send this process signal ``number`` when its parent ends, even if the parent is killed.

    Strictly, the parent is the thread that started this process. A parent that ended before the call is not noticed.
    Does nothing where there is no Linux.
    """
    if _prctl is not None:
        _prctl(_PR_SET_PDEATHSIG, int(number))


def command(module: str, *arguments: str, ends_by: signal.Signals = signal.SIGKILL) -> list[str]:
    """The command that runs ``python -m module arguments`` as a child of this process, which ends when this one does.

    It is sent ``ends_by`` then.
    """
    # -P: a folder called api or workers in the current directory is not ours
    return [sys.executable, "-P", "-m", __name__, str(os.getpid()), ends_by.name, module, *arguments]


def main() -> None:
    """Be ready to end as ``command`` wrote down, then run its module."""
    parent, ends_by, module, *arguments = sys.argv[1:]
    end_with_parent(signal.Signals[ends_by])
    if os.getppid() != int(parent):
        sys.exit(f"The process {parent} that started this one has ended.")
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
