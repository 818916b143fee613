"""Files as people have them: the values that they must give, for the upload, for training and for predictions alike."""

from __future__ import annotations

import gzip
import io
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hposvc.prediction import Predictor
from hposvc.run.artifacts import model_file
from hposvc.schema.spec import JobSpec
from hposvc.tables import DataError
from hposvc.tables.ingest import ingest
from hposvc.tables.options import Reading, UploadOptions
from hposvc.tables.reading import read_table
from hposvc.training_data import Dataset, Upload, check, load, prepare

ROWS = 60
NUMBERS = [float(i) for i in range(ROWS)]


class Read:
    """A file after its upload, as a job learns from it, and as a prediction reads it again."""

    def __init__(self, path: Path, content: str | bytes, job: dict[str, Any] | None = None, **options: Any) -> None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        self.path = path
        stored = path.with_name("stored.parquet")
        self.description = ingest(path, stored, UploadOptions(**options))
        self.columns = {column["name"]: column for column in self.description["columns"]}
        self.uploads = {"ds_1": Upload("ds_1", path.name, self.description, partial(stored.open, "rb"))}
        self._job = {"kind": "data_reweighting", "dataset": {"id": "ds_1"} | (job or {})}

    @property
    def spec(self) -> JobSpec:
        return check(JobSpec.model_validate(self._job), self.uploads).spec

    @property
    def cautions(self) -> list[str]:
        """What the check of a job says, which is what its result will say."""
        said = list(check(JobSpec.model_validate(self._job), self.uploads).cautions)
        assert said[: len(self.description["cautions"])] == self.description["cautions"]
        return said

    @property
    def dataset(self) -> Dataset:
        spec = self.spec
        return prepare(load(spec.dataset, uploads=self.uploads), spec).dataset

    def feature(self, name: str) -> list[float]:
        """The values of a feature as training sees it, after it was seen that predicting sees the same."""
        dataset = self.dataset
        assert dataset.encoding is not None
        names = list(dataset.feature_names)
        model = self.model
        table = read_table(self.path, model.reading)
        again, _ = model.encoding.apply(model.tidied({name: table[name] for name in table.column_names}))
        model_names = list(model.encoding.features)
        found: list[float] = dataset.features[:, names.index(name)].tolist()
        if name in model_names:
            assert again[:, model_names.index(name)].tolist() == found
        return found

    @property
    def model(self) -> Predictor:
        """The model of a job on this file, as it is kept; trained or not, it reads files alike."""
        spec = self.spec
        prepared = prepare(load(spec.dataset, uploads=self.uploads), spec)
        outputs, width = len(prepared.dataset.classes or "1"), prepared.dataset.features.shape[1]
        w = [np.zeros((width, outputs)), np.zeros(outputs)]
        return Predictor.from_bytes(model_file(spec, prepared.dataset, prepared.splits, w))


def table(*columns: tuple[str, list[Any]], delimiter: str = ",") -> str:
    """CSV text of columns by name."""
    rows = zip(*(values for _, values in columns), strict=True)
    lines = [delimiter.join(name for name, _ in columns), *(delimiter.join(map(str, row)) for row in rows)]
    return "\n".join(lines) + "\n"


def cycle(*values: Any) -> list[Any]:
    return [values[i % len(values)] for i in range(ROWS)]


@pytest.mark.parametrize(
    ("values", "classes", "word"),
    [
        (cycle("0.0", "1.0"), ("0", "1"), "2 different whole numbers (0, 1)"),
        (cycle("-1", "1"), ("-1", "1"), "2 different whole numbers (-1, 1)"),
        (cycle("-1.0", "1.0"), ("-1", "1"), "2 different whole numbers (-1, 1)"),
        (cycle("1.0", "2.0", "3.0"), ("1", "2", "3"), "3 different whole numbers"),
        (cycle("0", "1"), ("0", "1"), None),
        (cycle("no", "yes"), ("no", "yes"), None),
    ],
)
def test_few_whole_numbers_are_classes_and_it_is_said(
    values: list[str], classes: tuple[str, ...], word: str | None, tmp_path: Path
) -> None:
    read = Read(tmp_path / "a.csv", table(("x", NUMBERS), ("y", values)), label="y")
    assert read.dataset.classes == classes
    assert read.model.classes == classes
    said = [caution for caution in read.cautions if "whole numbers" in caution]
    assert [word in caution for caution in said] == ([] if word is None else [True])
    assert read.description["label_cautions"] == said
    as_numbers = Read(tmp_path / "b.csv", table(("x", NUMBERS), ("y", values)), {"label": "y"})
    assert as_numbers.dataset.classes == classes  # the job names the label, not the upload
    if word is not None:
        for read in (
            Read(tmp_path / "c.csv", table(("x", NUMBERS), ("y", values)), label="y", task="regression"),
            Read(tmp_path / "d.csv", table(("x", NUMBERS), ("y", values)), {"task": "regression"}, label="y"),
        ):
            assert read.dataset.targets.tolist() == [float(value) for value in values]
            assert read.cautions == []


