"""Threaded passes: a hidden layer, ``activation(z + bias) @ weight``, softmax cross-entropy, accuracy, and Adam.

Jittor's own element-wise kernels run on one thread and write every intermediate array to memory; beside the products in
oneDNN that is what an iteration costs. The passes over arrays of rows × units and rows × classes are therefore written
out, forward and backward, in C++ (``cpp/``), and for a GPU, where each kernel costs a launch, in CUDA (``cuda/``). They
can be differentiated once. For second derivatives, build within :func:`differentiable_twice`, where :func:`usable`
returns False: cross-entropy has a kernel for them, and the others do not.

The first two take their array of rows as ``base + step · along``, too (:class:`Moved`), so that finite differences
write no perturbed array to memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from hposvc.bilevel import launches
from hposvc.bilevel.runtime import jt

Var = Any  # jittor.Var; Jittor ships no types
Kernel = dict[str, str]
"""What :func:`jittor.code` takes: the source of a kernel, and what stands before it."""

_CPP, _CUDA = Path(__file__).with_name("cpp"), Path(__file__).with_name("cuda")

# Rows that a block of threads sums, as in cuda/rows.h.
_ROWS = 64

# Up to so many columns, a product with the weights costs less than writing the activations to memory would.
NARROW = 32

_twice = False


@contextmanager
def differentiable_twice() -> Iterator[None]:
    """What is built within can be differentiated twice."""
    global _twice  # noqa: PLW0603 - graphs are built by the one thread that Jittor has
    before, _twice = _twice, True
    try:
        yield
    finally:
        _twice = before


def usable() -> bool:
    """Whether the functions below may be used for what is being built."""
    return not _twice


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


def as_arrays(u: list[Var | Moved]) -> list[Var]:
    """Each of ``u`` as an array. All but the first are added in one launch on a GPU: nobody reads its first matrix."""
    if not jt.flags.use_cuda or not isinstance(u[-1], Moved):
        return [as_array(each) for each in u]
    further = u[1:]
    along = [each.along for each in further]
    return [as_array(u[0]), *launches.differentiable_moved([each.base for each in further], along, u[0].step)]


def hidden_layer(z: Var | Moved, bias: Var, weight: Var, activation: str) -> Var:
    """``activation(z + bias) @ weight``, (n, k), for ``z`` (n, h), ``bias`` (h,) and ``weight`` (h, k).

    ``activation`` is one of :data:`FORMULAS`; its formulas are those of :mod:`hposvc.bilevel.models`.
    """
    base, motion = _parts(z)
    functions = _functions(activation)
    if weight.shape[1] <= NARROW and not jt.flags.use_cuda:
        return functions.product(base, bias, weight, motion)
    return jt.matmul(functions.activate(base, bias, motion), weight)


def cross_entropy(z: Var | Moved, bias: Var | Moved, labels: Var) -> Var:
    """−log softmax(z + bias)[label] of each row, (n,), for ``z`` (n, k), ``bias`` (k,) and ``labels`` (n,), int32.

    It can be differentiated twice within :func:`differentiable_twice`.
    """
    if _twice:
        return _softmax_functions().twice(as_array(z), as_array(bias), labels)
    base, motion = _parts(z)
    return _softmax_functions().once(base, as_array(bias), (labels, *motion))


def correct(z: Var, bias: Var, labels: Var) -> Var:
    """One for each row of z + bias whose first largest entry is that of its label, and zero for the others: (n,)."""
    return _code((z.shape[0],), [z, bias, labels], ("correct.cc",))


def packed(numbers: list[Var]) -> Var:
    """Numbers of shape (1,) as one array, (n,), which is read from a GPU in one go. Not differentiated; CUDA only."""
    arguments = ", ".join(f"const T* in{i}_p" for i in range(len(numbers)))
    body = " ".join(f"out0_p[{i}] = in{i}_p[0];" for i in range(len(numbers)))
    header = f"template <class T> __global__ void pack(T* out0_p, {arguments}) {{ {body} }}"
    launch = f"pack<<<1, 1>>>(out0_p, {', '.join(f'in{i}_p' for i in range(len(numbers)))});"
    return jt.code((len(numbers),), numbers[0].dtype, numbers, cuda_header=header, cuda_src=launch)


class AdamStep(NamedTuple):
    """What :func:`adam` returns."""

    moved: Var
    first: Var
    second: Var


def adam(lam: Var, h: Var, first: Var, second: Var, settings: AdamSettings) -> AdamStep:
    """A step of Adam on one array, in one pass. It is not differentiated."""
    kernel = _cuda_kernel("adam.cu") if jt.flags.use_cuda else _cpu_kernel(("adam.cc",))
    arrays = [lam, h, first, second]
    return AdamStep(*jt.code([lam.shape] * 3, [lam.dtype] * 3, arrays, **kernel, data=settings._asdict()))


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


def _macros(formula: Formula | None, moved_after: int | None) -> dict[str, str]:
    """What kernels call ``VALUE`` and ``SLOPE``, and what is added to an entry of the rows.

    That is the bias and, where ``moved_after`` is the number of other inputs, the step; along and step come after them.
    """
    formulas = {} if formula is None else {"VALUE": formula.value, "SLOPE": formula.slope}
    if moved_after is None:
        return formulas | {"ALONG": "", "ENTRY": "z[j] + in1_p[j]", "PARAMETERS": "", "ARGUMENTS": ""}
    along, step = f"in{moved_after}_p", f"in{moved_after + 1}_p"
    return formulas | {
        "ALONG": f"const T* __restrict__ t = {along} + i * h; const T step = {step}[0];",
        "ENTRY": "z[j] + step * t[j] + in1_p[j]",
        "PARAMETERS": f"const T* __restrict__ {along}, const T* __restrict__ {step},",
        "ARGUMENTS": f"{along}, {step},",
    }


@cache
def _cpu_kernel(names: tuple[str, ...], formula: Formula | None = None, moved_after: int | None = None) -> Kernel:
    """The files ``names`` in ``cpp``, one after the other. What follows "kernel:" in one names it in profiles."""
    macros = {
        name: text for name, text in _macros(formula, moved_after).items() if name not in {"PARAMETERS", "ARGUMENTS"}
    }
    header = _CPP.joinpath("columns.h").read_text() + _defined(macros)  # macros last, so that they change no header
    return {"cpu_header": header, "cpu_src": "".join(_CPP.joinpath(name).read_text() for name in names)}


@cache
def _cuda_kernel(name: str, formula: Formula | None = None, moved_after: int | None = None) -> Kernel:
    """A file in ``cuda``: its kernels, and the lines that launch them."""
    kernels, _, launches = _CUDA.joinpath(name).read_text().partition("// launches\n")
    macros = _defined(_macros(formula, moved_after)).replace("std::min", "smaller").replace("std::exp", "exp")
    return {"cuda_header": _CUDA.joinpath("rows.h").read_text() + macros + kernels, "cuda_src": launches}


def _defined(macros: dict[str, str]) -> str:
    return "".join(f"#define {name} {text}\n" for name, text in macros.items())


def _code(
    shapes: Any,
    inputs: list[Var],
    names: tuple[str, ...],
    formula: Formula | None = None,
    motion: tuple[Var, ...] = (),
) -> Any:
    """The kernel of the files ``names`` for ``formula``, of ``inputs`` and what moves their rows."""
    dtype, moved_after = inputs[0].dtype, len(inputs) if motion else None
    if not jt.flags.use_cuda:
        dtypes = dtype if isinstance(shapes, tuple) else [dtype] * len(shapes)
        kernel = _cpu_kernel(("shapes.cc", *names), formula, moved_after)
        return jt.code(shapes, dtypes, [*inputs, *motion], **kernel)
    kernel = _cuda_kernel(names[-1].replace(".cc", ".cu"), formula, moved_after)
    if isinstance(shapes, tuple):
        return jt.code(shapes, dtype, [*inputs, *motion], **kernel)
    rows, columns = inputs[0].shape
    sums = (-(-rows // _ROWS), columns)  # of parts of the rows
    *found, _ = jt.code([*shapes, sums], [dtype] * (len(shapes) + 1), [*inputs, *motion], **kernel)
    return found


class _Functions(NamedTuple):
    activate: Callable[[Var, Var, tuple[Var, ...]], Var]
    product: Callable[[Var, Var, Var, tuple[Var, ...]], Var]


@cache
def _functions(activation: str) -> _Functions:
    """Jittor's classes for one activation; made when first needed, since their base lies in Jittor."""

    def code(shapes: Any, inputs: list[Var], motion: tuple[Var, ...], *names: str) -> Any:
        return _code(shapes, inputs, names, FORMULAS[activation], motion)

    class Activate(jt.Function):  # type: ignore[misc]
        def execute(self, z: Var, bias: Var, motion: tuple[Var, ...]) -> Var:
            self.inputs, self.motion = [z, bias], motion
            return code(tuple(z.shape), self.inputs, motion, "activate.cc")

        def grad(self, g: Var) -> list[Var | None]:
            shapes = [v.shape for v in self.inputs]
            return [*code(shapes, [*self.inputs, g], self.motion, "activate_backward.cc"), None]

    class Product(jt.Function):  # type: ignore[misc]
        def execute(self, z: Var, bias: Var, weight: Var, motion: tuple[Var, ...]) -> Var:
            self.inputs, self.motion = [z, bias, weight], motion
            return code((z.shape[0], weight.shape[1]), self.inputs, motion, "transposed.cc", "product.cc")

        def grad(self, g: Var) -> list[Var | None]:
            shapes = [v.shape for v in self.inputs]
            return [*code(shapes, [*self.inputs, g], self.motion, "transposed.cc", "product_backward.cc"), None]

    return _Functions(Activate.apply, Product.apply)


