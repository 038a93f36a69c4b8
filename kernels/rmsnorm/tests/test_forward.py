"""Values of the forward: against float64, beside Transformers' eager formula, over sizes and layouts."""

import pytest
import torch
from conftest import DTYPES, eager, error_in_ulp, reference

COLUMNS = [1, 2, 7, 8, 64, 100, 128, 255, 1024, 1100, 4096, 5120, 8192, 16384, 16392, 40000, 131072]


def make(device, dtype, shape, columns, weight_dtype=None):
    x = torch.randn(*shape, columns, device=device).to(dtype)
    weight = torch.randn(columns, device=device).to(weight_dtype or dtype)
    return x, weight


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_error_is_at_most_eagers_plus_one_place(kernel, worst, device, dtype, columns):
    x, weight = make(device, dtype, (3,), columns)
    want = reference(x, weight)
    ours = error_in_ulp(kernel.rms_norm(x, weight), want, dtype)
    theirs = error_in_ulp(eager(x, weight), want, dtype)
    worst(f"rms_norm {device} {str(dtype)[6:]}, ulp", ours)
    assert ours <= theirs + 1


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_nearly_every_word_equals_transformers(kernel, device, dtype):
    x, weight = make(device, dtype, (256,), 4096)
    same = (kernel.rms_norm(x, weight) == eager(x, weight)).double().mean().item()
    assert same >= 0.999


