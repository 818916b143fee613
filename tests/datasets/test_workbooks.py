"""Workbooks of Excel: their first sheet becomes a data set; damaged, hostile and unreadable ones are refused."""

from __future__ import annotations

import datetime as dt
import io
import sys
import zipfile
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow.parquet as pq
import pytest

from hposvc.tables import DataError
from hposvc.tables.ingest import ingest
from hposvc.tables.opening import opened
from hposvc.tables.options import Reading, UploadOptions
from hposvc.tables.reading import read_table

ROWS = 30


def workbook(*sheets: list[list[Any]]) -> bytes:
    book = openpyxl.Workbook()
    for number, rows in enumerate(sheets):
        sheet = book.active if number == 0 else book.create_sheet()
        for row in rows:
            sheet.append(row)
    buffer = io.BytesIO()
    book.save(buffer)
    return buffer.getvalue()


def people() -> list[list[Any]]:
    return [
        ["name", "age", "income", "since", "active", "left"],
        *(
            [f"p{i}", i % 9, None if i == 3 else i + 0.5, dt.date(2024, 1, 1 + i % 28), i % 2 == 0, "yn"[i % 3 > 0]]
            for i in range(ROWS)
        ),
    ]


def refusal(content: bytes, tmp_path: Path) -> str:
    path = tmp_path / "rows.xlsx"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        ingest(path, tmp_path / "stored", UploadOptions())
    return f"{caught.value.defects[0].message}; {caught.value.defects[0].remedy}"


def repacked(content: bytes, **changed: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, changed.get(Path(name).stem, old.read(name)))
    return buffer.getvalue()


def test_values_come_as_what_they_are(tmp_path: Path) -> None:
    path, stored = tmp_path / "anything", tmp_path / "stored"
    rows = people()
    path.write_bytes(workbook([], [[], *rows], [["notes"]]))
    description = ingest(path, stored, UploadOptions(label="left", id_column="name"))
    kinds = {column["name"]: (column["dtype"], column["missing"]) for column in description["columns"]}
    assert kinds == {
        "name": ("text", 0),
        "age": ("integer", 0),
        "income": ("number", 1),
        "since": ("date", 0),
        "active": ("boolean", 0),
        "left": ("text", 0),
    }
    assert description["cautions"][0].startswith("The workbook has 3 sheets. Only 'Sheet1'")
    table = pq.read_table(stored)
    assert table["income"].to_pylist()[2:5] == [2.5, None, 4.5]
    assert str(table["since"][1]) == "2024-01-02 00:00:00"
    assert read_table(path, Reading())["name"].to_pylist()[:2] == ["p0", "p1"]  # what predict reads


def test_a_formula_is_what_it_was_when_it_was_saved_and_an_error_is_missing(tmp_path: Path) -> None:
    rows = people()
    rows[1][2], rows[2][2] = "=1+1", "#DIV/0!"
    path, stored = tmp_path / "rows.xlsx", tmp_path / "stored"
    path.write_bytes(workbook(rows))
    ingest(path, stored, UploadOptions())
    assert pq.read_table(stored)["income"].to_pylist()[:3] == [None, None, 2.5]  # nothing computed the formula yet


def test_a_sheet_without_order_is_refused(tmp_path: Path) -> None:
    rows = people()
    rows[4] += ["a note"]
    assert "row 5 of 'Sheet' has 7 values, the header 6" in refusal(workbook(rows), tmp_path)
    assert "has no values" in refusal(workbook([]), tmp_path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sheet1": b"<worksheet><sheetData><row r='1'"}, "not a whole workbook"),
        ({"sheet1": b"\x00\xff"}, "not a whole workbook"),
        ({"workbook": b"<x/>"}, "has no values"),
        ({"[Content_Types]": b""}, "not a whole workbook"),
        ({"styles": b" " * 2**26}, "it would unpack to"),
        (
            {
                "sheet1": b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">'
                + b"".join(b'<!ENTITY %c "%s">' % (98 + i, b"&%c;" % (97 + i) * 10) for i in range(9))
                + b']><worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
                b'<row r="1"><c r="A1" t="str"><v>&j;</v></c></row></sheetData></worksheet>'
            },
            "not a whole workbook",
        ),
        (
            {
                "sheet1": b'<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>'
                b'<row r="999999999"><c r="A999999999"><v>1</v></c></row></sheetData></worksheet>'
            },
            "rows of 'Sheet' are empty in succession",
        ),
    ],
    ids=["cut off", "no XML", "no workbook", "no types", "a bomb", "entities in entities", "a far row"],
)
def test_damaged_and_hostile_ones_are_refused(changed: dict[str, bytes], said: str, tmp_path: Path) -> None:
    assert said in refusal(repacked(workbook(people()), **changed), tmp_path)


def test_without_the_extra_the_message_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.xlsx"
    path.write_bytes(workbook(people()))
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(DataError) as caught:
        opened(path, tmp_path, None)
    assert "pip install 'hposvc[excel]'" in caught.value.defects[0].remedy
