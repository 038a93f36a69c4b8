"""Transformers' formula in eager torch, and torch.compile of it."""

import torch
import torch.nn.functional as F
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    h = x.float()
    h = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + eps)
    return weight * h.to(x.dtype)


def rms_norm_single(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Rounded once, at the end, as the other peers do."""
    h = x.float()
    return (h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + eps) * weight.float()).to(x.dtype)


def rms_norm_chain(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """In x's dtype throughout: the baseline of many published tables. Rounds at every step."""
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight


def f_rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight, eps)


def rms_norm_backward(dy: Tensor, x: Tensor, weight: Tensor, rstd: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of x and of the weight, of rms_norm_single."""
    n, g = x.float() * rstd[:, None], dy.float() * weight.float()
    if x.dtype == torch.float64:
        n, g = x * rstd[:, None], dy * weight
    dweight = (dy * n).sum(0)
    return (rstd[:, None] * (g - n * (g * n).mean(-1, keepdim=True))).to(x.dtype), dweight.to(weight.dtype)


rms_norm_compiled = torch.compile(rms_norm_single, dynamic=False)
torch._dynamo.config.cache_size_limit = 1024  # a compilation for each shape, as a model of that shape has it
