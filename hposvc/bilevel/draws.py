"""Common random numbers: whatever a loss draws at random is the same in every evaluation on the same batch.

A finite difference is the difference of two evaluations. Were they to draw on their own, their difference would be
that of the draws. So the first draw of a loss gets the same numbers each time, the second the same ones, and so on,
whether it asks Jittor, NumPy or Python for them.
"""

from __future__ import annotations

import contextlib
import random as python_random
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from hposvc.bilevel.arrays import Var, device_array
from hposvc.bilevel.runtime import jt


class Draws:
    """The random numbers of one batch, a pure function of ``key``."""

    def __init__(self, key: Sequence[int]) -> None:
        self._key = list(key)
        self._kept: dict[tuple[Any, ...], Var] = {}
        self.used = False

    @contextlib.contextmanager
    def replayed(self) -> Iterator[None]:
        """While this lasts, Jittor, NumPy's global generator and Python's return these numbers, from the first on."""
        module, count = _jittor(), 0

        def random(shape: Any, dtype: str = "float32", type: str = "uniform") -> Var:  # noqa: A002 - Jittor's name
            nonlocal count
            count += 1
            sizes = (shape,) if isinstance(shape, int) else tuple(int(size) for size in shape)
            return self._numbers(count, sizes, str(dtype), type)

        original = module.random
        python_state, numpy_state = python_random.getstate(), np.random.get_state()  # noqa: NPY002 - what losses use
        seed = np.random.SeedSequence(self._key).generate_state(4)
        python_random.seed(seed.tobytes())
        np.random.seed(seed)  # noqa: NPY002
        begun = _position()
        module.random = random
        try:
            yield
        finally:
            module.random = original
            self.used = self.used or count > 0 or begun != _position()
            python_random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002

    def _numbers(self, number: int, shape: tuple[int, ...], dtype: str, kind: str) -> Var:
        """The draw of that ``number``, uniform on [0, 1) or standard normal."""
        name = (number, shape, dtype, kind)
        if name not in self._kept:
            rng = np.random.default_rng([*self._key, number])
            drawn = rng.standard_normal(shape) if kind == "normal" else rng.random(shape, dtype=np.float32)
            self._kept[name] = device_array(drawn, dtype).stop_grad()
        return self._kept[name]


def _position() -> tuple[object, ...]:
    """How far the generators of Python and NumPy have gone."""
    state = np.random.get_state(legacy=False)["state"]  # noqa: NPY002
    return python_random.getstate(), state["pos"], int(state["key"][0])


def _jittor() -> Any:
    jt.random  # noqa: B018 - starts Jittor, if nobody has
    return sys.modules["jittor"]
