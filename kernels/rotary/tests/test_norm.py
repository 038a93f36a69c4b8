"""The norm of heads alone: against float64, beside Transformers' formula and rms_norm, in any layout."""

import pytest
import torch
from conftest import DTYPES, eager_norm, lies_like, make, share_equal, ulp

SIZES = [64, 80, 96, 128, 256, 10, 7, 1, 600]


def layouts(device, dtype, columns):
    """Queries and keys of 2 x 25 positions as callers have them."""

    def packed(*shape):
        return torch.randn(*shape, 8 * columns, device=device).to(dtype).unflatten(-1, (8, columns))

    yield "contiguous", *(x.contiguous() for x in make(device, dtype, 2, 25, (4, 2), columns))
    yield "transposed", *make(device, dtype, 2, 25, (4, 2), columns)
    qkv = torch.randn(50, 8 * columns, device=device).to(dtype)
    q, k, _ = qkv.split([4 * columns, 2 * columns, 2 * columns], -1)
    yield "packed tokens", q.view(50, 4, columns), k.view(50, 2, columns)
    yield "heads before tokens", *(x.transpose(0, 1) for x in packed(50).split([4, 4], 1))
    q, k, _ = packed(2, 25).split([4, 2, 2], 2)
    yield "packed batches", q, k
    yield "packed and transposed", q.transpose(1, 2), k.transpose(1, 2)
    x = torch.randn(2, 25, 6, columns + 1, device=device).to(dtype)
    yield "unaligned", x[:, :, :4, 1:], x[:, :, 4:, 1:]
    yield "as many keys", *packed(2, 25).split([4, 4], 2)
    x = packed(2, 25).mT.contiguous().mT
    yield "strided columns", x[:, :, :4], x[:, :, 4:6]
    yield "expanded", x[:1, :, :4].expand(2, 25, 4, columns), x[:, :1, 4:6].expand(2, 25, 2, columns)


def weights(device, dtype, columns):
    return (torch.randn(columns, device=device).to(dtype) for _ in range(2))


def equal_words(got, want):
    if got.dtype == torch.float32:
        torch.testing.assert_close(got, want)
    else:
        assert share_equal(got, want) >= 0.999


