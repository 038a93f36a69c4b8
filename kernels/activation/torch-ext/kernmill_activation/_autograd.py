"""Gradients, fake kernels and vmap rules, registered when the package is imported.

Two ways lead to a gradient: the public functions use an autograd.Function around the raw operators (so that
torch.func works); callers of torch.ops, and torch.compile, get the formulas registered here. Both save the
inputs alone and end in ``_act_bwd``, ``_act_mul_bwd`` or ``_act_mul_packed_bwd``, or, when the gradient itself
must be differentiated, in the same formula written with torch's operators.
"""

import math

import torch
from torch import Tensor

from ._ops import Function, call, ops, refuse_gradients, wants_gradient
from ._ops import add_op_namespace_prefix as full_name

FORMULAS = {
    "silu": "torch.nn.functional.silu(x)",
    "gelu": "torch.nn.functional.gelu(x)",
    "gelu_tanh": "torch.nn.functional.gelu(x, approximate='tanh')",
    "quick_gelu": "x * torch.sigmoid(1.702 * x)",
}


# ---- the formula in torch's operators, for gradients of gradients ----


def _activation_and_slope(x: Tensor, kind: str) -> tuple[Tensor, Tensor]:
    """act(x) and act'(x) of a float32 x."""
    if kind == "gelu":
        phi = 0.5 * torch.erfc(x * -math.sqrt(0.5))
        return x * phi, phi + x * torch.exp(-0.5 * x * x) / math.sqrt(2 * math.pi)
    linear, cubic = {"silu": (1.0, 0.0), "quick_gelu": (1.702, 0.0)}.get(
        kind, (2 * math.sqrt(2 / math.pi), 2 * math.sqrt(2 / math.pi) * 0.044715)
    )
    z = x * (linear + cubic * x * x)
    s = torch.sigmoid(z)
    return x * s, s + x * s * torch.sigmoid(-z) * (linear + 3 * cubic * x * x)


def _differentiable_backward(dy: Tensor, gate: Tensor, up: Tensor | None, kind: str) -> tuple[Tensor, ...]:
    g, act_slope = dy.float(), _activation_and_slope(gate.float(), kind)
    if up is None:
        return ((g * act_slope[1]).to(gate.dtype),)
    return (g * up.float() * act_slope[1]).to(gate.dtype), (g * act_slope[0]).to(gate.dtype)


def _halves(x: Tensor, gate_last: bool) -> tuple[Tensor, Tensor]:
    first, second = x.chunk(2, -1) if x.shape[-1] else (x, x)
    return (second, first) if gate_last else (first, second)


def _act_backward(dy, x, kind):
    if torch.is_grad_enabled():
        return _differentiable_backward(dy, x, None, kind)[0]
    return ops._act_bwd(dy, x, kind)


def _act_mul_backward(dy, gate, up, kind, rounding):
    if torch.is_grad_enabled():
        return _differentiable_backward(dy, gate, up, kind)
    return ops._act_mul_bwd(dy, gate, up, kind, rounding)


def _act_mul_packed_backward(dy, x, kind, rounding, gate_last):
    if torch.is_grad_enabled():
        dgate, dup = _differentiable_backward(dy, *_halves(x, gate_last), kind)
        return torch.cat((dup, dgate) if gate_last else (dgate, dup), -1)
    return ops._act_mul_packed_bwd(dy, x, kind, rounding, gate_last)


# ---- the public functions' path ----


class _Act(Function):
    @staticmethod
    def forward(x, kind):
        return call(ops._act_fwd, x, kind)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, ctx.kind = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, dy):
        return _act_backward(dy, *ctx.saved_tensors, ctx.kind), None


