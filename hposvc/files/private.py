"""Files and folders that no other user of the machine may look into."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path


def private_folder(folder: Path) -> None:
    """Make ``folder``, and let only its owner in, whatever was set before. Raises OSError: it cannot be made.

    A folder of another user stays as it is.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(PermissionError):
        folder.chmod(0o700)


def private_file(file: Path) -> None:
    """Let only its owner read or write ``file``, which is made if it is not there and its folder is.

    It is never opened: closing it would end the locks that SQLite holds on it in this process.
    """
    with suppress(PermissionError, FileNotFoundError):
        with suppress(FileExistsError):
            os.mknod(file, 0o600 | stat.S_IFREG)
        file.chmod(0o600)
