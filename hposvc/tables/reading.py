"""CSV, Parquet and NPZ as batches of typed columns, read in pieces: no file is ever wholly in memory or unpickled."""

from __future__ import annotations

import codecs
import csv
import math
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from hposvc.tables.defects import DataError, Defect
from hposvc.tables.kinds import ARROW, Kind, kind_of, of_arrow, of_text, tidy

Format = Literal["csv", "parquet", "npz"]
SUFFIXES: dict[str, Format] = {".csv": "csv", ".tsv": "csv", ".parquet": "parquet", ".pq": "parquet", ".npz": "npz"}

MOST_COLUMNS = 10_000
MOST_ROWS = 20_000_000
MOST_NUMBERS = 250_000_000  # rows × columns: two gigabytes as a job computes with them
LONGEST_NAME = 200
ROW_BYTES = 4 * 1024 * 1024  # the longest row of a CSV file
BATCH_ROWS = 16_384
GROUP_BYTES = 16 * 2**20
DELIMITERS = ",;\t|"
NARROWEST_FIRST: tuple[Kind, ...] = ("boolean", "integer", "number", "date")
WIDER: dict[Kind, Kind] = {"integer": "number", "number": "text", "boolean": "text", "date": "text"}
ROW_NUMBER = "row number"  # the name of a first column that has none, as pandas writes it

MAGIC = {b"PAR1": "a Parquet file", b"PK\x03\x04": "a ZIP or NPZ file", b"\x1f\x8b": "a gzip file", b"\x80": "a pickle"}


@dataclass(frozen=True)
class RowReader:
    """The rows of a file: the ``kinds`` of its columns in order, and ``batches()`` of them, as often as asked.

    ``arrays`` are the names of the numbers within columns of arrays, ``image_shape`` their height, width and channels
    when they are pixels. ``roles`` are those that the format itself gives.
    """

    kinds: dict[str, Kind]
    batches: Callable[[], Iterator[pa.RecordBatch]]
    arrays: dict[str, list[str]] = field(default_factory=dict)
    image_shape: tuple[int, int, int] | None = None
    roles: dict[str, str] = field(default_factory=dict)
    unread: dict[str, str] = field(default_factory=dict)  # columns of types that are no use, with the type


def read(path: Path, format_: Format) -> RowReader:
    """The rows of a file. Raises DataError for what cannot be read, with the place and the remedy."""
    size = path.stat().st_size
    if size == 0:
        raise refused("body", "the file is empty", "send a file with a header and rows")
    with path.open("rb") as file:
        start = file.read(4)
    expected = {"parquet": b"PAR1", "npz": b"PK"}.get(format_, b"")
    if not start.startswith(expected) or (format_ == "csv" and any(start.startswith(magic) for magic in MAGIC)):
        found = next((name for magic, name in MAGIC.items() if start.startswith(magic)), "something else")
        raise refused(
            "body",
            f"it was announced as {format_.upper()} and is {found}",
            "send CSV, Parquet or NPZ, uncompressed, with the Content-Type or the file name that fits",
        )
    return {"csv": read_csv, "parquet": read_parquet, "npz": read_npz}[format_](path)


def refused(where: str, message: str, remedy: str) -> DataError:
    """The error of a single defect."""
    return DataError([Defect(where, message, remedy)])


# CSV ----------------------------------------------------------------------------------------------------------------


def read_csv(path: Path) -> RowReader:
    """The rows of a CSV file, each column of the narrowest kind that all of its values have."""
    _require_utf8(path)
    names, delimiter = _header(path)
    kinds = _infer(path, names, delimiter)
    schema = pa.schema([(name, ARROW[kind]) for name, kind in kinds.items()])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in text_batches(path, names, delimiter):
            columns = [of_text(batch.column(i), kind) for i, kind in enumerate(kinds.values())]
            yield pa.record_batch(columns, schema=schema)

    roles = {ROW_NUMBER: "ignored"} if ROW_NUMBER in names else {}
    return RowReader(kinds, batches, roles=roles)


def read_csv_as_text(path: Path) -> pa.Table:
    """All columns of a CSV file as tidy text: for whoever knows what they should hold. Raises DataError."""
    _require_utf8(path)
    names, delimiter = _header(path)
    schema = pa.schema([(name, pa.string()) for name in names])
    return pa.Table.from_batches(text_batches(path, names, delimiter), schema=schema)


def _require_utf8(path: Path) -> None:
    decoder, line, done = codecs.getincrementaldecoder("utf-8")(), 1, 0
    with path.open("rb") as file:
        start = file.read(2)
        if start in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise refused("body", "the text is UTF-16", "save it as CSV UTF-8")
        file.seek(0)
        while chunk := file.read(1024 * 1024):
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError as error:
                line += chunk[: max(0, error.start)].count(b"\n")
                raise refused(
                    "body", f"byte {done + error.start} (line {line}) is not UTF-8", "save the file as CSV UTF-8"
                ) from None
            if b"\x00" in chunk:
                line += chunk[: chunk.index(b"\x00")].count(b"\n")
                raise refused("body", f"line {line} has a null character", "send text: CSV in UTF-8")
            line, done = line + chunk.count(b"\n"), done + len(chunk)
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            raise refused("body", "the file ends within a character", "send the whole file") from None