@pytest.mark.parametrize("values", [["1000001", "1000002"], ["1000001.0", "1000002.0"], ["999999999999999", "-1"]])
def test_classes_of_long_numbers_have_names_of_their_own(values: list[str], tmp_path: Path) -> None:
    text = table(("x", NUMBERS), ("y", cycle(*values, *values[:1])), delimiter=";")
    read = Read(tmp_path / "a.csv", text, label="y")
    assert read.dataset.classes == tuple(sorted((value.removesuffix(".0") for value in values), key=int))
    columns = read_table(read.path, read.model.reading)
    assert read.model.predict({name: columns[name] for name in columns.column_names}).score is not None


@pytest.mark.parametrize(("odd", "date"), [("0000-01-01", "1969-12-{}"), ("1/1/0000", "12/{}/1969")])
def test_the_year_0_is_no_date(odd: str, date: str, tmp_path: Path) -> None:
    values = [odd, *(date.format(10 + i % 20) for i in range(1, ROWS))]
    read = Read(tmp_path / "a.csv", with_feature(values), label="y")
    assert read.columns["f"]["dtype"] == "text"
    assert read.dataset.features.shape[0] == ROWS


def test_numbers_that_are_not_whole_stay_numbers(tmp_path: Path) -> None:
    read = Read(tmp_path / "a.csv", table(("x", NUMBERS), ("y", cycle("0.5", "1.0"))), label="y")
    assert read.dataset.classes is None


def test_classes_that_differ_by_case_or_spaces_get_a_caution(tmp_path: Path) -> None:
    values = cycle("Yes", "yes", " YES ", "no")
    read = Read(tmp_path / "a.csv", table(("x", NUMBERS), ("y", values)), label="y")
    assert read.dataset.classes == ("YES", "Yes", "no", "yes")
    assert any("'YES', 'Yes', 'yes' of 'y' differ by case or spaces only" in said for said in read.cautions)


def date(text: str) -> float:
    return float((np.datetime64(text) - np.datetime64("1970-01-01")) / np.timedelta64(1, "D"))


LABELS = ("y", cycle("no", "yes"))


def with_feature(values: list[str], *, delimiter: str = ";") -> str:
    return table(("x", NUMBERS), ("f", values), LABELS, delimiter=delimiter)


@pytest.mark.parametrize(
    ("written", "values", "notation"),
    [
        (("31/12/2024", "1/2/2024"), ("2024-12-31", "2024-02-01"), "%d/%m/%Y"),
        (("12/31/2024", "2/1/2024"), ("2024-12-31", "2024-02-01"), "%m/%d/%Y"),
        (("Mar 3, 2024", "December 31, 2024"), ("2024-03-03", "2024-12-31"), "%b %d, %Y"),
        (("31.12.2024 18:00", "1.2.2024 06:00"), ("2024-12-31T18:00", "2024-02-01T06:00"), "%d.%m.%Y"),
        (("12/31/24 6:00 PM", "2/1/24 12:00 am"), ("2024-12-31T18:00", "2024-02-01T00:00"), "%m/%d/%y"),
        (("3-Mar-1999", "14-Dec-2005"), ("1999-03-03", "2005-12-14"), "%d-%b-%Y"),
        (("1600-02-29", "2300-01-01"), ("1600-02-29", "2300-01-01"), None),
        (("$1,234.50", "$-3"), (1234.5, -3.0), "1,234.5 $"),
        (("€ 1.234,50", "0,5 €"), (1234.5, 0.5), "1.234,5 €"),
        (("1 234", "5"), (1234.0, 5.0), "1,234.5"),
        (("1\u202f234,5", "5"), (1234.5, 5.0), "1.234,5"),
        (("12 %", "3.5%"), (12.0, 3.5), "1,234.5 %"),
        (("(1,234.00)", "1,000,000.5"), (-1234.0, 1000000.5), "1,234.5"),
        (("1'234.5", "2"), (1234.5, 2.0), "1,234.5"),
    ],
)
def test_dates_and_numbers_as_people_write_them(
    written: tuple[str, ...], values: tuple[Any, ...], notation: str | None, tmp_path: Path
) -> None:
    read = Read(tmp_path / "a.csv", with_feature(cycle(*written)), label="y")
    wanted = [date(value) if isinstance(value, str) else value for value in values]
    assert read.feature("f") == cycle(*wanted)
    assert read.cautions == []
    if notation is not None:
        assert f"written as {notation}" in read.columns["f"]["treatment"]


