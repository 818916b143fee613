"""Which of several formats a client wants: the ``Accept`` header, as RFC 9110 has it."""

from __future__ import annotations

from collections.abc import Sequence

from api.http.problem_details import HTTPProblem


def preferred(accept: str | None, offered: Sequence[str]) -> str:
    """The media type of ``offered``, best first, that ``accept`` likes most. Raises HTTPProblem when it likes none."""
    wanted = [_range(part) for part in (accept or "*/*").split(",") if part.strip()] or [("*/*", 1.0)]
    best, quality = "", 0.0
    for media_type in offered:
        liked = max(((_specific(range_), q) for range_, q in wanted if _matches(range_, media_type)), default=(0, 0.0))[
            1
        ]
        if liked > quality:
            best, quality = media_type, liked
    if not best:
        raise HTTPProblem(
            "not-acceptable", f"This is not to be had as {(accept or '')[:100]!r}, but as {', '.join(offered)}."
        )
    return best


def _range(part: str) -> tuple[str, float]:
    media_type, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return media_type, min(1.0, max(0.0, float(value)))
            except ValueError:
                return media_type, 0.0
    return media_type, 1.0


def _matches(range_: str, media_type: str) -> bool:
    return range_ in ("*/*", "*", media_type) or (range_.endswith("/*") and media_type.startswith(range_[:-1]))


def _specific(range_: str) -> int:
    return 0 if range_ in ("*/*", "*") else 1 if range_.endswith("/*") else 2
