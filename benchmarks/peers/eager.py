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


def fused_add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The norm of the sum, and the sum, as a decoder layer has them."""
    added = x + residual
    return rms_norm(added, weight, eps), added


def fused_add_rms_norm_single(
    x: Tensor, residual: Tensor, weight: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """The norm rounded once, at the end."""
    added = x + residual
    return rms_norm_single(added, weight, eps), added


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


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return F.layer_norm(x, (x.shape[-1],), weight, bias, eps)


def fused_add_layer_norm(
    x: Tensor, residual: Tensor, weight: Tensor, bias: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    added = x + residual
    return F.layer_norm(added, (x.shape[-1],), weight, bias, eps), added


def layer_norm_formula(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    """Operator by operator, in float32 within."""
    h = x.to(torch.promote_types(x.dtype, torch.float32))
    d = h - h.mean(-1, keepdim=True)
    n = d * torch.rsqrt(d.pow(2).mean(-1, keepdim=True) + eps)
    return (n * weight + bias).to(x.dtype)


def layer_norm_backward(
    dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, rstd: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """torch's own kernels; `mean` and `rstd` are x's."""
    return torch.ops.aten.native_layer_norm_backward(
        dy, x, (x.shape[-1],), mean[:, None], rstd[:, None], weight, bias, [True, True, True]
    )


def silu_mul(gate: Tensor, up: Tensor) -> Tensor:
    return F.silu(gate) * up


def gelu_tanh_mul(gate: Tensor, up: Tensor) -> Tensor:
    return F.gelu(gate, approximate="tanh") * up


def rotate_half(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), dim=-1)


def rotary(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Transformers' formula; q and k [..., tokens, heads, D], cos and sin [..., tokens, D]."""
    cos, sin = cos.unsqueeze(-2), sin.unsqueeze(-2)
    return q * cos + rotate_half(q) * sin, k * cos + rotate_half(k) * sin


def qk_norm_rotary(
    q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, q_weight: Tensor, k_weight: Tensor, eps: float
) -> tuple[Tensor, Tensor]:
    """The same of each head's RMSNorm, as Qwen3 has it."""
    return rotary(rms_norm(q, q_weight, eps), rms_norm(k, k_weight, eps), cos, sin)


def silu_mul_backward(dy: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    return torch.ops.aten.silu_backward(dy * up, gate), dy * F.silu(gate)


def gelu_tanh_mul_backward(dy: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    slope = torch.ops.aten.gelu_backward(dy * up, gate, approximate="tanh")
    return slope, dy * F.gelu(gate, approximate="tanh")


silu_mul_backward_compiled = torch.compile(silu_mul_backward, dynamic=False)
gelu_tanh_mul_backward_compiled = torch.compile(gelu_tanh_mul_backward, dynamic=False)
qk_norm_rotary_compiled = torch.compile(qk_norm_rotary, dynamic=False)
layer_norm_compiled = torch.compile(layer_norm, dynamic=False)
fused_add_layer_norm_compiled = torch.compile(fused_add_layer_norm, dynamic=False)
silu_mul_compiled = torch.compile(silu_mul, dynamic=False)
gelu_tanh_mul_compiled = torch.compile(gelu_tanh_mul, dynamic=False)
rotary_compiled = torch.compile(rotary, dynamic=False)
rms_norm_compiled = torch.compile(rms_norm_single, dynamic=False)
fused_add_rms_norm_compiled = torch.compile(fused_add_rms_norm_single, dynamic=False)
torch._dynamo.config.cache_size_limit = 1024  # a compilation for each shape, as a model of that shape has it


def rotary_embedding(q: Tensor, k: Tensor, positions: Tensor, cache: Tensor) -> tuple[Tensor, Tensor]:
    """Halves of cos and sin by position; q and k [tokens, heads * D], in float32."""
    size, exact = cache.shape[1], torch.float64 if q.dtype == torch.float64 else torch.float32
    cos, sin = (part.repeat(1, 2) for part in cache[positions].to(exact).chunk(2, -1))
    done = rotary(q.view(len(q), -1, size).to(exact), k.view(len(k), -1, size).to(exact), cos, sin)
    return done[0].to(q.dtype).view_as(q), done[1].to(k.dtype).view_as(k)
