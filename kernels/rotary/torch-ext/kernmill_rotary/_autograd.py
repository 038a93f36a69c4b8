"""Gradients, fake kernels and vmap rules, registered when the package is imported.

A rotation is linear, and its gradient is the transposed one: the same operator with conj, rounded once. So a
gradient can be differentiated in its turn. Two ways lead there: the public functions use an autograd.Function
around the raw operators (so that torch.func works); callers of torch.ops, and torch.compile, get the formulas
registered here.
"""

import torch
from torch import Tensor

from ._ops import Function, call, ops, wants_gradient
from ._ops import add_op_namespace_prefix as full_name

FORMULA = "q * cos + torch.cat((-q[..., n:], q[..., :n]), -1) * sin, n = q.shape[-1] // 2"
NORM_FORMULA = "(q * torch.rsqrt(q.float().pow(2).mean(-1, keepdim=True) + eps)).to(q.dtype) * q_weight"
NORM_ROTARY_FORMULA = f"rotary({NORM_FORMULA}, ...)"


def refuse(name: str, formula: str, *tensors: Tensor | None) -> None:
    if wants_gradient(name, formula, *tensors):
        raise RuntimeError(f"{name} has no gradient here: use torch.no_grad(), or the formula {formula}")


def wanted(name: str, tensors: tuple[Tensor | None, ...], tables: tuple[Tensor, ...]) -> bool:
    """Whether a gradient must be recorded; raises for forward mode, and for a table that wants one."""
    if wants_gradient(name, FORMULA, *tables):
        raise RuntimeError(
            f"{name} has no gradient for its tables: detach them, or use the formula {FORMULA}"
        )
    return wants_gradient(name, FORMULA, *tensors)


