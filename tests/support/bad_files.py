"""Files that cannot be used, and what is wrong with each."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

CSV, PARQUET, NPZ = "text/csv", "application/vnd.apache.parquet", "application/x-npz"
ROWS = 12


class Bad(NamedTuple):
    """``content`` sent as ``media_type`` with ``parameters`` is refused with ``status`` for ``field``."""

    case: str
    content: bytes
    media_type: str = CSV
    field: str = "body"
    status: int = 422
    parameters: dict[str, str] = {}  # noqa: RUF012 - never changed


def csv(rows: int = ROWS, header: str = "a,b,y", row: str = "{i},{i}.5,{c}", end: str = "\n") -> bytes:
    lines = [header, *(row.format(i=i, c="xy"[i % 2]) for i in range(rows))]
    return (end.join(lines) + end).encode()


def columns(**changes: Any) -> dict[str, Any]:
    return {"a": list(range(ROWS)), "b": [i / 2 for i in range(ROWS)], "y": ["x", "y"] * (ROWS // 2)} | changes


def parquet(**changes: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns(**changes)), buffer)
    return buffer.getvalue()


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def archive(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def npy(array: Any = None, header: str | None = None, data: bytes = b"") -> bytes:
    if header is None:
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=True)
        return buffer.getvalue()
    text = header.encode().ljust(118 - 10) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


X = np.arange(ROWS * 2, dtype=float).reshape(ROWS, 2)
Y = np.arange(ROWS) % 2
GOOD_PARQUET, GOOD_NPZ = parquet(), npz(X=X, y=Y)


class Evil:
    def __reduce__(self) -> Any:
        return (open, ("/tmp/hposvc-was-unpickled", "w"))


def _text() -> Iterator[Bad]:
    yield Bad("empty", b"")
    yield Bad("one newline", b"\n")
    yield Bad("blank lines", b"\n\n\n")
    yield Bad("header only", b"a,b,y\n")
    yield Bad("header without a newline", b"a,b,y")
    yield Bad("one row", csv(1))
    yield Bad("nine rows", csv(9))
    yield Bad("only a BOM", b"\xef\xbb\xbf")
    yield Bad("a row too long", csv() + b"1,2,x,4\n")
    yield Bad("a row too short", csv() + b"1,2\n")
    yield Bad("a long row in the middle", csv(6) + b"1,2,3,4,5\n" + csv()[6:])
    yield Bad("an open quote", csv() + b'"1,2,x\n')
    yield Bad("UTF-32", csv().decode().encode("utf-32-be"))
    yield Bad("Shift JIS", csv(row="{i},{i}.5,\u65e5{c}").decode().encode("shift-jis"))
    yield Bad("cut within a character", csv() + "1,2,é".encode()[:-1])
    yield Bad("null characters", csv().replace(b"5", b"\x00", 1))
    yield Bad("random bytes", bytes(range(1, 256)) * 20)
    yield Bad("duplicate names", csv(header="a,a,y"), field="columns.a")
    yield Bad("three of one name", csv(header="y,y,y"), field="columns.y")
    yield Bad("names equal but for blanks", csv(header="a, a,y"), field="columns.a")
    yield Bad("a name that is empty", csv(header="a,,y"), field="columns.1")
    yield Bad("a name of blanks", csv(header="a,  ,y"), field="columns.1")
    yield Bad("a name of a thousand letters", csv(header=f"a,{'b' * 1000},y"), field="columns.1")
    yield Bad("a name with control characters", csv(header="a,b\x07,y"), field="columns.1")
    yield Bad("no header", b"".join(b"%d,2.5,3\n" % i for i in range(ROWS)))
    yield Bad("a header of floats", b"1.5,2e3,-4\n" + csv()[6:])
    yield Bad("HTML", b"<!doctype html><html><body>Not found</body></html>\n")
    yield Bad("JSON", b'{"a": [1, 2, 3]}\n')
    yield Bad("beyond all numbers", csv() + b"1,1e300,x\n", field="columns.b")
    yield Bad("too many columns", (",".join(f"c{i}" for i in range(10_001)) + "\n").encode() * 1)
    yield Bad("a row of twelve megabytes", csv() + b"1,2," + b"x" * 12 * 2**20 + b"\n")
    yield Bad("all constant", csv(header="a,b,c", row="1,2.5,x"))
    yield Bad("only a label", b"y\n" + b"x\nz\n" * 10, parameters={"label": "y"})
    yield Bad("all missing", csv(header="a,b,c", row="NA,,nan"))
    yield Bad("gzip", b"\x1f\x8b\x08" + bytes(100))
    yield Bad("gzip: half of it", gzip.compress(csv(2000))[:2000])
    yield Bad("gzip: in gzip", gzip.compress(gzip.compress(csv())))
    yield Bad("gzip: a bomb", gzip.compress(bytes(2**23), 9))
    yield Bad("ZIP: two files", zipped(a=csv(), b=csv()))
    yield Bad("ZIP: a workbook", zipped(**{"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"}))
    yield Bad("ZIP: a ZIP", zipped(a=zipped(b=csv())))
    yield Bad("an encoding that is none", csv(), field="encoding", parameters={"encoding": "utf-99"})
    yield Bad("an encoding that is no text", csv(), field="encoding", parameters={"encoding": "zip"})
    yield Bad("another encoding than was said", csv(row="{i},{i}.5,é{c}"), parameters={"encoding": "ascii"})
    yield Bad("Polish in ISO 8859-2", csv(row="{i},{i}.5,Łódź{c}").decode().encode("iso8859-2"))
    yield Bad("Russian in Windows-1251", csv(row="{i},{i}.5,Москва{c}").decode().encode("cp1251"))
    yield Bad("an old Excel file", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(500))
    yield Bad("a pickle called CSV", pickle.dumps([1, 2, 3]))


def _labels() -> Iterator[Bad]:
    label = {"label": "y"}
    yield Bad("a label that is not there", csv(), field="label", parameters={"label": "z"})
    yield Bad("a label of another case", csv(), field="label", parameters={"label": "Y"})
    yield Bad("one class", csv(row="{i},{i}.5,x"), field="label", parameters=label)
    yield Bad("one class of numbers", csv(row="{i},{i}.5,7"), field="label", parameters=label)
    yield Bad("missing labels", csv() + b"1,2,\n", field="label", parameters=label)
    yield Bad("NaN as a label", csv(row="{i},{i}.5,{i}.25") + b"1,2,NaN\n", field="label", parameters=label)
    yield Bad("an infinite label", csv(row="{i},{i}.5,{i}.25") + b"1,2,inf\n", field="columns.y", parameters=label)
    yield Bad("a label without a value", csv(row="{i},{i}.5,"), field="label", parameters=label)
    yield Bad("a class for every row", csv(row="{i},{i}.5,c{i}"), field="label", parameters=label)
    yield Bad(
        "a date as a label",
        csv(row="{i},{i}.5,2024-01-{i:02d}", rows=12).replace(b"-00", b"-28"),
        field="label",
        parameters=label,
    )
    yield Bad("a constant number", csv(row="{i},{i}.5,1.5"), field="label", parameters=label | {"task": "regression"})
    yield Bad("text for a regression", csv(), field="task", parameters=label | {"task": "regression"})
    yield Bad(
        "truth for a regression",
        csv(row="{i},{i}.5,true") + b"1,2,false\n",
        field="task",
        parameters=label | {"task": "regression"},
    )
    yield Bad(
        "floats for a classification",
        csv(row="{i},{i}.5,{i}.25"),
        field="label",
        parameters=label | {"task": "classification"},
    )
    yield Bad("a task that does not exist", csv(), field="task", parameters={"task": "clustering"})
    yield Bad("an empty label", csv(), field="label", parameters={"label": ""})
    yield Bad("a label of a thousand letters", csv(), field="label", parameters={"label": "y" * 1000})
    yield Bad("a label with a null", csv(), field="label", parameters={"label": "y\x00"})
    yield Bad("ids that are not there", csv(), field="id_column", parameters={"id_column": "name"})
    yield Bad("ids twice", csv(row="{i},1,{c}"), field="id_column", parameters={"id_column": "b"})
    yield Bad("one id twice", csv() + b"0,99,x\n", field="id_column", parameters={"id_column": "a"})
    yield Bad("ids that are missing", csv() + b",99,x\n", field="id_column", parameters={"id_column": "a"})
    yield Bad("the label as the ids", csv(row="{i},{i},{c}"), field="id_column", parameters=label | {"id_column": "y"})
    yield Bad("one class in a column called target", csv(header="a,b,target", row="{i},{i}.5,x"), field="label")


def _names() -> Iterator[Bad]:
    for name in (
        "../../etc/passwd",
        "/etc/passwd",
        "..",
        ".",
        "a/b.csv",
        "..\\..\\boot.ini",
        "  ",
        "a\nb.csv",
        "a\x1b[31m.csv",
        "x" * 500,
    ):
        yield Bad(f"called {name[:20]!r}", csv(), field="name", parameters={"name": name})
    yield Bad("called with 2,000 letters", csv(), field="name", parameters={"name": "x" * 2000})
    yield Bad("another type", csv(), media_type="application/json", field="Content-Type", status=415)
    yield Bad("a multipart form", csv(), media_type="multipart/form-data; boundary=x", field="Content-Type", status=415)
    yield Bad(
        "a pickle by name",
        pickle.dumps(1),
        media_type="application/octet-stream",
        parameters={"name": "a.pkl"},
    )
    yield Bad(
        "Excel by name",
        b"PK\x03\x04",
        media_type="application/octet-stream",
        parameters={"name": "a.xlsx"},
    )


def _parquet() -> Iterator[Bad]:
    good = GOOD_PARQUET
    yield Bad("Parquet: empty", b"", PARQUET)
    yield Bad("Parquet: only the mark", b"PAR1", PARQUET)
    yield Bad("Parquet: the mark twice", b"PAR1PAR1", PARQUET)
    yield Bad("Parquet: half of it", good[: len(good) // 2], PARQUET)
    yield Bad("Parquet: without the last byte", good[:-1], PARQUET)
    yield Bad("Parquet: without its middle", good[:40] + good[200:], PARQUET)
    yield Bad("Parquet: a footer of gigabytes", good[:-8] + struct.pack("<I", 2**31 - 1) + b"PAR1", PARQUET)
    yield Bad("Parquet: a footer of nothing", good[:-8] + struct.pack("<I", 0) + b"PAR1", PARQUET)
    yield Bad("Parquet: garbage pages", good[:4] + bytes(len(good) // 3) + good[4 + len(good) // 3 :], PARQUET)
    yield Bad("Parquet: no rows", parquet(a=[], b=[], y=[]), PARQUET)
    yield Bad("Parquet: one row", parquet(a=[1], b=[1.0], y=["x"]), PARQUET)
    yield Bad(
        "Parquet: unsigned beyond 64 bits", parquet(a=pa.array([2**64 - 1] * ROWS, pa.uint64())), PARQUET, "columns.a"
    )
    yield Bad("Parquet: lists only", parquet(a=[[1]] * ROWS, b=[[1]] * ROWS, y=[[1]] * ROWS), PARQUET)
    yield Bad("Parquet: a label of lists", parquet(y=[[1]] * ROWS), PARQUET, "label", parameters={"label": "y"})
    yield Bad("Parquet: missing labels", parquet(y=["x", None] * 6), PARQUET, "label", parameters={"label": "y"})
    yield Bad("Parquet: NaN labels", parquet(y=[1.5, float("nan")] * 6), PARQUET, "label", parameters={"label": "y"})
    yield Bad("Parquet: a name of control characters", parquet(**{"c\x01": [1] * ROWS}), PARQUET, "columns.3")
    twice = io.BytesIO()
    pq.write_table(pa.table([pa.array(range(ROWS)), pa.array(range(ROWS))], names=["a", "a"]), twice)
    yield Bad("Parquet: duplicate names", twice.getvalue(), PARQUET, "columns.a")


def _npz() -> Iterator[Bad]:
    good = GOOD_NPZ
    objects = np.array([Evil(), *range(ROWS - 1)], dtype=object)
    yield Bad("NPZ: empty", b"", NPZ)
    yield Bad("NPZ: half of it", good[: len(good) // 2], NPZ)
    yield Bad("NPZ: without its end", good[:-10], NPZ)
    yield Bad("NPZ: no arrays", archive(), NPZ, "arrays.X")
    yield Bad("NPZ: no X", npz(y=Y), NPZ, "arrays.X")
    yield Bad("NPZ: another array", npz(X=X, y=Y, z=Y), NPZ, "arrays.z")
    yield Bad("NPZ: a path as a name", archive(**{"../../X": npy(X)}), NPZ, "arrays.../../X")
    yield Bad("NPZ: an absolute path", archive(**{"/etc/X": npy(X)}), NPZ, "arrays./etc/X")
    yield Bad("NPZ: fewer labels", npz(X=X, y=Y[:-1]), NPZ, "arrays.y")
    yield Bad("NPZ: fewer ids", npz(X=X, y=Y, ids=np.arange(3)), NPZ, "arrays.ids")
    yield Bad("NPZ: labels as a matrix", npz(X=X, y=X), NPZ, "arrays.y")
    yield Bad("NPZ: X as a vector", npz(X=X[:, 0], y=Y), NPZ, "arrays.X")
    yield Bad("NPZ: X of five dimensions", npz(X=np.zeros((ROWS, 2, 2, 2, 2)), y=Y), NPZ, "arrays.X")
    yield Bad("NPZ: X without features", npz(X=np.zeros((ROWS, 0)), y=Y), NPZ, "arrays.X")
    yield Bad("NPZ: X of text", npz(X=X.astype(str), y=Y), NPZ, "arrays.X")
    yield Bad("NPZ: complex", npz(X=X.astype(complex), y=Y), NPZ, "arrays.X")
    yield Bad("NPZ: one class", npz(X=X, y=np.zeros(ROWS, int)), NPZ, "label")
    yield Bad("NPZ: NaN labels", npz(X=X, y=np.full(ROWS, np.nan)), NPZ, "label")
    yield Bad("NPZ: dates as labels", npz(X=X, y=np.arange(ROWS).astype("datetime64[D]")), NPZ, "arrays.y")
    yield Bad("NPZ: one row", npz(X=X[:1], y=Y[:1]), NPZ)
    yield Bad("NPZ: a pickle as y", archive(X=npy(X), y=npy(objects)), NPZ, "arrays.y")
    yield Bad("NPZ: a pickle as X", archive(X=npy(objects)), NPZ, "arrays.X")
    yield Bad("NPZ: a bare pickle", archive(X=pickle.dumps(Evil())), NPZ, "arrays.X")
    yield Bad("NPZ: a member that is no array", archive(X=b"hello"), NPZ, "arrays.X")
    yield Bad(
        "NPZ: a bomb",
        archive(
            X=npy(header="{'descr': '<f8', 'fortran_order': False, 'shape': (5000000, 2), }", data=bytes(80_000_000))
        ),
        NPZ,
    )
    yield Bad(
        "NPZ: more claimed than there is",
        archive(X=npy(header="{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 2), }")),
        NPZ,
        "arrays.X",
    )
    yield Bad(
        "NPZ: negative rows",
        archive(X=npy(header="{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 2), }")),
        NPZ,
        "arrays.X",
    )
    yield Bad(
        "NPZ: code in the header", archive(X=npy(header="{'descr': __import__('os').system('false')}")), NPZ, "arrays.X"
    )
    yield Bad("NPZ: in Fortran order", archive(X=npy(np.asfortranarray(X))), NPZ, "arrays.X")


BAD = [*_text(), *_labels(), *_names(), *_parquet(), *_npz()]
