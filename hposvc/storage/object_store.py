"""Object stores (S3, Google, Azure) through obstore, called synchronously.

obstore comes with a file system for fsspec, but that one is asynchronous: its threads hand every answer to Python, and
the one that still does so while the process ends aborts it. The synchronous calls leave nothing behind
(``docs/decisions/object-stores.md``).
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

import obstore
from obstore.store import from_url

READ_BYTES = 1024 * 1024  # what one request fetches at least while a file is read in small pieces


class ObjectStore:
    """One bucket, with those methods of fsspec's file systems that the store uses.

    A path is the object's key. All methods raise the errors of ``obstore.exceptions``, of which the one for what is
    not there is a FileNotFoundError.

    ``options`` are the keyword arguments of obstore's ``from_url``.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        """``url`` names the bucket alone: ``s3://bucket``."""
        self._bucket = from_url(url, **options)

    def put_file(self, here: str, path: str) -> None:
        """Store a local file, in parts when it is large; there is all of it or nothing."""
        obstore.put(self._bucket, path, Path(here))

    def get_file(self, path: str, here: str) -> None:
        """Write the object to a local file, a few megabytes in memory at a time."""
        answer = obstore.get(self._bucket, path)
        with Path(here).open("wb") as file:
            file.writelines(answer.stream())

    def open(self, path: str, mode: str = "rb") -> BinaryIO:
        """A file to read, which can be sought; ``mode`` is "rb"."""
        if mode != "rb":
            raise ValueError(f"an object is opened to read bytes, not as {mode!r}")
        return cast("BinaryIO", io.BufferedReader(_Object(self._bucket, path), READ_BYTES))

    def exists(self, path: str) -> bool:
        """Whether there is an object, or one below it. Raises for a bucket that is not there."""
        return self._is_object(path) or next(self._below(path), None) is not None

    def rm_file(self, path: str) -> None:
        """Remove the object; S3 takes one that is not there, other stores refuse it."""
        obstore.delete(self._bucket, path)

    def rm(self, path: str, recursive: bool = False) -> None:
        """Remove the object, and with ``recursive`` all objects below it."""
        found = list(self._below(path)) if recursive else []
        if self._is_object(path):
            found.append(path)
        obstore.delete(self._bucket, found)

    def _is_object(self, path: str) -> bool:
        with suppress(FileNotFoundError):
            obstore.head(self._bucket, path)
            return True
        return False

    def _below(self, path: str) -> Iterator[str]:
        for part in obstore.list(self._bucket, path or None):
            yield from (found["path"] for found in part)


class _Object(io.RawIOBase):
    """An object's bytes, each read a request for a range of them."""

    def __init__(self, bucket: Any, path: str) -> None:
        self._bucket, self._path, self._at = bucket, path, 0
        self._size = obstore.head(bucket, path)["size"]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence] + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        part = self._next(len(view))
        view[: len(part)] = part
        return len(part)

    def readall(self) -> bytes:
        return bytes(self._next(self._size))  # by itself it would ask for 8 kB at a time

    def _next(self, length: int) -> memoryview:
        length = max(0, min(length, self._size - self._at))
        if length == 0:
            return memoryview(b"")
        part = memoryview(obstore.get_range(self._bucket, self._path, start=self._at, length=length))
        self._at += length
        return part
