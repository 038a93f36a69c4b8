"""Gradients: right, complete, and never silently lost."""

import pytest
import torch
import torch.nn.functional as F
from conftest import DTYPES, eager, reference

NAMES = ("x", "weight", "bias")


def grads(function, inputs, dys):
    inputs = [t.detach().clone().requires_grad_() for t in inputs]
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return torch.autograd.grad(outputs, inputs, dys)


def error(got, want):
    return ((got.double() - want).norm() / want.norm()).item()


def make(device, dtype, *shape):
    x, dy = (torch.randn(shape, device=device).to(dtype) for _ in range(2))
    weight, bias = (torch.randn(shape[-1], device=device).to(dtype) for _ in range(2))
    return x, weight, bias, dy


@pytest.mark.parametrize("columns", [2, 7, 64, 128, 1000, 1001, 4096, 8192, 20000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_as_close_to_float64_as_eager(kernel, worst, device, dtype, columns):
    x, weight, bias, dy = make(device, dtype, 40, columns)
    want = grads(reference, (x.double(), weight.double(), bias.double()), dy.double())
    ours = grads(kernel.layer_norm, (x, weight, bias), dy)
    theirs = grads(eager, (x, weight, bias), dy)
    for name, a, b, c in zip(NAMES, ours, theirs, want, strict=True):
        assert a.dtype == dtype
        floor = torch.finfo(dtype).eps
        if columns == 2 and name == "x":  # what a cancellation left: compare with the terms it is made of
            rstd = torch.rsqrt(x.double().var(-1, correction=0, keepdim=True) + 1e-5)
            scale = rstd * (dy.double() * weight.double()).abs().amax(-1, keepdim=True)
            assert ((a.double() - c).abs() <= 8 * floor * scale).all()
            continue
        worst(f"d{name} {device} {str(dtype)[6:]}, relative", error(a, c))
        # torch sums the rows in another order for each number of threads, and is lucky with some: over 3000 draws of
        # 7 columns the difference reached 2.2 of the type's eps
        assert error(a, c) <= 1.1 * error(b, c) + 3 * floor


def test_one_column(kernel, device):
    """The row is its mean: nothing depends on x but the sum."""
    x, weight, bias, dy = make(device, torch.float32, 40, 1)
    dx, dweight, dbias = grads(kernel.layer_norm, (x, weight, bias), dy)
    assert not dx.any() and not dweight.any()
    torch.testing.assert_close(dbias, dy.sum(0))


def test_against_finite_differences(kernel, device):
    """In float32, along one direction of all inputs at once."""
    torch.manual_seed(3)
    x, weight, bias, dy = make(device, torch.float32, 5, 33)
    inputs, directions = (x, weight, bias), make(device, torch.float32, 5, 33)[:3]
    want = sum(
        (g.double() * d.double()).sum()
        for g, d in zip(grads(kernel.layer_norm, inputs, dy), directions, strict=True)
    ).item()

    def value(step):
        moved = [(a.double() + step * d.double()).float() for a, d in zip(inputs, directions, strict=True)]
        return (kernel.layer_norm(*moved).double() * dy.double()).sum().item()

    assert abs((value(1e-2) - value(-1e-2)) / 2e-2 - want) <= 1e-2 * max(abs(want), 1)


# Sums over rows keep float32's digits however many rows there are: of equal terms, whose roundings do not cancel.
def test_sums_over_many_rows(kernel):
    x = torch.randn(1, 8).expand(1 << 20, 8)
    dy = torch.full((1, 8), 0.1).expand(1 << 20, 8)
    weight, bias = (torch.ones(8).requires_grad_() for _ in range(2))
    got = torch.autograd.grad(kernel.layer_norm(x, weight, bias), [weight, bias], dy)
    one = F.layer_norm(x[:1].double(), (8,))[0]
    want = [t * dy[0].double() * (1 << 20) for t in (one, torch.ones(8))]
    for a, b in zip(got, want, strict=True):
        assert ((a.double() - b).abs() <= 1e-5 * b.abs()).all()


@pytest.mark.parametrize("columns", [512, 511, 12000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_fused_add(kernel, device, dtype, columns):
    shape = (3, 7, columns)
    x, weight, bias, dy = make(device, dtype, *shape)
    residual, dsum = (torch.randn(shape, device=device).to(dtype) for _ in range(2))

    def exact(x, residual, weight, bias):
        s = x + residual
        return reference(s, weight, bias), s

    inputs = (x, residual, weight, bias)
    want = grads(exact, [t.double() for t in inputs], (dy.double(), dsum.double()))
    got = grads(kernel.fused_add_layer_norm, inputs, (dy, dsum))
    for a, b in zip(got, want, strict=True):
        assert error(a, b) <= 3 * torch.finfo(dtype).eps
    only_sum = grads(lambda x, r: kernel.fused_add_layer_norm(x, r, weight, bias)[1], (x, residual), dsum)
    assert torch.equal(only_sum[0], dsum) and torch.equal(only_sum[1], dsum)


@pytest.mark.parametrize("columns", [33, 4096])
def test_expanded_and_strided_gradients(kernel, device, columns):
    """A gradient made by sum() has stride 0 everywhere: reading it as if dense is the field's bug."""
    x = torch.randn(6, columns, device=device, requires_grad=True)
    weight, bias = (torch.randn(columns, device=device, requires_grad=True) for _ in range(2))
    y = kernel.layer_norm(x, weight, bias)
    for dy in (
        torch.ones((), device=device).expand(6, columns),
        torch.randn(1, columns, device=device).expand(6, columns),
        torch.randn(6, 1, device=device).expand(6, columns),
        torch.randn(columns, 6, device=device).t(),
        torch.randn(6, 2 * columns, device=device)[:, ::2],
        torch.randn(6, columns + 1, device=device)[:, 1:],
    ):
        got = torch.autograd.grad(y, (x, weight, bias), dy, retain_graph=True)
        want = torch.autograd.grad(y, (x, weight, bias), dy.contiguous(), retain_graph=True)
        for a, b in zip(got, want, strict=True):
            assert torch.equal(a, b)


@pytest.mark.parametrize("columns", [64, 63, 12000])
def test_only_what_is_wanted(kernel, device, columns):
    x, weight, bias, dy = make(device, torch.float32, 4, columns)
    all_of_them = grads(kernel.layer_norm, (x, weight, bias), dy)
    for bits in range(1, 8):
        inputs = [t.clone().requires_grad_(bool(bits >> i & 1)) for i, t in enumerate((x, weight, bias))]
        kernel.layer_norm(*inputs).backward(dy)
        for i, want in enumerate(all_of_them):
            if bits >> i & 1:
                assert torch.equal(inputs[i].grad, want)
            else:
                assert inputs[i].grad is None
    a = x.clone().requires_grad_()
    kernel.layer_norm(a).sum().backward()
    assert a.grad is not None
    only_bias = bias.clone().requires_grad_()
    kernel.layer_norm(x, None, only_bias).backward(dy)
    assert torch.equal(only_bias.grad, all_of_them[2])
    empty = torch.empty(0, columns, device=device, requires_grad=True)
    w, b = weight.clone().requires_grad_(), bias.clone().requires_grad_()
    kernel.layer_norm(empty, w, b).sum().backward()
    assert not w.grad.any() and not b.grad.any() and empty.grad.shape == (0, columns)


@pytest.mark.parametrize("kind", ["both", "bias"])
def test_float32_weights_beside_a_shorter_x(kernel, device, kind):
    x, weight, bias, dy = make(device, torch.bfloat16, 40, 1000)
    weight, bias = weight.float() if kind == "both" else None, bias.float()
    inputs = [t for t in (x, weight, bias) if t is not None]
    order = (lambda x, w, b: (x, w, b)) if kind == "both" else lambda x, b: (x, None, b)  # noqa: E731
    got = grads(lambda *a: kernel.layer_norm(*order(*a)), inputs, dy)
    want = grads(lambda *a: reference(*order(*a)), [t.double() for t in inputs], dy.double())
    assert [g.dtype for g in got] == [t.dtype for t in inputs]
    for a, b in zip(got[1:], want[1:], strict=True):
        assert error(a, b) <= 1e-6


def test_gradgrad(kernel, device):
    x, weight, bias, _ = make(device, torch.float32, 3, 16)

    def second(function):
        inputs = [t.clone().requires_grad_() for t in (x, weight, bias)]
        first = torch.autograd.grad(function(*inputs).sin().sum(), inputs, create_graph=True)
        return torch.autograd.grad(sum(g.pow(2 + i).sum() for i, g in enumerate(first)), inputs)

    want = second(eager)
    for function in (kernel.layer_norm, kernel._ops.ops.layer_norm):
        for a, b in zip(second(function), want, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_func_transforms(kernel, device):
    x, weight, bias, _ = make(device, torch.float32, 5, 32)
    loss = lambda f: lambda *a: f(*a).sin().sum()  # noqa: E731
    got = torch.func.grad(loss(kernel.layer_norm), argnums=(0, 1, 2))(x, weight, bias)
    want = torch.func.grad(loss(eager), argnums=(0, 1, 2))(x, weight, bias)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)
    torch.testing.assert_close(
        torch.func.jacrev(lambda a: kernel.layer_norm(a, weight, bias))(x[0]),
        torch.func.jacrev(lambda a: eager(a, weight, bias))(x[0]),
    )
    vmap = torch.func.vmap
    batched, weights = torch.randn(4, 5, 32, device=device), torch.randn(4, 32, device=device)
    whole = kernel.layer_norm(batched, weight, bias)
    assert torch.equal(vmap(kernel.layer_norm, (0, None, None))(batched, weight, bias), whole)
    moved = kernel.layer_norm(batched.movedim(1, 0), weight, bias)
    assert torch.equal(vmap(kernel.layer_norm, (1, None, None))(batched, weight, bias), moved)
    each = torch.stack([kernel.layer_norm(a, weight, b) for a, b in zip(batched, weights, strict=True)])
    assert torch.equal(vmap(kernel.layer_norm, (0, None, 0))(batched, weight, weights), each)
    per_sample = vmap(torch.func.grad(loss(kernel.layer_norm), argnums=(1, 2)), (0, None, None))
    want = [torch.func.grad(loss(eager), argnums=(1, 2))(a, weight, bias) for a in batched]
    for got, column in zip(per_sample(batched, weight, bias), zip(*want, strict=True), strict=True):
        torch.testing.assert_close(got, torch.stack(column))
    y, total = vmap(kernel.fused_add_layer_norm, (0, None, None, None))(batched, x, weight, bias)
    assert torch.equal(total, batched + x)
    assert torch.equal(y, kernel.layer_norm(batched + x, weight, bias))


def test_forward_mode_is_refused(kernel):
    """Without the refusal the tangent would silently be zero."""
    x, weight = torch.randn(4, 16), torch.randn(16)
    calls = [
        lambda a: kernel.layer_norm(a, weight),
        lambda a: kernel.layer_norm(x, a[0]),
        lambda a: kernel.layer_norm(x, weight, a[0]),
        lambda a: kernel.fused_add_layer_norm(a, x)[0],
        lambda a: kernel.layer_norm_(a.clone()),
    ]
    for function in calls:
        with pytest.raises(RuntimeError, match="forward-mode"):
            torch.func.jvp(function, (x,), (x,))
        with torch.autograd.forward_ad.dual_level(), pytest.raises(RuntimeError, match="forward-mode"):
            function(torch.autograd.forward_ad.make_dual(x, x))


def test_no_public_name_loses_a_gradient(kernel, device):
    """Every public function either gives a gradient to each input that wants one, or refuses."""
    covered = {"layer_norm", "layer_norm_", "fused_add_layer_norm", "fused_add_layer_norm_", "layers"}
    assert set(kernel.__all__) == covered, "add the new name here"
    shapes = {"x": (4, 16), "residual": (4, 16), "weight": (16,), "bias": (16,)}
    dy = torch.randn(4, 16, device=device)
    for which in shapes:
        v = {name: torch.randn(shape, device=device) for name, shape in shapes.items()}
        v[which].requires_grad_()
        one = v["x"], v["weight"], v["bias"]
        two = v["x"], v["residual"], v["weight"], v["bias"]
        if which != "residual":
            kernel.layer_norm(*one).backward(dy)
            assert v[which].grad.abs().sum() > 0
            v[which].grad = None
            for call in (
                lambda one=one: kernel.layer_norm_(*one),
                lambda one=one: kernel.layer_norm(*one, out=torch.empty(4, 16, device=device)),
            ):
                with pytest.raises(RuntimeError, match="cannot be differentiated"):
                    call()
        kernel.fused_add_layer_norm(*two)[0].backward(dy)
        assert v[which].grad.abs().sum() > 0
        with pytest.raises(RuntimeError, match="cannot be differentiated"):
            kernel.fused_add_layer_norm_(*two)
    ops = kernel._ops.ops
    x = torch.randn(4, 16, device=device, requires_grad=True)
    for y in (ops.layer_norm(x), ops.fused_add_layer_norm(x, x.detach())[0]):
        (g,) = torch.autograd.grad(y, x, dy)
        assert g.abs().sum() > 0


def test_overwriting_a_saved_tensor_is_noticed(kernel, device):
    x = torch.randn(4, 16, device=device)
    weight = torch.randn(16, device=device, requires_grad=True)
    y = x * weight  # saves x
    with torch.no_grad():
        kernel.layer_norm_(x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_operators_without_kept_statistics(kernel, device):
    """torch.ops' public names keep none: the backward finds them again, with the same bits."""
    x, weight, bias, dy = make(device, torch.bfloat16, 9, 640)
    want = grads(kernel.layer_norm, (x, weight, bias), dy)
    for a, b in zip(grads(kernel._ops.ops.layer_norm, (x, weight, bias), dy), want, strict=True):
        assert torch.equal(a, b)
    assert torch.equal(kernel.layer_norm(x, weight, bias), kernel._ops.ops.layer_norm(x, weight, bias))
    torch.testing.assert_close(kernel.layer_norm(x), F.layer_norm(x, (640,)), rtol=2e-2, atol=1e-2)
