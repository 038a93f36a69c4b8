"""Gradients: right, complete, and never silently lost."""

import pytest
import torch
import torch.nn.functional as F
from conftest import DTYPES, eager, reference


def grads(function, inputs, dys):
    inputs = [t.detach().clone().requires_grad_() for t in inputs]
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return torch.autograd.grad(outputs, inputs, dys)


def error(got, want):
    return ((got.double() - want).norm() / want.norm()).item()


@pytest.mark.parametrize("columns", [1, 7, 64, 128, 1000, 4096, 20000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_as_close_to_float64_as_eager(kernel, worst, device, dtype, columns):
    x = torch.randn(40, columns, device=device).to(dtype)
    weight = torch.randn(columns, device=device).to(dtype)
    dy = torch.randn(40, columns, device=device).to(dtype)
    exact = lambda x, w: reference(x, w, rounding="single")  # noqa: E731
    want = grads(exact, (x.double(), weight.double()), dy.double())
    ours = grads(kernel.rms_norm, (x, weight), dy)
    theirs = grads(eager, (x, weight), dy)
    for name, a, b, c in zip(("dx", "dweight"), ours, theirs, want, strict=True):
        assert a.dtype == dtype
        floor = torch.finfo(dtype).eps
        if columns == 1:  # one number, or what a cancellation left: compare with the terms it is made of
            scale = (
                dy.double().abs().max() / x.double().abs().min() if name == "dx" else dy.double().abs().sum()
            )
            assert (a.double() - c).abs().max() <= 4 * floor * scale
            continue
        worst(f"{name} {device} {str(dtype)[6:]}, relative", error(a, c))
        assert error(a, c) <= 1.1 * error(b, c) + floor


# Sums over rows keep float32's digits however many rows there are: of equal terms, whose roundings do not cancel.
def test_sums_over_many_rows(kernel):
    x = torch.randn(1, 8).expand(1 << 20, 8)
    dy = torch.full((1, 8), 0.1).expand(1 << 20, 8)
    weight = torch.ones(8).requires_grad_()
    got = torch.autograd.grad(kernel.rms_norm(x, weight), [weight], dy)
    (row,) = grads(
        lambda w: reference(x[:1].double(), w, rounding="single"), [weight.double()], dy[:1].double()
    )
    want = [row * (1 << 20)]
    for a, b in zip(got, want, strict=True):
        assert ((a.double() - b).abs() <= 1e-5 * b.abs()).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_fused_add(kernel, device, dtype):
    shape = (3, 7, 512)
    x, residual, dy, dsum = (torch.randn(shape, device=device).to(dtype) for _ in range(4))
    weight = torch.randn(512, device=device).to(dtype)

    def exact(x, residual, weight):
        s = x + residual
        return reference(s, weight, rounding="single"), s

    want = grads(exact, (x.double(), residual.double(), weight.double()), (dy.double(), dsum.double()))
    got = grads(kernel.fused_add_rms_norm, (x, residual, weight), (dy, dsum))
    for a, b in zip(got, want, strict=True):
        assert error(a, b) <= 3 * torch.finfo(dtype).eps
    only_sum = grads(lambda x, r: kernel.fused_add_rms_norm(x, r, weight)[1], (x, residual), dsum)
    assert torch.equal(only_sum[0], dsum) and torch.equal(only_sum[1], dsum)


@pytest.mark.parametrize("columns", [33, 4096])
def test_expanded_and_strided_gradients(kernel, device, columns):
    """A gradient made by sum() has stride 0 everywhere: reading it as if dense is the field's bug."""
    x = torch.randn(6, columns, device=device, requires_grad=True)
    weight = torch.randn(columns, device=device, requires_grad=True)
    y = kernel.rms_norm(x, weight)
    for dy in (
        torch.ones((), device=device).expand(6, columns),
        torch.randn(1, columns, device=device).expand(6, columns),
        torch.randn(6, 1, device=device).expand(6, columns),
        torch.randn(columns, 6, device=device).t(),
        torch.randn(6, 2 * columns, device=device)[:, ::2],
        torch.randn(6, columns + 1, device=device)[:, 1:],
    ):
        got = torch.autograd.grad(y, (x, weight), dy, retain_graph=True)
        want = torch.autograd.grad(y, (x, weight), dy.contiguous(), retain_graph=True)
        assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])


def test_only_what_is_wanted(kernel, device):
    x, weight = torch.randn(4, 64, device=device), torch.randn(64, device=device)
    for needs in ((True, False), (False, True)):
        a, b = x.clone().requires_grad_(needs[0]), weight.clone().requires_grad_(needs[1])
        kernel.rms_norm(a, b).sum().backward()
        assert (a.grad is not None) == needs[0] and (b.grad is not None) == needs[1]
    a = x.clone().requires_grad_()
    kernel.rms_norm(a).sum().backward()
    assert a.grad is not None
    empty = torch.empty(0, 64, device=device, requires_grad=True)
    w = weight.clone().requires_grad_()
    kernel.rms_norm(empty, w).sum().backward()
    assert torch.equal(w.grad, torch.zeros_like(w)) and empty.grad.shape == (0, 64)


