"""Arrays on the device, and sums over lists of them: w, λ and directions are lists of arrays."""

from __future__ import annotations

from functools import lru_cache, reduce
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hposvc.bilevel import fused, launches
from hposvc.bilevel.runtime import jt
from hposvc.copyable import Copyable

Var = Any  # jittor.Var; Jittor ships no types
Arrays = list[NDArray[Any]]
Precision = Literal["float32", "float64"]


def constant(value: float, like: Var) -> Var:
    """A scalar in the precision of ``like``, shape (1,).

    Beside float64, Jittor rounds a Python float to float32; and a Python integer on the left of a float64 scalar, as in
    ``1 + x``, makes the result float32.
    """
    return _kept(float(value), str(like.dtype))


@lru_cache(maxsize=1024)
def _kept(value: float, dtype: str) -> Var:
    """The scalar, computed, and kept: a fresh one costs a tenth of a small iteration, and on a GPU a launch."""
    scalar = jt.array(np.array([value], dtype=dtype), dtype=dtype).stop_grad()
    scalar.sync(weak_sync=False)  # alone: what else is pending stays one graph, whose kernels are always the same
    return scalar


class NoFloat64OnCuda(Copyable, ValueError):
    """An array of float64 was wanted on CUDA, where Jittor computes it wrongly."""

    def __init__(self) -> None:
        super().__init__(
            "float64 is not computed on CUDA: there, Jittor asks cuBLAS for products that it does not have, and takes "
            "exponentials, logarithms and roots in float32. Use float32, or runtime.start('cpu')."
        )


def device_array(value: NDArray[Any], dtype: str) -> Var:
    """``value`` on the device, with ``dtype`` kept (Jittor alone makes float64 into float32).

    Raises:
        NoFloat64OnCuda: for float64 while ``runtime.device()`` is cuda.
    """
    if dtype == "float64" and jt.flags.use_cuda:
        raise NoFloat64OnCuda
    return jt.array(np.ascontiguousarray(value, dtype=dtype), dtype=dtype)


def detach(arrays: list[Var]) -> list[Var]:
    """The same values without their history."""
    return [array.detach() for array in arrays]


def mean(values: Var) -> Var:
    """The mean over all entries, shape (1,). Jittor's own multiplies by 1/n rounded to float32, beside float64 too."""
    if in_one_launch():
        return launches.mean(values)
    return values.sum() / constant(values.numel(), values)


def weighted_mean(weights: Var, values: Var) -> Var:
    """The mean of weights · values, two arrays of one shape, shape (1,)."""
    return launches.weighted_mean(weights, values) if in_one_launch() else mean(weights * values)


def in_one_launch() -> bool:
    """Whether what is being built runs on a GPU and is differentiated once at most."""
    return bool(jt.flags.use_cuda) and fused.usable()


def length(arrays: list[Var], scale: float = 1.0, offset: float = 0.0) -> Var:
    """``scale`` · (``offset`` + ‖a‖) over a list of arrays, shape (1,). Not to be differentiated."""
    if jt.flags.use_cuda:
        return launches.length(arrays, scale, offset)
    found = jt.sqrt(squared_norm(arrays))
    found = found + offset if offset else found
    return constant(scale, found) * found if scale != 1 else found


def descended(arrays: list[Var], gradient: list[Var], rate: Var) -> list[Var]:
    """``a − rate · g``, array by array; ``rate`` has shape (1,). Not to be differentiated."""
    if jt.flags.use_cuda:
        return launches.moved(arrays, gradient, rate, sign=-1)
    return [a - rate * g for a, g in zip(arrays, gradient, strict=True)]


def squared_norm(arrays: list[Var]) -> Var:
    """‖a‖² over a list of arrays, shape (1,)."""
    total = (arrays[0] * arrays[0]).sum()
    for array in arrays[1:]:
        total = total + (array * array).sum()
    return total


def norm(arrays: list[Var]) -> Var:
    """‖a‖ over a list of arrays, shape (1,). No square overflows: float32 ends at 3e38, and a curvature may be e^50."""
    if jt.flags.use_cuda:
        return launches.length(arrays)
    largest = reduce(jt.maximum, [array.abs().max() for array in arrays])
    scale = jt.maximum(largest, constant(float(np.finfo(str(largest.dtype)).tiny), largest))
    return scale * jt.sqrt(squared_norm([array / scale for array in arrays]))


def dot(left: list[Var], right: list[Var]) -> Var:
    """⟨a, b⟩ over two lists of arrays of the same shapes, shape (1,)."""
    total = (left[0] * right[0]).sum()
    for a, b in zip(left[1:], right[1:], strict=True):
        total = total + (a * b).sum()
    return total
