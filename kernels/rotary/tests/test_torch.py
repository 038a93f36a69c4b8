"""What PyTorch asks of an operator: opcheck, compile, export, layers."""

import pytest
import torch
from conftest import DTYPES, eager_one, make, tables
from torch import nn


def operators(kernel, device, dtype):
    ops = kernel._ops.ops
    q, k = make(device, dtype)
    plain = q.contiguous(), k.contiguous()
    cos, sin = tables(device, dtype, 2, 7, 64)
    x, cache = torch.randn(7, 2, 64, device=device).to(dtype), torch.randn(20, 32, device=device)
    positions = torch.arange(7, device=device)
    w = torch.randn(64, device=device).to(dtype)
    gq, gk, gx = (t.clone().requires_grad_() for t in (q, k, x))
    how = (None, False, 1, "hf")
    n = x[..., :32], x[..., 32:]
    table = (torch.randn(7, 1, 32, device=device).to(dtype),) * 2
    yield ops.rotary, (gq, gk, cos, sin)
    yield ops.rotary, (gq, None, cos[..., :32], sin[..., :32], 64, True, 1, "single", True)
    yield ops.rotary, (*plain, cos, sin)
    yield ops.rotary_embedding, (gx, gx.detach() + 1, positions, cache)
    yield ops.rotary_embedding, (x.flatten(1), None, positions.int(), cache, 64, True, True)
    yield ops.qk_norm_rotary, (q, k, cos, sin, *how, w, w.clone())
    yield ops._rotary_fwd, (q, k, cos, sin, *how, False)
    yield ops._rotary_fwd, (q[:, :1], None, cos, sin, *how, True)
    yield ops._rotary_inplace, (q.clone(), k.clone(), cos, sin, *how)
    yield ops._rotary_inplace, (q.clone(), None, cos, sin, *how)
    yield ops._rotary_embedding_fwd, (x, x + 1, positions, cache, None, False, False)
    yield ops._rotary_embedding_inplace, (x.clone(), x.clone(), positions, cache, None, False)
    yield ops._qk_norm_rotary_fwd, (q, None, cos, sin, *how, w, None, 1e-6, 1.0)
    yield ops.qk_norm, (q, k, w, w.clone())
    yield ops._qk_norm_fwd, (*plain, w, w.clone(), 1e-6, 1.0, "single")
    yield ops._qk_norm_fwd, (x, None, w, None, 1e-6, 0.0, "hf")
    yield ops._qk_norm_inplace, (q.clone(), k.clone(), w, w.clone(), 1e-6, 0.0, "hf")
    yield ops._qk_norm_inplace, (x.clone(), None, w, None, 1e-6, 0.0, "hf")
    yield ops._apply_rotary, (*n, *table, torch.empty_like(n[0]), torch.empty_like(n[1]), True)


def test_opcheck(kernel, device):
    seen = set()
    for op, args in operators(kernel, device, torch.float32):
        result = torch.library.opcheck(op.default, args)
        assert set(result.values()) == {"SUCCESS"}, (op, result)
        seen.add(op.default.name().split("::")[1])
    assert len(seen) == 12, "every operator of the library is checked"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_compiled_gives_the_bits_of_eager(kernel, device, dtype):
    q, k = (t.requires_grad_() for t in make(device, dtype))
    cos, sin = tables(device, dtype, 2, 7, 64)
    positions, cache = torch.arange(7, device=device), torch.randn(20, 64, device=device)

    def function(q, k):
        y, z = kernel.rotary(q, k, cos, sin)
        y = kernel.rotary_embedding(y[0].transpose(0, 1), None, positions, cache)[0]
        return y, kernel.apply_rotary_transformers(z, z, cos, sin)[0]

    compiled = torch.compile(function, fullgraph=True)
    want, got = function(q, k), compiled(q, k)
    dys = [torch.randn_like(t) for t in want]
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b) and a.stride() == b.stride()
    want = torch.autograd.grad(want, (q, k), dys)
    got = torch.autograd.grad(got, (q, k), dys)
    for a, b in zip(got, want, strict=True):
        assert a is not None and torch.equal(a, b)
    with torch.no_grad():
        for a, b in zip(compiled(q, k), function(q, k), strict=True):
            assert torch.equal(a, b)


