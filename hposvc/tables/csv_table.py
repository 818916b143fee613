"""The rows of a CSV file as typed columns: nothing is guessed from the beginning, all values have a say."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from hposvc.tables.csv_file import ROW_NAME, ROW_NUMBER, CsvFile, is_number, open_csv
from hposvc.tables.defects import for_shell
from hposvc.tables.guess import MOST_ODD, Form, Guess, Odd
from hposvc.tables.kinds import ARROW, MISSING, tidy
from hposvc.tables.notation import Dates, Numbers
from hposvc.tables.options import Reading
from hposvc.tables.rows import RowReader, check_size, refused

MOST_NAMED = 20  # texts in an option that is proposed
YEAR = re.compile(r"[12]\d{3}")  # a name that many tables have, above numbers
ROLES = {ROW_NUMBER: "ignored", ROW_NAME: "id"}


def read_csv(path: Path, reading: Reading) -> RowReader:
    """The rows of a CSV file in UTF-8, each column of the narrowest kind that all of its values have."""
    file = open_csv(path, header=reading.header)
    _check_named(file, reading)
    seen = _look(file, reading)
    forms = _decided(file, seen, reading)
    schema = pa.schema([(name, ARROW[form.kind]) for name, (form, _) in forms.items()])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in file.batches():
            columns = [
                form.read(tidy(batch.column(i), reading.missing_of(name)))
                for i, (name, (form, _)) in enumerate(forms.items())
            ]
            yield pa.record_batch(columns, schema=schema)

    cautions = [
        *_of_rows(file, seen),
        *_of_header(forms, seen, reading),
        *_of_doubts(forms, file, seen, reading),
        *_of_odd_values(file, seen, reading),
    ]
    return RowReader(
        {name: form.kind for name, (form, _) in forms.items()},
        batches,
        roles={name: role for name, role in ROLES.items() if name in forms},
        notations={name: form.notation.name for name, (form, _) in forms.items() if form.notation is not None},
        read_as_missing={name: dict(found) for name, found in zip(file.names, seen.missing, strict=True) if found},
        cautions=cautions,
    )


def read_csv_as_text(path: Path, *, header: bool = True) -> pa.Table:
    """All columns of a CSV file in UTF-8 as text without blanks around it. Raises DataError."""
    file = open_csv(path, header=header, known=True)
    schema = pa.schema([(name, pa.string()) for name in file.names])
    return pa.Table.from_batches(file.batches(), schema=schema)


@dataclass
class _Seen:
    """What a first look at all rows found, by the place of the column."""

    guesses: list[Guess]
    missing: list[Counter[str]]
    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    among_values: set[str] = field(default_factory=set)  # names of columns that are values of theirs, too; a few


def _look(file: CsvFile, reading: Reading) -> _Seen:
    asked = None if reading.date_format is None else _checked(Dates(reading.date_format))
    seen = _Seen([Guess(asked) for _ in file.names], [Counter() for _ in file.names])
    texts = [_meant(reading.missing_of(name)) for name in file.names]
    for batch in file.batches(seen.left_out):
        seen.rows += batch.num_rows
        check_size(seen.rows, len(file.names))
        for place, column in enumerate(batch.columns):
            guess, missing, name = seen.guesses[place], seen.missing[place], file.names[place]
            if len(seen.among_values) < 2 and pc.any(pc.equal(column, name)).as_py():
                seen.among_values.add(name)
            known = tidy(column, reading.missing_of(name))
            guess.see(known)
            if known.null_count:
                found = pc.value_counts(column.filter(pc.is_in(column, value_set=texts[place]))).to_pylist()
                missing.update({item["values"]: item["counts"] for item in found})
    return seen


def _meant(missing: tuple[str, ...] | None) -> pa.Array:
    return pa.array([text for text in (MISSING if missing is None else missing) if text], pa.string())


def _check_named(file: CsvFile, reading: Reading) -> None:
    unknown = [name for name, _ in reading.missing_in if name not in file.names]
    if unknown:
        raise refused(
            "missing_values_in",
            f"there is no column {unknown[0]!r}",
            f"name columns of the file: {', '.join(file.names[:MOST_NAMED])}",
        )


def _checked(dates: Dates) -> Dates:
    try:
        dates.check()
    except ValueError as error:
        raise refused("date_format", f"{dates.format!r}: {error}", "use one like %d/%m/%Y") from None
    return dates


def _decided(file: CsvFile, seen: _Seen, reading: Reading) -> dict[str, tuple[Form, Form | None]]:
    """The form of each column, and the one that it might be as well."""
    spoken = Counter(said for guess in seen.guesses if (said := guess.speaks_for) is not None)
    decimal = reading.decimal or ("," if spoken[","] > spoken["."] else ".")
    forms = {name: guess.decide(decimal, spoken) for name, guess in zip(file.names, seen.guesses, strict=True)}
    read = {form.notation for form, _ in forms.values()}
    if reading.date_format is not None and Dates(reading.date_format) not in read:
        raise refused(
            "date_format",
            f"no column has dates of the format {reading.date_format!r}",
            "leave it out, or compare it with the file",
        )
    return forms


def _of_rows(file: CsvFile, seen: _Seen) -> Iterator[str]:
    if empty := seen.left_out["empty"]:
        yield f"{empty:,} rows have no value in any column: they are left out."
    if ROW_NUMBER in file.names:
        yield "The first column has no name. It is taken as numbers of the rows, and nothing is learned from it."
    if ROW_NAME in file.names:
        yield (
            "The header has one name fewer than the rows have values, as R writes it: the first column names the rows."
        )


def _of_header(forms: dict[str, tuple[Form, Form | None]], seen: _Seen, reading: Reading) -> Iterator[str]:
    """Whether the first line, taken as names, may be a row: a number above numbers, or a text that is a value, too."""
    numbers = {name for name, (form, _) in forms.items() if form.kind in ("integer", "number") and is_number(name)}
    if all(YEAR.fullmatch(name) for name in numbers):
        numbers = set()
    if reading.header and (like := sorted(numbers | seen.among_values)):
        yield (
            f"The first line names the columns, and has {', '.join(map(repr, like[:MOST_ODD]))}, as the rows below it "
            "have. If it is a row, use --no-header: the columns are then called column 1, column 2 and so on."
        )


def _of_doubts(
    forms: dict[str, tuple[Form, Form | None]], file: CsvFile, seen: _Seen, reading: Reading
) -> Iterator[str]:
    for name, (form, other) in forms.items():
        if other is None:
            continue
        if form.kind == "date" and form.notation is not None and other.notation is not None:
            yield (
                f"The dates of {name!r} are read as {form.notation.name}, and could as well be {other.notation.name}: "
                f"if they are, use --date-format '{other.notation.name}'."
            )
        elif reading.decimal is None:
            comma = isinstance(form.notation, Numbers) and form.notation.decimal == ","
            ours, theirs = ("comma", "point") if comma else ("point", "comma")
            yield (
                f"The numbers of {name!r} are read with a decimal {ours}, and could as well have a decimal {theirs}: "
                f"if they have, use --decimal {'.' if comma else ','}"
            )


def _of_odd_values(file: CsvFile, seen: _Seen, reading: Reading) -> Iterator[str]:
    """A look at all rows again, if some column is nearly one of numbers or dates."""
    odd = {place: Odd() for place, guess in enumerate(seen.guesses) if guess.odd}
    first = 1
    for batch in file.batches() if odd else ():
        for place, found in odd.items():
            found.see(tidy(batch.column(place), reading.missing_of(file.names[place])), first)
        first += batch.num_rows
    for place, found in odd.items():
        if found.said is None:
            continue
        count, others = found.said
        shown = list(others.items())[:MOST_ODD]
        rows = ", ".join(f"row {row} has {value!r}" for value, row in shown)
        more = f", and there are {len(others) - MOST_ODD} more" if len(others) > MOST_ODD else ""
        known = sorted(set(seen.missing[place]) | set(reading.missing_of(file.names[place]) or ()))
        name = file.names[place]
        texts = [for_shell(f"{name}={text}") for text in [*known, *others][:MOST_NAMED]]
        options = " ".join(f"--missing-values-in {text}" for text in texts)
        yield (
            f"{file.names[place]!r}: {count}; {rows}{more}. The column is taken as text. "
            f"If that stands for a missing value, use {options}"
        )
