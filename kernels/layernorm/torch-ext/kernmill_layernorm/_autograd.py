"""Gradients, fake kernels and vmap rules, registered when the package is imported.

Two ways lead to a gradient: the public functions use an autograd.Function around the raw operators (so that
torch.func works); callers of torch.ops, and torch.compile, get the formulas registered here. Both end in
``_layer_norm_bwd``, or, when the gradient itself must be differentiated, in the same formula written with
torch's operators.
"""

import torch
from torch import Tensor

from ._ops import Function, call, ops, wants_gradient
from ._ops import add_op_namespace_prefix as full_name

FORMULA = "(x - x.float().mean(-1, keepdim=True)) * torch.rsqrt(x.float().var(-1, False, keepdim=True) + eps) * weight + bias"


def wanted(name: str, *tensors: Tensor | None) -> bool:
    """Whether a gradient must be recorded; raises for forward mode."""
    return wants_gradient(name, FORMULA, *tensors)


# ---- the formula in torch's operators, for gradients of gradients ----


def _differentiable_backward(
    dy: Tensor, s: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, dsum: Tensor | None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    g = dy.float()
    d = s.float() - s.float().mean(-1, keepdim=True)
    rstd = torch.rsqrt(d.pow(2).mean(-1, keepdim=True) + eps)
    n = d * rstd
    rows = tuple(range(g.dim() - 1))
    dbias = None if bias is None else g.sum(dim=rows).to(bias.dtype) if rows else g.to(bias.dtype)
    dweight = None
    if weight is not None:
        dweight = ((g * n).sum(dim=rows) if rows else g * n).to(weight.dtype)
        g = g * weight.float()
    dx = rstd * (g - g.mean(-1, keepdim=True) - n * (g * n).mean(-1, keepdim=True))
    if dsum is not None:
        dx = dx + dsum.float()
    return dx.to(s.dtype), dweight, dbias


def _backward(
    dy: Tensor,
    s: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    mean: Tensor | None,
    rstd: Tensor | None,
    dsum: Tensor | None,
    eps: float,
    want: tuple[bool, bool, bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """dx, dweight and dbias, each None when not wanted."""
    want = want[0], want[1] and weight is not None, want[2] and bias is not None
    if torch.is_grad_enabled():
        grads = _differentiable_backward(dy, s, weight, bias, eps, dsum)
    else:
        if rstd is None:
            mean, rstd = ops._layer_norm_stats(s, eps)
        grads = ops._layer_norm_bwd(dy, s, weight, bias, mean, rstd, dsum, *want)
    return tuple(g if w else None for g, w in zip(grads, want, strict=True))


# ---- the public functions' path ----


class _LayerNorm(Function):
    @staticmethod
    def forward(x, weight, bias, eps):
        return call(ops._layer_norm_fwd_stats, x, weight, bias, eps)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, weight, bias, ctx.eps = inputs
        _, mean, rstd = output
        ctx.mark_non_differentiable(mean, rstd)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, weight, bias, mean, rstd)

    @staticmethod
    def backward(ctx, dy, *_):
        if dy is None:
            return None, None, None, None
        x, weight, bias, mean, rstd = ctx.saved_tensors
        return (
            *_backward(dy, x, weight, bias, mean, rstd, None, ctx.eps, ctx.needs_input_grad[:3]),
            None,
        )


class _FusedAddLayerNorm(Function):
    @staticmethod
    def forward(x, residual, weight, bias, eps, residual_rounding):
        return call(ops._fused_add_layer_norm_fwd_stats, x, residual, weight, bias, eps, residual_rounding)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, _, weight, bias, ctx.eps, _ = inputs
        _, total, mean, rstd = output
        ctx.mark_non_differentiable(mean, rstd)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(total, weight, bias, mean, rstd)

    @staticmethod
    def backward(ctx, dy, dsum, *_):
        need = ctx.needs_input_grad
        ctx.want = need[0] or need[1], need[2], need[3]
        d, dweight, dbias = _fused_backward(ctx, dy, dsum, *ctx.saved_tensors)
        return d, d, dweight, dbias, None, None


def _fused_backward(ctx, dy, dsum, total, weight, bias, mean, rstd):
    """The gradient of x and of residual (the same), of weight and of bias."""
    if dy is None:
        return dsum, None, None
    return _backward(dy, total, weight, bias, mean, rstd, dsum, ctx.eps, ctx.want)


def layer_norm(x, weight, bias, eps):
    if torch.compiler.is_compiling():
        return ops._layer_norm_train(x, weight, bias, eps)[0]
    return _LayerNorm.apply(x, weight, bias, eps)[0]


def fused_add_layer_norm(x, residual, weight, bias, eps, residual_rounding):
    arguments = (x, residual, weight, bias, eps, residual_rounding)
    if torch.compiler.is_compiling():
        return ops._fused_add_layer_norm_train(*arguments)[:2]
    return _FusedAddLayerNorm.apply(*arguments)[:2]


# ---- registration ----


def _check_like(x: Tensor, other: Tensor, name: str) -> None:
    torch._check(
        x.shape == other.shape and x.dtype == other.dtype,
        lambda: f"argument '{name}': expected a tensor like x, got {other.dtype}{list(other.shape)}",
    )


def _check_weights(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> None:
    torch._check(x.dim() >= 1, lambda: "argument 'x': expected at least one dimension")
    for name, w in (("weight", weight), ("bias", bias)):
        if w is not None:
            torch._check(
                w.dim() == 1 and w.shape[0] == x.shape[-1],
                lambda name=name, w=w: f"argument '{name}': expected [{x.shape[-1]}], got {list(w.shape)}",
            )


def _empty_like(x: Tensor) -> Tensor:
    return x.new_empty(x.shape)  # contiguous, whatever x is


def _empty_statistics(x: Tensor) -> tuple[Tensor, Tensor]:
    return tuple(x.new_empty(x.shape[:-1], dtype=torch.float32) for _ in range(2))


def _register_fakes() -> None:
    def fake(name):
        return torch.library.register_fake(full_name(name), allow_override=True)

    for name in ("layer_norm", "_layer_norm_fwd"):

        @fake(name)
        def _(x, weight=None, bias=None, eps=1e-5):
            _check_weights(x, weight, bias)
            return _empty_like(x)

    for name in ("_layer_norm_fwd_stats", "_layer_norm_train"):

        @fake(name)
        def _(x, weight, bias, eps):
            _check_weights(x, weight, bias)
            return _empty_like(x), *_empty_statistics(x)

    for name in ("fused_add_layer_norm", "_fused_add_layer_norm_fwd"):

        @fake(name)
        def _(x, residual, weight=None, bias=None, eps=1e-5, residual_rounding="rounded"):
            _check_weights(x, weight, bias)
            _check_like(x, residual, "residual")
            return _empty_like(x), _empty_like(x)

    for name in ("_fused_add_layer_norm_fwd_stats", "_fused_add_layer_norm_train"):

        @fake(name)
        def _(x, residual, weight, bias, eps, residual_rounding):
            _check_weights(x, weight, bias)
            _check_like(x, residual, "residual")
            return _empty_like(x), _empty_like(x), *_empty_statistics(x)

    @fake("_layer_norm_stats")
    def _(x, eps):
        return _empty_statistics(x)

    @fake("_layer_norm_out")
    def _(out, x, weight, bias, eps):
        _check_weights(x, weight, bias)
        _check_like(x, out, "out")

    @fake("_layer_norm_inplace")
    def _(x, weight, bias, eps):
        _check_weights(x, weight, bias)

    @fake("_fused_add_layer_norm_inplace")
    def _(x, residual, weight, bias, eps, residual_rounding):
        _check_weights(x, weight, bias)
        _check_like(x, residual, "residual")

    @fake("_layer_norm_bwd")
    def _(dy, s, weight, bias, mean, rstd, dsum, want_dx, want_dweight, want_dbias):
        _check_like(s, dy, "dy")
        _check_weights(s, weight, bias)
        like = weight if weight is not None else bias if bias is not None else s
        dweight, dbias = (
            like.new_empty((s.shape[-1] if wanted else 0,)) for wanted in (want_dweight, want_dbias)
        )
        return (_empty_like(s) if want_dx else s.new_empty((0,))), dweight, dbias


def _register_autograd() -> None:
    def register(name, backward, setup_context):
        torch.library.register_autograd(full_name(name), backward, setup_context=setup_context)

    def needs(t):
        return t is not None and t.requires_grad

    def setup(ctx, inputs, output):
        x, weight, bias, ctx.eps = inputs
        ctx.want = needs(x), needs(weight), needs(bias)
        _, mean, rstd = output if isinstance(output, tuple) else (output, None, None)
        ctx.save_for_backward(x, weight, bias, mean, rstd)

    def backward(ctx, dy, *_):
        x, weight, bias, mean, rstd = ctx.saved_tensors
        return *_backward(dy, x, weight, bias, mean, rstd, None, ctx.eps, ctx.want), None

    def fused_setup(ctx, inputs, output):
        x, residual, weight, bias, ctx.eps, _ = inputs
        ctx.want = needs(x) or needs(residual), needs(weight), needs(bias)
        total, mean, rstd = output[1:] if len(output) == 4 else (output[1], None, None)
        ctx.save_for_backward(total, weight, bias, mean, rstd)

    def fused_backward(ctx, dy, dsum, *_):
        d, dweight, dbias = _fused_backward(ctx, dy, dsum, *ctx.saved_tensors)
        return d, d, dweight, dbias, None, None

    for name in ("layer_norm", "_layer_norm_train"):
        register(name, backward, setup)
    for name in ("fused_add_layer_norm", "_fused_add_layer_norm_train"):
        register(name, fused_backward, fused_setup)


def _register_vmap() -> None:
    """A batch of calls is one call with more rows, as long as weight and bias are the same for all."""

    def front_of(in_dims, arguments):
        return [a if d is None else a.movedim(d, 0) for a, d in zip(arguments, in_dims, strict=True)]

    def rule(op, tensors, results):
        def vmap(info, in_dims, *arguments):
            front = front_of(in_dims, arguments)
            if in_dims[tensors] is not None or in_dims[tensors + 1] is not None:
                return _one_by_one(op, info, in_dims, front, results)
            for i in range(tensors):
                if in_dims[i] is None:
                    front[i] = front[i].expand(info.batch_size, *front[i].shape)
            return op(*front), (0 if results == 1 else (0,) * results)

        return vmap

    def backward_vmap(info, in_dims, *arguments):
        return _one_by_one(ops._layer_norm_bwd, info, in_dims, front_of(in_dims, arguments), 3)

    # tensors: how many leading arguments are rows; the two after them are weight and bias
    for name, tensors, results in (
        ("_layer_norm_fwd", 1, 1),
        ("_layer_norm_fwd_stats", 1, 3),
        ("_fused_add_layer_norm_fwd", 2, 2),
        ("_fused_add_layer_norm_fwd_stats", 2, 4),
    ):
        torch.library.register_vmap(full_name(name), rule(getattr(ops, name), tensors, results))
    torch.library.register_vmap(full_name("_layer_norm_bwd"), backward_vmap)


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