def test_compiled_norm(kernel, device):
    q, k = make(device, torch.bfloat16)
    cos, sin = tables(device, torch.bfloat16, 1, 7, 64)
    w = torch.randn(64, device=device).bfloat16()
    tokens = q[0].transpose(0, 1), k[0].transpose(0, 1)

    def function(a, b):
        return *kernel.qk_norm_rotary(a, b, w, w, cos, sin), *kernel.qk_norm(a, b, w, w)

    for inputs, f in (((q, k), function), (tokens, lambda a, b: kernel.qk_norm(a, b, w, w))):
        for a, b in zip(torch.compile(f, fullgraph=True)(*inputs), f(*inputs), strict=True):
            assert torch.equal(a, b) and a.stride() == b.stride()


def test_compiled_with_dynamic_sizes(kernel, device):
    compiled = torch.compile(
        lambda q, cos, sin: kernel.rotary(q * 2, None, cos, sin)[0],
        fullgraph=True,
        dynamic=True,
        backend="aot_eager",
    )
    for batch, length, columns in ((2, 7, 64), (3, 5, 32), (1, 9, 10)):
        q, _ = make(device, torch.float32, batch=batch, length=length, columns=columns)
        cos, sin = tables(device, torch.float32, batch, length, columns)
        assert torch.equal(compiled(q, cos, sin), eager_one(q * 2, cos, sin))


def test_compiled_in_place(kernel, device):
    """An overwritten tensor that was saved for a gradient must be noticed when compiled, too."""
    cos, sin = tables(device, torch.float32, 2, 7, 64)

    w = torch.randn(64, device=device)

    def function(q, k):
        y = q * 3
        kernel.rotary_(y, k, cos, sin)
        kernel.qk_norm_(y, k, w, w)
        return y + 1

    q, k = make(device, torch.float32)
    k_want = k.clone()
    want = function(q, k_want)
    got = torch.compile(function, fullgraph=True)(q, k)
    torch.testing.assert_close(got, want)
    assert torch.equal(k, k_want)


def test_compiled_hub_name(kernel, device):
    cos, sin = torch.randn(2, 7, 1, 32, device=device)
    x = torch.randn(2, 7, 4, 64, device=device)

    def function(x):
        y = x * 1
        halves = y[..., :32], y[..., 32:]
        kernel.apply_rotary(*halves, cos, sin, *halves, False)
        return y

    torch.testing.assert_close(torch.compile(function, fullgraph=True)(x), function(x))


def test_export(kernel):
    class Model(nn.Module):
        def forward(self, q, k, cos, sin):
            return kernel.rotary(q, k, cos, sin)[0] + 1

    args = (*make("cpu", torch.float32), *tables("cpu", torch.float32, 2, 7, 64))
    program = torch.export.export(Model(), args)
    assert torch.equal(program.module()(*args), Model()(*args))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_layer(kernel, device, dtype):
    layer = kernel.layers.apply_rotary_transformers
    assert layer.can_torch_compile and layer.has_backward
    assert "__init__" not in vars(layer)
    q, k = (t.requires_grad_() for t in make(device, dtype))
    cos, sin = tables(device, dtype, 2, 7, 64)
    y, z = layer()(q, k, cos, sin)
    dys = torch.randn_like(y), torch.randn_like(z)
    got = torch.autograd.grad((y, z), (q, k), dys)
    want = torch.autograd.grad((eager_one(q, cos, sin), eager_one(k, cos, sin)), (q, k), dys)
    for a, b in zip(got, want, strict=True):
        eps = torch.finfo(dtype).eps
        torch.testing.assert_close(a, b, rtol=4 * eps, atol=8 * eps)


def test_copies_of_the_library_report_the_clash(kernel, tmp_path):
    """A second copy cannot register the same operators; its status says so."""
    import ctypes
    import pathlib
    import shutil

    folder = pathlib.Path(kernel._ops.__file__).parent
    (original,) = folder.glob("*.so")
    copied = shutil.copy(original, tmp_path / "copy.so")
    torch.ops.load_library(copied)
    library = ctypes.CDLL(str(copied))
    library.km_status_text.restype = ctypes.c_char_p
    assert library.km_status() != 0
    assert "defining" in library.km_status_text().decode()
