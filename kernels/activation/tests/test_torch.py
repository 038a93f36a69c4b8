"""What PyTorch asks of an operator: opcheck, compile, export, layers."""

import copy

import pytest
import torch
import torch.nn.functional as F
from conftest import DTYPES, EAGER
from torch import nn


def operators(kernel, device):
    ops = kernel._ops.ops
    x, up, dy = (torch.randn(3, 5, 64, device=device) for _ in range(3))
    half = torch.randn(3, 5, 32, device=device)
    gx, gu = x.clone().requires_grad_(), up.clone().requires_grad_()
    for kind in ("silu", "gelu", "gelu_tanh"):
        yield getattr(ops, kind), (gx,)
        yield getattr(ops, f"{kind}_mul"), (gx, gu)
        yield getattr(ops, f"{kind}_and_mul"), (gx,)
    yield ops.silu, (x.transpose(0, 1),)
    yield ops.silu_and_mul, (x, "single")
    yield ops._act_fwd, (x, "quick_gelu")
    yield ops._act_train, (gx, "gelu")
    yield ops._act_out, (torch.empty_like(x), x, "silu")
    yield ops._act_bwd, (dy, x, "silu")
    yield ops._act_mul_fwd, (x, up, "silu", "hf")
    yield ops._act_mul_train, (gx, gu, "gelu", "hf")
    yield ops._act_mul_out, (torch.empty_like(x), x, up, "silu", "hf")
    yield ops._act_mul_bwd, (dy, x, up, "silu", "single")
    yield ops._act_mul_packed_fwd, (x, "silu", "hf", True)
    yield ops._act_mul_packed_train, (gx, "gelu_tanh", "hf", True)
    yield ops._act_mul_packed_out, (torch.empty_like(half), x, "silu", "hf", False)
    yield ops._act_mul_packed_bwd, (half, x, "silu", "hf", True)


def test_opcheck(kernel, device):
    seen = set()
    for op, args in operators(kernel, device):
        result = torch.library.opcheck(op.default, args)
        assert set(result.values()) == {"SUCCESS"}, (op, result)
        seen.add(op.default.name().split("::")[1])
    assert len(seen) == 21, "every operator of the library is checked"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_compiled_gives_the_bits_of_eager(kernel, device, dtype):
    def function(x, up):
        y = kernel.silu_mul(x, up)
        return kernel.mul_and_silu(y), kernel.gelu_tanh_and_mul(x, rounding="single"), kernel.quick_gelu(y)

    inputs = [torch.randn(6, 256, device=device).to(dtype).requires_grad_() for _ in range(2)]
    compiled = torch.compile(function, fullgraph=True)
    want, got = function(*inputs), compiled(*inputs)
    dys = [torch.randn_like(t) for t in want]
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)
    want = torch.autograd.grad(want, inputs, dys)
    got = torch.autograd.grad(got, inputs, dys)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=2 * torch.finfo(dtype).eps, atol=torch.finfo(dtype).eps)
    with torch.no_grad():
        for a, b in zip(compiled(*inputs), function(*inputs), strict=True):
            assert torch.equal(a, b)


def test_compiled_gradients_have_the_bits_of_eager(kernel, device):
    """Of one operator, where nothing is added up that a compiler may add in another order."""
    for function in (kernel.silu_and_mul, kernel.gelu):
        x = torch.randn(6, 256, device=device).to(torch.bfloat16).requires_grad_()
        y, compiled = function(x), torch.compile(function, fullgraph=True, backend="aot_eager")(x)
        dy = torch.randn_like(y)
        (a,), (b,) = torch.autograd.grad(y, x, dy), torch.autograd.grad(compiled, x, dy)
        assert torch.equal(a, b)


def test_compiled_with_dynamic_sizes(kernel, device):
    compiled = torch.compile(
        lambda x: kernel.silu_and_mul(x * 2), fullgraph=True, dynamic=True, backend="aot_eager"
    )
    for rows, columns in ((3, 64), (5, 100), (2, 14)):
        x = torch.randn(rows, columns, device=device)
        assert torch.equal(compiled(x), kernel.silu_and_mul(x * 2))


