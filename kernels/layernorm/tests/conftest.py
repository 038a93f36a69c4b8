"""What the tests share: devices, references in float64, and the size of a last place.

Run them with ``kernmill test kernels/layernorm``, which tests the built files; plain pytest tests the installed
package.
"""

import pytest
import torch
import torch.nn.functional as F

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


def reference(x, weight=None, bias=None, eps=1e-5):
    """LayerNorm in float64."""
    s = x.double()
    d = s - s.mean(-1, keepdim=True)
    y = d * torch.rsqrt(d.pow(2).mean(-1, keepdim=True) + eps)
    if weight is not None:
        y = y * weight.double()
    return y if bias is None else y + bias.double()


def eager(x, weight=None, bias=None, eps=1e-5):
    """What torch's users call."""
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


def ulp(value, dtype):
    """The distance between neighbours of `dtype` at |value| (a float64 tensor)."""
    info = torch.finfo(dtype)
    exponent = torch.floor(torch.log2(value.abs().clamp(min=info.tiny)))
    return torch.exp2(exponent) * info.eps


def error_in_ulp(got, want, dtype, weight=None, bias=None):
    """The largest error of `got` against the float64 `want`, in places of `dtype`. All arithmetic is in float32, so
    where y is smaller than what it is the sum of (a value beside the mean, a product beside a bias) a place is one
    of the bias, or of the weight, which a value one deviation from the mean would have; a shorter dtype is granted
    some of these besides its own place."""
    if got.numel() == 0:
        return 0.0
    size = want.abs()
    for term in (torch.ones_like(want) if weight is None else weight, bias):
        if term is not None:
            size = torch.maximum(size, term.double().abs())
    place = ulp(size, torch.float32)
    if dtype != torch.float32:
        place = ulp(want, dtype) + 16 * place
    return ((got.double() - want).abs() / place).max().item()
