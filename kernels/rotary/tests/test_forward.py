"""Values of the forward: against float64, beside Transformers' eager formula, over sizes and layouts."""

import pytest
import torch
from conftest import DTYPES, eager_one, eager_pairs, lies_like, make, tables, ulp

COLUMNS = [(2, 2), (4, 2), (10, 6), (64, 64), (80, 80), (80, 20), (96, 96), (128, 128), (128, 64), (128, 30)]
COLUMNS += [(256, 256), (192, 64), (1000, 998), (2048, 2048)]


@pytest.mark.parametrize("columns, rotated", COLUMNS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_words_of_transformers(kernel, device, dtype, columns, rotated):
    q, k = make(device, dtype, columns=columns)
    for batch in (1, 2):
        cos, sin = tables(device, dtype, batch, 7, rotated)
        y, z = kernel.rotary(q, k, cos, sin)
        assert y.dtype == dtype and lies_like(y, q) and lies_like(z, k)
        assert torch.equal(y, eager_one(q, cos, sin)) and torch.equal(z, eager_one(k, cos, sin))
        if batch == 1:
            assert torch.equal(kernel.rotary(q, k, cos[0], sin[0])[0], y)


@pytest.mark.parametrize("rotated", [64, 128])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_halves_that_differ(kernel, device, dtype, rotated):
    """Transformers multiplies each half by its own part of the table, whatever stands there."""
    q, k = make(device, dtype, columns=128)
    cos, sin = (torch.randn(2, 7, rotated, device=device).to(dtype) for _ in range(2))
    y, z = kernel.rotary(q, k, cos, sin)
    assert torch.equal(y, eager_one(q, cos, sin)) and torch.equal(z, eager_one(k, cos, sin))


@pytest.mark.parametrize("columns, rotated", [(64, 64), (128, 128), (128, 32), (10, 6)])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_half_table_is_the_duplicated_one(kernel, device, dtype, columns, rotated):
    q, k = make(device, dtype, columns=columns)
    cos, sin = tables(device, dtype, 2, 7, rotated)
    n = rotated // 2
    for interleaved in (False, True):
        want = kernel.rotary(q, k, cos, sin, interleaved=interleaved)
        for c, s in ((cos[..., :n], sin[..., :n]), (cos[..., :n].contiguous(), sin[..., :n].contiguous())):
            got = kernel.rotary(q, k, c, s, interleaved=interleaved, rotary_dim=rotated)
            assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])