class _ActMul(Function):
    @staticmethod
    def forward(gate, up, kind, rounding):
        return call(ops._act_mul_fwd, gate, up, kind, rounding)

    @staticmethod
    def setup_context(ctx, inputs, output):
        gate, up, ctx.kind, ctx.rounding = inputs
        ctx.save_for_backward(gate, up)

    @staticmethod
    def backward(ctx, dy):
        return *_act_mul_backward(dy, *ctx.saved_tensors, ctx.kind, ctx.rounding), None, None


class _ActMulPacked(Function):
    @staticmethod
    def forward(x, kind, rounding, gate_last):
        return call(ops._act_mul_packed_fwd, x, kind, rounding, gate_last)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, *ctx.rest = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx, dy):
        return _act_mul_packed_backward(dy, *ctx.saved_tensors, *ctx.rest), None, None, None


def _write(name: str, formula: str, op, out: Tensor, *arguments) -> Tensor:
    tensors = [a for a in arguments if isinstance(a, Tensor)]
    refuse_gradients(f"{name} with out", formula, out, *tensors)
    call(op, out, *arguments)
    torch.autograd.graph.increment_version(out)
    return out


def act(name: str, x: Tensor, out: Tensor | None, kind: str) -> Tensor:
    if out is not None:
        return _write(name, FORMULAS[kind], ops._act_out, out, x, kind)
    if not wants_gradient(name, FORMULAS[kind], x):
        return call(ops._act_fwd, x, kind)
    if torch.compiler.is_compiling():
        return ops._act_train(x, kind)
    return _Act.apply(x, kind)


def act_mul(name: str, gate: Tensor, up: Tensor, out: Tensor | None, kind: str, rounding: str) -> Tensor:
    formula = FORMULAS[kind].replace("x", "gate") + " * up"
    if out is not None:
        return _write(name, formula, ops._act_mul_out, out, gate, up, kind, rounding)
    if not wants_gradient(name, formula, gate, up):
        return call(ops._act_mul_fwd, gate, up, kind, rounding)
    if torch.compiler.is_compiling():
        return ops._act_mul_train(gate, up, kind, rounding)
    return _ActMul.apply(gate, up, kind, rounding)


def act_mul_packed(
    name: str, x: Tensor, out: Tensor | None, kind: str, rounding: str, gate_last: bool
) -> Tensor:
    formula = FORMULAS[kind].replace("(x", "(gate") + " * up with gate and up from x.chunk(2, -1)"
    if out is not None:
        return _write(name, formula, ops._act_mul_packed_out, out, x, kind, rounding, gate_last)
    if not wants_gradient(name, formula, x):
        return call(ops._act_mul_packed_fwd, x, kind, rounding, gate_last)
    if torch.compiler.is_compiling():
        return ops._act_mul_packed_train(x, kind, rounding, gate_last)
    return _ActMulPacked.apply(x, kind, rounding, gate_last)


# ---- registration ----


def _check_like(like: Tensor, other: Tensor, name: str) -> None:
    torch._check(
        like.shape == other.shape and like.dtype == other.dtype,
        lambda: (
            f"argument '{name}': expected a {like.dtype} tensor of {list(like.shape)}, "
            f"got {other.dtype}{list(other.shape)}"
        ),
    )


def _empty_like(x: Tensor) -> Tensor:
    return x.new_empty(x.shape)  # contiguous, whatever x is