def _header(path: Path) -> tuple[list[str], str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline(ROW_BYTES)
        if not first.strip():
            raise refused("body", "the first line is empty", "write the names of the columns into the first line")
        if not first.endswith(("\n", "\r")) and len(first) < ROW_BYTES:
            raise refused("body", "there are no rows after the header", "send at least ten rows")
        delimiter = max(DELIMITERS, key=first.count)
        file.seek(0)
        try:
            names = [name.strip() for name in next(csv.reader(file, delimiter=delimiter, strict=True))]
        except (csv.Error, StopIteration) as error:
            raise refused("body", f"the header cannot be read: {error}", "quote names with quotes in them") from None
    names[0] = names[0].lstrip("\ufeff") or (ROW_NUMBER if len(names) > 1 else "")
    check_names(names)
    if all(re.fullmatch(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?", name) for name in names):
        raise refused("body", "the first line holds numbers", "write the names of the columns into the first line")
    return names, delimiter


def check_names(names: list[str]) -> None:
    """Refuse names of columns that nobody could point at. Raises DataError."""
    defects = []
    for position, name in enumerate(names):
        place = f"columns.{position}"
        if not name:
            defects.append(Defect(place, f"column {position + 1} has no name", "give every column a name"))
        elif len(name) > LONGEST_NAME:
            defects.append(Defect(place, f"a name of {len(name)} characters", f"use at most {LONGEST_NAME}"))
        elif any(ord(character) < 32 for character in name):
            defects.append(Defect(place, f"the name {name!r} has control characters", "use printable ones"))
    twice = [name for name, times in Counter(names).items() if name and times > 1]
    defects += [
        Defect(
            f"columns.{name[:LONGEST_NAME]}",
            f"the name {name[:50]!r} stands twice in the header",
            "name each column once",
        )
        for name in twice
    ]
    if len(names) > MOST_COLUMNS:
        defects.append(
            Defect("body", f"{len(names):,} columns", f"send at most {MOST_COLUMNS:,}, or an NPZ file with an array X")
        )
    if defects:
        raise DataError(defects[:20])


def text_batches(path: Path, names: list[str], delimiter: str) -> Iterator[pa.RecordBatch]:
    """The rows as tidy text. Raises DataError for a row that does not fit the header."""
    schema = pa.schema([(name, pa.string()) for name in names])
    try:
        reader = pyarrow.csv.open_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(
                column_names=names, skip_rows_after_names=1, block_size=ROW_BYTES, use_threads=False
            ),
            parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types=schema, strings_can_be_null=False, quoted_strings_can_be_null=False
            ),
        )
        for batch in reader:
            yield pa.record_batch([tidy(column) for column in batch.columns], schema=schema)
    except pa.ArrowInvalid as error:
        raise _unreadable_csv(str(error)) from None


def _unreadable_csv(said: str) -> DataError:
    ragged = re.search(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+)", said)
    if ragged:
        row = f"line {ragged[1]}" if ragged[1] else "a line"
        return refused(
            "body",
            f"{row} has {ragged[3]} values, the header {ragged[2]}",
            "give every line as many values as the header has; quote values that contain the delimiter",
        )
    if "straddling" in said or "block size" in said:
        return refused(
            "body",
            f"a row is longer than {ROW_BYTES // 2**20} MiB, or a quote is not closed",
            "close the quote, or shorten the row",
        )
    if "Empty CSV" in said:
        return refused("body", "there are no rows after the header", "send at least ten rows")
    return refused("body", f"not CSV: {said[:200]}", "send comma-separated text in UTF-8")


def _infer(path: Path, names: list[str], delimiter: str) -> dict[str, Kind]:
    kinds: list[Kind] = ["empty"] * len(names)
    rows = 0
    for batch in text_batches(path, names, delimiter):
        rows += batch.num_rows
        check_size(rows, len(names))
        for i, kind in enumerate(kinds):
            column = batch.column(i)
            if kind != "text" and column.null_count < len(column):
                kinds[i] = _widened(column, kind)
    return dict(zip(names, kinds, strict=True))


def _widened(column: pa.Array, kind: Kind) -> Kind:
    """The narrowest kind, from ``kind`` up, that all values of ``column`` have."""
    if kind == "empty":
        return next((first for first in NARROWEST_FIRST if _fits(column, first)), "text")
    while kind != "text" and not _fits(column, kind):
        kind = WIDER[kind]
    return kind


def _fits(column: pa.Array, kind: Kind) -> bool:
    try:
        of_text(column, kind)
    except pa.ArrowInvalid:
        return False
    return True


def check_size(rows: int, columns: int) -> None:
    """Refuse more than a job could compute with. Raises DataError."""
    if rows > MOST_ROWS:
        raise refused("body", f"more than {MOST_ROWS:,} rows", "send fewer rows")
    if rows * columns > MOST_NUMBERS:
        raise refused("body", f"more than {MOST_NUMBERS:,} values", "send fewer rows or columns")


# Parquet ------------------------------------------------------------------------------------------------------------


def read_parquet(path: Path) -> RowReader:
    """The rows of a Parquet file."""
    try:
        schema = pq.ParquetFile(path, memory_map=False).schema_arrow
        metadata = pq.read_metadata(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _unreadable_parquet(error) from None
    check_names([str(name) for name in schema.names])
    check_size(metadata.num_rows, len(schema.names))
    kinds = {item.name: kind_of(item.type) for item in schema}
    unread = {item.name: str(item.type) for item in schema if kinds[item.name] == "other"}
    kinds = {name: kind for name, kind in kinds.items() if kind != "other"}
    if not kinds:
        raise refused("body", "no column holds numbers, text, truth or dates", "send columns of those; images as NPZ")
    target = pa.schema([(name, ARROW[kind]) for name, kind in kinds.items()])

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            # read anew each time: an iterator of batches keeps the pages that it has read
            for batch in pq.ParquetFile(path, memory_map=False).iter_batches(
                BATCH_ROWS, columns=list(kinds), use_threads=False
            ):
                columns = [_converted(batch, name, kind) for name, kind in kinds.items()]
                yield pa.record_batch(columns, schema=target)
        except (pa.ArrowException, OSError, ValueError) as error:
            if isinstance(error, DataError):
                raise
            raise _unreadable_parquet(error) from None

    return RowReader(kinds, batches, unread=unread)


def _converted(batch: pa.RecordBatch, name: str, kind: Kind) -> pa.Array:
    try:
        return of_arrow(batch.column(name), kind)
    except pa.ArrowInvalid as error:
        raise refused(f"columns.{name}", str(error)[:200], "store it as float64, or as text if it is a name") from None


def _unreadable_parquet(error: Exception) -> DataError:
    said = " ".join(str(error).split())[:200]
    return refused("body", f"not a whole Parquet file: {said}", "write the file again and send all of it")


# NPZ ----------------------------------------------------------------------------------------------------------------

NPZ_ARRAYS = {"X": "the features", "y": "the labels", "ids": "names of the rows", "part": "train, validation or test"}


@dataclass(frozen=True)
class _Member:
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def width(self) -> int:
        return math.prod(self.shape[1:])


def read_npz(path: Path) -> RowReader:
    """The rows of an NPZ file: ``X`` (n, d), (n, H, W) or (n, H, W, C), ``y`` (n,), and maybe ``ids`` and ``part``.

    Sizes are looked at before anything is unpacked, objects are refused, and nothing is unpickled.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(archive, path.stat().st_size)
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise refused("body", f"not a whole NPZ file: {error}", "write it with numpy.savez_compressed") from None
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
                columns += [_flat(batch[name], kind) for name, kind in others.items()]
                yield pa.record_batch(columns, schema=schema)
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, zlib.error) as error:
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


def _flat(values: np.ndarray[Any, Any], kind: Kind) -> pa.Array:
    if kind == "text":
        return tidy(pa.array(values.tolist(), pa.string()))
    return of_arrow(pa.array(values.astype(values.dtype.newbyteorder("="))), kind)


def _pixel(shape: tuple[int, ...], index: int) -> str:
    return "pixel " + " ".join(str(place) for place in np.unravel_index(index, shape))


def write(rows: RowReader, target: Path) -> int:
    """Write ``rows`` to a Parquet file, in row groups of some megabytes; answers how many. Raises DataError."""
    writer: pq.ParquetWriter | None = None
    pending: list[pa.RecordBatch] = []
    total = 0

    def flush() -> None:
        if writer is not None and pending:
            writer.write_table(pa.Table.from_batches(pending))
            pending.clear()

    try:
        for batch in rows.batches():
            total += batch.num_rows
            check_size(total, max(1, len(rows.kinds)))
            writer = writer or pq.ParquetWriter(target, batch.schema, compression="zstd")
            pending.append(batch)
            if sum(piece.nbytes for piece in pending) > GROUP_BYTES:
                flush()
        flush()
    finally:
        if writer is not None:
            writer.close()
    return total


def read_table(path: Path, format_: Format) -> pa.Table:
    """All rows of a file at once, a CSV file's as text: for whoever knows what they should hold. Raises DataError."""
    if format_ == "csv":
        return read_csv_as_text(path)
    rows = read(path, format_)
    return pa.Table.from_batches(rows.batches())


def format_of(name: str) -> Format | None:
    """The format that the ending of a file's name says."""
    return SUFFIXES.get(Path(name).suffix.lower())
