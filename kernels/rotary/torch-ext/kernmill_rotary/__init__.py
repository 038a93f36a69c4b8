"""Rotary position embedding for CPU and CUDA tensors, alone or after a norm of the heads.

The functions here differentiate where they say so, work under torch.compile, torch.func and vmap, and give a
head the same bits however many heads and positions a call has. ``layers.apply_rotary_transformers`` is what
``kernels.kernelize`` puts into a model.

``apply_rotary`` and ``apply_rotary_transformers`` have the names and signatures of the Hub's rotary kernel.
"""

import torch
from torch import Tensor

from . import _autograd, layers
from ._ops import call, ops, refuse_gradients
from .layers import rotate_as_transformers

__all__ = [
    "apply_rotary",
    "apply_rotary_transformers",
    "layers",
    "qk_norm",
    "qk_norm_",
    "qk_norm_rotary",
    "rotary",
    "rotary_",
    "rotary_embedding",
    "rotary_embedding_",
]


def rotary(
    q: Tensor,
    k: Tensor | None,
    cos: Tensor,
    sin: Tensor,
    *,
    interleaved: bool = False,
    unsqueeze_dim: int = 1,
    rotary_dim: int | None = None,
    rounding: str = "hf",
) -> tuple[Tensor, Tensor | None]:
    """Rotary position embedding of queries and keys in one launch (Su et al., 2021).

    y = q * cos + rotate_half(q) * sin, for the first R dimensions of D; the others pass through.

    q: [B, H, S, D] float32, float16 or bfloat16, any strides; with unsqueeze_dim=2 [B, S, H, D].
    k: None, or like q with a number of heads of its own.
    cos, sin: [B or 1, S, R] with duplicated halves, as Transformers has them, or [B or 1, S, R / 2]; the
    first dimension may be absent; q's dtype or float32. They get no gradient.
    rotary_dim: R; None means the last size of cos, so it is needed where that is R / 2.
    interleaved: pairs are (x[2 i], x[2 i + 1]), as in GPT-J and GLM, rather than (x[i], x[R / 2 + i]); of
    duplicated halves the first is used, so a table that repeats each value is passed as cos[..., ::2].
    rounding: "hf" rounds as the formula does when torch computes it: each product and the sum to q's dtype,
    or, with float32 tables, the sum alone; "single" rounds once, at the end.
    Returns new tensors like q and k (None for None). One whose second and third dimensions are transposed in
    memory is returned so, too.
    Raises ValueError naming the argument, what was expected and what came; RuntimeError for forward-mode
    differentiation and when cos or sin require a gradient.
    """
    arguments = (q, k, cos, sin, rotary_dim, interleaved, unsqueeze_dim, rounding, False)
    if _autograd.wanted("rotary", (q, k), (cos, sin)):
        y, z = _autograd.rotary(*arguments)
    else:
        y, z = call(ops._rotary_fwd, *arguments)
    return y, (None if k is None else z)


def rotary_(
    q: Tensor,
    k: Tensor | None,
    cos: Tensor,
    sin: Tensor,
    *,
    interleaved: bool = False,
    unsqueeze_dim: int = 1,
    rotary_dim: int | None = None,
    rounding: str = "hf",
) -> tuple[Tensor, Tensor | None]:
    """rotary in place: overwrites q and k, which may not share memory, and returns them. Nothing may require
    a gradient."""
    refuse_gradients("rotary_", _autograd.FORMULA, q, k, cos, sin)
    call(ops._rotary_inplace, q, k, cos, sin, rotary_dim, interleaved, unsqueeze_dim, rounding)
    torch.autograd.graph.increment_version(q if k is None else (q, k))
    return q, k


