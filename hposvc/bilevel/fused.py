"""Threaded passes: a hidden layer, ``activation(z + bias) @ weight``, softmax cross-entropy, accuracy, and Adam.

Jittor's own element-wise kernels run on one thread and write every intermediate array to memory; beside the products in
oneDNN that is what an iteration costs. The passes over arrays of rows × units and rows × classes are therefore written
out here, forward and backward. They are for the CPU and can be differentiated once; whoever differentiates twice builds
within :func:`differentiable_twice`, where :func:`usable` says no.

The first two take their array of rows as ``base + step · along``, too (:class:`Moved`), so that finite differences
write no perturbed array to memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from hposvc.bilevel.runtime import jt

Var = Any  # jittor.Var; Jittor ships no types

# Up to so many columns, a product with the weights costs less than writing the activations to memory would.
NARROW = 32

_twice = False


@contextmanager
def differentiable_twice() -> Iterator[None]:
    """What is built within can be differentiated any number of times."""
    global _twice  # noqa: PLW0603 - graphs are built by the one thread that Jittor has
    before, _twice = _twice, True
    try:
        yield
    finally:
        _twice = before


def usable() -> bool:
    """Whether the functions below may be used for what is being built."""
    return not _twice and not jt.flags.use_cuda


class Moved(NamedTuple):
    """``base + step · along``, (n, h), not added yet: the kernel that reads it adds. Only ``base`` is differentiated.

    ``step`` has shape (1,).
    """

    base: Var
    along: Var
    step: Var


def as_array(z: Var | Moved) -> Var:
    """``z`` as an array."""
    return z.base + z.step * z.along if isinstance(z, Moved) else z


def hidden_layer(z: Var | Moved, bias: Var, weight: Var, activation: str) -> Var:
    """``activation(z + bias) @ weight``, (n, k), for ``z`` (n, h), ``bias`` (h,) and ``weight`` (h, k).

    ``activation`` is one of :data:`FORMULAS`; its formulas are those of :mod:`hposvc.bilevel.models`.
    """
    base, motion = _parts(z)
    functions = _functions(activation, moved=bool(motion))
    if weight.shape[1] <= NARROW:
        return functions.product(base, bias, weight, motion)
    return jt.matmul(functions.activate(base, bias, motion), weight)


def cross_entropy(z: Var | Moved, bias: Var | Moved, labels: Var) -> Var:
    """−log softmax(z + bias)[label] of each row, (n,), for ``z`` (n, k), ``bias`` (k,) and ``labels`` (n,), int32."""
    base, motion = _parts(z)
    return _softmax_function(moved=bool(motion))(base, as_array(bias), (labels, *motion))


def correct(z: Var, bias: Var, labels: Var) -> Var:
    """One for each row of z + bias whose first largest entry is that of its label, and zero for the others: (n,)."""
    return _code((z.shape[0],), [z, bias, labels], _CORRECT, _PLAIN)


class AdamStep(NamedTuple):
    """What :func:`adam` returns."""

    moved: Var
    first: Var
    second: Var


def adam(lam: Var, h: Var, first: Var, second: Var, settings: AdamSettings) -> AdamStep:
    """A step of Adam on one array, in one pass. It is not differentiated."""
    inputs = [lam, h, first, second, jt.array(np.array(settings, dtype=str(lam.dtype)), dtype=str(lam.dtype))]
    return AdamStep(*jt.code([lam.shape] * 3, [lam.dtype] * 3, inputs, cpu_header=_HEADER, cpu_src=_ADAM))


class AdamSettings(NamedTuple):
    """β₁, 1 − β₁, β₂, 1 − β₂, 1 − β₂^k, the rate over 1 − β₁^k, and ε."""

    beta1: float
    rest1: float
    beta2: float
    rest2: float
    unbias2: float
    rate: float
    epsilon: float


def _parts(z: Var | Moved) -> tuple[Var, tuple[Var, ...]]:
    """What is differentiated, and by what it is moved: a tuple, because Jittor tapes every array among arguments."""
    return (z.base, (z.along, z.step)) if isinstance(z, Moved) else (z, ())


class Formula(NamedTuple):
    """C++ statements that set ``y`` to the activation of ``x``, and ``slope`` to its derivative there (of type T)."""

    value: str
    slope: str


FORMULAS = {
    "relu": Formula("y = x > 0 ? x : T(0);", "slope = x > 0 ? T(1) : T(0);"),
    "tanh": Formula("y = 2 / (1 + std::exp(std::min(-2 * x, LARGEST))) - 1;", "slope = 1 - y * y;"),
    "gelu": Formula(
        "const T s = 1 / (1 + std::exp(std::min(-T(1.5957691216057308) * (x + T(0.044715) * x * x * x), LARGEST)));"
        " y = x * s;",
        "slope = s + y * (1 - s) * T(1.5957691216057308) * (1 + T(0.134145) * x * x);",
    ),
}

_HEADER = """
#include <omp.h>
#include <algorithm>
#include <cmath>
#include <vector>

