"""The forms with a cache and positions, with a norm, and the Hub's names."""

import pytest
import torch
from conftest import DTYPES, eager_norm, eager_one, eager_pairs, lies_like, make, share_equal, tables, ulp


def cached(device, dtype, rotated, rows=50):
    """[rows, R]: cosines and then sines, as inference engines keep them."""
    cos, sin = tables(device, torch.float32, 1, rows, rotated)
    n = rotated // 2
    return torch.cat((cos[0, :, :n], sin[0, :, :n]), -1).to(dtype)


def from_cache(x, positions, cache, interleaved=False):
    """In float32, rounded once: x [T, H, D]."""
    cos, sin = (t.float().unsqueeze(0) for t in cache[positions.long()].chunk(2, -1))
    x4 = x.float().unsqueeze(0)
    if interleaved:
        return eager_pairs(x4, cos, sin, 2)[0].to(x.dtype)
    return eager_one(x4, torch.cat((cos, cos), -1), torch.cat((sin, sin), -1), 2)[0].to(x.dtype)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("index", [torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("columns, rotated", [(64, 64), (128, 32), (128, 128), (10, 6)])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_embedding(kernel, device, dtype, columns, rotated, index, interleaved):
    q, k = torch.randn(2, 9, 4, columns, device=device).to(dtype)
    k = k[:, :3]
    positions = torch.randint(0, 50, (9,), device=device).to(index)
    for cache_dtype in {dtype, torch.float32}:
        cache = cached(device, cache_dtype, rotated)
        y, z = kernel.rotary_embedding(q, k, positions, cache, interleaved=interleaved)
        assert torch.equal(y, from_cache(q, positions, cache, interleaved)) and y.is_contiguous()
        assert torch.equal(z, from_cache(k, positions, cache, interleaved)) and z.is_contiguous()
        flat = kernel.rotary_embedding(
            q.flatten(1), k.flatten(1), positions, cache, interleaved=interleaved, head_size=columns
        )
        assert torch.equal(flat[0], y.flatten(1)) and torch.equal(flat[1], z.flatten(1))
        alone, none = kernel.rotary_embedding(q, None, positions, cache, interleaved=interleaved)
        assert none is None and torch.equal(alone, y)
        # in place, as slices of one projection
        packed = torch.cat((q.flatten(1), k.flatten(1), q.flatten(1)), -1)
        a, b, rest = packed.split((4 * columns, 3 * columns, 4 * columns), -1)
        kernel.rotary_embedding_(a, b, positions, cache, interleaved=interleaved, head_size=columns)
        assert torch.equal(a, y.flatten(1)) and torch.equal(b, z.flatten(1))
        assert torch.equal(rest, q.flatten(1))


@pytest.mark.parametrize("columns, rotated", [(64, 64), (10, 6)])
def test_strided_caches_and_positions(kernel, device, columns, rotated):
    q = torch.randn(9, 4, columns, device=device)
    positions = torch.randint(0, 25, (9,), device=device)
    cache = cached(device, torch.float32, rotated)
    want = kernel.rotary_embedding(q, None, positions * 2, cache)[0]
    assert torch.equal(kernel.rotary_embedding(q, None, positions, cache[::2])[0], want)
    assert torch.equal(kernel.rotary_embedding(q, None, (positions * 2).repeat(2)[:9], cache)[0], want)
    assert torch.equal(kernel.rotary_embedding(q, None, positions * 2, cache.t().contiguous().t())[0], want)
    odd = torch.zeros(50, rotated + 1, device=device)
    odd[:, 1:] = cache
    assert torch.equal(kernel.rotary_embedding(q, None, positions * 2, odd[:, 1:])[0], want)
    twice = torch.stack((positions * 2, positions), -1)[:, 0]
    assert torch.equal(kernel.rotary_embedding(q, None, twice, cache)[0], want)


@pytest.mark.parametrize("rotated", [64, 32, 10])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_positions_outside_the_cache(kernel, device, dtype, rotated):
    """Nothing outside the cache is read: an error where looking is free, NaN where it is not."""
    q = torch.randn(4, 2, 64, device=device).to(dtype)
    for cache in (cached(device, dtype, rotated), cached(device, torch.float32, rotated)):
        for outside in (-1, 50, 2**31 - 1, -(2**31)):
            positions = torch.tensor([3, outside, 49, 0], device=device, dtype=torch.int32)
            if device == "cpu":
                with pytest.raises(ValueError, match="argument 'positions'.*from 0 to 49.*number 1 is"):
                    kernel.rotary_embedding(q, None, positions, cache)
                before = q.clone()
                with pytest.raises(ValueError, match="argument 'positions'"):
                    kernel.rotary_embedding_(q, None, positions, cache)
                assert torch.equal(q, before)
                continue
            for interleaved in (False, True):
                y = kernel.rotary_embedding(q, None, positions, cache, interleaved=interleaved)[0]
                assert torch.isnan(y[1, :, :rotated]).all()
                assert torch.equal(y[1, :, rotated:], q[1, :, rotated:])
                assert torch.isfinite(y[[0, 2, 3]]).all()


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize(
    "columns, rotated",
    [(64, 64), (80, 80), (96, 96), (128, 128), (128, 64), (128, 30), (256, 256), (10, 6), (600, 512)],
)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_norm_then_rotary(kernel, device, dtype, columns, rotated, interleaved):
    q, k = make(device, dtype, length=50, columns=columns)
    wq, wk = (torch.randn(columns, device=device).to(dtype) for _ in range(2))
    cos, sin = tables(device, dtype, 2, 50, rotated)
    y, z = kernel.qk_norm_rotary(q, k, wq, wk, cos, sin, interleaved=interleaved)
    assert lies_like(y, q) and lies_like(z, k)
    half = cos[..., : rotated // 2], sin[..., : rotated // 2]
    for got, x, w in ((y, q, wq), (z, k, wk)):
        n = eager_norm(x, w)
        want = eager_pairs(n, *half) if interleaved else eager_one(n, cos, sin)
        if dtype == torch.float32:
            torch.testing.assert_close(got, want)
        else:
            assert share_equal(got, want) >= 0.999


@pytest.mark.parametrize("rounding", ["hf", "single"])
@pytest.mark.parametrize("weight_offset", [0.0, 1.0])
@pytest.mark.parametrize("weight_dtype", [None, torch.float32])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_norm_against_float64(kernel, worst, device, dtype, weight_dtype, weight_offset, rounding):
    q, k = make(device, dtype, length=40, columns=128)
    wq, wk = (torch.randn(128, device=device).to(weight_dtype or dtype) for _ in range(2))
    for table_dtype in {dtype, torch.float32}:
        cos, sin = tables(device, table_dtype, 1, 40, 128)
        y, z = kernel.qk_norm_rotary(
            q, k, wq, wk, cos, sin, 1e-5, rounding=rounding, weight_offset=weight_offset
        )
        for got, x, w in ((y, q, wq), (z, k, wk)):
            n = x.double() * torch.rsqrt(x.double().pow(2).mean(-1, keepdim=True) + 1e-5)
            n = n * (w.double() + weight_offset)
            want = eager_one(n, cos.double(), sin.double())
            terms = torch.maximum(torch.maximum(n.abs(), n.roll(64, -1).abs()), want.abs())
            error = ((got.double() - want).abs() / ulp(terms, dtype)).max().item()
            worst(f"qk_norm_rotary {rounding} {device} {str(dtype)[6:]}, ulp of the larger term", error)
            assert error <= (6 if dtype == torch.float32 else 3.5 if rounding == "hf" else 0.51)


@pytest.mark.parametrize("columns, rotated", [(64, 64), (128, 64), (10, 6)])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_norm_of_any_layout(kernel, device, dtype, columns, rotated):
    base = torch.randn(3, 10, 8, 2 * columns + 3, device=device).to(dtype)
    w = torch.randn(columns + 1, device=device).to(dtype)
    cos, sin = tables(device, dtype, 2, 5, rotated)
    for interleaved in (False, True):
        for x in (
            base[:2, :3, :5, 1 : columns + 1],
            base[:2, :5, :3, :columns].transpose(1, 2),
            base[:2, :3, :5, : 2 * columns : 2],
            base[:1, :3, :5, :columns].expand(2, 3, 5, columns),
        ):
            for weight in (w[:columns], w[1:]):
                want = kernel.qk_norm_rotary(
                    x.contiguous(), None, weight.clone(), None, cos, sin, interleaved=interleaved
                )
                got = kernel.qk_norm_rotary(x, None, weight, None, cos, sin, interleaved=interleaved)
                assert torch.equal(got[0], want[0])


# ---- the Hub's names ----


def hub_formula(x1, x2, cos, sin, conj):
    x1, x2, cos, sin = x1.float(), x2.float(), cos.float(), sin.float() * (-1 if conj else 1)
    return x1 * cos - x2 * sin, x1 * sin + x2 * cos


@pytest.mark.parametrize("conj", [False, True])
@pytest.mark.parametrize(
    "shape, table",
    [
        ((2, 7, 4, 32), (7, 1, 32)),
        ((2, 7, 4, 32), (2, 7, 1, 32)),
        ((2, 4, 7, 32), (2, 1, 7, 32)),
        ((2, 4, 7, 32), (7, 32)),
        ((14, 4, 30), (14, 1, 30)),
        ((14, 4, 10), (1, 1, 10)),
        ((14, 20), (14, 20)),
        ((14, 20), (20,)),
        ((7, 4, 20), (7, 4, 20)),
    ],
)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_hub_apply_rotary(kernel, device, dtype, shape, table, conj):
    n = shape[-1]
    x = torch.randn(*shape[:-1], 2 * n + 6, device=device).to(dtype)
    for table_dtype in {dtype, torch.float32}:
        cos, sin = (torch.randn(table, device=device).to(table_dtype) for _ in range(2))
        x1, x2 = x[..., :n], x[..., n : 2 * n]
        want = [t.to(dtype) for t in hub_formula(x1, x2, cos, sin, conj)]
        out = torch.empty_like(x1), torch.empty_like(x2)
        assert kernel.apply_rotary(x1, x2, cos, sin, *out, conj) is None
        assert torch.equal(out[0], want[0]) and torch.equal(out[1], want[1])
        y = x.clone()
        halves = y[..., :n], y[..., n : 2 * n]
        kernel.apply_rotary(*halves, cos, sin, *halves, conj)
        assert torch.equal(halves[0], want[0]) and torch.equal(halves[1], want[1])
        assert torch.equal(y[..., 2 * n :], x[..., 2 * n :])
        y = torch.zeros_like(x)  # pairs, and results that lie otherwise than the inputs
        pairs = y[..., : 2 * n : 2], y[..., 1 : 2 * n : 2]
        kernel.apply_rotary(x1, x2.clone(), cos, sin, *pairs, conj)
        assert torch.equal(pairs[0], want[0]) and torch.equal(pairs[1], want[1])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_hub_transformers(kernel, device, dtype):
    q, k = make(device, dtype, columns=128)
    for table_dtype in {dtype, torch.float32}:
        cos, sin = tables(device, table_dtype, 2, 7, 128)
        want = eager_one(q, cos, sin), eager_one(k, cos, sin)
        layer = kernel.layers.apply_rotary_transformers()
        for function in (kernel.apply_rotary_transformers, layer):
            for tail in ((), (1,)):
                y, z = function(q, k, cos, sin, *tail)
                assert torch.equal(y, want[0]) and torch.equal(z, want[1])
        half = kernel.apply_rotary_transformers(q, k, cos[..., :64], sin[..., :64])  # as gpt-oss
        assert torch.equal(half[0], want[0])
        other = kernel.apply_rotary_transformers(q.transpose(1, 2), k.transpose(1, 2), cos, sin, 2)
        assert torch.equal(other[0], want[0].transpose(1, 2))
    assert kernel.apply_rotary_transformers.can_torch_compile


def test_in_a_model_of_transformers(kernel, device):
    """Every attention layer of a small Qwen3 with our function gives the words of its own."""
    modeling = pytest.importorskip("transformers.models.qwen3.modeling_qwen3")
    config = pytest.importorskip("transformers").Qwen3Config(
        hidden_size=64, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, vocab_size=50,
    )  # fmt: skip
    model = modeling.Qwen3ForCausalLM(config).to(device, torch.bfloat16).eval()
    tokens = torch.randint(0, 50, (2, 9), device=device)
    theirs = modeling.apply_rotary_pos_emb
    calls = []

    def ours(*arguments, **more):
        calls.append(1)
        return kernel.apply_rotary_transformers(*arguments, **more)

    with torch.no_grad():
        want = model(tokens).logits
        modeling.apply_rotary_pos_emb = ours
        try:
            got = model(tokens).logits
            replaced = bool(calls)
        finally:
            modeling.apply_rotary_pos_emb = theirs
    assert torch.equal(got, want)
    if not replaced:  # newer releases call it through a layer
        q, k = make(device, torch.bfloat16, columns=32)
        cos, sin = tables(device, torch.bfloat16, 2, 7, 32)
        for a, b in zip(
            kernel.apply_rotary_transformers(q, k, cos, sin), theirs(q, k, cos, sin), strict=True
        ):
            assert torch.equal(a, b)