@pytest.mark.parametrize("columns, rotated", COLUMNS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_interleaved(kernel, device, dtype, columns, rotated):
    q, k = make(device, dtype, columns=columns)
    cos, sin = tables(device, dtype, 2, 7, rotated)
    half = cos[..., : rotated // 2], sin[..., : rotated // 2]
    y, z = kernel.rotary(q, k, cos, sin, interleaved=True)
    assert torch.equal(y, eager_pairs(q, *half)) and torch.equal(z, eager_pairs(k, *half))
    repeated = (t.repeat_interleave(2, -1) for t in half)  # as Cohere keeps it
    again = kernel.rotary(q, k, *(t[..., ::2] for t in repeated), interleaved=True, rotary_dim=rotated)
    assert torch.equal(again[0], y)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("columns, rotated", [(128, 128), (96, 48), (10, 6)])
@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
def test_float32_tables(kernel, device, dtype, columns, rotated, interleaved):
    """torch promotes: the formula is float32 and its result is rounded."""
    q, k = make(device, dtype, columns=columns)
    cos, sin = tables(device, torch.float32, 2, 7, rotated)
    y, z = kernel.rotary(q, k, cos, sin, interleaved=interleaved)
    if interleaved:
        cos, sin = cos[..., : rotated // 2], sin[..., : rotated // 2]
    formula = eager_pairs if interleaved else eager_one
    assert torch.equal(y, formula(q, cos, sin)) and torch.equal(z, formula(k, cos, sin))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_error_against_float64(kernel, worst, device, dtype):
    q, k = make(device, dtype, length=200, columns=128)
    cos, sin = tables(device, dtype, 2, 200, 128)
    want = eager_one(q.double(), cos.double(), sin.double())
    # a sum that cancels has the error of its terms: places of the largest of them
    terms = (q.double() * cos.double().unsqueeze(1)).abs()
    terms = torch.maximum(terms, (q.double().roll(64, -1) * sin.double().unsqueeze(1)).abs())
    place = ulp(torch.maximum(terms, want.abs()), dtype)
    ours, theirs = (
        ((y.double() - want).abs() / place).max().item()
        for y in (kernel.rotary(q, k, cos, sin)[0], eager_one(q, cos, sin))
    )
    worst(f"rotary {device} {str(dtype)[6:]}, ulp of the larger term", ours)
    assert ours <= theirs
    single = kernel.rotary(q, k, cos, sin, rounding="single")[0]
    assert ((single.double() - want).abs() / place).max().item() <= (0.51 if dtype != torch.float32 else 1.5)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_single_rounds_once(kernel, device, dtype):
    for interleaved in (False, True):
        q, k = make(device, dtype, columns=96)
        cos, sin = tables(device, dtype, 2, 7, 96)
        y = kernel.rotary(q, k, cos, sin, rounding="single", interleaved=interleaved)[0]
        want = kernel.rotary(q.float(), k.float(), cos.float(), sin.float(), interleaved=interleaved)[0]
        assert torch.equal(y, want.to(dtype))


def test_head_dimension_second(kernel, device):
    q, k = (t.transpose(1, 2) for t in make(device, torch.bfloat16))
    cos, sin = tables(device, torch.bfloat16, 2, 7, 64)
    y, z = kernel.rotary(q, k, cos, sin, unsqueeze_dim=2)
    assert torch.equal(y, eager_one(q, cos, sin, 2)) and torch.equal(z, eager_one(k, cos, sin, 2))
    assert lies_like(y, q)


def test_without_keys(kernel, device):
    q, k = make(device, torch.float32)
    cos, sin = tables(device, torch.float32, 1, 7, 64)
    y, z = kernel.rotary(q, None, cos, sin)
    assert z is None and torch.equal(y, kernel.rotary(q, k, cos, sin)[0])
    again = q.clone()
    assert kernel.rotary_(again, None, cos, sin) == (again, None) and torch.equal(again, y)


def layouts(device, dtype, columns):
    """[2, 3, 5, columns] in every layout that a caller may bring."""
    base = torch.randn(4, 10, 8, 2 * columns + 3, device=device).to(dtype)
    yield "contiguous", base[:2, :3, :5, :columns].contiguous()
    yield "transposed", base[:2, :5, :3, :columns].contiguous().transpose(1, 2)
    yield "slice", base[::2, :3, :5, :columns]
    yield "columns", base[:2, :3, 1:6, columns : 2 * columns]
    yield "unaligned", base[:2, :3, :5, 1 : columns + 1]
    yield "packed heads", base[:2, :5, :, :columns].contiguous()[:, :, 2:5].transpose(1, 2)
    yield "batches inside", base[:3, :2, :5, :columns].contiguous().transpose(0, 1)
    yield "positions outside", base[:2, :5, :3, :columns].permute(0, 2, 1, 3)
    yield "expanded heads", base[:2, :1, :5, :columns].expand(2, 3, 5, columns)
    yield "expanded batches", base[:1, :3, :5, :columns].expand(2, 3, 5, columns)
    yield "expanded columns", base[:2, :3, :5, :1].expand(2, 3, 5, columns)
    yield "strided columns", base[:2, :3, :5, : 2 * columns : 2]
    yield "columns first", base[:2, :3, :5, :columns].permute(3, 0, 1, 2).contiguous().permute(1, 2, 3, 0)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("columns, rotated", [(64, 64), (128, 64), (10, 6)])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_layouts_give_the_bits_of_a_contiguous_copy(kernel, device, dtype, columns, rotated, interleaved):
    cos, sin = tables(device, dtype, 2, 5, rotated)
    wide = torch.zeros(2, 5, 3 * rotated + 1, device=device, dtype=dtype)
    wide[..., 1 : rotated + 1], wide[..., rotated + 1 : 2 * rotated + 1] = cos, sin
    odd = wide[..., 1 : rotated + 1], wide[..., rotated + 1 : 2 * rotated + 1]
    for name, x in layouts(device, dtype, columns):
        want = kernel.rotary(x.contiguous(), None, cos, sin, interleaved=interleaved)[0]
        for c, s in ((cos, sin), odd, (cos.mT.contiguous().mT, sin)):
            got, again = kernel.rotary(x, x, c, s, interleaved=interleaved)
            assert torch.equal(got, want) and torch.equal(again, want), name
        if "expanded" not in name:
            y = torch.empty_strided(x.shape, x.stride(), dtype=dtype, device=device).copy_(x)
            kernel.rotary_(y, None, cos, sin, interleaved=interleaved)
            assert torch.equal(y, want), name


@pytest.mark.parametrize("columns, rotated", [(64, 64), (128, 64), (10, 6)])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_in_place_gives_the_same_bits(kernel, device, dtype, columns, rotated):
    q, k = make(device, dtype, columns=columns)
    cos, sin = tables(device, dtype, 2, 7, rotated)
    want = kernel.rotary(q, k, cos, sin)
    a, b = q.clone(), k.clone()
    assert kernel.rotary_(a, b, cos, sin) == (a, b)
    assert torch.equal(a, want[0]) and torch.equal(b, want[1])


@pytest.mark.parametrize("columns, rotated", [(64, 64), (10, 6)])
def test_nothing_beside_the_output_is_written(kernel, device, columns, rotated):
    guard = torch.full((2, 7, 10, columns + 16), 7.0, device=device)
    inside = guard[:, :, 2:6, 8 : columns + 8]
    inside.normal_()
    before = guard.clone()
    kernel.rotary_(inside, None, *tables(device, torch.float32, 2, 7, rotated), unsqueeze_dim=2)
    assert not torch.equal(inside, before[:, :, 2:6, 8 : columns + 8])
    inside.copy_(before[:, :, 2:6, 8 : columns + 8])
    assert torch.equal(guard, before)


@pytest.mark.parametrize("shape", [(0, 2, 3, 64), (2, 0, 3, 64), (2, 2, 0, 64)])
def test_empty(kernel, device, shape):
    q, k = torch.empty(shape, device=device), torch.randn(shape[0], 3, shape[2], 64, device=device)
    cos, sin = torch.ones(2, shape[0] or 1, shape[2], 64, device=device)
    y, z = kernel.rotary(q, k, cos, sin)
    assert y.shape == q.shape and z.shape == k.shape
    torch.testing.assert_close(z, eager_one(k, cos, sin))
    kernel.rotary_(q, k, cos, sin)
    w = torch.ones(64, device=device)
    assert kernel.qk_norm_rotary(q, k, w, w, cos, sin)[0].shape == q.shape
    none = torch.empty(0, 2, 64, device=device)
    positions, cache = torch.empty(0, device=device, dtype=torch.int64), torch.ones(5, 64, device=device)
    assert kernel.rotary_embedding(none, none, positions, cache)[1].shape == none.shape


def test_special_values(kernel, device):
    q = torch.randn(1, 1, 3, 64, device=device)
    q[0, 0, 0, 3], q[0, 0, 1, 40] = float("inf"), float("nan")
    cos, sin = tables(device, torch.float32, 1, 3, 64)
    y = kernel.rotary(q, None, cos, sin)[0]
    torch.testing.assert_close(y, eager_one(q, cos, sin), rtol=0, atol=0, equal_nan=True)
    assert torch.isfinite(y[0, 0, 2]).all() and torch.isnan(y[0, 0, 1, 8])
    big = torch.full((1, 1, 3, 64), 65504.0, device=device, dtype=torch.float16)
    half = cos.half(), sin.half()
    assert torch.equal(kernel.rotary(big, None, *half)[0], eager_one(big, *half))