def test_a_label_may_be_written_so_too(tmp_path: Path) -> None:
    amounts = [f"${1000 + 7.5 * i:,.2f}" for i in range(ROWS)]
    read = Read(tmp_path / "a.csv", table(("x", NUMBERS), ("y", amounts), delimiter=";"), label="y")
    assert read.dataset.targets.tolist() == [1000 + 7.5 * i for i in range(ROWS)]
    columns = read_table(read.path, read.model.reading)
    found = read.model.predict({name: columns[name] for name in columns.column_names})
    assert found.score is not None


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        (cycle("1234567890123456", "12345678901234567"), "text"),  # ids
        (cycle("007", "11"), "text"),
        (cycle("12 %", "3"), "text"),  # of what?
        (cycle("$5", "€5"), "text"),
        (cycle("31/02/2024", "1/2/2024"), "text"),  # no such day
        (cycle("1.2.3", "4.5.6"), "text"),
    ],
)
def test_what_is_no_number_or_date_stays_text(written: list[str], kind: str, tmp_path: Path) -> None:
    assert Read(tmp_path / "a.csv", with_feature(written), label="y").columns["f"]["dtype"] == kind


@pytest.mark.parametrize(
    ("written", "said", "options", "first", "other"),
    [
        (
            cycle("01/02/2024", "03/04/2024"),
            "--date-format '%m/%d/%Y'",
            {"date_format": "%m/%d/%Y"},
            date("2024-02-01"),
            date("2024-01-02"),
        ),
        (cycle("1,234", "5"), "--decimal ,", {"decimal": ","}, 1234.0, 1.234),
    ],
)
def test_what_could_be_read_in_two_ways_says_so_and_the_remedy_works(
    written: list[str], said: str, options: dict[str, Any], first: float, other: float, tmp_path: Path
) -> None:
    read = Read(tmp_path / "a.csv", with_feature(written), label="y")
    assert read.feature("f")[0] == first
    (caution,) = read.cautions
    assert said in caution
    read = Read(tmp_path / "b.csv", with_feature(written), label="y", reading=Reading(**options))
    assert read.feature("f")[0] == other
    assert read.cautions == []


def test_a_column_without_doubt_decides_for_the_others(tmp_path: Path) -> None:
    columns = (("d", cycle("12/31/2024", "1/2/2024")), ("e", cycle("01/02/2024", "03/04/2024")))
    numbers = (("n", cycle("1,5", "2,25")), ("m", cycle("1.234", "2.345")))
    read = Read(tmp_path / "a.csv", table(*columns, *numbers, LABELS, delimiter=";"), label="y")
    assert read.feature("e")[0] == date("2024-01-02")
    assert read.feature("m")[0] == 1234


@pytest.mark.parametrize("odd", ["na", "Null", "--", "#DIV/0!", "<5"])
def test_one_odd_value_among_numbers_is_named_and_the_remedy_works(odd: str, tmp_path: Path) -> None:
    values = [f"{i}.5" for i in range(ROWS)]
    values[7], values[9] = odd, "NA"
    read = Read(tmp_path / "a.csv", with_feature(values), label="y")
    (caution,) = read.cautions
    assert f"58 of 59 values are numbers; row 8 has {odd!r}" in caution
    assert f"--missing-values-in 'f=NA' --missing-values-in 'f={odd}'" in caution
    read = Read(tmp_path / "b.csv", with_feature(values), label="y", reading=Reading(missing_values=("NA", odd)))
    assert read.columns["f"]["missing"] == 2
    assert read.feature("f")[10] == 10.5
    assert read.cautions == []


