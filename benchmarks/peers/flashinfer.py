"""FlashInfer's functions."""

import flashinfer
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return flashinfer.norm.rmsnorm(x, weight, eps)


def fused_add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> None:
    """x becomes the norm, residual the sum."""
    flashinfer.norm.fused_add_rmsnorm(x, residual, weight, eps)


def silu_and_mul(x: Tensor) -> Tensor:
    return flashinfer.activation.silu_and_mul(x)


def rotary_embedding(q: Tensor, k: Tensor, positions: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
    """q and k [tokens, heads * D]."""
    return flashinfer.apply_rope_with_cos_sin_cache(positions, q, k, cache.shape[1], cache)
