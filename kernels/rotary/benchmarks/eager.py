"""The formulas in eager torch, as the reference (in float64) and as a call to be timed; rounded once."""

import torch
from torch import Tensor


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x [..., D] (float32, or float64) by cos and sin [..., D / 2], which broadcast."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    h = _wide(x)
    return h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + eps) * _wide(weight)


def rotary(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    cos, sin = (_wide(t).unsqueeze(-2) for t in (cos, sin))
    return _rotate(_wide(q), cos, sin).to(q.dtype), _rotate(_wide(k), cos, sin).to(k.dtype)


def rotary_embedding(q: Tensor, k: Tensor, positions: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
    cos, sin = _wide(cache)[positions].unsqueeze(-2).chunk(2, -1)
    return _rotate(_wide(q), cos, sin).to(q.dtype), _rotate(_wide(k), cos, sin).to(k.dtype)


def qk_norm_rotary(
    q: Tensor, k: Tensor, q_weight: Tensor, k_weight: Tensor, cos: Tensor, sin: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    cos, sin = (_wide(t).unsqueeze(-2) for t in (cos, sin))
    y, z = (_rotate(_norm(*pair, eps), cos, sin) for pair in ((q, q_weight), (k, k_weight)))
    return y.to(q.dtype), z.to(k.dtype)


def qk_norm(q: Tensor, k: Tensor, q_weight: Tensor, k_weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    return _norm(q, q_weight, eps).to(q.dtype), _norm(k, k_weight, eps).to(k.dtype)
