"""Activations and gated activations (SwiGLU, GeGLU) for CPU and CUDA tensors.

The functions here differentiate, work under torch.compile, torch.func and vmap, and give an element the same
bits wherever it stands. ``layers`` has what ``kernels.kernelize`` puts into a model.

Every function of one tensor is called in two ways: ``silu_and_mul(x)`` returns a new tensor, and
``silu_and_mul(out, x)``, as in kernels-community/activation, writes to out and returns it; that is
``silu_and_mul(x, out=out)``.
"""

import functools

from torch import Tensor

from . import _autograd, layers

__all__ = [
    "gelu",
    "gelu_and_mul",
    "gelu_fast",
    "gelu_mul",
    "gelu_new",
    "gelu_quick",
    "gelu_tanh",
    "gelu_tanh_and_mul",
    "gelu_tanh_mul",
    "layers",
    "mul_and_silu",
    "quick_gelu",
    "silu",
    "silu_and_mul",
    "silu_mul",
]


def _out_may_come_first(function):
    """f(x, *, out=None) that may be called as f(out, x), too."""

    @functools.wraps(function)
    def either(*tensors, **options):
        if len(tensors) == 2:
            return function(tensors[1], out=tensors[0], **options)
        return function(*tensors, **options)

    return either


@_out_may_come_first
def silu(x: Tensor, *, out: Tensor | None = None) -> Tensor:
    """x * sigmoid(x). Also called as silu(out, x).

    x: float32, float16 or bfloat16, any sizes and strides; computed in float32 and rounded once.
    out: a tensor like x to write to instead of a new one, which may be x itself; then nothing may require a
    gradient.
    Returns a contiguous tensor like x, or out.
    Raises ValueError naming the argument, what was expected and what came; RuntimeError for forward-mode
    differentiation.
    """
    return _autograd.act("silu", x, out, "silu")


@_out_may_come_first
def gelu(x: Tensor, *, out: Tensor | None = None) -> Tensor:
    """x * Phi(x), the exact GELU (with erf). Also called as gelu(out, x). The rest as in silu."""
    return _autograd.act("gelu", x, out, "gelu")


@_out_may_come_first
def gelu_tanh(x: Tensor, *, out: Tensor | None = None) -> Tensor:
    """0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3))), without the cancellation that this form has
    for negative x. Also called as gelu_tanh(out, x). The rest as in silu."""
    return _autograd.act("gelu_tanh", x, out, "gelu_tanh")


@_out_may_come_first
def gelu_new(x: Tensor, *, out: Tensor | None = None) -> Tensor:
    """gelu_tanh, under the name that Transformers' gelu_new has. Rounded once: where Transformers writes the
    formula out, it rounds after every step."""
    return _autograd.act("gelu_new", x, out, "gelu_tanh")


@_out_may_come_first
def gelu_fast(x: Tensor, *, out: Tensor | None = None) -> Tensor:
    """gelu_tanh, under the name of a formula that groups the same terms otherwise. As gelu_new."""
    return _autograd.act("gelu_fast", x, out, "gelu_tanh")


@_out_may_come_first
def quick_gelu(x: Tensor, *, out: Tensor | None = None) -> Tensor:
    """x * sigmoid(1.702 * x). Also called as quick_gelu(out, x). The rest as in silu."""
    return _autograd.act("quick_gelu", x, out, "quick_gelu")


@_out_may_come_first
def gelu_quick(x: Tensor, *, out: Tensor | None = None) -> Tensor:
    """quick_gelu, under the name that kernels-community/activation has for it."""
    return _autograd.act("gelu_quick", x, out, "quick_gelu")


@_out_may_come_first
def silu_and_mul(x: Tensor, *, rounding: str = "hf", out: Tensor | None = None) -> Tensor:
    """silu(gate) * up of x = [gate | up] (SwiGLU). Also called as silu_and_mul(out, x).

    x: [..., 2 * d] float32, float16 or bfloat16, any strides; nothing is copied where rows are dense and a
    constant number of elements apart.
    rounding: "hf" rounds silu(gate) to x's dtype before the product, as Transformers' MLP does; "single"
    rounds once, at the end.
    out: [..., d] of x's dtype to write to instead of a new tensor, which may be x[..., :d] or x[..., d:]; then
    nothing may require a gradient.
    Returns a contiguous [..., d] tensor, or out.
    Raises ValueError naming the argument, what was expected and what came; RuntimeError for forward-mode
    differentiation.
    """
    return _autograd.act_mul_packed("silu_and_mul", x, out, "silu", rounding, False)


@_out_may_come_first
def mul_and_silu(x: Tensor, *, rounding: str = "hf", out: Tensor | None = None) -> Tensor:
    """up * silu(gate) of x = [up | gate]: the second half is gated. The rest as in silu_and_mul."""
    return _autograd.act_mul_packed("mul_and_silu", x, out, "silu", rounding, True)


@_out_may_come_first
def gelu_and_mul(x: Tensor, *, rounding: str = "hf", out: Tensor | None = None) -> Tensor:
    """gelu(gate) * up of x = [gate | up] (GeGLU). The rest as in silu_and_mul."""
    return _autograd.act_mul_packed("gelu_and_mul", x, out, "gelu", rounding, False)


@_out_may_come_first
def gelu_tanh_and_mul(x: Tensor, *, rounding: str = "hf", out: Tensor | None = None) -> Tensor:
    """gelu_tanh(gate) * up of x = [gate | up] (GeGLU). The rest as in silu_and_mul."""
    return _autograd.act_mul_packed("gelu_tanh_and_mul", x, out, "gelu_tanh", rounding, False)


def silu_mul(gate: Tensor, up: Tensor, *, rounding: str = "hf", out: Tensor | None = None) -> Tensor:
    """silu(gate) * up (SwiGLU), of two tensors.

    gate, up: [..., d] float32, float16 or bfloat16, same dtype and sizes, any strides: views of a packed tensor
    are not copied.
    rounding: "hf" rounds silu(gate) to the dtype before the product, as Transformers' MLP does; "single" rounds
    once, at the end.
    out: a tensor like gate to write to instead of a new one, which may be gate or up; then nothing may require
    a gradient.
    Returns a contiguous tensor like gate, or out.
    Raises ValueError naming the argument, what was expected and what came; RuntimeError for forward-mode
    differentiation.
    """
    return _autograd.act_mul("silu_mul", gate, up, out, "silu", rounding)


def gelu_mul(gate: Tensor, up: Tensor, *, rounding: str = "hf", out: Tensor | None = None) -> Tensor:
    """gelu(gate) * up (GeGLU), of two tensors. The rest as in silu_mul."""
    return _autograd.act_mul("gelu_mul", gate, up, out, "gelu", rounding)


def gelu_tanh_mul(gate: Tensor, up: Tensor, *, rounding: str = "hf", out: Tensor | None = None) -> Tensor:
    """gelu_tanh(gate) * up (GeGLU), of two tensors. The rest as in silu_mul."""
    return _autograd.act_mul("gelu_tanh_mul", gate, up, out, "gelu_tanh", rounding)