def test_compiled_out(kernel, device):
    """An overwritten tensor must be noticed when compiled, too."""

    def function(x, out):
        y = x * 3
        kernel.silu_and_mul(out, y)
        return out + 1

    x, out = torch.randn(4, 64, device=device), torch.zeros(4, 32, device=device)
    got = torch.compile(function, fullgraph=True)(x, out)
    assert torch.equal(out, kernel.silu_and_mul(x * 3)) and torch.equal(got, out + 1)


def test_export(kernel):
    class Model(nn.Module):
        def forward(self, x):
            return kernel.silu_and_mul(x) + 1

    args = (torch.randn(3, 64),)
    program = torch.export.export(Model(), args)
    assert torch.equal(program.module()(*args), Model()(*args))


ELEMENTWISE = {
    "Silu": "silu",
    "Gelu": "gelu",
    "GeluTanh": "gelu_tanh",
    "NewGELU": "gelu_tanh",
    "FastGELU": "gelu_tanh",
    "QuickGELU": "quick_gelu",
}
PACKED = {
    "SiluAndMul": lambda a, b: F.silu(a) * b,
    "MulAndSilu": lambda a, b: a * F.silu(b),
    "GeluAndMul": lambda a, b: F.gelu(a) * b,
    "GeluTanhAndMul": lambda a, b: F.gelu(a, approximate="tanh") * b,
}


def tolerance(dtype):
    return {"rtol": 2 * torch.finfo(dtype).eps, "atol": 1e-6 if dtype == torch.float32 else 1e-3}


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_layers(kernel, device, dtype):
    x = torch.randn(2, 9, 64, device=device).to(dtype).requires_grad_()
    cases = {name: EAGER[kind] for name, kind in ELEMENTWISE.items()}
    cases |= {name: lambda t, f=f: f(*t.chunk(2, -1)) for name, f in PACKED.items()}
    for name, theirs in cases.items():
        layer = getattr(kernel.layers, name)
        assert layer.can_torch_compile and layer.has_backward and "__init__" not in vars(layer)
        got, want = layer()(x), theirs(x)
        torch.testing.assert_close(got, want, **tolerance(dtype))
        dy = torch.randn_like(want)
        (a,), (b,) = torch.autograd.grad(got, x, dy), torch.autograd.grad(want, x, dy)
        torch.testing.assert_close(a, b, rtol=4 * torch.finfo(dtype).eps, atol=5 * torch.finfo(dtype).eps)


class MLP(nn.Module):
    """As Transformers writes it."""

    def __init__(self, act):
        super().__init__()
        self.gate_proj, self.up_proj = (nn.Linear(32, 96, bias=False) for _ in range(2))
        self.down_proj = nn.Linear(96, 32, bias=False)
        self.act_fn = act

    def forward(self, x):
        return self.down_proj(self.act_fn(self.gate_proj(x)) * self.up_proj(x))


@pytest.mark.parametrize(("name", "kind"), [("SwiGLUMLP", "silu"), ("GeGLUMLP", "gelu_tanh")])
def test_mlp(kernel, device, name, kind):
    layer = getattr(kernel.layers, name)
    assert layer.can_torch_compile and layer.has_backward and "__init__" not in vars(layer)
    theirs = MLP(EAGER[kind]).to(device)
    ours = copy.deepcopy(theirs)
    ours.forward = layer.forward.__get__(ours)
    x = torch.randn(2, 9, 32, device=device)
    torch.testing.assert_close(ours(x), theirs(x))
    ours(x).pow(2).sum().backward()
    theirs(x).pow(2).sum().backward()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad)
    compiled = torch.compile(ours, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), theirs(x))


def test_kernelize_takes_the_layers(kernel):
    """What the kernels package checks before it replaces a module's forward."""
    kernels_layer = pytest.importorskip("kernels.layer.layer")
    activations = pytest.importorskip("transformers.activations")
    pairs = {"Silu": "SiLUActivation", "Gelu": "GELUActivation", "GeluTanh": "GELUTanh"}
    pairs |= {"NewGELU": "NewGELUActivation", "FastGELU": "FastGELUActivation"}
    pairs |= {"QuickGELU": "QuickGELUActivation"}
    for name, theirs in pairs.items():
        kernels_layer._validate_layer(
            check_cls=getattr(activations, theirs), cls=getattr(kernel.layers, name), repo=None
        )
