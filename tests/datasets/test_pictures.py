"""A ZIP of pictures in a folder for each class, from the upload to the prediction; and JSON lines."""

from __future__ import annotations

import io
import json
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hposvc.prediction import Predictor
from hposvc.run.artifacts import model_file
from hposvc.schema.spec import JobSpec
from hposvc.tables import DataError
from hposvc.tables.ingest import ingest
from hposvc.tables.options import UploadOptions
from hposvc.tables.reading import read_table
from hposvc.training_data import Upload, check, load, prepare

EACH = 15


def picture(shade: int, size: tuple[int, int] = (6, 4), format_: str = "PNG", mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, (shade, 0, 255 - shade) if mode == "RGB" else shade).save(buffer, format_)
    return buffer.getvalue()


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def animals(folder: str = "animals/") -> dict[str, bytes]:
    cats = {f"{folder}cat/{i}.png": picture(10 * i) for i in range(EACH)}
    dogs = {f"{folder}dog/{i}.JPG": picture(100 + i, (60, 40), "JPEG") for i in range(EACH)}
    return cats | dogs | {"__MACOSX/x": b"", f"{folder}.DS_Store": b""}


def test_pictures_become_rows_and_later_ones_are_brought_to_the_same_size(tmp_path: Path) -> None:
    path, stored = tmp_path / "animals.zip", tmp_path / "stored.parquet"
    path.write_bytes(packed(animals()))
    description = ingest(path, stored, UploadOptions())
    assert (description["rows"], description["target"], description["id_column"]) == (2 * EACH, "y", "ids")
    assert description["classes"] == ["cat", "dog"]
    assert description["image_shape"] == [22, 33, 3]
    assert ["2 sizes" in said and "33 × 22 pixels" in said for said in description["cautions"]] == [True]

    uploads = {"ds_1": Upload("ds_1", path.name, description, partial(stored.open, "rb"))}
    spec = check(JobSpec.model_validate({"kind": "data_reweighting", "dataset": {"id": "ds_1"}}), uploads).spec
    prepared = prepare(load(spec.dataset, uploads=uploads), spec)
    dataset = prepared.dataset
    assert dataset.row_ids[0] == "animals/cat/0.png"
    pixels = dataset.features.reshape(-1, 22, 33, 3)
    assert pixels[3, 0, 0].tolist() == [30, 0, 225]
    assert np.abs(pixels[EACH, 5, 5] - (100, 0, 155)).max() <= 2  # JPEG is not exact

    w = [np.zeros((pixels[0].size, 2)), np.zeros(2)]
    model = Predictor.from_bytes(model_file(spec, dataset, prepared.splits, w))
    later = tmp_path / "later.zip"
    later.write_bytes(packed({f"{i}.png": picture(7, (200, 90)) for i in range(3)}))  # in no folder: without labels
    table = read_table(later, model.reading)
    features, _ = model.encoding.apply({name: table[name] for name in table.column_names})
    assert features.shape == (3, 22 * 33 * 3)
    assert features[2, :3].tolist() == [7, 0, 248]
    assert model.predict({name: table[name] for name in table.column_names}).ids.tolist() == ["0.png", "1.png", "2.png"]


def test_gray_pictures_have_one_channel_and_large_ones_become_small(tmp_path: Path) -> None:
    path = tmp_path / "gray.zip"
    path.write_bytes(packed({f"{'ab'[i % 2]}/{i}.png": picture(i, (300, 100), mode="L") for i in range(20)}))
    description = ingest(path, tmp_path / "stored.parquet", UploadOptions())
    assert description["image_shape"] == [21, 64, 1]
    assert description["classes"] == ["a", "b"]


GOOD = {f"{'ab'[i % 2]}/{i}.png": picture(i) for i in range(12)}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a/x.gif": b"GIF89a"}, "'a/x.gif' is neither PNG nor JPEG by its name"),
        ({"a/x.png": picture(1, format_="JPEG")}, "'a/x.png' is no PNG"),
        ({"a/x.jpg": b"<script>"}, "'a/x.jpg' is no JPEG"),
        ({"a/x.png": picture(1, (90, 90))[:70]}, "'a/x.png' cannot be decoded|'a/x.png' is no PNG"),
        ({"../x.png": picture(1)}, "'../x.png' is no path below a folder"),
        ({"/etc/x.png": picture(1)}, "'/etc/x.png' is no path below a folder"),
        ({"a/b\n.png": picture(1)}, "is no path below a folder"),
        ({"x.png": picture(1)}, "'x.png' is in no folder, and others are"),
        ({"a/bomb.png": picture(0, (9_000, 9_000), mode="1")}, "'a/bomb.png' has 9,000 × 9,000 pixels"),
        ({"a/bomb.png": picture(0, (20_000, 9_000), mode="1")}, "'a/bomb.png' has far too many pixels"),
        ({"a/zeros.png": bytes(30_000_000)}, "it would unpack to"),
    ],
)
def test_hostile_and_damaged_pictures_are_refused_with_the_reason(
    files: dict[str, bytes], said: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(packed(GOOD | files))
    with pytest.raises(DataError, match=said):
        ingest(path, tmp_path / "stored.parquet", UploadOptions())
    assert not (tmp_path.parent / "x.png").exists()


def test_json_lines_are_read_as_the_same_table_in_csv(tmp_path: Path) -> None:
    rows = [
        {"n": i + 0.5, "town": "Łódź, PL" if i % 3 else None, "ok": i % 2 == 0, "y": "no" if i % 2 else "yes"}
        for i in range(20)
    ]
    rows[4]["late"] = "2024-02-01"
    path, stored = tmp_path / "rows.jsonl", tmp_path / "stored.parquet"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=bool(i % 2)) for i, row in enumerate(rows)) + "\n\n")
    description = ingest(path, stored, UploadOptions())
    columns = {column["name"]: column for column in description["columns"]}
    assert {name: column["dtype"] for name, column in columns.items()} == {
        "n": "number",
        "town": "text",
        "ok": "boolean",
        "y": "text",
        "late": "date",
    }
    assert [columns[name]["missing"] for name in ("town", "late")] == [7, 19]
    assert (description["target"], description["classes"]) == ("y", ["no", "yes"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[1, 2]", "line 2 is no object"),
        ('{"a": [1]}', "line 2: 'a' holds a list"),
        ('{"a": {"b": 1}}', "line 2: 'a' holds an object"),
        ('{"a": 1', "line 2 is no JSON"),
        ('{"a": 1, "a": 2}', "line 2 is no JSON: a name stands twice"),
        ("{" + '"a":{' * 5000, "line 2 is no JSON"),
    ],
)
def test_lines_that_are_no_objects_of_values_are_refused(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1, "y": 2}\n' + line + "\n")
    with pytest.raises(DataError, match=said):
        ingest(path, tmp_path / "stored.parquet", UploadOptions())
