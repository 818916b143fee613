"""What a package that brings problems implements: :class:`Plugin`. See docs/own-problems.md."""

from hposvc.problems.plugin import Plugin, Result, Solved, Table

__all__ = ["Plugin", "Result", "Solved", "Table"]