def _both(rotate, dq: Tensor | None, dk: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
    """rotate(q, k) of the gradients that there are."""
    if dq is None:
        return None, None if dk is None else rotate(dk, None)[0]
    if dk is None:
        return rotate(dq, None)[0], None
    return rotate(dq, dk)


# ---- the public functions' path ----


class _Rotary(Function):
    @staticmethod
    def forward(q, k, cos, sin, rotary_dim, interleaved, unsqueeze_dim, rounding, conj):
        return call(ops._rotary_fwd, q, k, cos, sin, rotary_dim, interleaved, unsqueeze_dim, rounding, conj)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, k, cos, sin, *ctx.how, _, ctx.conj = inputs
        ctx.has_k = k is not None
        if not ctx.has_k:
            ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(cos, sin)

    @staticmethod
    def backward(ctx, dq, dk):
        cos, sin = ctx.saved_tensors

        def rotate(q, k):
            function = _Rotary.apply if torch.is_grad_enabled() else ops._rotary_fwd
            return function(q, k, cos, sin, *ctx.how, "single", not ctx.conj)

        return *_both(rotate, dq, dk if ctx.has_k else None), *(None,) * 7


class _RotaryEmbedding(Function):
    @staticmethod
    def forward(q, k, positions, cos_sin_cache, head_size, interleaved, conj):
        return call(ops._rotary_embedding_fwd, q, k, positions, cos_sin_cache, head_size, interleaved, conj)

    @staticmethod
    def setup_context(ctx, inputs, output):
        _, k, positions, cos_sin_cache, *ctx.how, ctx.conj = inputs
        ctx.has_k = k is not None
        if not ctx.has_k:
            ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(positions, cos_sin_cache)

    @staticmethod
    def backward(ctx, dq, dk):
        positions, cos_sin_cache = ctx.saved_tensors

        def rotate(q, k):
            function = _RotaryEmbedding.apply if torch.is_grad_enabled() else ops._rotary_embedding_fwd
            return function(q, k, positions, cos_sin_cache, *ctx.how, not ctx.conj)

        return *_both(rotate, dq, dk if ctx.has_k else None), *(None,) * 5


def rotary(*arguments):
    if torch.compiler.is_compiling():
        return ops.rotary(*arguments)
    return _Rotary.apply(*arguments)


def rotary_embedding(*arguments):
    if torch.compiler.is_compiling():
        return ops.rotary_embedding(*arguments)
    return _RotaryEmbedding.apply(*arguments)


# ---- registration ----


def _like(x: Tensor) -> Tensor:
    """A new tensor whose second and third dimensions lie in memory as x's do."""
    if x.dim() == 4 and x.stride(1) < x.stride(2):
        b, h, s, d = x.shape
        return x.new_empty((b, s, h, d)).transpose(1, 2)
    return x.new_empty(x.shape)


def _results(q: Tensor, k: Tensor | None) -> tuple[Tensor, Tensor]:
    return _like(q), (q.new_empty((0,)) if k is None else _like(k))


def _check_table(q: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int) -> None:
    torch._check(q.dim() == 4, lambda: f"argument 'q': expected four dimensions, got {list(q.shape)}")
    torch._check(
        cos.dim() in (2, 3) and cos.shape == sin.shape and cos.shape[-2] == q.shape[3 - unsqueeze_dim],
        lambda: (
            f"argument 'cos': expected a row for each of {q.shape[3 - unsqueeze_dim]} positions, "
            f"got {list(cos.shape)}"
        ),
    )


def _check_heads(q: Tensor) -> None:
    torch._check(
        q.dim() in (3, 4), lambda: f"argument 'q': expected three or four dimensions, got {list(q.shape)}"
    )


def _register_fakes() -> None:
    def fake(name):
        return torch.library.register_fake(full_name(name), allow_override=True)

    for name in ("rotary", "_rotary_fwd"):

        @fake(name)
        def _(
            q,
            k,
            cos,
            sin,
            rotary_dim=None,
            interleaved=False,
            unsqueeze_dim=1,
            rounding="hf",
            conj=False,
        ):
            _check_table(q, cos, sin, unsqueeze_dim)
            return _results(q, k)

    for name in ("qk_norm_rotary", "_qk_norm_rotary_fwd"):

        @fake(name)
        def _(
            q,
            k,
            cos,
            sin,
            rotary_dim,
            interleaved,
            unsqueeze_dim,
            rounding,
            q_weight,
            k_weight,
            eps=1e-6,
            weight_offset=0.0,
        ):
            _check_table(q, cos, sin, unsqueeze_dim)
            return _results(q, k)

    for name in ("qk_norm", "_qk_norm_fwd"):

        @fake(name)
        def _(q, k, q_weight, k_weight, eps=1e-6, weight_offset=0.0, rounding="hf"):
            _check_heads(q)
            return _results(q, k)

    @fake("_qk_norm_inplace")
    def _(q, k, q_weight, k_weight, eps, weight_offset, rounding):
        _check_heads(q)

    for name in ("rotary_embedding", "_rotary_embedding_fwd"):

        @fake(name)
        def _(q, k, positions, cos_sin_cache, head_size=None, interleaved=False, conj=False):
            torch._check(
                positions.dim() == 1 and positions.shape[0] == q.shape[0],
                lambda: f"argument 'positions': expected [{q.shape[0]}], got {list(positions.shape)}",
            )
            return _results(q, k)

    @fake("_rotary_inplace")
    def _(q, k, cos, sin, rotary_dim, interleaved, unsqueeze_dim, rounding):
        _check_table(q, cos, sin, unsqueeze_dim)

    @fake("_rotary_embedding_inplace")
    def _(q, k, positions, cos_sin_cache, head_size, interleaved):
        pass

    @fake("_apply_rotary")
    def _(x1, x2, cos, sin, out1, out2, conj):
        torch._check(
            x1.shape == x2.shape == out1.shape == out2.shape,
            lambda: "argument 'x2': expected the sizes of x1",
        )


def _register_autograd() -> None:
    def setup(ctx, inputs, output):
        _, k, cos, sin, *ctx.how, _, ctx.conj = inputs
        ctx.has_k = k is not None
        _refuse_tables("rotary", cos, sin)
        ctx.save_for_backward(cos, sin)

    def backward(ctx, dq, dk):
        cos, sin = ctx.saved_tensors

        def rotate(q, k):
            return ops.rotary(q, k, cos, sin, *ctx.how, "single", not ctx.conj)

        return *_both(rotate, dq, dk if ctx.has_k else None), *(None,) * 7

    def embedding_setup(ctx, inputs, output):
        _, k, positions, cos_sin_cache, *ctx.how, ctx.conj = inputs
        ctx.has_k = k is not None
        _refuse_tables("rotary_embedding", cos_sin_cache)
        ctx.save_for_backward(positions, cos_sin_cache)

    def embedding_backward(ctx, dq, dk):
        positions, cos_sin_cache = ctx.saved_tensors

        def rotate(q, k):
            return ops.rotary_embedding(q, k, positions, cos_sin_cache, *ctx.how, not ctx.conj)

        return *_both(rotate, dq, dk if ctx.has_k else None), *(None,) * 5

    for name, function, context in (
        ("rotary", backward, setup),
        ("rotary_embedding", embedding_backward, embedding_setup),
        ("qk_norm_rotary", *_refusal("qk_norm_rotary", NORM_ROTARY_FORMULA)),
        ("qk_norm", *_refusal("qk_norm", NORM_FORMULA)),
    ):
        torch.library.register_autograd(full_name(name), function, setup_context=context)


def _refusal(name: str, formula: str):
    """The backward and the setup of an operator without a gradient."""

    def backward(ctx, *gradients):
        raise RuntimeError(f"{name} has no gradient: use the formula {formula}")

    def setup(ctx, inputs, output):
        if any(isinstance(t, Tensor) and t.requires_grad for t in inputs):  # grad mode is off in here
            raise RuntimeError(f"{name} has no gradient here: use the formula {formula}")

    return backward, setup


def _refuse_tables(name: str, *tables: Tensor) -> None:
    if any(t.requires_grad for t in tables):
        raise RuntimeError(
            f"{name} has no gradient for its tables: detach them, or use the formula {FORMULA}"
        )


def _register_vmap() -> None:
    """A batch of calls is one call with more batches (or tokens), where all have the same tables."""

    def front(arguments, in_dims):
        return [a if d is None else a.movedim(d, 0) for a, d in zip(arguments, in_dims, strict=True)]

    def expanded(x, dim, size):
        return x if x is None or dim is not None else x.expand(size, *x.shape)

    def split(y, size):
        return y.unflatten(0, (size, -1)) if y.dim() > 1 else y.new_empty((size, 0))

    def rotary_rule(op):
        def rule(info, in_dims, *arguments):
            n, (q, k, *rest) = info.batch_size, front(arguments, in_dims)
            if any(d is not None for d in in_dims[2:]) or q.numel() == 0:
                return _one_by_one(op, n, in_dims, (q, k, *rest))
            q, k = expanded(q, in_dims[0], n), expanded(k, in_dims[1], n)
            # tables with a row for each batch are needed n times
            tables = [t.repeat(n, 1, 1) if t.dim() == 3 and t.shape[0] > 1 else t for t in rest[:2]]
            out = op(q.flatten(0, 1), None if k is None else k.flatten(0, 1), *tables, *rest[2:])
            return tuple(split(y, n) for y in out), (0, 0)

        return rule

    def embedding_rule(info, in_dims, *arguments):
        n, (q, k, positions, *rest) = info.batch_size, front(arguments, in_dims)
        op = ops._rotary_embedding_fwd
        if any(d is not None for d in in_dims[3:]) or q.numel() == 0:
            return _one_by_one(op, n, in_dims, (q, k, positions, *rest))
        q, k = expanded(q, in_dims[0], n), expanded(k, in_dims[1], n)
        positions = positions.expand(n, positions.shape[-1]).flatten()
        out = op(q.flatten(0, 1), None if k is None else k.flatten(0, 1), positions, *rest)
        return tuple(split(y, n) for y in out), (0, 0)

    def norm_rule(info, in_dims, *arguments):
        n, (q, k, *rest) = info.batch_size, front(arguments, in_dims)
        op = ops._qk_norm_fwd
        if any(d is not None for d in in_dims[2:]) or q.numel() == 0:
            return _one_by_one(op, n, in_dims, (q, k, *rest))
        both = expanded(q, in_dims[0], n), expanded(k, in_dims[1], n)
        out = op(*(x if x is None or x.dim() == 4 else x.flatten(0, 1) for x in both), *rest)
        return tuple(
            y.new_empty((n, 0)) if x is None else y.view(x.shape) for x, y in zip(both, out, strict=True)
        ), (0, 0)

    for name in ("_rotary_fwd", "_qk_norm_rotary_fwd"):
        torch.library.register_vmap(full_name(name), rotary_rule(getattr(ops, name)))
    torch.library.register_vmap(full_name("_rotary_embedding_fwd"), embedding_rule)
    torch.library.register_vmap(full_name("_qk_norm_fwd"), norm_rule)


def _one_by_one(op, size, in_dims, front):
    outs = [op(*(a if d is None else a[i] for a, d in zip(front, in_dims, strict=True))) for i in range(size)]
    return tuple(torch.stack(column) for column in zip(*outs, strict=True)), (0, 0)


if not getattr(ops, "_kernmill_registered", False):  # the package may be imported under two names
    _register_autograd()
    _register_vmap()
    ops._kernmill_registered = True
_register_fakes()