@pytest.mark.parametrize("rounding", ["hf", "single"])
@pytest.mark.parametrize("weight_offset", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["same", "float32", "none"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_rounding_offset_and_weights(kernel, device, dtype, kind, weight_offset, rounding):
    x, weight = make(device, dtype, (5,), 1000, torch.float32 if kind == "float32" else None)
    if kind == "none":
        weight = None
    y = kernel.rms_norm(x, weight, 1e-5, rounding=rounding, weight_offset=weight_offset)
    want = reference(x, weight, 1e-5, rounding, weight_offset)
    assert y.dtype == dtype and y.shape == x.shape and y.is_contiguous()
    # a normalised value between two neighbours may round either way: one place there, one in the product
    assert error_in_ulp(y, want, dtype) <= (2.5 if dtype != torch.float32 else 6)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_single_rounding_is_nearest(kernel, device, dtype):
    if dtype == torch.float32:
        pytest.skip("float32 has no wider accumulation to round from")
    x, weight = make(device, dtype, (64,), 4096)
    want = reference(x, weight, rounding="single")
    assert error_in_ulp(kernel.rms_norm(x, weight, rounding="single"), want, dtype) <= 0.51


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
    yield "heads", torch.randn(2, 5, 4 * columns, device=device).to(dtype).view(2, 5, 4, columns)
    yield "vector", base[0, :columns]
    yield "negative view", base[:6, :columns].flip(0)


@pytest.mark.parametrize("columns", [8, 33, 128, 4096])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_layouts_give_the_bits_of_a_contiguous_copy(kernel, device, dtype, columns):
    weight = torch.randn(2 * columns, device=device).to(dtype)
    for name, x in layouts(device, dtype, columns):
        for w in (weight[:columns], weight[::2], weight[:1].expand(columns)):
            want = kernel.rms_norm(x.contiguous(), w.contiguous())
            assert torch.equal(kernel.rms_norm(x, w), want), name
            total = kernel.fused_add_rms_norm(x, x.flip(-1), w)[0]
            want = kernel.fused_add_rms_norm(x.contiguous(), x.flip(-1).contiguous(), w.contiguous())[0]
            assert torch.equal(total, want), name


@pytest.mark.parametrize("shape", [(0, 64), (3, 0), (0, 0), (2, 0, 64), (0,)])
def test_empty(kernel, device, shape):
    x = torch.empty(shape, device=device)
    weight = torch.ones(shape[-1], device=device)
    assert kernel.rms_norm(x, weight).shape == x.shape
    y, total = kernel.fused_add_rms_norm(x, x, weight)
    assert y.shape == total.shape == x.shape
    kernel.rms_norm_(x, weight)


def test_special_values(kernel, device):
    x = torch.randn(6, 512, device=device)
    x[0] = 0
    x[1, 3] = float("inf")
    x[2, 3] = float("nan")
    x[3] *= 1e15
    x[4] *= 1e-20
    y = kernel.rms_norm(x)
    assert torch.equal(y[0], torch.zeros_like(y[0]))
    assert torch.isnan(y[1, 3]) and torch.equal(y[1, :3], torch.zeros(3, device=device))
    assert torch.isnan(y[2]).all()
    assert torch.isfinite(y[3:]).all()
    torch.testing.assert_close(y[5], eager(x[5]))


@pytest.mark.parametrize("value", [0.0, 65504.0, 6e-8, 1e-7, -65504.0])
def test_float16_extremes(kernel, device, value):
    x = torch.full((2, 64), value, device=device, dtype=torch.float16)
    assert torch.equal(kernel.rms_norm(x), eager(x))
    assert torch.equal(kernel.fused_add_rms_norm(x, torch.zeros_like(x))[1], x)


@pytest.mark.parametrize("residual_rounding", ["rounded", "unrounded"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_fused_add(kernel, worst, device, dtype, residual_rounding):
    x, weight = make(device, dtype, (40,), 2048)
    residual = torch.randn_like(x.float()).to(dtype)
    y, total = kernel.fused_add_rms_norm(x, residual, weight, residual_rounding=residual_rounding)
    assert torch.equal(total, x + residual)
    s = (x + residual).double() if residual_rounding == "rounded" else x.double() + residual.double()
    n = s * torch.rsqrt(s.pow(2).mean(-1, keepdim=True) + 1e-6)
    want = n.to(dtype).double() * weight.double()
    error = error_in_ulp(y, want, dtype)
    worst(f"fused_add_rms_norm {device} {str(dtype)[6:]}, ulp", error)
    assert error <= (2.5 if dtype != torch.float32 else 6)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_fused_equals_the_two_steps(kernel, device, dtype):
    x, weight = make(device, dtype, (33,), 1536)
    residual = torch.randn_like(x.float()).to(dtype)
    y, total = kernel.fused_add_rms_norm(x, residual, weight)
    assert torch.equal(y, kernel.rms_norm(total, weight))


@pytest.mark.parametrize("columns", [64, 100, 4096, 20000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_in_place_and_out_give_the_same_bits(kernel, device, dtype, columns):
    x, weight = make(device, dtype, (9,), columns)
    residual = torch.randn_like(x.float()).to(dtype)
    want, (want_y, want_sum) = kernel.rms_norm(x, weight), kernel.fused_add_rms_norm(x, residual, weight)

    out = torch.full_like(x, float("nan"))
    assert kernel.rms_norm(x, weight, out=out) is out and torch.equal(out, want)
    wide = torch.zeros(9, 2 * columns, device=device, dtype=dtype)
    kernel.rms_norm(x, weight, out=wide[:, ::2])
    assert torch.equal(wide[:, ::2], want) and not wide[:, 1::2].any()
    kernel.rms_norm(x, weight, out=wide[:, columns:])
    assert torch.equal(wide[:, columns:], want)

    y = x.clone()
    assert kernel.rms_norm_(y, weight) is y and torch.equal(y, want)
    a, b = x.clone(), residual.clone()
    kernel.fused_add_rms_norm_(a, b, weight)
    assert torch.equal(a, want_y) and torch.equal(b, want_sum)


def test_nothing_beside_the_output_is_written(kernel, device):
    for columns in (64, 100, 4096):
        guard = torch.full((4, columns + 64), 7.0, device=device)
        x = torch.randn(4, columns, device=device)
        kernel.rms_norm(x, out=guard[:, 32 : columns + 32])
        assert (guard[:, :32] == 7).all() and (guard[:, columns + 32 :] == 7).all()
