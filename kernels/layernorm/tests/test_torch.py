"""What PyTorch asks of an operator: opcheck, compile, export, layers."""

import copy

import pytest
import torch
from conftest import DTYPES
from torch import nn


def operators(kernel, device, dtype):
    ops = kernel._ops.ops
    x, residual = (torch.randn(3, 5, 64, device=device).to(dtype) for _ in range(2))
    weight, bias = (torch.randn(64, device=device).to(dtype) for _ in range(2))
    mean, rstd = torch.rand(3, 5, device=device), torch.rand(3, 5, device=device)
    gx, gr, gw, gb = (t.clone().requires_grad_() for t in (x, residual, weight, bias))
    tail = (weight, bias, 1e-5)
    yield ops.layer_norm, (gx, gw, gb)
    yield ops.layer_norm, (x.transpose(0, 1), None, gb, 1e-6)
    yield ops.fused_add_layer_norm, (gx, gr, gw, gb)
    yield ops._layer_norm_fwd, (x, *tail)
    yield ops._layer_norm_fwd_stats, (x, *tail)
    yield ops._layer_norm_train, (gx, gw, gb, 1e-5)
    yield ops._layer_norm_stats, (x, 1e-5)
    yield ops._layer_norm_out, (torch.empty_like(x), x, *tail)
    yield ops._layer_norm_inplace, (x.clone(), *tail)
    yield ops._fused_add_layer_norm_fwd, (x, residual, *tail, "rounded")
    yield ops._fused_add_layer_norm_fwd_stats, (x, residual, *tail, "unrounded")
    yield ops._fused_add_layer_norm_train, (gx, gr, gw, gb, 1e-5, "rounded")
    yield ops._fused_add_layer_norm_inplace, (x.clone(), residual.clone(), *tail, "rounded")
    yield ops._layer_norm_bwd, (x, residual, weight, bias, mean, rstd, None, True, True, True)
    yield ops._layer_norm_bwd, (x, residual, None, None, mean, rstd, x, True, False, False)
    yield ops._layer_norm_bwd, (x, residual, None, bias, mean, rstd, x, False, False, True)


def test_opcheck(kernel, device):
    seen = set()
    for op, args in operators(kernel, device, torch.float32):
        result = torch.library.opcheck(op.default, args)
        assert set(result.values()) == {"SUCCESS"}, (op, result)
        seen.add(op.default.name().split("::")[1])
    assert len(seen) == 13, "every operator of the library is checked"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_compiled_gives_the_bits_of_eager(kernel, device, dtype):
    def function(x, residual, weight, bias):
        y, total = kernel.fused_add_layer_norm(x, residual, weight, bias)
        return kernel.layer_norm(y, weight), total

    x, residual = (torch.randn(6, 256, device=device).to(dtype) for _ in range(2))
    weight, bias = (torch.randn(256, device=device).to(dtype) for _ in range(2))
    inputs = [t.requires_grad_() for t in (x, residual, weight, bias)]
    compiled = torch.compile(function, fullgraph=True)
    want, got = function(*inputs), compiled(*inputs)
    dys = [torch.randn_like(t) for t in want]
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)
    want = torch.autograd.grad(want, inputs, dys)
    got = torch.autograd.grad(got, inputs, dys)
    for a, b in zip(got, want, strict=True):
        assert a is not None and torch.equal(a, b)
    with torch.no_grad():
        for a, b in zip(compiled(*inputs), function(*inputs), strict=True):
            assert torch.equal(a, b)


def test_compiled_with_dynamic_sizes(kernel, device):
    compiled = torch.compile(
        lambda x: kernel.layer_norm(x * 2), fullgraph=True, dynamic=True, backend="aot_eager"
    )
    for rows, columns in ((3, 64), (5, 100), (1, 7)):
        x = torch.randn(rows, columns, device=device)
        assert torch.equal(compiled(x), kernel.layer_norm(x * 2))


def test_compiled_in_place(kernel, device):
    """An overwritten tensor that was saved for a gradient must be noticed when compiled, too."""

    def function(x, residual):
        y = x * 3
        kernel.fused_add_layer_norm_(y, residual)
        return y + residual

    x, residual = torch.randn(4, 64, device=device), torch.randn(4, 64, device=device)
    want_residual = residual.clone()
    want = function(x, want_residual)
    got = torch.compile(function, fullgraph=True)(x, residual)
    torch.testing.assert_close(got, want)
    assert torch.equal(residual, want_residual)


def test_export(kernel):
    class Model(nn.Module):
        def forward(self, x, weight):
            return kernel.layer_norm(x, weight) + 1

    args = (torch.randn(3, 64), torch.randn(64))
    program = torch.export.export(Model(), args)
    assert torch.equal(program.module()(*args), Model()(*args))


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"elementwise_affine": False}], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_layer(kernel, device, dtype, options):
    layer = kernel.layers.LayerNorm
    assert layer.can_torch_compile and layer.has_backward
    assert "__init__" not in vars(layer)
    theirs = nn.LayerNorm(512, eps=1e-3, device=device, dtype=dtype, **options)
    for p in theirs.parameters():
        nn.init.normal_(p)
    ours = copy.deepcopy(theirs)
    ours.forward = layer.forward.__get__(ours)
    x = torch.randn(2, 9, 512, device=device).to(dtype)
    close = {"rtol": 2e-2, "atol": 2e-2} if dtype != torch.float32 else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(ours(x), theirs(x), **close)
    with torch.no_grad():
        assert torch.equal(ours(x), kernel.layer_norm(x, theirs.weight, theirs.bias, 1e-3))
    xs = [x.clone().requires_grad_() for _ in range(2)]
    dy = torch.randn_like(x)
    ours(xs[0]).backward(dy)
    theirs(xs[1]).backward(dy)
    close = {"rtol": 5e-2, "atol": 5e-2} if dtype != torch.float32 else {"rtol": 1e-4, "atol": 1e-4}
    torch.testing.assert_close(xs[0].grad, xs[1].grad, **close)
    exact = copy.deepcopy(theirs).double()  # some versions of torch add these up in the dtype
    exact.zero_grad()
    exact(x.double().requires_grad_()).backward(dy.double())
    for a, b in zip(ours.parameters(), exact.parameters(), strict=True):
        torch.testing.assert_close(a.grad.double(), b.grad, **close)


def test_layer_of_several_dimensions_is_torchs(kernel, device):
    theirs = nn.LayerNorm((4, 64), device=device)
    ours = copy.deepcopy(theirs)
    ours.forward = kernel.layers.LayerNorm.forward.__get__(ours)
    x = torch.randn(3, 4, 64, device=device)
    assert torch.equal(ours(x), theirs(x))


def test_layer_checks_the_last_dimension(kernel):
    """Without a weight nothing else would notice."""
    layer = nn.LayerNorm(64, elementwise_affine=False)
    layer.forward = kernel.layers.LayerNorm.forward.__get__(layer)
    with pytest.raises(ValueError, match="last dimension of 64"):
        layer(torch.randn(3, 63))


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
    assert torch.isfinite(kernel.layer_norm(torch.randn(2, 8))).all()