// Four columns at a time: what all of them share is loaded once, and no sum waits for the one before.
template <class T> void dot_with_columns(const T* a, const T* columns, T* out, int64_t h, int64_t k) {
  int64_t c = 0;
  for (; c + 4 <= k; c += 4) {
    const T *w0 = columns + c * h, *w1 = w0 + h, *w2 = w1 + h, *w3 = w2 + h;
    T s0 = 0, s1 = 0, s2 = 0, s3 = 0;
    for (int64_t j = 0; j < h; j++) {
      s0 += a[j] * w0[j]; s1 += a[j] * w1[j]; s2 += a[j] * w2[j]; s3 += a[j] * w3[j];
    }
    out[c] = s0; out[c + 1] = s1; out[c + 2] = s2; out[c + 3] = s3;
  }
  for (; c < k; c++) {
    T sum = 0;
    for (int64_t j = 0; j < h; j++) sum += a[j] * columns[c * h + j];
    out[c] = sum;
  }
}

template <class T> void combine_columns(const T* g, const T* columns, T* __restrict__ out, int64_t h, int64_t k) {
  for (int64_t j = 0; j < h; j++) out[j] = 0;
  int64_t c = 0;
  for (; c + 4 <= k; c += 4) {
    const T *w0 = columns + c * h, *w1 = w0 + h, *w2 = w1 + h, *w3 = w2 + h;
    const T g0 = g[c], g1 = g[c + 1], g2 = g[c + 2], g3 = g[c + 3];
    for (int64_t j = 0; j < h; j++) out[j] += g0 * w0[j] + g1 * w1[j] + g2 * w2[j] + g3 * w3[j];
  }
  for (; c < k; c++)
    for (int64_t j = 0; j < h; j++) out[j] += g[c] * columns[c * h + j];
}
"""

# Kernels are compiled with -Ofast, where 1/infinity is NaN: exponents stop where e^x is still finite in float32.
# Fewer entries than 32,768 are not worth waking a second thread for.
_SHAPES = """
using T = in0_type;
const T LARGEST = 80;
const int64 PARTS = 32;
const int64 n = in0_shape0, h = in0_shape1;
const int threads = n * h < 32768 ? 1 : omp_get_max_threads();
const int64 part = std::max<int64>(((n + PARTS - 1) / PARTS + 31) / 32 * 32, 64), parts = (n + part - 1) / part;
"""

# What is added to an entry of the rows: the bias and, in a moved kernel, the step. Inputs end with along and step.
_PLAIN = {"along": "", "entry": "z[j] + in1_p[j]"}


def _moved(inputs: int) -> dict[str, str]:
    """The same where ``inputs`` others come before along and step."""
    return {
        "along": f"const T* __restrict__ t = in{inputs}_p + i * h; const T step = in{inputs + 1}_p[0];",
        "entry": "z[j] + step * t[j] + in1_p[j]",
    }


# What follows "kernel:" names it in profiles (``python -m benchmarks.solver --profile``).
_ACTIVATE = """
(void)"kernel: hidden layer, forward";
#pragma omp parallel for schedule(static) num_threads(threads)
for (int64 i = 0; i < n; i++) {
  const T* __restrict__ z = in0_p + i * h; %(along)s
  T* __restrict__ a = out0_p + i * h;
  for (int64 j = 0; j < h; j++) {
    const T x = %(entry)s;
    T y; %(value)s
    a[j] = y;
  }
}
"""

# Sums over rows are kept for each part of the rows and added in order, so that the bits do not depend on the number of
# threads: a job goes on bit for bit on a machine with more of them.
_ACTIVATE_BACKWARD = """
(void)"kernel: hidden layer, backward";
std::vector<T> sums(parts * h, T(0));
#pragma omp parallel for schedule(static) num_threads(threads)
for (int64 p = 0; p < parts; p++) {
  T* __restrict__ by_bias = &sums[p * h];
  for (int64 i = p * part; i < std::min(n, (p + 1) * part); i++) {
    const T* __restrict__ z = in0_p + i * h; %(along)s
    const T* __restrict__ g = in2_p + i * h;
    T* __restrict__ d = out0_p + i * h;
    for (int64 j = 0; j < h; j++) {
      const T x = %(entry)s;
      T y, slope; %(value)s %(slope)s
      d[j] = g[j] * slope;
      by_bias[j] += d[j];
    }
  }
}
for (int64 j = 0; j < h; j++) {
  T sum = 0;
  for (int64 p = 0; p < parts; p++) sum += sums[p * h + j];
  out1_p[j] = sum;
}
"""

_TRANSPOSED = """
const int64 k = in2_shape1;
std::vector<T> columns(k * h);
for (int64 j = 0; j < h; j++) for (int64 c = 0; c < k; c++) columns[c * h + j] = in2_p[j * k + c];
"""

_PRODUCT = """
(void)"kernel: hidden layer, forward";
#pragma omp parallel num_threads(threads)
{
  std::vector<T> activations(h);
  T* __restrict__ a = activations.data();
  #pragma omp for schedule(static)
  for (int64 i = 0; i < n; i++) {
    const T* __restrict__ z = in0_p + i * h; %(along)s
    for (int64 j = 0; j < h; j++) {
      const T x = %(entry)s;
      T y; %(value)s
      a[j] = y;
    }
    dot_with_columns(a, columns.data(), out0_p + i * k, h, k);
  }
}
"""

_PRODUCT_BACKWARD = """
(void)"kernel: hidden layer, backward";
std::vector<T> sums(parts * h * (k + 1), T(0));
#pragma omp parallel for schedule(static) num_threads(threads)
for (int64 p = 0; p < parts; p++) {
  std::vector<T> activations(h);
  T* __restrict__ a = activations.data();
  T* __restrict__ by_bias = &sums[p * h * (k + 1)];
  T* __restrict__ by_weight = by_bias + h;
  for (int64 i = p * part; i < std::min(n, (p + 1) * part); i++) {
    const T* __restrict__ z = in0_p + i * h; %(along)s
    const T* __restrict__ g = in3_p + i * k;
    T* __restrict__ d = out0_p + i * h;
    combine_columns(g, columns.data(), d, h, k);
    for (int64 j = 0; j < h; j++) {
      const T x = %(entry)s;
      T y, slope; %(value)s %(slope)s
      a[j] = y;
      d[j] *= slope;
      by_bias[j] += d[j];
    }
    for (int64 c = 0; c < k; c++) {
      T* __restrict__ s = by_weight + c * h;
      for (int64 j = 0; j < h; j++) s[j] += g[c] * a[j];
    }
  }
}
for (int64 j = 0; j < h; j++) {
  for (int64 c = 0; c <= k; c++) {
    T sum = 0;
    for (int64 p = 0; p < parts; p++) sum += sums[p * h * (k + 1) + c * h + j];
    if (c == 0) out1_p[j] = sum; else out2_p[j * k + c - 1] = sum;
  }
}
"""


# Blocks of rows are turned on their side, so that every loop runs over the rows of a block and vectorizes whatever the
# number of classes is. A last block that is not full repeats its last row, which is then not written.
_SOFTMAX = """
const int64 ROWS = 32;
struct Block {
  std::vector<T> held;
  T *x, top[ROWS], sum[ROWS], own[ROWS];
  Block(int64 h) : held(ROWS * h), x(held.data()) {}
};
auto softmax = [&](Block& block, int64 first) {
  T* __restrict__ x = block.x;
  for (int64 r = 0; r < ROWS; r++) {
    const int64 i = std::min(first + r, n - 1);
    const T* __restrict__ z = in0_p + i * h; %(along)s
    for (int64 j = 0; j < h; j++) x[j * ROWS + r] = %(entry)s;
  }
  for (int64 r = 0; r < ROWS; r++) block.top[r] = x[r];
  for (int64 j = 1; j < h; j++)
    for (int64 r = 0; r < ROWS; r++) block.top[r] = std::max(block.top[r], x[j * ROWS + r]);
  for (int64 r = 0; r < ROWS; r++) {
    block.own[r] = x[in2_p[std::min(first + r, n - 1)] * ROWS + r] - block.top[r];
    block.sum[r] = 0;
  }
  for (int64 j = 0; j < h; j++)
    for (int64 r = 0; r < ROWS; r++) {
      const T e = std::exp(x[j * ROWS + r] - block.top[r]);  // NaN stays NaN, which ends a run that diverged
      x[j * ROWS + r] = e;
      block.sum[r] += e;
    }
};
"""

_CROSS_ENTROPY = """
(void)"kernel: cross-entropy, forward";
#pragma omp parallel num_threads(threads)
{
  Block block(h);
  #pragma omp for schedule(static)
  for (int64 first = 0; first < n; first += ROWS) {
    softmax(block, first);
    T losses[ROWS];
    for (int64 r = 0; r < ROWS; r++) losses[r] = std::log(block.sum[r]) - block.own[r];
    for (int64 r = 0; r < std::min(ROWS, n - first); r++) out0_p[first + r] = losses[r];
  }
}
"""

_CROSS_ENTROPY_BACKWARD = """
(void)"kernel: cross-entropy, backward";
std::vector<T> sums(parts * h, T(0));
#pragma omp parallel num_threads(threads)
{
  Block block(h);
  #pragma omp for schedule(static)
  for (int64 p = 0; p < parts; p++) {
    T* __restrict__ by_bias = &sums[p * h];
    const int64 end = std::min(n, (p + 1) * part);
    for (int64 first = p * part; first < end; first += ROWS) {
      softmax(block, first);
      const int64 rows = std::min(ROWS, end - first);
      T g[ROWS], scale[ROWS];
      for (int64 r = 0; r < ROWS; r++) g[r] = r < rows ? in3_p[std::min(first + r, n - 1)] : T(0);
      for (int64 r = 0; r < ROWS; r++) scale[r] = g[r] / block.sum[r];
      for (int64 j = 0; j < h; j++)
        for (int64 r = 0; r < ROWS; r++) block.x[j * ROWS + r] *= scale[r];
      for (int64 r = 0; r < rows; r++) block.x[in2_p[first + r] * ROWS + r] -= g[r];
      for (int64 j = 0; j < h; j++) {
        T sum = 0;
        for (int64 r = 0; r < ROWS; r++) sum += block.x[j * ROWS + r];
        by_bias[j] += sum;
      }
      for (int64 r = 0; r < rows; r++)
        for (int64 j = 0; j < h; j++) out0_p[(first + r) * h + j] = block.x[j * ROWS + r];
    }
  }
}
for (int64 j = 0; j < h; j++) {
  T sum = 0;
  for (int64 p = 0; p < parts; p++) sum += sums[p * h + j];
  out1_p[j] = sum;
}
"""

_CORRECT = """
(void)"kernel: accuracy";
#pragma omp parallel for schedule(static) num_threads(threads)
for (int64 i = 0; i < n; i++) {
  const T* __restrict__ z = in0_p + i * h;
  int64 best = 0;
  T top = z[0] + in1_p[0];
  for (int64 j = 1; j < h; j++) {
    const T x = %(entry)s;
    if (x > top) { top = x; best = j; }
  }
  out0_p[i] = best == in2_p[i];
}
"""

_ADAM = """
(void)"kernel: Adam";
using T = in0_type;
const int64 size = in0->num;
const T beta1 = in4_p[0], rest1 = in4_p[1], beta2 = in4_p[2], rest2 = in4_p[3];
const T unbias2 = in4_p[4], rate = in4_p[5], epsilon = in4_p[6];
#pragma omp parallel for schedule(static) num_threads(size < 32768 ? 1 : omp_get_max_threads())
for (int64 i = 0; i < size; i++) {
  const T g = in1_p[i], m = beta1 * in2_p[i] + rest1 * g, v = beta2 * in3_p[i] + rest2 * (g * g);
  out0_p[i] = in0_p[i] - rate * (m / (std::sqrt(v / unbias2) + epsilon));
  out1_p[i] = m;
  out2_p[i] = v;
}
"""


def _code(shapes: Any, inputs: list[Var], source: str, formulas: dict[str, str]) -> Any:
    dtypes = inputs[0].dtype if isinstance(shapes, tuple) else [inputs[0].dtype] * len(shapes)
    return jt.code(shapes, dtypes, inputs, cpu_header=_HEADER, cpu_src=(_SHAPES + source) % formulas)


class _Functions(NamedTuple):
    activate: Callable[[Var, Var, tuple[Var, ...]], Var]
    product: Callable[[Var, Var, Var, tuple[Var, ...]], Var]


@cache
def _functions(activation: str, *, moved: bool) -> _Functions:
    """Jittor's classes for one activation; made when first needed, since their base lies in Jittor."""

    def code(shapes: Any, inputs: list[Var], motion: tuple[Var, ...], source: str) -> Any:
        entries = _moved(len(inputs)) if moved else _PLAIN
        return _code(shapes, [*inputs, *motion], source, FORMULAS[activation]._asdict() | entries)

    class Activate(jt.Function):  # type: ignore[misc]
        def execute(self, z: Var, bias: Var, motion: tuple[Var, ...]) -> Var:
            self.inputs, self.motion = [z, bias], motion
            return code(tuple(z.shape), self.inputs, motion, _ACTIVATE)

        def grad(self, g: Var) -> list[Var | None]:
            shapes = [v.shape for v in self.inputs]
            return [*code(shapes, [*self.inputs, g], self.motion, _ACTIVATE_BACKWARD), None]

    class Product(jt.Function):  # type: ignore[misc]
        def execute(self, z: Var, bias: Var, weight: Var, motion: tuple[Var, ...]) -> Var:
            self.inputs, self.motion = [z, bias, weight], motion
            return code((z.shape[0], weight.shape[1]), self.inputs, motion, _TRANSPOSED + _PRODUCT)

        def grad(self, g: Var) -> list[Var | None]:
            shapes = [v.shape for v in self.inputs]
            return [*code(shapes, [*self.inputs, g], self.motion, _TRANSPOSED + _PRODUCT_BACKWARD), None]

    return _Functions(Activate.apply, Product.apply)


@cache
def _softmax_function(*, moved: bool) -> Callable[[Var, Var, tuple[Var, ...]], Var]:

    def code(shapes: Any, inputs: list[Var], motion: tuple[Var, ...], source: str) -> Any:
        return _code(shapes, [*inputs, *motion], _SOFTMAX + source, _moved(len(inputs)) if moved else _PLAIN)

    class CrossEntropy(jt.Function):  # type: ignore[misc]
        def execute(self, z: Var, bias: Var, others: tuple[Var, ...]) -> Var:
            labels, *motion = others
            self.inputs, self.motion = [z, bias, labels], tuple(motion)
            return code((z.shape[0],), self.inputs, self.motion, _CROSS_ENTROPY)

        def grad(self, g: Var) -> list[Var | None]:
            shapes = [v.shape for v in self.inputs[:2]]
            return [*code(shapes, [*self.inputs, g], self.motion, _CROSS_ENTROPY_BACKWARD), None]

    apply: Callable[[Var, Var, tuple[Var, ...]], Var] = CrossEntropy.apply
    return apply
