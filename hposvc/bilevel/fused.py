"""A hidden layer, ``activation(z + bias) @ weight``, in one threaded pass over its rows.

Jittor's own element-wise kernels run on one thread and write every intermediate array to memory; beside the products in
oneDNN that is what an iteration of a network costs. The passes over arrays of rows × hidden units are therefore written
out here, forward and backward. They are for the CPU and can be differentiated once; whoever differentiates twice builds
within :func:`differentiable_twice`, where :func:`usable` says no.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple

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
    """Whether :func:`hidden_layer` may be used for what is being built."""
    return not _twice and not jt.flags.use_cuda


def hidden_layer(z: Var, bias: Var, weight: Var, activation: str) -> Var:
    """``activation(z + bias) @ weight``, (n, k), for ``z`` (n, h), ``bias`` (h,) and ``weight`` (h, k).

    ``activation`` is one of :data:`FORMULAS`; its formulas are those of :mod:`hposvc.bilevel.models`.
    """
    functions = _functions(activation)
    if weight.shape[1] <= NARROW:
        return functions.product(z, bias, weight)
    return jt.matmul(functions.activate(z, bias), weight)


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
const int64 part = std::max<int64>((n + PARTS - 1) / PARTS, 64), parts = (n + part - 1) / part;
"""

_ACTIVATE = """
#pragma omp parallel for schedule(static) num_threads(threads)
for (int64 i = 0; i < n; i++) {
  const T* __restrict__ z = in0_p + i * h;
  T* __restrict__ a = out0_p + i * h;
  for (int64 j = 0; j < h; j++) {
    const T x = z[j] + in1_p[j];
    T y; %(value)s
    a[j] = y;
  }
}
"""

# Sums over rows are kept for each part of the rows and added in order, so that the bits do not depend on the number of
# threads: a job goes on bit for bit on a machine with more of them.
_ACTIVATE_BACKWARD = """
std::vector<T> sums(parts * h, T(0));
#pragma omp parallel for schedule(static) num_threads(threads)
for (int64 p = 0; p < parts; p++) {
  T* __restrict__ by_bias = &sums[p * h];
  for (int64 i = p * part; i < std::min(n, (p + 1) * part); i++) {
    const T* __restrict__ z = in0_p + i * h;
    const T* __restrict__ g = in2_p + i * h;
    T* __restrict__ d = out0_p + i * h;
    for (int64 j = 0; j < h; j++) {
      const T x = z[j] + in1_p[j];
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
#pragma omp parallel num_threads(threads)
{
  std::vector<T> activations(h);
  T* __restrict__ a = activations.data();
  #pragma omp for schedule(static)
  for (int64 i = 0; i < n; i++) {
    const T* __restrict__ z = in0_p + i * h;
    for (int64 j = 0; j < h; j++) {
      const T x = z[j] + in1_p[j];
      T y; %(value)s
      a[j] = y;
    }
    dot_with_columns(a, columns.data(), out0_p + i * k, h, k);
  }
}
"""

_PRODUCT_BACKWARD = """
std::vector<T> sums(parts * h * (k + 1), T(0));
#pragma omp parallel for schedule(static) num_threads(threads)
for (int64 p = 0; p < parts; p++) {
  std::vector<T> activations(h);
  T* __restrict__ a = activations.data();
  T* __restrict__ by_bias = &sums[p * h * (k + 1)];
  T* __restrict__ by_weight = by_bias + h;
  for (int64 i = p * part; i < std::min(n, (p + 1) * part); i++) {
    const T* __restrict__ z = in0_p + i * h;
    const T* __restrict__ g = in3_p + i * k;
    T* __restrict__ d = out0_p + i * h;
    combine_columns(g, columns.data(), d, h, k);
    for (int64 j = 0; j < h; j++) {
      const T x = z[j] + in1_p[j];
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


class _Functions(NamedTuple):
    activate: Callable[[Var, Var], Var]
    product: Callable[[Var, Var, Var], Var]


@cache
def _functions(activation: str) -> _Functions:
    """Jittor's classes for one activation; made when first needed, since their base lies in Jittor."""
    formula = FORMULAS[activation]._asdict()

    def code(shapes: Any, inputs: list[Var], *source: str) -> Any:
        dtypes = inputs[0].dtype if isinstance(shapes, tuple) else [inputs[0].dtype] * len(shapes)
        return jt.code(shapes, dtypes, inputs, cpu_header=_HEADER, cpu_src="".join((_SHAPES, *source)) % formula)

    class Activate(jt.Function):  # type: ignore[misc]
        def execute(self, z: Var, bias: Var) -> Var:
            self.inputs = [z, bias]
            return code(tuple(z.shape), self.inputs, _ACTIVATE)

        def grad(self, g: Var) -> list[Var]:
            return list(code([v.shape for v in self.inputs], [*self.inputs, g], _ACTIVATE_BACKWARD))

    class Product(jt.Function):  # type: ignore[misc]
        def execute(self, z: Var, bias: Var, weight: Var) -> Var:
            self.inputs = [z, bias, weight]
            return code((z.shape[0], weight.shape[1]), self.inputs, _TRANSPOSED, _PRODUCT)

        def grad(self, g: Var) -> list[Var]:
            shapes = [v.shape for v in self.inputs]
            return list(code(shapes, [*self.inputs, g], _TRANSPOSED, _PRODUCT_BACKWARD))

    return _Functions(Activate.apply, Product.apply)
