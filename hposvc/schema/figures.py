"""Numbers as people read them, the same on a terminal, in a notebook, in a report and in sentences.

The pages follow the same rules: ``api/dashboard/static/js/format.js``.
"""

from __future__ import annotations

import math
from decimal import ROUND_HALF_UP, Decimal

DASH = "–"
MINUS = "−"


def number(value: float | str | None) -> str:
    """A loss, norm or weight: with four decimals if the value has digits there, otherwise in scientific notation.

    Names of numbers that are not finite are read as these. None is a dash.
    """
    if value is None:
        return DASH
    x = float(value)
    if math.isnan(x):
        return "NaN"
    size, sign = abs(x), MINUS if x < 0 else ""
    if math.isinf(x):
        return f"{sign}∞"
    if x != 0 and (size < 1e-3 or size >= 1e6):
        mantissa, exponent = f"{size:.2e}".split("e")
        return f"{sign}{mantissa}e{int(exponent)}"
    return sign + (f"{float(f'{size:.6g}'):,.10g}" if size >= 1000 else fixed(size, 4))


def signed(value: float) -> str:
    """A difference, as ``number``, with its sign."""
    return number(value) if value < 0 else f"+{number(value)}"


def percent(value: float | str | None, digits: int = 1) -> str:
    """A share, probability, precision, recall or F1, of 0 to 1, in percent."""
    x = math.nan if value is None else float(value)
    if not math.isfinite(x):
        return number(value)
    size = fixed(100 * abs(x), digits)
    return f"{MINUS if x < 0 and float(size) else ''}{size} %"


def score(value: float | str | None, name: str | None) -> str:
    """A score in its own unit: accuracy in percent, R² as a number."""
    return percent(value, 2) if name == "accuracy" else number(value)


def shown(score: float) -> float:
    """A score as exactly as ``score`` shows it: two that read the same are the same."""
    return round(score, 4)


def points(difference: float) -> str:
    """The size of a difference of accuracies in points, which are hundredths; without its sign."""
    return fixed(100 * abs(difference), 2)


def score_heading(score_name: str | None) -> str:
    """What a column of test scores is called."""
    return {"accuracy": "test accuracy", "r2": "test R²"}.get(score_name or "", "test score")


def duration(seconds: float | None) -> str:
    """A time in its two largest units; below ten seconds with one decimal."""
    if seconds is None or not math.isfinite(seconds):
        return DASH if seconds is None else f"{number(seconds)} s"
    if seconds < 10:
        return f"{fixed(seconds, 1)} s"
    whole = math.floor(seconds + 0.5)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def fixed(size: float, digits: int) -> str:
    """A finite number with so many decimals, halves away from zero."""
    return str(Decimal(size).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP))


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: ``1 row``, ``2 rows``."""
    return f"{count:,} {one if count == 1 else many or f'{one}s'}"