def _empty_half(x: Tensor) -> Tensor:
    torch._check(x.dim() >= 1, lambda: "argument 'x': expected at least one dimension")
    torch._check(x.shape[-1] % 2 == 0, lambda: "argument 'x': expected a tensor whose last size is even")
    return x.new_empty((*x.shape[:-1], x.shape[-1] // 2))


def _register_fakes() -> None:
    def fake(*names):
        def register(function):
            for name in names:
                torch.library.register_fake(full_name(name), function, allow_override=True)

        return register

    @fake("silu", "gelu", "gelu_tanh", "_act_fwd", "_act_train")
    def _(x, kind=""):
        return _empty_like(x)

    @fake("silu_mul", "gelu_mul", "gelu_tanh_mul")
    def _(gate, up, rounding="hf"):
        _check_like(gate, up, "up")
        return _empty_like(gate)

    @fake("silu_and_mul", "gelu_and_mul", "gelu_tanh_and_mul")
    def _(x, rounding="hf"):
        return _empty_half(x)

    @fake("_act_mul_fwd", "_act_mul_train")
    def _(gate, up, kind, rounding):
        _check_like(gate, up, "up")
        return _empty_like(gate)

    @fake("_act_mul_packed_fwd", "_act_mul_packed_train")
    def _(x, kind, rounding, gate_last):
        return _empty_half(x)

    @fake("_act_out")
    def _(out, x, kind):
        _check_like(x, out, "out")

    @fake("_act_mul_out")
    def _(out, gate, up, kind, rounding):
        _check_like(gate, up, "up")
        _check_like(gate, out, "out")

    @fake("_act_mul_packed_out")
    def _(out, x, kind, rounding, gate_last):
        _check_like(_empty_half(x), out, "out")

    @fake("_act_bwd")
    def _(dy, x, kind):
        _check_like(x, dy, "dy")
        return _empty_like(x)

    @fake("_act_mul_bwd")
    def _(dy, gate, up, kind, rounding):
        _check_like(gate, up, "up")
        _check_like(gate, dy, "dy")
        return _empty_like(gate), _empty_like(gate)

    @fake("_act_mul_packed_bwd")
    def _(dy, x, kind, rounding, gate_last):
        _check_like(_empty_half(x), dy, "dy")
        return _empty_like(x)


def _register_autograd() -> None:
    def register(name, backward, tensors, parameters):
        """`tensors`: how many inputs are tensors; `parameters`: what follows them, when not an input."""

        def setup(ctx, inputs, output):
            ctx.save_for_backward(*inputs[:tensors])
            ctx.parameters = parameters(*inputs[tensors:])
            ctx.others = (None,) * (len(inputs) - tensors)

        def formula(ctx, dy):
            grads = backward(dy, *ctx.saved_tensors, *ctx.parameters)
            return *(grads if tensors > 1 else (grads,)), *ctx.others

        torch.library.register_autograd(full_name(name), formula, setup_context=setup)

    for kind in ("silu", "gelu", "gelu_tanh"):
        register(kind, _act_backward, 1, lambda kind=kind: (kind,))
        register(f"{kind}_mul", _act_mul_backward, 2, lambda rounding, kind=kind: (kind, rounding))
        register(
            f"{kind}_and_mul",
            _act_mul_packed_backward,
            1,
            lambda rounding, kind=kind: (kind, rounding, False),
        )
    register("_act_train", _act_backward, 1, lambda *inputs: inputs)
    register("_act_mul_train", _act_mul_backward, 2, lambda *inputs: inputs)
    register("_act_mul_packed_train", _act_mul_packed_backward, 1, lambda *inputs: inputs)


def _register_vmap() -> None:
    """A batch of calls is one call on tensors with a dimension more: nothing leaves its row."""

    def rule(op, results):
        def vmap(info, in_dims, *arguments):
            front = []
            for a, d in zip(arguments, in_dims, strict=True):
                if isinstance(a, Tensor):
                    a = a.expand(info.batch_size, *a.shape) if d is None else a.movedim(d, 0)
                front.append(a)
            return op(*front), (0 if results == 1 else (0,) * results)

        return vmap

    for name in ("_act_fwd", "_act_bwd", "_act_mul_fwd", "_act_mul_packed_fwd", "_act_mul_packed_bwd"):
        torch.library.register_vmap(full_name(name), rule(getattr(ops, name), 1))
    torch.library.register_vmap(full_name("_act_mul_bwd"), rule(ops._act_mul_bwd, 2))


if not getattr(ops, "_kernmill_registered", False):  # the package may be imported under two names
    _register_autograd()
    _register_vmap()
    ops._kernmill_registered = True
_register_fakes()
