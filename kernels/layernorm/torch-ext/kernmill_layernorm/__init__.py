"""LayerNorm and fused add + LayerNorm for CPU and CUDA tensors.

The functions here differentiate, work under torch.compile, torch.func and vmap, and give a row the same
bits however many rows a call has. ``layers.LayerNorm`` is what ``kernels.kernelize`` puts into a model.
"""

import torch
from torch import Tensor

from . import _autograd, layers
from ._ops import call, ops, refuse_gradients

__all__ = [
    "fused_add_layer_norm",
    "fused_add_layer_norm_",
    "layer_norm",
    "layer_norm_",
    "layers",
]


def layer_norm(
    x: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Layer normalisation over the last dimension.

    y = (x - mean(x)) / sqrt(var(x) + eps) * weight + bias, in float32, rounded once (Ba, Kiros and Hinton,
    2016). The variance is that of the values centred around their mean, so a row whose mean is large keeps
    its digits.

    x: [..., H] float32, float16 or bfloat16, any strides.
    weight, bias: [H] or None, either without the other; x's dtype or float32, both the same.
    out: a tensor like x to write to instead of a new one; then nothing may require a gradient.
    Returns a contiguous [..., H] tensor of x's dtype, or out.
    Raises ValueError naming the argument, what was expected and what came; RuntimeError for forward-mode
    differentiation.
    """
    if out is not None:
        refuse_gradients("layer_norm with out=", _autograd.FORMULA, out, x, weight, bias)
        call(ops._layer_norm_out, out, x, weight, bias, eps)
        torch.autograd.graph.increment_version(out)
        return out
    if _autograd.wanted("layer_norm", x, weight, bias):
        return _autograd.layer_norm(x, weight, bias, eps)
    return call(ops._layer_norm_fwd, x, weight, bias, eps)


def layer_norm_(
    x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """layer_norm in place: overwrites x and returns it. Nothing may require a gradient."""
    refuse_gradients("layer_norm_", _autograd.FORMULA, x, weight, bias)
    call(ops._layer_norm_inplace, x, weight, bias, eps)
    torch.autograd.graph.increment_version(x)
    return x


def fused_add_layer_norm(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *,
    residual_rounding: str = "rounded",
) -> tuple[Tensor, Tensor]:
    """(layer_norm(x + residual), x + residual), reading each input once.

    x, residual: [..., H], same dtype and sizes. residual_rounding: "rounded" normalises the sum as it is
    stored, in x's dtype, as a Transformers layer does; "unrounded" normalises the float32 sum. The rest as
    in layer_norm.
    Returns two new contiguous [..., H] tensors of x's dtype: the normalised sum and the sum.
    """
    arguments = (x, residual, weight, bias, eps, residual_rounding)
    if _autograd.wanted("fused_add_layer_norm", x, residual, weight, bias):
        return _autograd.fused_add_layer_norm(*arguments)
    return call(ops._fused_add_layer_norm_fwd, *arguments)


def fused_add_layer_norm_(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *,
    residual_rounding: str = "rounded",
) -> tuple[Tensor, Tensor]:
    """fused_add_layer_norm in place: residual becomes the sum, x the normalised sum; returns both.

    Nothing may require a gradient, and x and residual may not share memory.
    """
    refuse_gradients("fused_add_layer_norm_", _autograd.FORMULA, x, residual, weight, bias)
    call(ops._fused_add_layer_norm_inplace, x, residual, weight, bias, eps, residual_rounding)
    torch.autograd.graph.increment_version((x, residual))
    return x, residual
