"""What is wrong with a job's data: the same words as for a file of rows."""

from hposvc.tabular.problems import DataError, Problem

__all__ = ["DataError", "Problem"]
