"""What a column of text holds: the narrowest kind that all of its values have, and the notation that they agree on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from hposvc.tables.kinds import Column, Kind, of_text
from hposvc.tables.notation import DATES, NUMBERS, Dates, Notation, Numbers

HEAD = 200  # values that are looked at before all of them
NEARLY = 0.9  # of the values, for the others to be worth a word
MOST_ODD = 3  # odd values that are shown


@dataclass(frozen=True)
class Form:
    """A kind, and how it is written where that is not the plain way."""

    kind: Kind
    notation: Notation | None = None

    def read(self, column: Column) -> Column:
        """Tidy text as a column of the kind. Raises pa.ArrowInvalid if some value is written otherwise."""
        return of_text(column, self.kind) if self.notation is None else self.notation.parse(column)


TEXT, EMPTY = Form("text"), Form("empty")
TRUTH, INTEGER, NUMBER, DAY = Form("boolean"), Form("integer"), Form("number"), Form("date")
POINT, COMMA = (Form("number", notation) for notation in NUMBERS)


class Guess:
    """What the values of a column that were seen so far allow. ``asked`` is a format of dates that a person named."""

    def __init__(self, asked: Dates | None) -> None:
        others = [Form("date", notation) for notation in DATES if notation != asked]
        asked_form = [] if asked is None else [Form("date", asked)]
        self.forms = [*asked_form, TRUTH, INTEGER, NUMBER, POINT, COMMA, DAY, *others]
        self.odd = False  # most values of some stretch were numbers or dates, others not
        self._units: dict[Form, set[str]] = {POINT: set(), COMMA: set()}
        self._asked = asked
        self._seen = False
        self._marks = False  # points or commas that could mean two things

    def see(self, column: Column) -> None:
        """Take in more values, tidy text."""
        values = column.drop_null()
        if not len(values) or (self._seen and not self.forms):
            return
        before, self._seen = self.forms, True
        kept: set[Form] = set()
        if INTEGER in before and _reads(INTEGER, values):
            kept = {INTEGER, NUMBER, POINT, COMMA}
            self._note("")
        elif NUMBER in before and _reads(NUMBER, values):
            kept = {NUMBER, POINT}
            self._units[POINT].add("")
        self.forms = [
            form for form in before if form in kept or (self._may_be(form, kept) and self._fits(form, values))
        ]
        if {POINT, COMMA} <= {*self.forms} and INTEGER not in kept:
            self._marks = self._marks or bool(pc.any(pc.match_substring_regex(values, "[.,]")).as_py())
        if not self.forms:
            self.odd = self.odd or any(_share(form.notation, values) >= NEARLY / 2 for form in before if form.notation)

    def _note(self, unit: str) -> None:
        for units in self._units.values():
            units.add(unit)

    def _may_be(self, form: Form, kept: set[Form]) -> bool:
        """Whether ``form`` is worth a look after ``kept`` were found."""
        if INTEGER in kept:
            return isinstance(form.notation, Dates) and form.notation == self._asked
        return form not in (INTEGER, NUMBER)

    def _fits(self, form: Form, values: Column) -> bool:
        if not isinstance(form.notation, Numbers):
            return _reads(form, values)
        for part in (values.slice(0, HEAD), values):
            numbers, units = form.notation.read(part)
            if numbers.null_count:
                return False
        found = self._units[form]
        found |= set(pc.unique(units).to_pylist())
        return len(found - {""}) < 2 and found != {"", "%"}

    def decide(self, decimal: str, dates: Counter[str]) -> tuple[Form, Form | None]:
        """The form, and the one that it might be as well. ``decimal`` and ``dates`` are what the file speaks for."""
        if not self._seen:
            return EMPTY, None
        if not self.forms:
            return TEXT, None
        if self.forms[0].kind == "date":
            return self._date(dates)
        return self._number(decimal) if COMMA in self.forms or POINT in self.forms else (self.forms[0], None)

    def _date(self, dates: Counter[str]) -> tuple[Form, Form | None]:
        first = self.forms[0]
        if first == DAY or first.notation == self._asked or len(self.forms) == 1:
            return first, None
        ranked = sorted(self.forms, key=lambda form: -dates[form.notation.name if form.notation else ""])
        return ranked[0], ranked[1]

    def _number(self, decimal: str) -> tuple[Form, Form | None]:
        first = self.forms[0]
        if first == INTEGER:
            return first, None
        if first == COMMA:
            return self._with_unit(COMMA), None
        point = NUMBER if first == NUMBER else self._with_unit(POINT)
        if COMMA not in self.forms or not self._marks:
            return point, None
        if decimal == ",":
            return self._with_unit(COMMA), point
        return point, None if first == NUMBER else self._with_unit(COMMA)

    @property
    def speaks_for(self) -> str | None:
        """The decimal point or comma, or the format of dates, that this column leaves no doubt about."""
        if not self.forms or self.forms[0] in (INTEGER, TRUTH, DAY):
            return None
        if self.forms[0].kind == "date":
            return self.forms[0].notation.name if len(self.forms) == 1 and self.forms[0].notation else None
        return None if COMMA in self.forms and len(self.forms) > 1 else "," if self.forms[0] == COMMA else "."

    def _with_unit(self, form: Form) -> Form:
        assert isinstance(form.notation, Numbers)  # noqa: S101 - only POINT and COMMA have units
        return Form(form.kind, Numbers(form.notation.decimal, max(self._units[form], default="")))


def _reads(form: Form, values: Column) -> bool:
    try:
        form.read(values.slice(0, HEAD))
        form.read(values)
    except pa.ArrowInvalid:
        return False
    return True


def _share(notation: Notation | None, values: Column) -> float:
    """Which part of the values is written so; of the first ones, if there are many."""
    some = values.slice(0, 10 * HEAD)
    return 0.0 if notation is None else (pc.sum(notation.fits(some)).as_py() or 0) / len(some)


@dataclass
class Odd:
    """How many values of a column are written in each notation, and the others: their rows, from 1, by value."""

    notations: tuple[Notation, ...] = (*NUMBERS, Dates("%Y-%m-%d"), *DATES)
    values: int = 0
    fitting: Counter[Notation] = field(default_factory=Counter)
    others: dict[Notation, dict[str, int]] = field(default_factory=dict)

    def see(self, column: Column, first_row: int) -> None:
        """Take in more values, tidy text, the first of which stands in ``first_row``."""
        self.values += len(column) - column.null_count
        for notation in self.notations:
            fits = pc.fill_null(notation.fits(column), False)
            self.fitting[notation] += pc.sum(fits).as_py() or 0
            misfits = pc.and_(pc.invert(fits), pc.is_valid(column))
            known = self.others.setdefault(notation, {})
            rows = pc.indices_nonzero(misfits).slice(0, HEAD)
            for row, value in zip(rows.to_pylist(), column.take(rows).to_pylist(), strict=True):
                known.setdefault(value, first_row + row)

    @property
    def said(self) -> tuple[str, dict[str, int]] | None:
        """How many values are numbers or dates, in words, and the odd ones with their first rows; if few are odd."""
        best, count = max(self.fitting.items(), key=lambda item: item[1], default=(None, 0))
        if best is None or count == self.values or count < NEARLY * self.values:
            return None
        return f"{count:,} of {self.values:,} values are {best.kind}s", self.others[best]
