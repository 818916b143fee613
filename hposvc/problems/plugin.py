"""A problem that jobs name: what it takes, how it is made, and what it returns beyond λ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel

from hposvc.bilevel import BilevelProblem, ModuleProblem, SolverState
from hposvc.bilevel.arrays import Precision

P = TypeVar("P", bound=BaseModel)

Cell = str | float | int | bool | None


@dataclass(frozen=True)
class Table:
    """A table of the result: ``rows`` have a cell for each of ``columns``."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]


@dataclass(frozen=True)
class Result:
    """What a problem returns of its own. λ and the parameters of the model are files of every job.

    ``sentence`` is the result in words, ``numbers`` by name, ``files`` their bytes by name.
    """

    sentence: str | None = None
    numbers: Mapping[str, float] = field(default_factory=dict)
    tables: Sequence[Table] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Solved(Generic[P]):
    """A problem whose iterations are done. A :class:`ModuleProblem` holds the last w and the best λ in its model and
    hyperparameters.
    """

    parameters: P
    problem: BilevelProblem
    state: SolverState

    @property
    def model(self) -> Any:
        """The model of a :class:`ModuleProblem`, as it ended."""
        return self._own.model

    @property
    def hyperparameters(self) -> Any:
        """The λ of a :class:`ModuleProblem`, at the best iteration."""
        return self._own.hyperparameters

    @property
    def _own(self) -> ModuleProblem:
        if not isinstance(self.problem, ModuleProblem):
            raise TypeError("only a ModuleProblem knows its model and hyperparameters by name")
        return self.problem


class Plugin(ABC, Generic[P]):
    """A kind of problem. The first paragraph of the docstring of a subclass is shown to people who look for it.

    ``parameters`` is the pydantic model of what a job may say in ``parameters``. ``defaults`` are parts of a job's spec
    that suit the problem, such as ``{"solver": {"estimator": "unrolled", "lower": {"steps": 5}}}``; a job that says
    something else has its way.

    An instance is made for each attempt at a job, in a process of its own, without a database.
    """

    parameters: ClassVar[type[BaseModel]]
    defaults: ClassVar[Mapping[str, Any]] = {}

    @abstractmethod
    def problem(self, parameters: P, *, seed: int, dtype: Precision) -> BilevelProblem:
        """The problem, as a rule a :class:`ModuleProblem`.

        The same arguments must give the same problem: a job that goes on from a checkpoint makes it again. ``seed`` and
        ``dtype`` are those of ``solver`` in the spec; Jittor was seeded with ``seed``.
        """

    def result(self, solved: Solved[P]) -> Result:
        """What is shown on the page of the job. By default a sentence about the upper loss."""
        return Result()