def test_texts_that_are_meant_are_no_missing_values_where_one_says_so(tmp_path: Path) -> None:
    countries = cycle("NA", "DE", "FR", "NA")
    content = table(("x", NUMBERS), ("country", countries), ("y", cycle("None", "some")), delimiter=";")
    with pytest.raises(DataError, match=r"'y' is missing in 30 rows.*'None' in 30 rows.*--missing-values"):
        Read(tmp_path / "a.csv", content, label="y")
    read = Read(tmp_path / "b.csv", content, label="y", reading=Reading(missing_values=()))
    assert read.dataset.classes == ("None", "some")
    assert read.feature("country = NA") == [float(value == "NA") for value in countries]


@pytest.mark.parametrize("format_", ["%d", "%d/%m/%Q", "dd/mm/yyyy", "%Y-%d-%m"])
def test_a_format_that_is_none_or_fits_nothing_is_refused(format_: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="date_format"):
        Read(tmp_path / "a.csv", with_feature(cycle("01/02/2024")), label="y", reading=Reading(date_format=format_))


FRENCH = with_feature(cycle("café", "hôtel", "cœur", "10 €", "“où”"))
ENGLISH = with_feature(cycle("cafe", "hotel"))


def packed(content: bytes, *litter: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name in litter:
            file.writestr(name, b"")
        file.writestr("folder/data.csv", content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", FRENCH.encode("cp1252"), "Windows-1252"),
        ("a.csv", FRENCH.encode("utf-16"), "UTF-16"),
        ("a.csv", FRENCH.encode("utf-8-sig"), None),
        ("a.txt", FRENCH.encode(), None),
        ("a.data", FRENCH.encode(), None),
        ("a.csv.gz", gzip.compress(FRENCH.encode("cp1252")), "Windows-1252"),
        ("a.zip", packed(FRENCH.encode(), "__MACOSX/._data.csv", "folder/.DS_Store"), None),
        ("a.parquet", FRENCH.encode(), None),
        ("a.csv", FRENCH.replace("\n", "\r").encode(), None),
    ],
    ids=["Windows-1252", "UTF-16", "mark", "txt", "data", "gzip", "zip", "misnamed", "carriage returns"],
)
def test_a_file_is_looked_at_whatever_it_is_called(name: str, content: bytes, said: str | None, tmp_path: Path) -> None:
    read = Read(tmp_path / name, content, label="y")
    assert read.description["rows"] == ROWS
    assert read.feature("f = café") == [float(i % 5 == 0) for i in range(ROWS)]
    assert [said in caution for caution in read.cautions] == ([] if said is None else [True])


def test_utf_16_without_a_mark(tmp_path: Path) -> None:
    for encoding in ("utf-16-le", "utf-16-be"):
        read = Read(tmp_path / "a.csv", ENGLISH.encode(encoding), label="y")
        assert read.feature("f = hotel")[:2] == [0.0, 1.0]


def test_an_encoding_that_a_person_names(tmp_path: Path) -> None:
    content = with_feature(cycle("Łódź", "Kraków")).encode("cp1250")
    with pytest.raises(DataError, match=r"line 2 is not UTF-8.*--encoding"):
        Read(tmp_path / "a.csv", content, label="y")
    read = Read(tmp_path / "b.csv", content, label="y", reading=Reading(encoding="cp1250"))
    assert read.feature("f = Łódź")[:2] == [1.0, 0.0]


def test_a_parquet_file_called_csv(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"x": NUMBERS, "f": cycle(1, 2), "y": cycle("a", "b")}), buffer)
    assert Read(tmp_path / "a.csv", buffer.getvalue(), label="y").feature("f") == cycle(1.0, 2.0)
    assert Read(tmp_path / "b.pq.gz", gzip.compress(buffer.getvalue()), label="y").feature("f") == cycle(1.0, 2.0)


def test_infinite_features_are_missing_and_counted(tmp_path: Path) -> None:
    values = ["inf", "-Infinity", *(f"{i}.5" for i in range(2, ROWS))]
    read = Read(tmp_path / "a.csv", with_feature(values), label="y")
    assert read.columns["f"]["missing"] == 2
    assert np.isfinite(read.feature("f")).all()
    assert any("2 values of 'f' are infinite" in said for said in read.cautions)
    buffer = io.BytesIO()
    X = np.arange(2.0 * ROWS).reshape(ROWS, 2)
    X[3, 1] = np.inf
    np.savez(buffer, X=X, y=np.arange(ROWS) % 2)
    read = Read(tmp_path / "b.npz", buffer.getvalue())
    assert np.isfinite(read.feature("x1")).all()
    assert any("1 values of 'X' are infinite" in said for said in read.cautions)


