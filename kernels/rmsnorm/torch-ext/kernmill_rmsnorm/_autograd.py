"""Gradients, fake kernels and vmap rules, registered when the package is imported.

Two ways lead to a gradient: the public functions use an autograd.Function around the raw operators (so that
torch.func works); callers of torch.ops, and torch.compile, get the formulas registered here. Both end in
``_rms_norm_bwd``, or, when the gradient itself must be differentiated, in the same formula written with
torch's operators.
"""

import torch
from torch import Tensor

from ._ops import Function, call, ops, wants_gradient
from ._ops import add_op_namespace_prefix as full_name

FORMULA = "x * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + eps) * weight"


def wanted(name: str, *tensors: Tensor | None) -> bool:
    """Whether a gradient must be recorded; raises for forward mode."""
    return wants_gradient(name, FORMULA, *tensors)


# ---- the formula in torch's operators, for gradients of gradients ----


def _differentiable_backward(
    dy: Tensor, s: Tensor, weight: Tensor | None, eps: float, weight_offset: float, dsum: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    sf, g = s.float(), dy.float()
    rstd = torch.rsqrt(sf.pow(2).mean(-1, keepdim=True) + eps)
    n = sf * rstd
    dweight = None
    if weight is not None:
        dweight = (g * n).sum(dim=tuple(range(g.dim() - 1))).to(weight.dtype)
        g = g * (weight.float() + weight_offset)
    dx = rstd * (g - n * (g * n).mean(-1, keepdim=True))
    if dsum is not None:
        dx = dx + dsum.float()
    return dx.to(s.dtype), dweight


def _backward(
    dy: Tensor,
    s: Tensor,
    weight: Tensor | None,
    rstd: Tensor | None,
    dsum: Tensor | None,
    eps: float,
    rounding: str,
    weight_offset: float,
    want: tuple[bool, bool],
) -> tuple[Tensor | None, Tensor | None]:
    """dx and dweight, each None when not wanted."""
    want_dx, want_dweight = want[0], want[1] and weight is not None
    if torch.is_grad_enabled():
        dx, dweight = _differentiable_backward(dy, s, weight, eps, weight_offset, dsum)
    else:
        if rstd is None:
            rstd = ops._rms_norm_rstd(s, eps)
        dx, dweight = ops._rms_norm_bwd(
            dy, s, weight, rstd, dsum, rounding, weight_offset, want_dx, want_dweight
        )
    return (dx if want_dx else None), (dweight if want_dweight else None)


# ---- the public functions' path ----


class _RmsNorm(Function):
    @staticmethod
    def forward(x, weight, eps, rounding, weight_offset):
        return call(ops._rms_norm_fwd_rstd, x, weight, eps, rounding, weight_offset)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, weight, ctx.eps, ctx.rounding, ctx.weight_offset = inputs
        _, rstd = output
        ctx.mark_non_differentiable(rstd)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, weight, rstd)

    @staticmethod
    def backward(ctx, dy, _):
        if dy is None:
            return None, None, None, None, None
        x, weight, rstd = ctx.saved_tensors
        dx, dweight = _backward(
            dy, x, weight, rstd, None, ctx.eps, ctx.rounding, ctx.weight_offset, ctx.needs_input_grad[:2]
        )
        return dx, dweight, None, None, None


class _FusedAddRmsNorm(Function):
    @staticmethod
    def forward(x, residual, weight, eps, rounding, weight_offset, residual_rounding):
        return call(
            ops._fused_add_rms_norm_fwd_rstd,
            x,
            residual,
            weight,
            eps,
            rounding,
            weight_offset,
            residual_rounding,
        )

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, _, weight, ctx.eps, ctx.rounding, ctx.weight_offset, _ = inputs
        _, total, rstd = output
        ctx.mark_non_differentiable(rstd)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(total, weight, rstd)

    @staticmethod
    def backward(ctx, dy, dsum, _):
        total, weight, rstd = ctx.saved_tensors
        need = ctx.needs_input_grad
        ctx.want = need[0] or need[1], need[2]
        d, dweight = _fused_backward(ctx, dy, dsum, total, weight, rstd)
        return d, d, dweight, None, None, None, None


