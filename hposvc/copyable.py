"""Exceptions that other processes get: pickled and copied as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Copyable:
    """Mixin for exceptions whose constructor makes their message of its arguments; it stands before their base.

    Python itself would call that constructor again, with the message in the place of its arguments.
    """

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """What pickle and copy make another one of."""
        assert isinstance(self, BaseException)  # noqa: S101
        return _made_again, (type(self), self.args, dict(vars(self)))


def _made_again(kind: type[BaseException], said: tuple[Any, ...], fields: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind)
    error.args = said
    vars(error).update(fields)
    return error