def test_headers_of_real_files(tmp_path: Path) -> None:
    rows = "".join(f"r{i},{i}.5,{'ab'[i % 2]}\n" for i in range(ROWS))
    read = Read(tmp_path / "r.csv", "f,y\n" + rows, label="y")  # as R writes it
    assert read.description["id_column"] == "row name"
    assert read.dataset.row_ids[:2].tolist() == ["r0", "r1"]
    assert read.feature("f")[:2] == [0.5, 1.5]
    assert any("the first column names the rows" in said for said in read.cautions)
    read = Read(tmp_path / "b.csv", '\n"a, or; b; c","size\nin cm",y\n' + rows.replace("r", ""), label="y")
    assert list(read.columns) == ["a, or; b; c", "size in cm", "y"]
    assert read.feature("size in cm")[:2] == [0.5, 1.5]
    trailing = rows.replace("\n", ",\n")
    for header in ("n,f,y\n", "n,f,y,\n"):
        read = Read(tmp_path / "c.csv", header + trailing, label="y")
        assert (list(read.columns), read.feature("f")[0]) == (["n", "f", "y"], 0.5)


def test_rows_of_delimiters_and_blank_lines_are_left_out_and_said(tmp_path: Path) -> None:
    lines = with_feature([f"{i}.5" for i in range(ROWS)]).splitlines()
    content = "\n".join([*lines[:9], "", ";;", *lines[9:], ";;", " ; ;", ";;;;;", "", ""]) + "\n"
    read = Read(tmp_path / "a.csv", content, label="y")
    assert read.description["rows"] == ROWS
    assert read.feature("f")[-1] == ROWS - 0.5
    assert any("4 rows have no value in any column" in said for said in read.cautions)


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="line 7 has 4 values, the header 3"):
        Read(tmp_path / "a.csv", '"x\n1";f;y\n\n1;"a\nb";n\n;;\n2;b;n;z\n' + "3;c;n\n" * 20)


def test_ids_that_are_learned_from_get_a_caution(tmp_path: Path) -> None:
    for name in ("patient_id", "customerId", "ID"):
        values = table((name, cycle(*(f"p{i}" for i in range(20)))), ("humid", NUMBERS), LABELS)
        (caution,) = Read(tmp_path / "a.csv", values, label="y").cautions
        assert f"{name!r} looks like an id" in caution


def test_a_column_that_counts_the_rows_gets_a_caution(tmp_path: Path) -> None:
    counted = table(("n", list(range(1, ROWS + 1))), ("f", cycle(1, 2)), LABELS)
    assert any("'n' only counts the rows" in said for said in Read(tmp_path / "a.csv", counted, label="y").cautions)
    other = table(("n", [i * i for i in range(ROWS)]), ("f", cycle(1, 2)), LABELS)
    assert Read(tmp_path / "b.csv", other, label="y").cautions == []


@pytest.mark.parametrize("label", [cycle("no", "yes"), cycle("1", "2"), cycle("true", "false"), NUMBERS])
def test_rows_without_a_label_are_left_out_where_one_says_so(label: list[Any], tmp_path: Path) -> None:
    kept = [i for i in range(ROWS) if i % 10 != 3]
    values = [value if i in kept else "" for i, value in enumerate(label)]
    content = table(("f", [f"{i}.5" for i in range(ROWS)]), ("told", values))
    with pytest.raises(DataError, match=r"missing in 6 rows, the first is row 4.*--unlabelled leave_out"):
        Read(tmp_path / "a.csv", content, label="told")
    job = {"label": "told", "unlabelled": "leave_out"}
    for read in (
        Read(tmp_path / "b.csv", content, label="told", unlabelled="leave_out"),
        Read(tmp_path / "c.csv", content, job),
    ):
        dataset = read.dataset
        assert dataset.row_ids.tolist() == [str(i) for i in kept]  # those of the file
        assert dataset.features[:, 0].tolist() == [i + 0.5 for i in kept]
        wanted = [str(label[i]) for i in kept]
        classes = dataset.classes
        found = [classes[target] if classes else str(target) for target in dataset.targets]
        assert found == wanted
        assert any("6 rows have no label in 'told' and are left out" in said for said in read.cautions)
        columns = read_table(read.path, read.model.reading)
        predicted = read.model.predict({name: columns[name] for name in columns.column_names})
        assert len(predicted.labels) == ROWS
    with pytest.raises(DataError, match=r"dataset\.unlabelled: leave_out"):
        _ = Read(tmp_path / "d.csv", content, {"label": "told"}).spec