def _fused_backward(ctx, dy, dsum, total, weight, rstd):
    """The gradient of x and of residual (the same), and of weight."""
    if dy is None:
        return dsum, None
    return _backward(dy, total, weight, rstd, dsum, ctx.eps, ctx.rounding, ctx.weight_offset, ctx.want)


def rms_norm(x, weight, eps, rounding, weight_offset):
    if torch.compiler.is_compiling():
        return ops._rms_norm_train(x, weight, eps, rounding, weight_offset)[0]
    return _RmsNorm.apply(x, weight, eps, rounding, weight_offset)[0]


def fused_add_rms_norm(x, residual, weight, eps, rounding, weight_offset, residual_rounding):
    arguments = (x, residual, weight, eps, rounding, weight_offset, residual_rounding)
    if torch.compiler.is_compiling():
        return ops._fused_add_rms_norm_train(*arguments)[:2]
    return _FusedAddRmsNorm.apply(*arguments)[:2]


# ---- registration ----


def _check_like(x: Tensor, other: Tensor, name: str) -> None:
    torch._check(
        x.shape == other.shape and x.dtype == other.dtype,
        lambda: f"argument '{name}': expected a tensor like x, got {other.dtype}{list(other.shape)}",
    )


def _check_weight(x: Tensor, weight: Tensor | None) -> None:
    torch._check(x.dim() >= 1, lambda: "argument 'x': expected at least one dimension")
    if weight is not None:
        torch._check(
            weight.dim() == 1 and weight.shape[0] == x.shape[-1],
            lambda: f"argument 'weight': expected [{x.shape[-1]}], got {list(weight.shape)}",
        )


def _empty_like(x: Tensor) -> Tensor:
    return x.new_empty(x.shape)  # contiguous, whatever x is


def _empty_rstd(x: Tensor) -> Tensor:
    return x.new_empty(x.shape[:-1], dtype=torch.float32)


def _register_fakes() -> None:
    def fake(name):
        return torch.library.register_fake(full_name(name), allow_override=True)

    for name in ("rms_norm", "_rms_norm_fwd"):

        @fake(name)
        def _(x, weight=None, eps=1e-6, rounding="hf", weight_offset=0.0):
            _check_weight(x, weight)
            return _empty_like(x)

    for name in ("_rms_norm_fwd_rstd", "_rms_norm_train"):

        @fake(name)
        def _(x, weight, eps, rounding, weight_offset):
            _check_weight(x, weight)
            return _empty_like(x), _empty_rstd(x)

    for name in ("fused_add_rms_norm", "_fused_add_rms_norm_fwd"):

        @fake(name)
        def _(
            x, residual, weight=None, eps=1e-6, rounding="hf", weight_offset=0.0, residual_rounding="rounded"
        ):
            _check_weight(x, weight)
            _check_like(x, residual, "residual")
            return _empty_like(x), _empty_like(x)

    for name in ("_fused_add_rms_norm_fwd_rstd", "_fused_add_rms_norm_train"):

        @fake(name)
        def _(x, residual, weight, eps, rounding, weight_offset, residual_rounding):
            _check_weight(x, weight)
            _check_like(x, residual, "residual")
            return _empty_like(x), _empty_like(x), _empty_rstd(x)

    @fake("_rms_norm_rstd")
    def _(x, eps):
        return _empty_rstd(x)

    @fake("_rms_norm_out")
    def _(out, x, weight, eps, rounding, weight_offset):
        _check_weight(x, weight)
        _check_like(x, out, "out")

    @fake("_rms_norm_inplace")
    def _(x, weight, eps, rounding, weight_offset):
        _check_weight(x, weight)

    @fake("_fused_add_rms_norm_inplace")
    def _(x, residual, weight, eps, rounding, weight_offset, residual_rounding):
        _check_weight(x, weight)
        _check_like(x, residual, "residual")

    @fake("_rms_norm_bwd")
    def _(dy, s, weight, rstd, dsum, rounding, weight_offset, want_dx, want_dweight):
        _check_like(s, dy, "dy")
        dweight = (s if weight is None else weight).new_empty((s.shape[-1] if want_dweight else 0,))
        return (_empty_like(s) if want_dx else s.new_empty((0,))), dweight


