"""Ways of writing numbers and dates beside 1234.5 and 2024-12-31, each with a name that is kept with what was read.

The name of a notation of numbers shows one: ``1,234.5`` or ``1.234,5``, with its unit if it has one (``1,234.5 $``). A
space, a narrow one, or an apostrophe may separate thousands in either. That of a notation of dates is a format as of
``strptime``; a time of the day may follow.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Column = Any  # pyarrow.Array or ChunkedArray; Arrow ships no types

_CODES = "USD|EUR|GBP|CHF|JPY|CNY|INR|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|BRL|MXN|ZAR|KRW|RUB|TRY|ILS"
_UNIT = rf"(?:US\$|R\$|\p{{Sc}}|{_CODES}|kr|zł|Kč|%)"
_SPACES = "[ \u00a0\u202f\u2009]"
_MINUS = "\u2212"
_GROUPS = {".": f"(?:,|'|’|{_SPACES})", ",": f"(?:\\.|'|’|{_SPACES})"}

_YEARS_1_TO_9999 = (-62_135_596_800_000_000, 253_402_300_799_999_999)  # microseconds since 1970


def of_years_1_to_9999(column: Column) -> Column:
    """The timestamps in microseconds that are in ``column``. Raises pa.ArrowInvalid: one that Python cannot show."""
    limits = [pa.scalar(moment, pa.int64()) for moment in _YEARS_1_TO_9999]
    moments = column.cast(pa.int64())
    if pc.any(pc.or_(pc.less(moments, limits[0]), pc.greater(moments, limits[1]))).as_py():
        raise pa.ArrowInvalid("some dates are before the year 1 or after the year 9999")
    return column


def _number(decimal: str) -> str:
    sign, group = f"[+{_MINUS}-]?", _GROUPS[decimal]
    whole = rf"[1-9]\d{{0,2}}(?:{group}\d{{3}})+|0|[1-9]\d{{0,14}}"  # 007 and longer ones are names
    point = re.escape(decimal)
    return (
        rf"^(?P<paren>\(?)(?P<sign>{sign})(?P<before>{_UNIT}?){_SPACES}?(?P<inner>{sign})"
        rf"(?P<whole>(?:{whole})?)(?P<fraction>(?:{point}\d+)?){point}?(?P<exponent>(?:[eE][+-]?\d+)?)"
        rf"{_SPACES}?(?P<after>{_UNIT}?)\)?$"
    )


@dataclass(frozen=True)
class Numbers:
    """Numbers with a ``decimal`` point or comma, and maybe a ``unit``: a currency, or ``%``, which no value lacks."""

    decimal: str
    unit: str = ""
    kind = "number"

    @property
    def name(self) -> str:
        """What it is known by."""
        shown = {".": "1,234.5", ",": "1.234,5"}[self.decimal]
        return f"{shown} {self.unit}".rstrip()

    @cached_property
    def _pattern(self) -> str:
        return _number(self.decimal)

    def parse(self, column: Column) -> Column:
        """Tidy text as float64. Raises pa.ArrowInvalid if some value is written otherwise."""
        numbers, units = self.read(column)
        found = set(pc.unique(pc.drop_null(units)).to_pylist())
        if self.unit == "%" and found != {"%"} and found:
            raise pa.ArrowInvalid("no per cent sign")
        if found - {"", self.unit}:
            raise pa.ArrowInvalid("another unit")
        if numbers.null_count > column.null_count:
            raise pa.ArrowInvalid("not a number of this notation")
        return numbers

    def read(self, column: Column) -> tuple[Column, Column]:
        """Tidy text as float64, null where it is written otherwise, and the unit of each value."""
        found = pc.extract_regex(column, self._pattern)

        def part(name: str) -> Column:
            return pc.struct_field(found, name)

        digits = pc.replace_substring_regex(part("whole"), r"\D", "")
        fraction = pc.replace_substring(part("fraction"), ",", ".")
        some = pc.and_(
            pc.not_equal(pc.binary_join_element_wise(digits, fraction, ""), ""),
            pc.equal(pc.equal(part("paren"), "("), pc.ends_with(column, ")")),
        )
        negative = pc.or_(
            pc.equal(part("paren"), "("),
            pc.match_substring_regex(pc.binary_join_element_wise(part("sign"), part("inner"), ""), f"[{_MINUS}-]"),
        )
        text = pc.binary_join_element_wise(pc.if_else(negative, "-", ""), digits, fraction, part("exponent"), "")
        text = pc.if_else(some, text, pa.scalar(None, pa.string()))
        return pc.cast(text, pa.float64()), pc.binary_join_element_wise(part("before"), part("after"), "")

    def fits(self, column: Column) -> Column:
        """Which values of tidy text are numbers of this notation, whatever their unit."""
        return pc.is_valid(self.read(column)[0])


_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_NAMES = "|".join(f"{name[:3]}(?:{name[3:]})?" if name != "may" else "may" for name in _MONTHS)
_DIRECTIVES = {
    "d": r"(?P<day>\d{1,2})",
    "m": r"(?P<month>\d{1,2})",
    "Y": r"(?P<year>\d{4})",
    "y": r"(?P<short>\d{2})",
    "b": rf"(?P<name>(?i:{_NAMES}))\.?",
    "H": r"(?P<hour>\d{1,2})",
    "I": r"(?P<hour>\d{1,2})",
    "M": r"(?P<minute>\d{2})",
    "S": r"(?P<second>\d{2})",
    "p": r"(?P<half>[AaPp])\.?[Mm]\.?",
    "a": r"\p{L}+\.?",
}
_SAME = {"B": "b", "h": "b", "A": "a", "e": "d"}
_TIME = (
    r"(?:[ T](?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:\.\d+)?)?(?: ?(?P<half>[AaPp])\.?[Mm]\.?)?)?"
)


@dataclass(frozen=True)
class Dates:
    """Dates of one ``format`` of ``strptime``."""

    format: str
    kind = "date"

    @property
    def name(self) -> str:
        """What it is known by."""
        return self.format

    @cached_property
    def _pattern(self) -> tuple[str, frozenset[str]]:
        """The regular expression, and the groups that it has. Raises ValueError: no format of a date."""
        parts, place = [], 0
        for found in re.finditer(r"%(.)", self.format):
            letter = _SAME.get(found[1], found[1])
            if letter not in _DIRECTIVES:
                raise ValueError(f"%{found[1]} is not among %d %m %Y %y %b %B %a %A %H %I %M %S %p")
            parts += [re.escape(self.format[place : found.start()]), _DIRECTIVES[letter]]
            place = found.end()
        parts.append(re.escape(self.format[place:]))
        pattern = "".join(parts).replace("\\ ", " ")
        if "(?P<hour>" not in pattern:
            pattern += _TIME
        groups = re.findall(r"\(\?P<(\w+)>", pattern)
        if len(set(groups)) < len(groups):
            raise ValueError("one part stands in it twice")
        if not ({"day"} <= {*groups} and {"month", "name"} & {*groups} and {"year", "short"} & {*groups}):
            raise ValueError("it needs a day, a month and a year, such as %d/%m/%Y")
        return f"^{pattern}$", frozenset(groups)

    def check(self) -> None:
        """Raises ValueError: it is no format of a date."""
        _ = self._pattern

    def parse(self, column: Column) -> Column:
        """Tidy text as timestamps. Raises pa.ArrowInvalid if some value is written otherwise, or is no day."""
        text = self._standard(column)
        if text.null_count > column.null_count:
            raise pa.ArrowInvalid("not a date of this format")
        return of_years_1_to_9999(pc.cast(text, pa.timestamp("us")))

    def fits(self, column: Column) -> Column:
        """Which values of tidy text are written so."""
        return pc.is_valid(self._standard(column))

    def _standard(self, column: Column) -> Column:
        """The text as 2024-12-31 23:59:59, null where it is written otherwise."""
        pattern, groups = self._pattern
        found = pc.extract_regex(column, pattern)

        def part(name: str, default: str) -> Column:
            if name not in groups:
                return default
            text = pc.struct_field(found, name)
            return pc.if_else(pc.equal(text, ""), default, text)

        def two(value: Column) -> Column:
            return value if isinstance(value, str) else pc.utf8_lpad(value, 2, "0")

        if "name" in groups:
            short = pc.utf8_slice_codeunits(pc.utf8_lower(part("name", "")), 0, 3)
            known = pc.index_in(short, value_set=pa.array([name[:3] for name in _MONTHS]))
            month = pc.cast(pc.add(known, 1), pa.string())
        else:
            month = part("month", "")
        year = part("year", "")
        if "year" not in groups:
            short = part("short", "")
            year = pc.binary_join_element_wise(pc.if_else(pc.less(short, "69"), "20", "19"), short, "")
        day = pc.binary_join_element_wise(year, two(month), two(part("day", "")), "-")
        hour = part("hour", "00")
        if "half" in groups:
            hour = _of_24(hour, part("half", ""))
        clock = pc.binary_join_element_wise(two(hour), two(part("minute", "00")), two(part("second", "00")), ":")
        return pc.binary_join_element_wise(day, clock, " ")


def _of_24(hour: Column, half: Column) -> Column:
    """Hours of a clock of 12 as those of one of 24, where ``half`` says a or p."""
    number, half = pc.cast(hour, pa.int64()), pc.utf8_lower(half)
    of_12 = pc.if_else(pc.equal(number, 12), 0, number)
    found = pc.if_else(pc.equal(half, "p"), pc.add(of_12, 12), pc.if_else(pc.equal(half, "a"), of_12, number))
    return pc.cast(found, pa.string())


Notation = Numbers | Dates

NUMBERS = (Numbers("."), Numbers(","))
DATES = tuple(
    Dates(format_)
    for format_ in (
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%d.%m.%Y",
        "%d-%m-%Y",
        "%m-%d-%Y",
        "%Y/%m/%d",
        "%Y.%m.%d",
        "%b %d, %Y",
        "%b %d %Y",
        "%d %b %Y",
        "%d-%b-%Y",
        "%d. %b %Y",
        "%d/%m/%y",
        "%m/%d/%y",
        "%d.%m.%y",
        "%d-%b-%y",
        "%a, %b %d, %Y",
        "%a, %d %b %Y",
    )
)


def of_name(name: str) -> Notation:
    """The notation of a name."""
    if "%" in name and not name.startswith("1"):
        return Dates(name)
    shown, _, unit = name.partition(" ")
    return Numbers({"1,234.5": ".", "1.234,5": ","}[shown], unit)
