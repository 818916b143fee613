"""A package with a problem that does what its parameters say, good or bad, made in a folder as pip would leave it."""

from __future__ import annotations

from pathlib import Path

NAME = "odd_package:odd"

CODE = '''"""A problem that does what it is told."""

import os
import signal
import sys
import time

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from hposvc.bilevel import ModuleProblem, jt
from hposvc.problems import Plugin, Result, Table

print("imported")


class Parameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    does: str = Field("nothing", description="What it does.")
    slow: float = Field(0.0, ge=0, description="Seconds of each evaluation.")


class Odd(Plugin[Parameters]):
    """Does what it is told.

    For tests.
    """

    parameters = Parameters
    defaults = {"stop": {"iterations": 7}, "solver": {"lower": {"learning_rate": 0.1}}}

    def problem(self, parameters, *, seed, dtype):
        if parameters.does == "prints":
            print("a frame? " * 20_000)
            assert sys.stdin.read() == ""
        if parameters.does == "raises":
            raise ValueError("these parameters do not go together")
        if parameters.does == "exits":
            sys.exit(0)
        if parameters.does == "crashes":
            os.kill(os.getpid(), signal.SIGSEGV)
        if parameters.does == "imports a driver":
            import sqlalchemy
        if parameters.does == "leaks":
            kept = [b"x" * 2**26 for _ in iter(int, 1)]
        while parameters.does == "hangs":
            time.sleep(0.01)

        def lower_loss(w, lam, batch):
            time.sleep(parameters.slow)
            return ((w["w"] - lam["a"]).sqr()).sum() + 0.1 * w["w"].sqr().sum()

        def upper_loss(w, lam, batch):
            return (w["w"] - 1).sqr().sum() * (float("nan") if parameters.does == "is not finite" else 1)

        return ModuleProblem(
            model={"w": np.zeros(2)},
            hyperparameters={"a": np.zeros(2)},
            lower_loss=lower_loss,
            upper_loss=upper_loss,
            dtype=dtype,
        )

    def result(self, solved):
        return Result(
            sentence="It was odd.",
            numbers={"a": solved.hyperparameters["a"].mean()},
            tables=[Table("Oddities", ("what", "how much"), [("a <b>", 1), ("b", None)])],
            files={"note.txt": b"odd"},
        )
'''


def install(folder: Path, version: str = "1.0", code: str = CODE) -> Path:
    """Put the package into ``folder``, in the place of the version that was there."""
    package, metadata = folder / "odd_package", folder / "odd_package.dist-info"
    for made in (package, metadata):
        made.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text(code)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: odd-package\nVersion: {version}\n")
    (metadata / "entry_points.txt").write_text("[hposvc.problems]\nodd = odd_package:Odd\n")
    return folder