def _register_autograd() -> None:
    def register(name, backward, setup_context):
        torch.library.register_autograd(full_name(name), backward, setup_context=setup_context)

    def setup(ctx, inputs, output):
        x, weight, ctx.eps, ctx.rounding, ctx.weight_offset = inputs
        ctx.want = x.requires_grad, weight is not None and weight.requires_grad
        ctx.save_for_backward(x, weight, output[1] if isinstance(output, tuple) else None)

    def backward(ctx, dy, *_):
        x, weight, rstd = ctx.saved_tensors
        dx, dweight = _backward(dy, x, weight, rstd, None, ctx.eps, ctx.rounding, ctx.weight_offset, ctx.want)
        return dx, dweight, None, None, None

    def fused_setup(ctx, inputs, output):
        x, residual, weight, ctx.eps, ctx.rounding, ctx.weight_offset, _ = inputs
        ctx.want = x.requires_grad or residual.requires_grad, weight is not None and weight.requires_grad
        ctx.save_for_backward(output[1], weight, output[2] if len(output) == 3 else None)

    def fused_backward(ctx, dy, dsum, *_):
        d, dweight = _fused_backward(ctx, dy, dsum, *ctx.saved_tensors)
        return d, d, dweight, None, None, None, None

    for name in ("rms_norm", "_rms_norm_train"):
        register(name, backward, setup)
    for name in ("fused_add_rms_norm", "_fused_add_rms_norm_train"):
        register(name, fused_backward, fused_setup)


def _register_vmap() -> None:
    """A batch of calls is one call with more rows, as long as the weight is the same for all."""

    def rule(op, tensors, results):
        def vmap(info, in_dims, *arguments):
            size, together = info.batch_size, in_dims[tensors] is None
            front = [a if d is None else a.movedim(d, 0) for a, d in zip(arguments, in_dims, strict=True)]
            if together:
                for i in range(tensors):
                    if in_dims[i] is None:
                        front[i] = front[i].expand(size, *front[i].shape)
                out = op(*front)
                return out, (0 if results == 1 else (0,) * results)
            return _one_by_one(op, info, in_dims, front, results)

        return vmap

    def backward_vmap(info, in_dims, *arguments):
        front = [a if d is None else a.movedim(d, 0) for a, d in zip(arguments, in_dims, strict=True)]
        return _one_by_one(ops._rms_norm_bwd, info, in_dims, front, 2)

    # tensors: how many leading arguments are rows; the one after them is the weight
    for name, tensors, results in (
        ("_rms_norm_fwd", 1, 1),
        ("_rms_norm_fwd_rstd", 1, 2),
        ("_fused_add_rms_norm_fwd", 2, 2),
        ("_fused_add_rms_norm_fwd_rstd", 2, 3),
    ):
        torch.library.register_vmap(full_name(name), rule(getattr(ops, name), tensors, results))
    torch.library.register_vmap(full_name("_rms_norm_bwd"), backward_vmap)


def _one_by_one(op, info, in_dims, front, results):
    outs = [
        op(*(a if d is None else a[i] for a, d in zip(front, in_dims, strict=True)))
        for i in range(info.batch_size)
    ]
    if results == 1:
        return torch.stack(outs), 0
    return tuple(torch.stack(column) for column in zip(*outs, strict=True)), (0,) * results


if not getattr(ops, "_kernmill_registered", False):  # the package may be imported under two names
    _register_autograd()
    _register_vmap()
    ops._kernmill_registered = True
_register_fakes()
