"""ZIP archives of strangers, NPZ files among them, opened in one way."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hposvc.tables.rows import refused

DAMAGED = (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError, zlib.error)
"""What reading an archive raises that is cut off, changed, encrypted or packed in a way that is not known."""


@contextmanager
def whole_archive(path: Path) -> Iterator[zipfile.ZipFile]:
    """The archive at ``path``, and DataError for whatever shows in the block that it is damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DAMAGED as error:
        remedy = "pack it again, an NPZ file by numpy.savez_compressed, or send it as it is"
        raise refused("body", f"not a whole ZIP or NPZ file: {error}", remedy) from None
