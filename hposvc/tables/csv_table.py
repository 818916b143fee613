"""The rows of a CSV file as typed columns: nothing is guessed from the beginning, all values have a say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from hposvc.tables.csv_file import ROW_NAME, ROW_NUMBER, CsvFile, open_csv
from hposvc.tables.guess import MOST_ODD, Form, Guess, Odd
from hposvc.tables.kinds import ARROW, MISSING, tidy
from hposvc.tables.notation import Dates, Numbers
from hposvc.tables.options import Reading
from hposvc.tables.rows import RowReader, check_size, refused

MOST_NAMED = 20  # texts in an option that is proposed
ROLES = {ROW_NUMBER: "ignored", ROW_NAME: "id"}


def read_csv(path: Path, reading: Reading) -> RowReader:
    """The rows of a CSV file in UTF-8, each column of the narrowest kind that all of its values have."""
    file = open_csv(path)
    seen = _look(file, reading)
    forms = _decided(file, seen, reading)
    schema = pa.schema([(name, ARROW[form.kind]) for name, (form, _) in forms.items()])

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in file.batches():
            columns = [
                form.read(tidy(batch.column(i), reading.missing_values)) for i, (form, _) in enumerate(forms.values())
            ]
            yield pa.record_batch(columns, schema=schema)

    cautions = [*_of_rows(file, seen), *_of_doubts(forms, file, seen, reading), *_of_odd_values(file, seen, reading)]
    return RowReader(
        {name: form.kind for name, (form, _) in forms.items()},
        batches,
        roles={name: role for name, role in ROLES.items() if name in forms},
        notations={name: form.notation.name for name, (form, _) in forms.items() if form.notation is not None},
        read_as_missing={name: dict(found) for name, found in zip(file.names, seen.missing, strict=True) if found},
        cautions=cautions,
    )


def read_csv_as_text(path: Path) -> pa.Table:
    """All columns of a CSV file in UTF-8 as text without blanks around it. Raises DataError."""
    file = open_csv(path)
    schema = pa.schema([(name, pa.string()) for name in file.names])
    return pa.Table.from_batches(file.batches(), schema=schema)


@dataclass
class _Seen:
    """What a first look at all rows found, by the place of the column."""

    guesses: list[Guess]
    missing: list[Counter[str]]
    rows: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


def _look(file: CsvFile, reading: Reading) -> _Seen:
    asked = None if reading.date_format is None else _checked(Dates(reading.date_format))
    seen = _Seen([Guess(asked) for _ in file.names], [Counter() for _ in file.names])
    meant = MISSING if reading.missing_values is None else reading.missing_values
    texts = pa.array([text for text in meant if text], pa.string())
    for batch in file.batches(seen.left_out):
        seen.rows += batch.num_rows
        check_size(seen.rows, len(file.names))
        for guess, missing, column in zip(seen.guesses, seen.missing, batch.columns, strict=True):
            known = tidy(column, reading.missing_values)
            guess.see(known)
            if known.null_count:
                found = pc.value_counts(column.filter(pc.is_in(column, value_set=texts))).to_pylist()
                missing.update({item["values"]: item["counts"] for item in found})
    return seen


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
            found.see(tidy(batch.column(place), reading.missing_values), first)
        first += batch.num_rows
    for place, found in odd.items():
        if found.said is None:
            continue
        count, others = found.said
        shown = list(others.items())[:MOST_ODD]
        rows = ", ".join(f"row {row} has {value!r}" for value, row in shown)
        more = f", and there are {len(others) - MOST_ODD} more" if len(others) > MOST_ODD else ""
        known = sorted({text for texts in seen.missing for text in texts} | set(reading.missing_values or ()))
        options = " ".join(f"--missing-values '{text}'" for text in [*known, *others][:MOST_NAMED])
        yield (
            f"{file.names[place]!r}: {count}; {rows}{more}. The column is taken as text. "
            f"If that stands for a missing value, use {options}"
        )
