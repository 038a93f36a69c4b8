"""What the tests share: devices, tables, the formulas of others, and the size of a last place.

Run them with ``kernmill test kernels/rotary``, which tests the built files; plain pytest tests the installed
package.
"""

import pytest
import torch

pytest_plugins = ["kernmill.pytest_plugin"]

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
NO_GPU = "no CUDA device"


def pytest_generate_tests(metafunc):
    if "device" in metafunc.fixturenames:
        cuda = pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU))
        metafunc.parametrize("device", ["cpu", cuda])


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(20260101)


def make(device, dtype, batch=2, length=7, heads=(4, 2), columns=64):
    """q and k as Transformers hands them over: [B, H, S, D], in memory [B, S, H, D]."""
    return tuple(
        torch.randn(batch, length, h, columns, device=device).to(dtype).transpose(1, 2) for h in heads
    )


def tables(device, dtype, batch, length, rotated, start=0):
    """cos and sin as Transformers makes them: [B, S, R] with duplicated halves."""
    inverse = 1.0 / 10000.0 ** (torch.arange(0, rotated, 2, device=device).float() / rotated)
    position = torch.arange(start, start + length, device=device).float() + 3 * torch.arange(
        batch, device=device
    ).unsqueeze(1)
    angle = position.unsqueeze(-1) * inverse
    angle = torch.cat((angle, angle), -1)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate_half(x):
    n = x.shape[-1] // 2
    return torch.cat((-x[..., n:], x[..., :n]), -1)


def eager_one(x, cos, sin, unsqueeze_dim=1):
    """Transformers' apply_rotary_pos_emb of one tensor, partial where cos is narrower than x."""
    n = cos.shape[-1]
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    y = x[..., :n] * cos + rotate_half(x[..., :n]) * sin
    return torch.cat((y.to(x.dtype), x[..., n:]), -1)


def eager_pairs(x, cos, sin, unsqueeze_dim=1):
    """The same with pairs side by side; cos and sin have half the rotated dimensions."""
    n = 2 * cos.shape[-1]
    cos = cos.repeat_interleave(2, -1).unsqueeze(unsqueeze_dim)
    sin = sin.repeat_interleave(2, -1).unsqueeze(unsqueeze_dim)
    r = x[..., :n]
    turned = torch.stack((-r[..., 1::2], r[..., ::2]), -1).flatten(-2)
    return torch.cat(((r * cos + turned * sin).to(x.dtype), x[..., n:]), -1)


def eager_norm(x, weight, eps=1e-6):
    """The norm of Transformers' models."""
    h = x.float()
    h = (h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)
    return (weight * h).to(x.dtype)


def share_equal(got, want):
    return (got == want).double().mean().item()


def lies_like(a, b):
    """Whether both have the same order of strides."""
    return a.shape == b.shape and a.stride() == b.stride()


def ulp(value, dtype):
    """The distance between neighbours of `dtype` at |value| (a float64 tensor)."""
    info = torch.finfo(dtype)
    exponent = torch.floor(torch.log2(value.abs().clamp(min=info.tiny)))
    return torch.exp2(exponent) * info.eps
