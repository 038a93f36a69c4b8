"""What PyTorch asks of an operator: opcheck, compile, export, layers."""

import copy

import pytest
import torch
from conftest import DTYPES
from torch import nn


def operators(kernel, device, dtype):
    ops = kernel._ops.ops
    x, residual = (torch.randn(3, 5, 64, device=device).to(dtype) for _ in range(2))
    weight = torch.randn(64, device=device).to(dtype)
    rstd = torch.rand(3, 5, device=device)
    gx, gr, gw = (t.clone().requires_grad_() for t in (x, residual, weight))
    tail = (1e-6, "hf", 0.0)
    yield ops.rms_norm, (gx, gw)
    yield ops.rms_norm, (x.transpose(0, 1), None, 1e-5, "single", 1.0)
    yield ops.fused_add_rms_norm, (gx, gr, gw)
    yield ops._rms_norm_fwd, (x, weight, *tail)
    yield ops._rms_norm_fwd_rstd, (x, weight, *tail)
    yield ops._rms_norm_train, (gx, gw, *tail)
    yield ops._rms_norm_rstd, (x, 1e-6)
    yield ops._rms_norm_out, (torch.empty_like(x), x, weight, *tail)
    yield ops._rms_norm_inplace, (x.clone(), weight, *tail)
    yield ops._fused_add_rms_norm_fwd, (x, residual, weight, *tail, "rounded")
    yield ops._fused_add_rms_norm_fwd_rstd, (x, residual, weight, *tail, "unrounded")
    yield ops._fused_add_rms_norm_train, (gx, gr, gw, *tail, "rounded")
    yield ops._fused_add_rms_norm_inplace, (x.clone(), residual.clone(), weight, *tail, "rounded")
    yield ops._rms_norm_bwd, (x, residual, weight, rstd, None, "hf", 0.0, True, True)
    yield ops._rms_norm_bwd, (x, residual, None, rstd, x, "hf", 0.0, True, False)


def test_opcheck(kernel, device):
    seen = set()
    for op, args in operators(kernel, device, torch.float32):
        result = torch.library.opcheck(op.default, args)
        assert set(result.values()) == {"SUCCESS"}, (op, result)
        seen.add(op.default.name().split("::")[1])
    assert len(seen) == 13, "every operator of the library is checked"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_compiled_gives_the_bits_of_eager(kernel, device, dtype):
    def function(x, residual, weight):
        y, total = kernel.fused_add_rms_norm(x, residual, weight)
        return kernel.rms_norm(y, weight, rounding="single"), total

    x, residual = (torch.randn(6, 256, device=device).to(dtype) for _ in range(2))
    weight = torch.randn(256, device=device).to(dtype)
    inputs = [t.requires_grad_() for t in (x, residual, weight)]
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
        lambda x: kernel.rms_norm(x * 2), fullgraph=True, dynamic=True, backend="aot_eager"
    )
    for rows, columns in ((3, 64), (5, 100), (1, 7)):
        x = torch.randn(rows, columns, device=device)
        assert torch.equal(compiled(x), kernel.rms_norm(x * 2))


def test_compiled_in_place(kernel, device):
    """An overwritten tensor that was saved for a gradient must be noticed when compiled, too."""

    def function(x, residual):
        y = x * 3
        kernel.fused_add_rms_norm_(y, residual)
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
            return kernel.rms_norm(x, weight) + 1

    args = (torch.randn(3, 64), torch.randn(64))
    program = torch.export.export(Model(), args)
    assert torch.equal(program.module()(*args), Model()(*args))


class Norm(nn.Module):
    """As Transformers writes it."""

    def __init__(self, columns, dtype):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(columns).to(dtype))
        self.variance_epsilon = 1e-5

    def forward(self, hidden_states):
        h = hidden_states.float()
        h = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + self.variance_epsilon)
        return self.weight * h.to(hidden_states.dtype)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_layer(kernel, device, dtype):
    layer = kernel.layers.RMSNorm
    assert layer.can_torch_compile and layer.has_backward
    assert "__init__" not in vars(layer)
    theirs = Norm(512, dtype).to(device)
    ours = copy.deepcopy(theirs)
    ours.forward = layer.forward.__get__(ours)
    x = torch.randn(2, 9, 512, device=device).to(dtype)
    torch.testing.assert_close(ours(x), theirs(x), rtol=2e-2 if dtype != torch.float32 else 1e-5, atol=1e-5)
    dy = torch.randn_like(x)
    ours(x).backward(dy)
    theirs(x).backward(dy)
    torch.testing.assert_close(
        ours.weight.grad, theirs.weight.grad, rtol=5e-2 if dtype != torch.float32 else 1e-4, atol=5e-2
    )


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
    assert torch.isfinite(kernel.rms_norm(torch.randn(2, 8))).all()