@pytest.mark.parametrize("columns", SIZES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_words_of_transformers(kernel, device, dtype, columns):
    q, k = make(device, dtype, length=300, columns=columns)
    wq, wk = weights(device, dtype, columns)
    y, z = kernel.qk_norm(q, k, wq, wk)
    assert lies_like(y, q) and lies_like(z, k) and y.dtype == z.dtype == dtype
    equal_words(y, eager_norm(q, wq))
    equal_words(z, eager_norm(k, wk))
    alone, none = kernel.qk_norm(q, None, wq, None)
    assert none is None and torch.equal(alone, y)


@pytest.mark.parametrize("offset", [0.0, 1.0])
@pytest.mark.parametrize("rounding", ["hf", "single"])
@pytest.mark.parametrize("columns", [64, 80, 128, 10])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_words_of_rms_norm(kernel, device, dtype, columns, rounding, offset):
    rms_norm = pytest.importorskip("kernmill_rmsnorm").rms_norm
    how = {"rounding": rounding, "weight_offset": offset}
    q, k = make(device, dtype, length=300, columns=columns)
    for weight_dtype in {dtype, torch.float32}:
        wq, wk = weights(device, weight_dtype, columns)
        for got, x, w in zip(kernel.qk_norm(q, k, wq, wk, 1e-5, **how), (q, k), (wq, wk), strict=True):
            equal_words(got, rms_norm(x, w, 1e-5, **how))


def limit(dtype, rounding: str) -> float:
    """Of an error, in places. "hf" rounds twice, and a result just above a power of two has places twice as wide as
    what it should be just below."""
    return 6 if dtype == torch.float32 else 2 if rounding == "hf" else 0.51


@pytest.mark.parametrize("rounding", ["hf", "single"])
@pytest.mark.parametrize("weight_dtype", [None, torch.float32])
@pytest.mark.parametrize("columns", SIZES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_against_float64(kernel, worst, device, dtype, columns, weight_dtype, rounding):
    wq, wk = weights(device, weight_dtype or dtype, columns)
    for name, q, k in layouts(device, dtype, columns):
        for offset in (0.0, 1.0):
            y, z = kernel.qk_norm(q, k, wq, wk, 1e-5, rounding=rounding, weight_offset=offset)
            for got, x, w in ((y, q, wq), (z, k, wk)):
                n = x.double() * torch.rsqrt(x.double().pow(2).mean(-1, keepdim=True) + 1e-5)
                want = n * (w.double() + offset)
                error = ((got.double() - want).abs() / ulp(want, dtype)).max().item()
                worst(f"qk_norm {rounding} {device} {str(dtype)[6:]}, ulp", error)
                assert error <= limit(dtype, rounding), name


@pytest.mark.parametrize("columns", SIZES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_layouts_give_the_bits_of_a_contiguous_copy(kernel, device, dtype, columns):
    w = torch.randn(columns + 1, device=device).to(dtype)
    for name, q, k in layouts(device, dtype, columns):
        want = kernel.qk_norm(q.contiguous(), k.contiguous(), w[1:].clone(), w[1:].clone())
        got = kernel.qk_norm(q, k, w[1:], w[1:])
        assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1]), name
        if name == "expanded":
            continue
        q, k = (torch.empty_strided(x.shape, x.stride(), dtype=dtype, device=device).copy_(x) for x in (q, k))
        assert kernel.qk_norm_(q, k, w[1:], w[1:]) == (q, k)
        assert torch.equal(q, want[0]) and torch.equal(k, want[1]), name


@pytest.mark.parametrize("columns", [64, 128, 80, 10])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_head_alone_has_the_bits_of_the_batch(kernel, device, dtype, columns):
    q, k = make(device, dtype, batch=3, length=300, heads=(9, 5), columns=columns)
    wq, wk = weights(device, dtype, columns)
    y, z = kernel.qk_norm(q, k, wq, wk)
    for batches, positions, heads in (
        (slice(0, 1), slice(0, 1), slice(0, 1)),
        (slice(2, 3), slice(299, 300), slice(8, 9)),
        (slice(1, 3), slice(17, 18), slice(0, 9)),
        (slice(0, 3), slice(40, 111), slice(3, 4)),
    ):
        got = kernel.qk_norm(q[batches, heads, positions], k[batches, :, positions], wq, wk)
        assert torch.equal(got[0], y[batches, heads, positions])
        assert torch.equal(got[1], z[batches, :, positions])
        tokens = q[batches, heads, positions].contiguous().flatten(0, 1)
        assert torch.equal(kernel.qk_norm(tokens, None, wq, None)[0], got[0].flatten(0, 1))


@pytest.mark.parametrize("columns", [64, 10])
def test_in_place_in_a_packed_projection(kernel, device, columns):
    """The values that lie beside stay as they are."""
    qkv = torch.randn(50, 8 * columns + 3, device=device)
    before = qkv.clone()
    q, k, _, _ = qkv.split([4 * columns, 2 * columns, 2 * columns, 3], -1)
    q, k = q.unflatten(-1, (4, columns)), k.unflatten(-1, (2, columns))
    w = torch.randn(columns, device=device)
    want = kernel.qk_norm(q, k, w, w)
    kernel.qk_norm_(q, k, w, w)
    assert torch.equal(q, want[0]) and torch.equal(k, want[1])
    assert torch.equal(qkv[:, 6 * columns :], before[:, 6 * columns :])
    again = before[:, : 4 * columns].unflatten(-1, (4, columns))
    assert kernel.qk_norm_(again, None, w, None) == (again, None) and torch.equal(again, want[0])


def test_keys_of_another_length(kernel, device):
    """Cross attention: what differs need not be heads."""
    q, k = (torch.randn(2, length, 4, 64, device=device) for length in (9, 33))
    w = torch.randn(64, device=device)
    for a, b in ((q, k), (q.transpose(1, 2), k.transpose(1, 2)), (q[0], k[0])):
        y, z = kernel.qk_norm(a, b, w, w)
        assert torch.equal(y, kernel.qk_norm(a, None, w, None)[0])
        assert torch.equal(z, kernel.qk_norm(b, None, w, None)[0])


@pytest.mark.parametrize("shape", [(0, 2, 3, 64), (2, 0, 3, 64), (2, 2, 0, 64), (0, 2, 64), (2, 0, 64)])
def test_empty(kernel, device, shape):
    q, w = torch.empty(shape, device=device), torch.ones(64, device=device)
    for k in (None, q.clone(), torch.randn(*shape[:-2], 5, 64, device=device)):
        y, z = kernel.qk_norm(q, k, w, None if k is None else w)
        assert y.shape == q.shape and (z is None) == (k is None)
        if k is not None:
            torch.testing.assert_close(z, eager_norm(k, w))
        kernel.qk_norm_(q, k, w, None if k is None else w)
    none = torch.empty(2, 3, 0, device=device)
    assert kernel.qk_norm(none, none, w[:0], w[:0])[1].shape == none.shape


def test_special_values(kernel, device):
    for dtype in DTYPES:
        q = torch.randn(1, 4, 1, 64, device=device).to(dtype)
        q[0, 0], q[0, 1, 0, 3], q[0, 2, 0, 40] = 0, float("inf"), float("nan")
        w = torch.ones(64, device=device).to(dtype)
        y = kernel.qk_norm(q, None, w, None)[0]
        torch.testing.assert_close(y, eager_norm(q, w), equal_nan=True)
        assert torch.isfinite(y[0, 3]).all() and (y[0, 0] == 0).all()