class _SoftmaxFunctions(NamedTuple):
    once: Callable[[Var, Var, tuple[Var, ...]], Var]
    twice: Callable[[Var, Var, Var], Var]


@cache
def _softmax_functions() -> _SoftmaxFunctions:
    """Jittor's classes for cross-entropy, and for what can be differentiated twice."""

    def code(shapes: Any, inputs: list[Var], motion: tuple[Var, ...], *names: str) -> Any:
        return _code(shapes, inputs, ("softmax.cc", *names), None, motion)

    class Once(jt.Function):  # type: ignore[misc]
        def execute(self, z: Var, bias: Var, others: tuple[Var, ...]) -> Var:
            labels, *motion = others
            self.inputs, self.motion = [z, bias, labels], tuple(motion)
            return code((z.shape[0],), self.inputs, self.motion, "cross_entropy.cc")

        def grad(self, g: Var) -> list[Var | None]:
            shapes = [v.shape for v in self.inputs[:2]]
            return [*code(shapes, [*self.inputs, g], self.motion, "cross_entropy_backward.cc"), None]

    class Twice(Once):
        def __init__(self, z: Var, bias: Var) -> None:
            self.given = z, bias  # what execute gets stands for them; further derivatives do not reach them through it

        def grad(self, g: Var) -> list[Var | None]:
            return [*Backward.apply(*self.given, g, (self.inputs[2],)), None]

    class Backward(jt.Function):  # type: ignore[misc]
        def execute(self, z: Var, bias: Var, g: Var, others: tuple[Var]) -> list[Var]:
            self.inputs = [z, bias, *others, g]
            return list(code([z.shape, bias.shape], self.inputs, (), "cross_entropy_backward.cc"))

        def grad(self, of_z: Var | None, of_bias: Var | None) -> list[Var | None]:
            z, bias, _, g = self.inputs
            of_z, of_bias = (jt.zeros_like(v) if of is None else of for v, of in ((z, of_z), (bias, of_bias)))
            shapes = [z.shape, bias.shape, g.shape]
            return [*code(shapes, [*self.inputs, of_z, of_bias], (), "cross_entropy_second.cc"), None]

    def twice(z: Var, bias: Var, labels: Var) -> Var:
        return Twice(z, bias)(z, bias, (labels,))

    return _SoftmaxFunctions(Once.apply, twice)