def test_gradgrad(kernel, device):
    x = torch.randn(3, 16, device=device)
    weight = torch.randn(16, device=device)

    def second(function):
        a, b = x.clone().requires_grad_(), weight.clone().requires_grad_()
        first = torch.autograd.grad(function(a, b).sin().sum(), (a, b), create_graph=True)
        return torch.autograd.grad(first[0].pow(2).sum() + first[1].pow(3).sum(), (a, b))

    want = second(lambda a, b: F.rms_norm(a, (16,), b, 1e-6))
    for function in (kernel.rms_norm, kernel._ops.ops.rms_norm):
        for a, b in zip(second(function), want, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_func_transforms(kernel, device):
    x, weight = torch.randn(5, 32, device=device), torch.randn(32, device=device)
    loss = lambda f: lambda a, b: f(a, b).sin().sum()  # noqa: E731
    theirs = lambda a, b: F.rms_norm(a, (32,), b, 1e-6)  # noqa: E731
    got = torch.func.grad(loss(kernel.rms_norm), argnums=(0, 1))(x, weight)
    want = torch.func.grad(loss(theirs), argnums=(0, 1))(x, weight)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(
        torch.func.jacrev(lambda a: kernel.rms_norm(a, weight))(x[0]),
        torch.func.jacrev(lambda a: theirs(a, weight))(x[0]),
    )
    batched = torch.randn(4, 5, 32, device=device)
    weights = torch.randn(4, 32, device=device)
    assert torch.equal(
        torch.func.vmap(kernel.rms_norm, (0, None))(batched, weight), kernel.rms_norm(batched, weight)
    )
    assert torch.equal(
        torch.func.vmap(kernel.rms_norm, (1, None))(batched, weight),
        kernel.rms_norm(batched.movedim(1, 0), weight),
    )
    each = torch.stack([kernel.rms_norm(a, b) for a, b in zip(batched, weights, strict=True)])
    assert torch.equal(torch.func.vmap(kernel.rms_norm)(batched, weights), each)
    per_sample = torch.func.vmap(torch.func.grad(loss(kernel.rms_norm), argnums=1), (0, None))(
        batched, weight
    )
    want = torch.stack([torch.func.grad(loss(theirs), argnums=1)(a, weight) for a in batched])
    torch.testing.assert_close(per_sample, want)
    y, total = torch.func.vmap(kernel.fused_add_rms_norm, (0, None, None))(batched, x, weight)
    assert torch.equal(total, batched + x) and torch.equal(y, kernel.rms_norm(batched + x, weight))


def test_forward_mode_is_refused(kernel):
    """Without the refusal the tangent would silently be zero."""
    x, weight = torch.randn(4, 16), torch.randn(16)
    calls = [
        lambda a: kernel.rms_norm(a, weight),
        lambda a: kernel.rms_norm(x, a[0]),
        lambda a: kernel.fused_add_rms_norm(a, x)[0],
        lambda a: kernel.rms_norm_(a.clone()),
    ]
    for function in calls:
        with pytest.raises(RuntimeError, match="forward-mode"):
            torch.func.jvp(function, (x,), (x,))
        with torch.autograd.forward_ad.dual_level(), pytest.raises(RuntimeError, match="forward-mode"):
            function(torch.autograd.forward_ad.make_dual(x, x))


def test_no_public_name_loses_a_gradient(kernel, device):
    """Every public function either gives a gradient to each input that wants one, or refuses."""
    covered = {"rms_norm", "rms_norm_", "fused_add_rms_norm", "fused_add_rms_norm_", "layers"}
    assert set(kernel.__all__) == covered, "add the new name here"
    names = ("x", "residual", "weight")
    for which in names:
        values = {
            n: torch.randn(4, 16, device=device) if n != "weight" else torch.randn(16, device=device)
            for n in names
        }
        values[which].requires_grad_()
        if which != "residual":
            kernel.rms_norm(values["x"], values["weight"]).sum().backward()
            assert values[which].grad.abs().sum() > 0
            values[which].grad = None
            for call in (
                lambda v=values: kernel.rms_norm_(v["x"], v["weight"]),
                lambda v=values: kernel.rms_norm(v["x"], v["weight"], out=torch.empty(4, 16, device=device)),
            ):
                with pytest.raises(RuntimeError, match="cannot be differentiated"):
                    call()
        kernel.fused_add_rms_norm(values["x"], values["residual"], values["weight"])[0].sum().backward()
        assert values[which].grad.abs().sum() > 0
        with pytest.raises(RuntimeError, match="cannot be differentiated"):
            kernel.fused_add_rms_norm_(values["x"], values["residual"], values["weight"])
    ops = kernel._ops.ops
    x = torch.randn(4, 16, device=device, requires_grad=True)
    for y in (ops.rms_norm(x), ops.fused_add_rms_norm(x, x.detach())[0]):
        (g,) = torch.autograd.grad(y.sum(), x)
        assert g.abs().sum() > 0


def test_overwriting_a_saved_tensor_is_noticed(kernel, device):
    x = torch.randn(4, 16, device=device)
    weight = torch.randn(16, device=device, requires_grad=True)
    y = x * weight  # saves x
    with torch.no_grad():
        kernel.rms_norm_(x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