def test_labels_that_the_model_does_not_know_are_named_and_give_no_score(tmp_path: Path) -> None:
    read = Read(tmp_path / "a.csv", table(("x", NUMBERS), ("y", cycle("<=50K", ">50K"))), label="y")
    for labels, score in ((cycle("<=50K", ">50K"), True), (cycle("<=50K.", ">50K."), False)):
        (tmp_path / "later.csv").write_text(table(("x", NUMBERS), ("y", labels)))
        columns = read_table(tmp_path / "later.csv", read.model.reading)
        found = read.model.predict({name: columns[name] for name in columns.column_names})
        assert (found.score is not None) == score
        assert any("'<=50K.', '>50K.'" in said for said in found.warnings) != score


def test_a_column_that_pandas_left_numbers_the_rows(tmp_path: Path) -> None:
    read = Read(tmp_path / "a.csv", table(("Unnamed: 0", list(range(ROWS))), ("f", cycle(1, 2)), LABELS), label="y")
    assert any("'Unnamed: 0' only counts the rows" in said for said in read.cautions)


WITHOUT_HEADER = "".join(f"{i}.5,{'p' if i % 3 else 'q'},{'ab'[i % 2]}\n" for i in range(ROWS))


@pytest.mark.parametrize(
    ("first", "said"),
    [("5.1,p,a\n", "'5.1', 'a', 'p'"), ("size,p,a\n", "'a', 'p'"), ("2019,kind,y\n", None), ("size,kind,y\n", None)],
)
def test_a_first_line_that_looks_like_a_row_is_said_and_the_remedy_works(
    first: str, said: str | None, tmp_path: Path
) -> None:
    read = Read(tmp_path / "a.csv", first + WITHOUT_HEADER)
    assert [said in caution and "--no-header" in caution for caution in read.description["cautions"]] == (
        [] if said is None else [True]
    )


@pytest.mark.parametrize("mark", ["", "\ufeff", "\n\n"])
def test_a_file_without_a_header(mark: str, tmp_path: Path) -> None:
    read = Read(tmp_path / "a.csv", mark + WITHOUT_HEADER, label="column 3", reading=Reading(header=False))
    assert list(read.columns) == ["column 1", "column 2", "column 3"]
    assert read.description["rows"] == ROWS
    assert read.feature("column 1") == [i + 0.5 for i in range(ROWS)]
    assert read.dataset.classes == ("a", "b")
    assert read.cautions == []
    content = "1.5,p,a\n2.5,q,b\n\n3.5,p\n" + WITHOUT_HEADER
    with pytest.raises(DataError, match="line 4 has 2 values, the header 3"):
        Read(tmp_path / "b.csv", content, label="column 3", reading=Reading(header=False))


def test_numbers_alone_in_the_first_line(tmp_path: Path) -> None:
    content = "".join(f"{i}.5,{i % 2}\n" for i in range(ROWS))
    with pytest.raises(DataError, match=r"the first line holds numbers.*--no-header"):
        Read(tmp_path / "a.csv", content)
    read = Read(tmp_path / "b.csv", content, label="column 2", reading=Reading(header=False))
    assert read.feature("column 1")[0] == 0.5


def test_what_is_missing_may_differ_by_column(tmp_path: Path) -> None:
    countries, ages = cycle("NA", "DE", "FR"), [("-1" if i % 4 == 0 else str(i)) for i in range(ROWS)]
    content = table(("country", countries), ("age", ages), ("f", cycle("NA", "1.5", "2.5")), LABELS)
    reading = Reading(missing_in=(("age", ("-1",)), ("country", ())))
    read = Read(tmp_path / "a.csv", content, label="y", reading=reading)
    assert {name: column["missing"] for name, column in read.columns.items()} == {
        "country": 0,
        "age": 15,
        "f": 20,
        "y": 0,
    }
    assert read.feature("country = NA") == [float(value == "NA") for value in countries]
    assert read.feature("age is missing") == [float(value == "-1") for value in ages]
    with pytest.raises(DataError, match="there is no column 'ages'"):
        Read(tmp_path / "b.csv", content, label="y", reading=Reading(missing_in=(("ages", ()),)))