def rotary_embedding(
    q: Tensor,
    k: Tensor | None,
    positions: Tensor,
    cos_sin_cache: Tensor,
    *,
    interleaved: bool = False,
    head_size: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """Rotary position embedding with a table for all positions, as inference engines keep it.

    q: [T, H, D] float32, float16 or bfloat16, any strides; or [T, H * D], with D in head_size.
    k: None, or like q with a number of heads of its own.
    positions: [T] int32 or int64: each token's row of the table. One outside raises ValueError on the CPU; on
    CUDA, where a look would cost a synchronisation, the token's rotated dimensions become NaN.
    cos_sin_cache: [positions, R], R / 2 cosines and then R / 2 sines; q's dtype or float32. It gets no
    gradient.
    interleaved: as in rotary. Everything is float32 until the result is rounded.
    Returns new contiguous tensors like q and k (None for None). Raises as rotary does.
    """
    arguments = (q, k, positions, cos_sin_cache, head_size, interleaved, False)
    if _autograd.wanted("rotary_embedding", (q, k), (cos_sin_cache,)):
        y, z = _autograd.rotary_embedding(*arguments)
    else:
        y, z = call(ops._rotary_embedding_fwd, *arguments)
    return y, (None if k is None else z)


def rotary_embedding_(
    q: Tensor,
    k: Tensor | None,
    positions: Tensor,
    cos_sin_cache: Tensor,
    *,
    interleaved: bool = False,
    head_size: int | None = None,
) -> tuple[Tensor, Tensor | None]:
    """rotary_embedding in place: overwrites q and k, which may not share memory (they may be slices of one
    tensor), and returns them. Nothing may require a gradient."""
    refuse_gradients("rotary_embedding_", _autograd.FORMULA, q, k, cos_sin_cache)
    call(ops._rotary_embedding_inplace, q, k, positions, cos_sin_cache, head_size, interleaved)
    torch.autograd.graph.increment_version(q if k is None else (q, k))
    return q, k


def qk_norm_rotary(
    q: Tensor,
    k: Tensor | None,
    q_weight: Tensor,
    k_weight: Tensor | None,
    cos: Tensor,
    sin: Tensor,
    eps: float = 1e-6,
    *,
    interleaved: bool = False,
    unsqueeze_dim: int = 1,
    rotary_dim: int | None = None,
    rounding: str = "hf",
    weight_offset: float = 0.0,
) -> tuple[Tensor, Tensor | None]:
    """RMSNorm over the last dimension of each head (Zhang and Sennrich, 2019), then rotary, in one launch.

    q_weight, k_weight: [D] in q's dtype or float32, both in the same; k_weight is None when k is.
    rounding: "hf" rounds the normalised value, its product with the weight, and then as rotary does, which is
    what a Transformers model such as Qwen3 computes; "single" rounds once, at the end.
    weight_offset: 1.0 for Gemma. The rest as in rotary.
    Returns new tensors like q and k. There is no gradient: raises RuntimeError, with the formula to use
    instead, when one is wanted.
    """
    tensors = (q, k, q_weight, k_weight, cos, sin)
    _autograd.refuse("qk_norm_rotary", _autograd.NORM_ROTARY_FORMULA, *tensors)
    y, z = call(
        ops._qk_norm_rotary_fwd,
        *(q, k, cos, sin, rotary_dim, interleaved, unsqueeze_dim, rounding),
        *(q_weight, k_weight, eps, weight_offset),
    )
    return y, (None if k is None else z)


def qk_norm(
    q: Tensor,
    k: Tensor | None,
    q_weight: Tensor,
    k_weight: Tensor | None,
    eps: float = 1e-6,
    *,
    rounding: str = "hf",
    weight_offset: float = 0.0,
) -> tuple[Tensor, Tensor | None]:
    """RMSNorm over the last dimension of each head of queries and keys (Zhang and Sennrich, 2019), in one launch.

    y = q / sqrt(mean(q**2) + eps) * (weight_offset + q_weight), accumulated in float32.

    q: [T, H, D], [B, S, H, D] or [B, H, S, D] float32, float16 or bfloat16, any strides: also a slice of a
    packed projection, such as qkv[:, : H * D].view(T, H, D).
    k: None, or like q but for one dimension, such as a number of heads of its own.
    q_weight, k_weight: [D] in q's dtype or float32, both in the same; k_weight is None when k is.
    rounding: "hf" rounds q's normalised value to q's dtype before the product, as Transformers does; "single"
    rounds once, at the end.
    weight_offset: 1.0 for Gemma.
    Returns new tensors like q and k (None for None), which lie in memory as rotary's do. There is no gradient:
    raises RuntimeError, with the formula to use instead, when one is wanted; ValueError as rotary does.
    """
    _autograd.refuse("qk_norm", _autograd.NORM_FORMULA, q, k, q_weight, k_weight)
    y, z = call(ops._qk_norm_fwd, q, k, q_weight, k_weight, eps, weight_offset, rounding)
    return y, (None if k is None else z)


def qk_norm_(
    q: Tensor,
    k: Tensor | None,
    q_weight: Tensor,
    k_weight: Tensor | None,
    eps: float = 1e-6,
    *,
    rounding: str = "hf",
    weight_offset: float = 0.0,
) -> tuple[Tensor, Tensor | None]:
    """qk_norm in place: overwrites q and k, which may not share memory (they may be slices of one tensor), and
    returns them. Nothing may require a gradient."""
    refuse_gradients("qk_norm_", _autograd.NORM_FORMULA, q, k, q_weight, k_weight)
    call(ops._qk_norm_inplace, q, k, q_weight, k_weight, eps, weight_offset, rounding)
    torch.autograd.graph.increment_version(q if k is None else (q, k))
    return q, k


def apply_rotary(
    x1: Tensor, x2: Tensor, cos: Tensor, sin: Tensor, out1: Tensor, out2: Tensor, conj: bool
) -> None:
    """The Hub's apply_rotary: out1 = x1 * cos - x2 * sin, out2 = x1 * sin + x2 * cos, rounded once; with conj
    the rotation back (sin negated).

    x1, x2, out1, out2: [..., H, n] of two to four dimensions, same sizes and dtype, any strides; out1 may be
    x1 and out2 x2, but out1 and out2 may not share memory.
    cos, sin: broadcast to x1, of size 1 in the dimension of the heads (or absent there); x1's dtype or
    float32. Nothing may require a gradient.
    """
    refuse_gradients("apply_rotary", _autograd.FORMULA, x1, x2, cos, sin, out1, out2)
    call(ops._apply_rotary, x1, x2, cos, sin, out1, out2, conj)
    torch.autograd.graph.increment_version((out1, out2))


def apply_rotary_transformers(
    q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1
) -> tuple[Tensor, Tensor]:
    """The Hub's function for Transformers' apply_rotary_pos_emb: rotary(q, k, cos, sin) with its rounding, so
    the words of the eager formula; a table of D / 2 values rotates all D dimensions. Differentiates."""
    return rotate_as_transformers(q, k, cos, sin, unsqueeze_dim)


apply_rotary_transformers.can_torch_compile = True
