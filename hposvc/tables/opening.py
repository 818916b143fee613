"""What a file is, by its first bytes and whatever it is called; and what is packed in it."""

from __future__ import annotations

import gzip
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from hposvc.tables import excel_file
from hposvc.tables.archive import whole_archive
from hposvc.tables.characters import as_utf8
from hposvc.tables.images_file import is_picture
from hposvc.tables.json_lines import as_csv, is_json
from hposvc.tables.rows import refused

Format = Literal["csv", "parquet", "npz", "images"]
Unpack = Callable[[Path, Path], Path]

MOST_UNPACKED_BYTES = 4 * 2**30
MOST_TIMES = 1000  # larger than it was packed
CHUNK = 2**20
OTHERS = {
    b"\xd0\xcf\x11\xe0": "an old Excel file, or one with a password",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a zstd file",
    b"7z\xbc\xaf": "a 7z file",
    b"\x89HDF": "an HDF5 file",
    b"%PDF": "a PDF file",
    b"\x93NUMPY": "a NPY file",
    **{b"\x80" + bytes([version]): "a pickle" for version in range(2, 6)},
}
ZIP, GZIP, PARQUET = (b"PK\x03\x04", b"PK\x05\x06"), b"\x1f\x8b", b"PAR1"
REMEDY = "send CSV, JSON lines, XLSX, Parquet or NPZ, one such file in a .gz or .zip, or a .zip of pictures"


@dataclass(frozen=True)
class Opened:
    """A file that can be read: its ``format``, where it lies, unpacked and text in UTF-8, and what to say of it."""

    format: Format
    path: Path
    said: list[str] = field(default_factory=list)
    pictures: list[zipfile.ZipInfo] = field(default_factory=list)


def opened(path: Path, folder: Path, encoding: str | None) -> Opened:
    """Look what a file is. What has to be unpacked or written in UTF-8 goes into ``folder``. Raises DataError."""
    said: list[str] = []
    with path.open("rb") as file:
        start = file.read(8)
    if start.startswith(ZIP) and (pictures := _pictures(path)):
        return Opened("images", path, pictures=pictures)
    if start.startswith(ZIP) and _is_workbook(path):
        return Opened("csv", excel_file.as_csv(path, folder, said), said)
    if packed := _packed(path, start):
        path = packed(path, folder / "unpacked")
        with path.open("rb") as file:
            start = file.read(8)
        if _packed(path, start):
            raise refused("body", "a packed file is in the packed file", "pack it once")
    if not start:
        raise refused("body", "the file is empty", "send a file with a header and rows")
    if start.startswith(PARQUET):
        return Opened("parquet", path)
    if start.startswith(ZIP):
        return Opened("npz", path)
    if other := next((name for magic, name in OTHERS.items() if start.startswith(magic)), None):
        raise refused("body", f"it is {other}", REMEDY)
    text, about = as_utf8(path, folder, encoding)
    said += [about] if about else []
    if is_json(text):
        text = as_csv(text, folder)
    return Opened("csv", text, said)


def _packed(path: Path, start: bytes) -> Unpack | None:
    if start.startswith(GZIP):
        return _from_gzip
    return _from_zip if start.startswith(ZIP) and not _is_npz(path) else None


def _is_npz(path: Path) -> bool:
    with whole_archive(path) as archive:
        return all(name.endswith(".npy") for name in archive.namelist())


def _is_workbook(path: Path) -> bool:
    with whole_archive(path) as archive:
        return excel_file.is_workbook(archive.namelist())


def _pictures(path: Path) -> list[zipfile.ZipInfo]:
    """All files of an archive, if there are pictures among them."""
    with whole_archive(path) as archive:
        entries = [entry for entry in archive.infolist() if not _is_litter(entry)]
    return entries if any(is_picture(entry.filename) for entry in entries) else []


def _from_gzip(path: Path, target: Path) -> Path:
    try:
        with gzip.open(path) as stream:
            return _copied(stream, target, path.stat().st_size)
    except (OSError, EOFError, zlib.error) as error:
        raise refused("body", f"not a whole gzip file: {error}", "pack it again, or send it as it is") from None


def _from_zip(path: Path, target: Path) -> Path:
    with whole_archive(path) as archive:
        entries = [entry for entry in archive.infolist() if not _is_litter(entry)]
        names = [entry.filename for entry in entries]
        if any(name.startswith("content.xml") for name in names):
            raise refused("body", "it is a document of LibreOffice", "save it as XLSX or CSV UTF-8 and send that")
        if len(entries) != 1:
            shown = ", ".join(map(repr, names[:5])) + ", …" * (len(names) > 5)
            raise refused("body", f"there are {len(names)} files in it: {shown}", "send each as a file of its own")
        with archive.open(entries[0]) as stream:
            return _copied(stream, target, path.stat().st_size)


def _is_litter(entry: zipfile.ZipInfo) -> bool:
    """What the Finder of macOS puts in beside the files, and folders."""
    return entry.is_dir() or entry.filename.startswith("__MACOSX/") or entry.filename.endswith(".DS_Store")


def _copied(stream: Any, target: Path, packed: int) -> Path:
    most, size = min(MOST_UNPACKED_BYTES, MOST_TIMES * packed + CHUNK), 0
    with target.open("wb") as out:
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            if size > most:
                raise refused("body", f"it would unpack to more than {most:,} bytes from {packed:,}", "send fewer rows")
            out.write(chunk)
    return target
