"""The artifact store: files under one URL, on the local disk or wherever fsspec reaches."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import fsspec
from fsspec.implementations.local import LocalFileSystem

from hposvc.files.durable import replacing
from hposvc.storage import aws_credentials

if TYPE_CHECKING:
    from hposvc.storage.object_store import ObjectStore

OBJECT_STORES = ("s3", "gs", "az")  # reached by obstore, the extra `s3`: s3fs cannot be installed beside DBOS


PIECE_BYTES = 1024 * 1024


class StoreError(OSError):
    """The store does not do what was asked, or its URL cannot be used here; the message says what it said."""


def locate(url: str) -> tuple[Any, str]:
    """The file system of a URL (fsspec's, or an ObjectStore), and the path in it.

    Raises StoreError; aws_credentials.CredentialsError; ImportError: its package is missing.
    """
    scheme, _, rest = url.partition("://")
    try:
        if scheme in OBJECT_STORES:
            bucket, _, key = rest.partition("/")
            return _object_store(
                f"{scheme}://{bucket}", json.dumps(aws_credentials.options() if scheme == "s3" else {})
            ), key
        filesystem, path = fsspec.core.url_to_fs(url)
    except ValueError as error:
        raise StoreError(f"the store {scheme}:// cannot be reached: {error}") from error
    return filesystem, path


@lru_cache(maxsize=8)  # it keeps its connections; other keys in the file of credentials make another
def _object_store(url: str, options: str) -> ObjectStore:
    try:
        from hposvc.storage.object_store import ObjectStore
    except ImportError as error:
        raise ImportError("an object store needs obstore: pip install 'hposvc[s3]'") from error
    return ObjectStore(url, json.loads(options))


@contextmanager
def speaking_of(url: str) -> Iterator[None]:
    """Turn the errors of object stores, which are no OSErrors but for FileNotFoundError, into StoreError."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith("obstore"):
            raise
        raise StoreError(f"{url}: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


class Store:
    """Files by key below ``url``. A key is a relative path; what is put under it is complete or absent."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    def put(self, path: Path, key: str) -> str:
        """Copy a local file in under ``key``; returns its URL. It survives a crash once this returns."""
        url = f"{self._url}/{key}"
        filesystem, target = locate(url)
        if isinstance(filesystem, LocalFileSystem):
            _copy_durably(path, Path(target))
        else:
            try:
                with speaking_of(url):
                    filesystem.put_file(os.fspath(path), target)
            except FileNotFoundError as error:
                raise StoreError(f"{url}: {_first_line(error)}") from error  # there is no such bucket
        return url

    def get(self, url: str, path: Path) -> None:
        """Copy the file at ``url`` to a local path. Raises FileNotFoundError."""
        filesystem, source = locate(url)
        with speaking_of(url):
            filesystem.get_file(source, os.fspath(path))

    def open(self, url: str) -> BinaryIO:
        """Read the file at ``url``; it can be sought. Raises FileNotFoundError."""
        filesystem, source = locate(url)
        with speaking_of(url):
            return cast("BinaryIO", filesystem.open(source, "rb"))

    def exists(self, url: str) -> bool:
        """Whether there is a file at ``url``, or one below it. Raises StoreError: the store cannot say."""
        filesystem, path = locate(url)
        with speaking_of(url):
            return bool(filesystem.exists(path))

    def local_path(self, url: str) -> Path | None:
        """The path of ``url`` where the store is on the local disk; None for other stores."""
        filesystem, path = locate(url)
        return Path(path) if isinstance(filesystem, LocalFileSystem) else None

    def read(self, url: str, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from ``start`` up to ``stop``, in pieces of at most PIECE_BYTES. Raises FileNotFoundError."""
        with self.open(url) as file:
            file.seek(start)
            while start < stop and (piece := file.read(min(PIECE_BYTES, stop - start))):
                start += len(piece)
                yield piece

    def remove(self, url: str) -> None:
        """Remove the file at ``url``; one that is not there is removed already."""
        filesystem, target = locate(url)
        with speaking_of(url):
            if filesystem.exists(target):
                filesystem.rm_file(target)

    def remove_all(self, prefix: str) -> None:
        """Remove every file below the key ``prefix``, half-written ones too."""
        url = f"{self._url}/{prefix}"
        filesystem, target = locate(url)
        with speaking_of(url):
            if filesystem.exists(target):
                filesystem.rm(target, recursive=True)


def _copy_durably(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader, replacing(target) as writer:
        shutil.copyfileobj(reader, writer)
