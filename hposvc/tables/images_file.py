"""A ZIP of pictures in a folder for each class: PNG and JPEG, brought to one size. Heads are looked at first."""

from __future__ import annotations

import statistics
import warnings
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from hposvc.tables.archive import DAMAGED, whole_archive
from hposvc.tables.defects import DataError
from hposvc.tables.kinds import Kind
from hposvc.tables.rows import LONGEST_NAME, RowReader, check_size, refused

FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
LONGEST_SIDE = 64  # pixels that a job sees of a picture, along its longer side
MOST_PIXELS = 50_000_000  # of one picture as it came
MOST_BYTES = 4 * 2**30  # of all of them, unpacked
MOST_TIMES = 1000  # larger than it was packed
GRAY = frozenset({"1", "L"})
BATCH = 256
Shape = tuple[int, int, int]  # height, width, channels
DECODING = (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombWarning)


@dataclass(frozen=True)
class _Picture:
    name: str
    label: str | None
    size: tuple[int, int]  # width, height
    gray: bool


def is_picture(name: str) -> bool:
    """Whether a file is called like a picture that is read here."""
    return PurePosixPath(name).suffix.lower() in FORMATS


def read_images(path: Path, entries: list[zipfile.ZipInfo], shape: Shape | None) -> RowReader:
    """The pictures of the archive at ``path`` as rows: pixels (0 to 255), the folder as the label, the path as the id.

    All have ``shape``, or, without one, the median height and width of the pictures, at most LONGEST_SIDE. Raises
    DataError.
    """
    with whole_archive(path) as archive:
        _check_entries(entries, path.stat().st_size)
        pictures = [_looked_at(archive, entry) for entry in entries]
    labelled = {picture.label is not None for picture in pictures}
    if len(labelled) > 1:
        alone = next(picture.name for picture in pictures if picture.label is None)
        raise refused("body", f"{alone!r} is in no folder, and others are", "put each into the folder of its class")
    found = shape or _shape(pictures)
    width = found[0] * found[1] * found[2]
    check_size(len(pictures), width)
    has_labels = labelled == {True}
    kinds: dict[str, Kind] = {"X": "array", "ids": "text"}
    fields = [("X", pa.list_(pa.uint8(), width)), ("ids", pa.string())]
    if has_labels:
        kinds["y"] = "text"
        fields.append(("y", pa.string()))
    schema = pa.schema(fields)

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            with zipfile.ZipFile(path) as archive:
                for start in range(0, len(pictures), BATCH):
                    some = pictures[start : start + BATCH]
                    flat = pa.array(np.concatenate([_pixels(archive, picture, found).ravel() for picture in some]))
                    columns = [pa.FixedSizeListArray.from_arrays(flat, width), pa.array([p.name for p in some])]
                    columns += [pa.array([p.label for p in some], pa.string())] * has_labels
                    yield pa.record_batch(columns, schema=schema)
        except DAMAGED as error:
            if isinstance(error, DataError):
                raise
            raise refused("body", f"damaged: {error}", "pack the pictures again") from None

    names = [f"pixel {' '.join(map(str, np.unravel_index(place, found)))}" for place in range(width)]
    return RowReader(
        kinds,
        batches,
        {"X": names},
        found,
        {"ids": "id"} | ({"y": "label"} if has_labels else {}),
        cautions=list(_said(pictures, found)) if shape is None else [],
    )


def _check_entries(entries: list[zipfile.ZipInfo], packed: int) -> None:
    """Refuse what is no path of a picture, and more than may be unpacked. Raises DataError."""
    for entry in entries:
        name = entry.filename
        parts = PurePosixPath(name).parts
        if not name.isprintable() or "\\" in name or name.startswith("/") or ".." in parts or len(name) > LONGEST_NAME:
            raise refused("body", f"{name[:100]!r} is no path below a folder", "pack a folder with pictures in folders")
        if not is_picture(name):
            remedy = f"leave it out, or write it as one of {', '.join(FORMATS)}"
            raise refused("body", f"{name!r} is neither PNG nor JPEG by its name", remedy)
    twice = [name for name, times in Counter(entry.filename for entry in entries).items() if times > 1]
    if twice:
        raise refused("body", f"{twice[0]!r} stands twice in the archive", "pack the pictures again")
    total = sum(entry.file_size for entry in entries)
    if total > MOST_BYTES or any(entry.file_size > MOST_TIMES * max(1, entry.compress_size) for entry in entries):
        raise refused("body", f"it would unpack to {total:,} bytes from {packed:,}", "send fewer or smaller pictures")


def _looked_at(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> _Picture:
    """What the head of a picture says. Raises DataError."""
    name = entry.filename
    format_ = FORMATS[PurePosixPath(name).suffix.lower()]
    try:
        with archive.open(entry) as stream, warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the size is looked at below
            with Image.open(stream, formats=[format_]) as image:
                size, gray = image.size, image.mode in GRAY
    except Image.DecompressionBombError:
        raise _too_large(f"{name!r} has far too many pixels") from None
    except DECODING as error:
        if isinstance(error, zipfile.BadZipFile):
            raise
        raise refused("body", f"{name!r} is no {format_}", "name it by what it is, or write it again") from None
    if size[0] * size[1] > MOST_PIXELS:
        raise _too_large(f"{name!r} has {size[0]:,} × {size[1]:,} pixels")
    folder = PurePosixPath(name).parent.name
    return _Picture(name, folder or None, size, gray)


def _too_large(message: str) -> DataError:
    return refused("body", message, f"make it smaller: at most {MOST_PIXELS:,} pixels")


def _shape(pictures: list[_Picture]) -> Shape:
    """The median size, made smaller until its longer side is at most LONGEST_SIDE; one channel if all are gray."""
    width, height = (statistics.median(picture.size[axis] for picture in pictures) for axis in (0, 1))
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    channels = 1 if all(picture.gray for picture in pictures) else 3
    return max(1, round(height * scale)), max(1, round(width * scale)), channels


def _pixels(archive: zipfile.ZipFile, picture: _Picture, shape: Shape) -> NDArray[np.uint8]:
    """A picture (height, width, channels), turned as its camera says, what is transparent left as it is below."""
    height, width, channels = shape
    mode = "L" if channels == 1 else "RGB"
    try:
        with archive.open(picture.name) as stream, Image.open(stream, formats=[*set(FORMATS.values())]) as image:
            image.draft(mode, (width, height))  # a JPEG is decoded no larger than needed
            found = ImageOps.exif_transpose(image).convert(mode).resize((width, height), Image.Resampling.BOX)
            return np.asarray(found, np.uint8).reshape(shape)
    except DECODING as error:
        if isinstance(error, zipfile.BadZipFile):
            raise
        raise refused("body", f"{picture.name!r} cannot be decoded: {str(error)[:100]}", "write it again") from None


def _said(pictures: list[_Picture], shape: Shape) -> Iterator[str]:
    sizes = {picture.size for picture in pictures}
    if sizes == {(shape[1], shape[0])}:
        return
    came = f"{len(sizes):,} sizes" if len(sizes) > 1 else "{} × {} pixels".format(*next(iter(sizes)))
    yield f"The pictures came with {came}. All are brought to {shape[1]} × {shape[0]} pixels (width × height)."
