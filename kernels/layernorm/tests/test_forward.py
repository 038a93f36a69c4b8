"""Values of the forward: against float64, beside torch's own call, over sizes and layouts."""

import pytest
import torch
from conftest import DTYPES, eager, error_in_ulp, reference

COLUMNS = [1, 2, 7, 8, 64, 100, 128, 255, 1024, 1100, 4096, 5120, 8192, 16384, 16392, 40000, 131072]


def make(device, dtype, shape, columns, weight_dtype=None):
    x = torch.randn(*shape, columns, device=device).to(dtype)
    weight, bias = (torch.randn(columns, device=device).to(weight_dtype or dtype) for _ in range(2))
    return x, weight, bias


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_error_is_at_most_eagers_plus_one_place(kernel, worst, device, dtype, columns):
    x, weight, bias = make(device, dtype, (3 + 4096 // columns,), columns)
    want = reference(x, weight, bias)
    ours = error_in_ulp(kernel.layer_norm(x, weight, bias), want, dtype, weight, bias)
    theirs = error_in_ulp(eager(x, weight, bias), want, dtype, weight, bias)
    worst(f"layer_norm {device} {str(dtype)[6:]}, ulp", ours)
    assert ours <= theirs + (2 if (device, dtype) == ("cuda", torch.float32) else 1)


@pytest.mark.parametrize("columns", [64, 1000, 4096, 20000])
@pytest.mark.parametrize("mean", [1e3, -1e4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_large_mean_costs_no_digits(kernel, worst, device, dtype, mean, columns):
    """E[x^2] - E[x]^2 would lose them all; torch's own mean, rounded to float32, loses some."""
    x = (mean + torch.randn(16, columns, device=device)).to(dtype)
    want = reference(x)
    ours = error_in_ulp(kernel.layer_norm(x), want, dtype)
    theirs = error_in_ulp(eager(x), want, dtype)
    worst(f"layer_norm around {mean} {device} {str(dtype)[6:]}, ulp", ours)
    assert ours <= theirs + 1
    assert ours <= 6


@pytest.mark.parametrize("columns", [1, 33, 1000, 4096, 20000, 100000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_constant_row_is_the_bias(kernel, device, dtype, columns):
    values = torch.tensor([0.0, 1.0, 1.1, -777.7, 3e4], device=device).to(dtype)
    bias = torch.randn(columns, device=device).to(dtype)
    y = kernel.layer_norm(values[:, None].expand(5, columns), None, bias)
    torch.testing.assert_close(y, bias.expand(5, columns), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("kind", ["same", "float32", "none"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_weights_and_biases(kernel, device, dtype, kind, with_bias):
    for columns in (1000, 1001):
        weights = torch.float32 if kind == "float32" else None
        x, weight, bias = make(device, dtype, (5,), columns, weights)
        weight, bias = None if kind == "none" else weight, bias if with_bias else None
        y = kernel.layer_norm(x, weight, bias, 1e-3)
        want = reference(x, weight, bias, 1e-3)
        assert y.dtype == dtype and y.shape == x.shape and y.is_contiguous()
        assert error_in_ulp(y, want, dtype, weight, bias) <= (0.6 if dtype != torch.float32 else 6)
        if kind == "none" and with_bias:
            wide = kernel.layer_norm(x, None, bias.float(), 1e-3)
            assert torch.equal(wide, y)


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


@pytest.mark.parametrize("columns", [8, 33, 128, 4096, 10000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_layouts_give_the_bits_of_a_contiguous_copy(kernel, device, dtype, columns):
    weight = torch.randn(2 * columns, device=device).to(dtype)
    bias = torch.randn(2 * columns, device=device).to(dtype)
    for name, x in layouts(device, dtype, columns):
        for w, b in (
            (weight[:columns], bias[1 : columns + 1]),
            (weight[::2], bias[:columns]),
            (weight[:1].expand(columns), bias[1::2]),
        ):
            want = kernel.layer_norm(x.contiguous(), w.contiguous(), b.contiguous())
            assert torch.equal(kernel.layer_norm(x, w, b), want), name
            y = kernel.fused_add_layer_norm(x, x.flip(-1), w, b)[0]
            dense = [t.contiguous() for t in (x, x.flip(-1), w, b)]
            assert torch.equal(y, kernel.fused_add_layer_norm(*dense)[0]), name


@pytest.mark.parametrize("shape", [(0, 64), (3, 0), (0, 0), (2, 0, 64), (0,)])
def test_empty(kernel, device, shape):
    x = torch.empty(shape, device=device)
    weight = torch.ones(shape[-1], device=device)
    assert kernel.layer_norm(x, weight, weight).shape == x.shape
    y, total = kernel.fused_add_layer_norm(x, x, weight, weight)
    assert y.shape == total.shape == x.shape
    kernel.layer_norm_(x, weight)


def test_special_values(kernel, device):
    for columns in (512, 511, 20000):
        x = torch.randn(6, columns, device=device)
        x[0] = 0
        x[1, 3] = float("inf")
        x[2, 3] = float("nan")
        x[3] *= 1e15
        x[4] *= 1e-20
        y = kernel.layer_norm(x)
        assert torch.equal(y[0], torch.zeros_like(y[0]))
        assert torch.isnan(y[1]).all() and torch.isnan(eager(x[1])).all()
        assert torch.isnan(y[2]).all()
        assert torch.isfinite(y[3:]).all()
        torch.testing.assert_close(y[3:], eager(x[3:]))
        _, mean, rstd = kernel._ops.ops._layer_norm_fwd_stats(x, None, None, 1e-5)
        assert torch.isnan(rstd[1]) and torch.isnan(rstd[2]) and torch.isnan(mean[2])


@pytest.mark.parametrize("value", [0.0, 65504.0, 6e-8, 1e-7, -65504.0])
def test_float16_extremes(kernel, device, value):
    x = torch.full((2, 64), value, device=device, dtype=torch.float16)
    x[:, ::2] = 0
    torch.testing.assert_close(kernel.layer_norm(x), reference(x).half(), rtol=1e-3, atol=0)
    assert torch.equal(kernel.fused_add_layer_norm(x, torch.zeros_like(x))[1], x)


@pytest.mark.parametrize("residual_rounding", ["rounded", "unrounded"])
@pytest.mark.parametrize("columns", [2048, 2047, 12000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_fused_add(kernel, worst, device, dtype, columns, residual_rounding):
    x, weight, bias = make(device, dtype, (40,), columns)
    residual = torch.randn_like(x.float()).to(dtype)
    y, total = kernel.fused_add_layer_norm(x, residual, weight, bias, residual_rounding=residual_rounding)
    assert torch.equal(total, x + residual)
    s = (x + residual).double() if residual_rounding == "rounded" else x.double() + residual.double()
    want = reference(s, weight, bias)
    error = error_in_ulp(y, want, dtype, weight, bias)
    worst(f"fused_add_layer_norm {device} {str(dtype)[6:]}, ulp", error)
    assert error <= (0.6 if dtype != torch.float32 else 6)


@pytest.mark.parametrize("columns", [1536, 1537, 12000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_fused_equals_the_two_steps(kernel, device, dtype, columns):
    x, weight, bias = make(device, dtype, (33,), columns)
    residual = torch.randn_like(x.float()).to(dtype)
    y, total = kernel.fused_add_layer_norm(x, residual, weight, bias)
    assert torch.equal(y, kernel.layer_norm(total, weight, bias))


@pytest.mark.parametrize("columns", [64, 100, 4096, 20000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_in_place_and_out_give_the_same_bits(kernel, device, dtype, columns):
    x, weight, bias = make(device, dtype, (9,), columns)
    residual = torch.randn_like(x.float()).to(dtype)
    want = kernel.layer_norm(x, weight, bias)
    want_y, want_sum = kernel.fused_add_layer_norm(x, residual, weight, bias)

    out = torch.full_like(x, float("nan"))
    assert kernel.layer_norm(x, weight, bias, out=out) is out and torch.equal(out, want)
    wide = torch.zeros(9, 2 * columns, device=device, dtype=dtype)
    kernel.layer_norm(x, weight, bias, out=wide[:, ::2])
    assert torch.equal(wide[:, ::2], want) and not wide[:, 1::2].any()
    kernel.layer_norm(x, weight, bias, out=wide[:, columns:])
    assert torch.equal(wide[:, columns:], want)

    y = x.clone()
    assert kernel.layer_norm_(y, weight, bias) is y and torch.equal(y, want)
    a, b = x.clone(), residual.clone()
    kernel.fused_add_layer_norm_(a, b, weight, bias)
    assert torch.equal(a, want_y) and torch.equal(b, want_sum)


@pytest.mark.parametrize("columns", [64, 100, 4096, 9000, 40000, 70000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_statistics_are_those_of_the_forward(kernel, device, dtype, columns):
    x, weight, bias = make(device, dtype, (4, 3), columns)
    ops = kernel._ops.ops
    y, mean, rstd = ops._layer_norm_fwd_stats(x, weight, bias, 1e-5)
    assert mean.shape == rstd.shape == x.shape[:-1]
    assert torch.equal(y, ops._layer_norm_fwd(x, weight, bias, 1e-5))
    for a, b in zip(ops._layer_norm_stats(x, 1e-5), (mean, rstd), strict=True):
        assert torch.equal(a, b)
    exact = x.double()
    torch.testing.assert_close(mean.double(), exact.mean(-1), rtol=1e-6, atol=2e-7)
    want = torch.rsqrt(exact.var(-1, correction=0) + 1e-5)
    torch.testing.assert_close(rstd.double(), want, rtol=1e-6, atol=0)


def test_nothing_beside_the_output_is_written(kernel, device):
    for columns in (64, 100, 4096):
        guard = torch.full((4, columns + 64), 7.0, device=device)
        x = torch.randn(4, columns, device=device)
        kernel.layer_norm(x, out=guard[:, 32 : columns + 32])
        assert (guard[:, :32] == 7).all() and (guard[:, columns + 32 :] == 7).all()
