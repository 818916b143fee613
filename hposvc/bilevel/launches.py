"""Sums and updates on a GPU, each in one launch whatever the number of arrays. CUDA and float32 only.

A job of a few thousand rows waits for launches there. Jittor takes two for a sum, one for each array that moves, and
one for each scalar. Sums are made in a fixed order and in double precision: no order of threads changes their bits,
and no square overflows.

:func:`mean`, :func:`weighted_mean`, :func:`difference` and :func:`differentiable_moved` can be differentiated once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from hposvc.bilevel.runtime import jt

Var = Any  # jittor.Var; Jittor ships no types

# Threads of a block, each of which takes 16 entries or more, and the most blocks. Each leaves one number, and the last
# of them to end adds these up.
_THREADS, _BLOCKS = 256, 512

_SUM = """
typedef long long Index;
__device__ unsigned arrived;
template <class T> __global__ void sum_up(OUTPUTS double* __restrict__ held, PARAMETERS double x0, double x1) {
  __shared__ double sums[256];
  __shared__ bool last;
  const Index first = Index(blockIdx.x) * 256 + threadIdx.x, stride = Index(gridDim.x) * 256;
  double sum = 0;
  TERMS
  for (int again = 0; again < 2; again++) {
    sums[threadIdx.x] = sum;
    __syncthreads();
    for (int half = 128; half; half /= 2) {
      if (threadIdx.x < half) sums[threadIdx.x] += sums[threadIdx.x + half];
      __syncthreads();
    }
    if (again == 0) {
      if (threadIdx.x == 0) {
        held[blockIdx.x] = sums[0];
        __threadfence();
        last = atomicAdd(&arrived, 1u) == gridDim.x - 1;
      }
      __syncthreads();
      if (!last) return;
      __threadfence();
      sum = 0;
      for (Index i = threadIdx.x; i < gridDim.x; i += 256) sum += ((volatile double*)held)[i];
      __syncthreads();
    }
  }
  if (threadIdx.x == 0) {
    arrived = 0;
    const double total = sums[0];
    RESULTS
  }
}
"""


def _summed(arrays: Sequence[Var], terms: str, *results: str, x: tuple[float, float] = (0.0, 0.0)) -> list[Var]:
    """``results``, C++ in terms of ``total``, x0 and x1, of the sum that the loops ``terms`` make. Shape (1,) each."""
    n = len(results)
    outputs = "".join(f"T* __restrict__ out{i}_p, " for i in range(n))
    parameters = ", ".join(f"const T* __restrict__ in{i}_p, Index size{i}" for i in range(len(arrays)))
    values = ", ".join(f"in{i}_p, in{i}->num" for i in range(len(arrays)))
    lines = " ".join(f"out{i}_p[0] = T({result});" for i, result in enumerate(results))
    header = _SUM.replace("OUTPUTS ", outputs).replace("PARAMETERS", f"{parameters},").replace("TERMS", terms)
    header = header.replace("RESULTS", lines)
    blocks = min(max(-(-max(a.numel() for a in arrays) // (16 * _THREADS)), 1), _BLOCKS)
    named = ", ".join(f"out{i}_p" for i in range(n))
    launch = f'sum_up<<<out{n}->num / 2, 256>>>({named}, (double*)out{n}_p, {values}, data["x0"], data["x1"]);'
    shapes, dtypes, data = [(1,)] * n + [(2 * blocks,)], [arrays[0].dtype] * (n + 1), {"x0": x[0], "x1": x[1]}
    found = jt.code(shapes, dtypes, list(arrays), cuda_header=header, cuda_src=launch, data=data)
    return [value.stop_grad() for value in found[:n]]


def _loop(index: int, term: str) -> str:
    """A loop over the entries of an input."""
    return f"for (Index i = first; i < size{index}; i += stride) sum += {term};\n  "


def _squares(count: int) -> str:
    return "".join(_loop(i, f"double(in{i}_p[i]) * in{i}_p[i]") for i in range(count))


def length(arrays: Sequence[Var], scale: float = 1.0, offset: float = 0.0) -> Var:
    """``scale`` · (``offset`` + ‖a‖) over a list of arrays, shape (1,). Not differentiated."""
    return _summed(arrays, _squares(len(arrays)), "x0 * (x1 + sqrt(total))", x=(scale, offset))[0]


def quotient_by_length(radius: Var, arrays: Sequence[Var], smallest: float) -> tuple[Var, Var]:
    """``radius`` / max(‖a‖, ``smallest``), and minus that, shape (1,) each. Not differentiated."""
    n = len(arrays)
    quotient = f"in{n}_p[0] / (sqrt(total) > x0 ? sqrt(total) : x0)"
    ahead, behind = _summed([*arrays, radius], _squares(n), quotient, f"-{quotient}", x=(smallest, 0.0))
    return ahead, behind


def moved(arrays: Sequence[Var], along: Sequence[Var], step: Var, sign: int = 1) -> list[Var]:
    """``a + sign · step · b``, array by array; ``step`` has shape (1,). Not differentiated."""
    return _lists(
        [*arrays, *along, step], along, f"in{{i}}_p[i] {'+' if sign > 0 else '-'} in{{last}}_p[0] * in{{j}}_p[i]"
    )


def scaled(arrays: Sequence[Var], factor: Var) -> list[Var]:
    """``−factor · a``, array by array; ``factor`` has shape (1,). Not differentiated."""
    return _lists([*arrays, factor], arrays, "-in{last}_p[0] * in{i}_p[i]")


def _lists(inputs: Sequence[Var], like: Sequence[Var], value: str) -> list[Var]:
    """Arrays shaped like ``like``, one after the other in one launch.

    ``value`` is C++ for an entry, with the numbers of the array, of the one as many further on, and of the last input.
    """
    n = len(like)
    names = [*(f"out{k}_p" for k in range(n)), *(f"in{k}_p" for k in range(len(inputs)))]
    kinds = ["T* __restrict__"] * n + ["const T* __restrict__"] * len(inputs)
    parameters = ", ".join(f"{kind} {name}" for kind, name in zip(kinds, names, strict=True))
    sizes = ", ".join(f"Index size{k}" for k in range(n))
    lines = "".join(
        f"  if (i < size{k}) {{ out{k}_p[i] = {value.format(i=k, j=n + k, last=len(inputs) - 1)}; return; }}\n"
        f"  i -= size{k};\n"
        for k in range(n)
    )
    header = (
        f"typedef long long Index;\ntemplate <class T> __global__ void move_arrays({parameters}, {sizes}) {{\n"
        f"  Index i = Index(blockIdx.x) * blockDim.x + threadIdx.x;\n{lines}}}\n"
    )
    total, each = (sign.join(f"out{k}->num" for k in range(n)) for sign in (" + ", ", "))
    launch = f"const Index size = {total};\nmove_arrays<<<(size + 255) / 256, 256>>>({', '.join(names)}, {each});"
    shapes, dtypes = [a.shape for a in like], [a.dtype for a in like]
    return [a.stop_grad() for a in jt.code(shapes, dtypes, list(inputs), cuda_header=header, cuda_src=launch)]


def _each(shapes: Any, inputs: Sequence[Var], statement: str, x: float = 0.0) -> Any:
    """``statement``, C++ that sets entry i of outputs from that of inputs, for each entry of the first output."""
    one = isinstance(shapes, tuple)
    outputs = 1 if one else len(shapes)
    names = [*(f"out{i}_p" for i in range(outputs)), *(f"in{i}_p" for i in range(len(inputs)))]
    kinds = ["T* __restrict__"] * outputs + ["const T* __restrict__"] * len(inputs)
    parameters = ", ".join(f"{kind} {name}" for kind, name in zip(kinds, names, strict=True))
    header = (
        f"typedef long long Index;\ntemplate <class T> __global__ void for_each({parameters}, T x0, Index size) {{\n"
        f"  const Index i = Index(blockIdx.x) * blockDim.x + threadIdx.x;\n  if (i < size) {{ {statement} }}\n}}\n"
    )
    launch = (
        "const Index size = out0->num;\n"
        f'for_each<<<(size + 255) / 256, 256>>>({", ".join(names)}, in0_type(data["x0"]), size);'
    )
    dtype = inputs[0].dtype
    dtypes = dtype if one else [dtype] * outputs
    return jt.code(shapes, dtypes, list(inputs), cuda_header=header, cuda_src=launch, data={"x0": x})


def mean(values: Var) -> Var:
    """The mean over all entries, shape (1,)."""
    return _functions()[0](values)


def weighted_mean(weights: Var, values: Var) -> Var:
    """The mean of the products of two arrays of one shape, shape (1,)."""
    return _functions()[1](weights, values)


def difference(ahead: Var, behind: Var, step: Var) -> Var:
    """``(ahead − behind) / 2 step`` of three scalars, shape (1,), differentiated in the first two."""
    return _functions()[2](ahead, behind, (step,))


def differentiable_moved(arrays: Sequence[Var], along: Sequence[Var], step: Var) -> list[Var]:
    """``a + step · b``, array by array, differentiated in ``a``."""
    return list(_functions()[3](*arrays, (*along, step)))


@cache
def _functions() -> tuple[Callable[..., Var], ...]:
    """Jittor's classes, made when first needed, since their base lies in Jittor."""

    class Mean(jt.Function):  # type: ignore[misc]
        def execute(self, values: Var) -> Var:
            self.shape = tuple(values.shape)
            return _summed([values], _loop(0, "in0_p[i]"), "total / size0")[0]

        def grad(self, g: Var) -> Var:
            size = 1
            for side in self.shape:
                size *= side
            return _each(self.shape, [g], "out0_p[i] = in0_p[0] / x0;", size)

    class WeightedMean(jt.Function):  # type: ignore[misc]
        def execute(self, weights: Var, values: Var) -> Var:
            self.inputs = weights, values
            return _summed([weights, values], _loop(0, "double(in0_p[i]) * in1_p[i]"), "total / size0")[0]

        def grad(self, g: Var) -> tuple[Var, Var]:
            weights, values = self.inputs
            statement, size = "out0_p[i] = in1_p[0] / x0 * in0_p[i];", weights.numel()
            return tuple(_each(tuple(a.shape), [a, g], statement, size) for a in (values, weights))

    class Difference(jt.Function):  # type: ignore[misc]
        def execute(self, ahead: Var, behind: Var, others: tuple[Var]) -> Var:
            self.step = others[0]
            return _each((1,), [ahead, behind, self.step], "out0_p[i] = (in0_p[i] - in1_p[i]) / (2 * in2_p[i]);")

        def grad(self, g: Var) -> tuple[Var, Var, None]:
            statement = "out0_p[i] = in0_p[i] / (2 * in1_p[i]); out1_p[i] = -out0_p[i];"
            ahead, behind = _each([(1,), (1,)], [g, self.step], statement)
            return ahead, behind, None

    class Moved(jt.Function):  # type: ignore[misc]
        def execute(self, *arguments: Any) -> list[Var]:
            *arrays, others = arguments
            *along, step = others
            return moved(arrays, along, step)

        def grad(self, *g: Var | None) -> list[Var | None]:
            return [*g, None]

    return Mean.apply, WeightedMean.apply, Difference.apply, Moved.apply
