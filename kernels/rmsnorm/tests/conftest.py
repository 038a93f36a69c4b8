"""What the tests share: devices, references in float64, and the size of a last place.

Run them with ``kernmill test kernels/rmsnorm``, which tests the built files; plain pytest tests the installed
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


def reference(x, weight=None, eps=1e-6, rounding="hf", weight_offset=0.0):
    """RMSNorm in float64, rounded where the contract says so and nowhere else."""
    s = x.double()
    n = s * torch.rsqrt(s.pow(2).mean(-1, keepdim=True) + eps)
    if rounding == "hf":
        n = n.to(x.dtype).double()
    return n if weight is None else n * (weight.double() + weight_offset)


def eager(x, weight=None, eps=1e-6):
    """The formula of Transformers' models."""
    h = x.float()
    h = (h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)
    return h if weight is None else (weight * h).to(x.dtype)


def ulp(value, dtype):
    """The distance between neighbours of `dtype` at |value| (a float64 tensor)."""
    info = torch.finfo(dtype)
    exponent = torch.floor(torch.log2(value.abs().clamp(min=info.tiny)))
    return torch.exp2(exponent) * info.eps


def error_in_ulp(got, want, dtype):
    """The largest error of `got` against the float64 `want`, in places of `dtype`."""
    if got.numel() == 0:
        return 0.0
    return ((got.double() - want).abs() / ulp(want, dtype)).max().item()
