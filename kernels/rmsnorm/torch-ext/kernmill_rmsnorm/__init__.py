"""RMSNorm and fused add + RMSNorm for CPU and CUDA tensors.

The functions here differentiate, work under torch.compile, torch.func and vmap, and give a row the same
bits however many rows a call has. ``layers.RMSNorm`` is what ``kernels.kernelize`` puts into a model.
"""

import torch
from torch import Tensor

from . import _autograd, layers
from ._ops import call, ops, refuse_gradients

__all__ = [
    "fused_add_rms_norm",
    "fused_add_rms_norm_",
    "layers",
    "rms_norm",
    "rms_norm_",
]


def rms_norm(
    x: Tensor,
    weight: Tensor | None = None,
    eps: float = 1e-6,
    *,
    rounding: str = "hf",
    weight_offset: float = 0.0,
    out: Tensor | None = None,
) -> Tensor:
    """Root-mean-square normalisation over the last dimension.

    y = x / sqrt(mean(x**2) + eps) * (weight_offset + weight), accumulated in float32 (Zhang and Sennrich,
    2019).

    x: [..., H] float32, float16 or bfloat16, any strides.
    weight: [H] or None, x's dtype or float32.
    rounding: "hf" rounds x's normalised value to x's dtype before the product, as Transformers does;
    "single" rounds once, at the end.
    weight_offset: 1.0 for Gemma.
    out: a tensor like x to write to instead of a new one; then nothing may require a gradient.
    Returns a contiguous [..., H] tensor of x's dtype (also with a float32 weight, where Transformers
    would promote), or out.
    Raises ValueError naming the argument, what was expected and what came; RuntimeError for forward-mode
    differentiation.
    """
    if out is not None:
        refuse_gradients("rms_norm with out=", _autograd.FORMULA, out, x, weight)
        call(ops._rms_norm_out, out, x, weight, eps, rounding, weight_offset)
        torch.autograd.graph.increment_version(out)
        return out
    if _autograd.wanted("rms_norm", x, weight):
        return _autograd.rms_norm(x, weight, eps, rounding, weight_offset)
    return call(ops._rms_norm_fwd, x, weight, eps, rounding, weight_offset)


def rms_norm_(
    x: Tensor,
    weight: Tensor | None = None,
    eps: float = 1e-6,
    *,
    rounding: str = "hf",
    weight_offset: float = 0.0,
) -> Tensor:
    """rms_norm in place: overwrites x and returns it. Nothing may require a gradient."""
    refuse_gradients("rms_norm_", _autograd.FORMULA, x, weight)
    call(ops._rms_norm_inplace, x, weight, eps, rounding, weight_offset)
    torch.autograd.graph.increment_version(x)
    return x


def fused_add_rms_norm(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None = None,
    eps: float = 1e-6,
    *,
    rounding: str = "hf",
    weight_offset: float = 0.0,
    residual_rounding: str = "rounded",
) -> tuple[Tensor, Tensor]:
    """(rms_norm(x + residual), x + residual), reading each input once.

    x, residual: [..., H], same dtype and sizes. residual_rounding: "rounded" normalises the sum as it is
    stored, in x's dtype, as a Transformers layer does; "unrounded" normalises the float32 sum. The rest as
    in rms_norm.
    Returns two new contiguous [..., H] tensors of x's dtype: the normalised sum and the sum.
    """
    arguments = (x, residual, weight, eps, rounding, weight_offset, residual_rounding)
    if _autograd.wanted("fused_add_rms_norm", x, residual, weight):
        return _autograd.fused_add_rms_norm(*arguments)
    return call(ops._fused_add_rms_norm_fwd, *arguments)


def fused_add_rms_norm_(
    x: Tensor,
    residual: Tensor,
    weight: Tensor | None = None,
    eps: float = 1e-6,
    *,
    rounding: str = "hf",
    weight_offset: float = 0.0,
    residual_rounding: str = "rounded",
) -> tuple[Tensor, Tensor]:
    """fused_add_rms_norm in place: residual becomes the sum, x the normalised sum; returns both.

    Nothing may require a gradient, and x and residual may not share memory.
    """
    refuse_gradients("fused_add_rms_norm_", _autograd.FORMULA, x, residual, weight)
    call(
        ops._fused_add_rms_norm_inplace, x, residual, weight, eps, rounding, weight_offset, residual_rounding
    )
    torch.autograd.graph.increment_version((x, residual))
    return x, residual
