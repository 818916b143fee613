"""NPZ: arrays of features, labels, ids and parts. Nothing is unpickled, and sizes are checked before unpacking."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from hposvc.tables.archive import DAMAGED, whole_archive
from hposvc.tables.defects import DataError, Defect
from hposvc.tables.kinds import ARROW, Kind, of_arrow, tidy
from hposvc.tables.options import Reading
from hposvc.tables.rows import BATCH_ROWS, MOST_NUMBERS, RowReader, check_size, refused

NPZ_ARRAYS = {"X": "the features", "y": "the labels", "ids": "names of the rows", "part": "train, validation or test"}


@dataclass(frozen=True)
class _Member:
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def width(self) -> int:
        return math.prod(self.shape[1:])


def read_npz(path: Path, reading: Reading) -> RowReader:
    """The rows of an NPZ file: ``X`` (n, d), (n, H, W) or (n, H, W, C), ``y`` (n,), and maybe ``ids`` and ``part``.

    Sizes are looked at before anything is unpacked, objects are refused, and nothing is unpickled.
    """
    with whole_archive(path) as archive:
        members = _members(archive, path.stat().st_size)
    features = members["X"]
    others = {name: _flat_kind(member) for name, member in members.items() if name != "X"}
    image = len(features.shape) > 2
    shape = _image(features.shape) if image else None
    pixels = [_pixel(features.shape[1:], i) for i in range(features.width)] if image else []
    names = pixels or [f"x{i}" for i in range(features.width)]
    stored = (
        np.dtype(np.uint8)
        if features.dtype == np.uint8
        else np.dtype(np.float32 if features.dtype.itemsize < 8 else np.float64)
    )
    kinds: dict[str, Kind] = {"X": "array", **others}
    item = pa.list_(pa.from_numpy_dtype(stored), features.width)
    schema = pa.schema([("X", item), *((name, ARROW[kind]) for name, kind in others.items())])

    def batches() -> Iterator[pa.RecordBatch]:
        streams = {
            name: _chunks(path, member, BATCH_ROWS if features.width < 64 else 512) for name, member in members.items()
        }
        try:
            for values in zip(*streams.values(), strict=True):
                batch = dict(zip(streams, values, strict=True))
                flat = pa.array(np.ascontiguousarray(batch["X"].reshape(-1).astype(stored, copy=False)))
                columns = [pa.FixedSizeListArray.from_arrays(flat, features.width)]
                columns += [_flat(batch[name], kind, reading.missing_of(name)) for name, kind in others.items()]
                yield pa.record_batch(columns, schema=schema)
        except (*DAMAGED, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise refused("body", f"damaged: {error}", "write it again with numpy.savez_compressed") from None

    roles = {"y": "label", "ids": "id", "part": "ignored"}
    return RowReader(kinds, batches, {"X": names}, shape, {name: roles[name] for name in others})


def _members(archive: zipfile.ZipFile, size: int) -> dict[str, _Member]:
    entries = archive.infolist()
    names = [entry.filename.removesuffix(".npy") for entry in entries]
    unknown = [name for name in names if name not in NPZ_ARRAYS]
    if unknown:
        known = ", ".join(f"{name} ({meaning})" for name, meaning in NPZ_ARRAYS.items())
        raise refused(f"arrays.{unknown[0][:50]}", f"there is an array {unknown[0][:50]!r}", f"name the arrays {known}")
    if len(set(names)) < len(names):
        raise refused("body", "an array stands twice in the file", "write each once")
    if "X" not in names:
        raise refused("arrays.X", "there is no array X", "store the features as X and the labels as y")
    total = sum(entry.file_size for entry in entries)
    if total > 8 * MOST_NUMBERS or total > 1000 * max(size, 1) + 2**20:
        raise refused(
            "body", f"it would unpack to {total:,} bytes from {size:,}", "send fewer rows, or float32 or uint8 arrays"
        )
    members = {name: _member(archive, entry, name) for name, entry in zip(names, entries, strict=True)}
    for defect in _unfit_arrays(members):
        raise DataError([defect])
    check_size(members["X"].shape[0], members["X"].width)
    return members


def _unfit_arrays(members: dict[str, _Member]) -> Iterator[Defect]:
    features = members["X"]
    if not 2 <= len(features.shape) <= 4 or not features.width:
        yield Defect(
            "arrays.X", f"its shape is {features.shape}", "make it (rows, features), (rows, H, W) or (rows, H, W, C)"
        )
    if features.dtype.kind not in "biuf":
        yield Defect("arrays.X", f"its type is {features.dtype}", "store numbers")
    for name, member in members.items():
        if name == "X":
            continue
        if len(member.shape) != 1:
            yield Defect(f"arrays.{name}", f"its shape is {member.shape}", "make it one value for each row")
        elif member.shape != features.shape[:1]:
            yield Defect(
                f"arrays.{name}",
                f"it has {member.shape[0]} rows, X has {features.shape[0]}",
                "give both as many rows",
            )
        if member.dtype.kind not in "biufU":
            yield Defect(f"arrays.{name}", f"its type is {member.dtype}", "store numbers, or text as numpy.str_")


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> _Member:
    try:
        with archive.open(entry) as stream:
            shape, fortran, dtype = _npy_header(stream)
            rest = entry.file_size - stream.tell()
    except ValueError as error:
        raise refused(f"arrays.{name}", f"not an array: {error}", "write it with numpy.savez_compressed") from None
    if fortran:
        raise refused(f"arrays.{name}", "it is in Fortran order", "store numpy.ascontiguousarray of it")
    if dtype.hasobject:
        raise refused(
            f"arrays.{name}", "it holds Python objects, which would have to be unpickled", "store plain numbers or text"
        )
    if rest != math.prod(shape) * dtype.itemsize:
        raise refused(f"arrays.{name}", f"{rest:,} bytes do not make {shape} of {dtype}", "write the file again")
    return _Member(entry.filename, shape, dtype)


def _npy_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape, whether columns come first, and the type."""
    npy: Any = np.lib.format
    version = npy.read_magic(stream)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"version {version}")
    header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = header(stream, max_header_size=10_000)
    return shape, fortran and len(shape) > 1, dtype


def _chunks(path: Path, member: _Member, rows: int) -> Iterator[np.ndarray[Any, Any]]:
    with zipfile.ZipFile(path) as archive, archive.open(member.name) as stream:
        shape, _, dtype = _npy_header(stream)
        left, item = shape[0], math.prod(shape[1:]) * dtype.itemsize
        while left:
            count = min(rows, left)
            data = stream.read(count * item)
            if len(data) < count * item:
                raise EOFError("the array ends early")
            yield np.frombuffer(data, dtype).reshape(count, *shape[1:])
            left -= count


def _image(shape: tuple[int, ...]) -> tuple[int, int, int]:
    return shape[1], shape[2], shape[3] if len(shape) == 4 else 1


def _flat_kind(member: _Member) -> Kind:
    kinds: dict[str, Kind] = {"b": "boolean", "i": "integer", "u": "integer", "f": "number", "U": "text"}
    return kinds[member.dtype.kind]


def _flat(values: np.ndarray[Any, Any], kind: Kind, missing: Sequence[str] | None) -> pa.Array:
    if kind == "text":
        return tidy(pa.array(values.tolist(), pa.string()), missing)
    return of_arrow(pa.array(values.astype(values.dtype.newbyteorder("="))), kind)


def _pixel(shape: tuple[int, ...], index: int) -> str:
    return "pixel " + " ".join(str(place) for place in np.unravel_index(index, shape))
