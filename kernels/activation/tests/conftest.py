"""What the tests share: devices, references in float64, torch's own calls, and the size of a last place.

Run them with ``kernmill test kernels/activation``, which tests the built files; plain pytest tests the
installed package.
"""

import functools
import math

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


KINDS = ["silu", "gelu", "gelu_tanh", "quick_gelu"]
GATED = ["silu", "gelu", "gelu_tanh"]

# torch's own: what Transformers calls
EAGER = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": functools.partial(F.gelu, approximate="tanh"),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
}

# without cancellation; also in float64
EXACT = {
    "silu": lambda x: x * torch.sigmoid(x),
    "gelu": lambda x: x * 0.5 * torch.erfc(x * -math.sqrt(0.5)),
    "gelu_tanh": lambda x: x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)),
    "quick_gelu": lambda x: x * torch.sigmoid(1.702 * x),
}


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


def same(a, b):
    """Equal words; any NaN equals any other."""
    return a.shape == b.shape and a.dtype == b.dtype and bool(((a == b) | (a.isnan() & b.isnan())).all())


def layouts(device, dtype, columns):
    """Inputs of [6, columns] or more in every layout that a caller may bring."""
    base = torch.randn(12, 2 * columns + 3, device=device).to(dtype)
    yield "contiguous", base[:6, :columns].contiguous()
    yield "row slice", base[:, : 2 * columns].contiguous()[::2, :columns]
    yield "column slice", base[:6, columns : 2 * columns]
    yield "unaligned", base[:6, 1 : columns + 1]
    yield "transposed", base[:6, :columns].t().contiguous().t()
    yield "expanded rows", base[:1, :columns].expand(6, columns)
    yield "expanded columns", base[:6, :1].expand(6, columns)
    yield "strided columns", base[:6, : 2 * columns : 2]
    yield "four dimensions", torch.randn(2, 3, 4, columns, device=device).to(dtype).transpose(1, 2)
    yield "vector", base[0, :columns]
    yield "flipped", base[:6, :columns].flip(0)
