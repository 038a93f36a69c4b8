"""Gradients: right, complete, and never silently lost."""

import pytest
import torch
from conftest import DTYPES, EAGER, EXACT, GATED, KINDS, same


def grads(function, inputs, dy):
    inputs = [t.detach().clone().requires_grad_() for t in inputs]
    return torch.autograd.grad(function(*inputs), inputs, dy)


def error(got, want):
    return ((got.double() - want).norm() / want.norm()).item()


@pytest.mark.parametrize("size", [7, 128, 1000, 4099])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_as_close_to_float64_as_eager(kernel, worst, device, dtype, kind, size):
    x, up, dy = (2 * torch.randn(20, size, device=device) for _ in range(3))
    x, up, dy = x.to(dtype), up.to(dtype), dy.to(dtype)
    cases = [("dx", getattr(kernel, kind), EAGER[kind], EXACT[kind], (x,))]
    if kind in GATED:
        cases.append(
            (
                "gated",
                getattr(kernel, f"{kind}_mul"),
                lambda g, u: EAGER[kind](g) * u,
                lambda g, u: EXACT[kind](g) * u,
                (x, up),
            )
        )
    for name, function, eager, exact, inputs in cases:
        want = grads(exact, [t.double() for t in inputs], dy.double())
        for a, b, c in zip(grads(function, inputs, dy), grads(eager, inputs, dy), want, strict=True):
            assert a.dtype == dtype
            worst(f"{kind} {name} {device} {str(dtype)[6:]}, relative", error(a, c))
            assert error(a, c) <= 1.1 * error(b, c) + torch.finfo(dtype).eps


@pytest.mark.parametrize("kind", GATED)
@pytest.mark.parametrize("rounding", ["hf", "single"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_packed_gradients_are_those_of_the_halves(kernel, device, dtype, rounding, kind):
    for size in (1, 8, 33, 1024):
        gate, up, dy = (torch.randn(5, size, device=device).to(dtype) for _ in range(3))
        want = grads(lambda g, u: getattr(kernel, f"{kind}_mul")(g, u, rounding=rounding), (gate, up), dy)
        packed = torch.cat((gate, up), -1)
        (got,) = grads(lambda x: getattr(kernel, f"{kind}_and_mul")(x, rounding=rounding), (packed,), dy)
        assert torch.equal(got, torch.cat(want, -1))
        if kind == "silu":
            swapped = torch.cat((up, gate), -1)
            (got,) = grads(lambda x: kernel.mul_and_silu(x, rounding=rounding), (swapped,), dy)
            assert torch.equal(got, torch.cat(want[::-1], -1))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_up_gets_the_activation_that_the_forward_used(kernel, device, dtype):
    gate, up, dy = (torch.randn(5, 512, device=device).to(dtype) for _ in range(3))
    assert torch.equal(grads(kernel.silu_mul, (gate, up), dy)[1], dy * kernel.silu(gate))


@pytest.mark.parametrize("kind", KINDS)
def test_numerical_gradients(kernel, device, kind):
    x = torch.linspace(-4, 4, 33, device=device)
    (got,) = grads(getattr(kernel, kind), (x,), torch.ones_like(x))
    step = 1e-6
    want = (EXACT[kind](x.double() + step) - EXACT[kind](x.double() - step)) / (2 * step)
    torch.testing.assert_close(got, want.float(), rtol=1e-5, atol=2e-7)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_gradients_of_special_values(kernel, device, dtype):
    """As torch's, but that a finite number has a finite gradient."""
    inf, nan = float("inf"), float("nan")
    x = torch.tensor([inf, -inf, nan, 0.0, -0.0, -200.0, 200.0], device=device).to(dtype).repeat(3)
    far = torch.tensor([1e30, -1e30, 3e38, -3e38] * 4, device=device).to(torch.bfloat16)
    for kind in KINDS:
        (got,) = grads(getattr(kernel, kind), (x,), torch.ones_like(x))
        (want,) = grads(EAGER[kind], (x,), torch.ones_like(x))
        assert same(got, want), (kind, got, want)
        for t in (far, far.float()):
            (got,) = grads(getattr(kernel, kind), (t,), torch.ones_like(t))
            assert torch.equal(got, (t > 0).to(t.dtype)), kind


@pytest.mark.parametrize("size", [33, 4096])
def test_expanded_and_strided_gradients(kernel, device, size):
    """A gradient made by sum() has stride 0 everywhere: reading it as if dense is the field's bug."""
    x = torch.randn(6, 2 * size, device=device, requires_grad=True)
    gate, up = (torch.randn(6, size, device=device, requires_grad=True) for _ in range(2))
    outputs = (
        (kernel.gelu(gate), (gate,)),
        (kernel.silu_mul(gate, up), (gate, up)),
        (kernel.silu_and_mul(x), (x,)),
    )
    for dy in (
        torch.ones((), device=device).expand(6, size),
        torch.randn(1, size, device=device).expand(6, size),
        torch.randn(6, 1, device=device).expand(6, size),
        torch.randn(size, 6, device=device).t(),
        torch.randn(6, 2 * size, device=device)[:, ::2],
        torch.randn(6, size + 1, device=device)[:, 1:],
    ):
        for y, inputs in outputs:
            got = torch.autograd.grad(y, inputs, dy, retain_graph=True)
            want = torch.autograd.grad(y, inputs, dy.contiguous(), retain_graph=True)
            for a, b in zip(got, want, strict=True):
                assert torch.equal(a, b)


def test_views_of_a_packed_tensor(kernel, device):
    x = torch.randn(6, 256, device=device, requires_grad=True)
    dy = torch.randn(6, 128, device=device)
    (got,) = torch.autograd.grad(kernel.silu_mul(*x.chunk(2, -1)), x, dy)
    (want,) = torch.autograd.grad(kernel.silu_and_mul(x), x, dy)
    assert torch.equal(got, want)


def test_only_what_is_wanted(kernel, device):
    gate, up = torch.randn(4, 64, device=device), torch.randn(4, 64, device=device)
    for needs in ((True, False), (False, True)):
        a, b = gate.clone().requires_grad_(needs[0]), up.clone().requires_grad_(needs[1])
        kernel.silu_mul(a, b).sum().backward()
        assert (a.grad is not None) == needs[0] and (b.grad is not None) == needs[1]
    for shape in ((0, 64), (4, 0)):
        empty = torch.empty(shape, device=device, requires_grad=True)
        (kernel.silu_and_mul(empty).sum() + kernel.gelu(empty).sum()).backward()
        assert empty.grad.shape == shape


@pytest.mark.parametrize("kind", GATED)
def test_gradgrad(kernel, device, kind):
    gate, up = torch.randn(3, 16, device=device), torch.randn(3, 16, device=device)

    def second(function):
        a, b = gate.clone().requires_grad_(), up.clone().requires_grad_()
        first = torch.autograd.grad(function(a, b).sin().sum(), (a, b), create_graph=True)
        return torch.autograd.grad(first[0].pow(2).sum() + first[1].pow(3).sum(), (a, b))

    ops = kernel._ops.ops
    want = second(lambda a, b: EXACT[kind](a) * b)
    for function in (
        getattr(kernel, f"{kind}_mul"),
        getattr(ops, f"{kind}_mul"),
        lambda a, b: getattr(kernel, f"{kind}_and_mul")(torch.cat((a, b), -1)),
        lambda a, b: getattr(ops, f"{kind}_and_mul")(torch.cat((a, b), -1)),
        lambda a, b: getattr(kernel, kind)(a) * b,
        lambda a, b: getattr(ops, kind)(a) * b,
    ):
        for a, b in zip(second(function), want, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_func_transforms(kernel, device):
    x, up = torch.randn(6, 32, device=device), torch.randn(6, 32, device=device)
    loss = lambda f: lambda *t: f(*t).sin().sum()  # noqa: E731
    pairs = (
        (kernel.gelu, EXACT["gelu"], (x,)),
        (kernel.silu_mul, lambda a, b: EXACT["silu"](a) * b, (x, up)),
        (kernel.silu_and_mul, lambda a: EXACT["silu"](a[..., :16]) * a[..., 16:], (x,)),
        (kernel.mul_and_silu, lambda a: EXACT["silu"](a[..., 16:]) * a[..., :16], (x,)),
    )
    for ours, theirs, inputs in pairs:
        every = tuple(range(len(inputs)))
        got = torch.func.grad(loss(ours), argnums=every)(*inputs)
        want = torch.func.grad(loss(theirs), argnums=every)(*inputs)
        for a, b in zip(got, want, strict=True):
            torch.testing.assert_close(a, b)
        got = torch.func.vmap(torch.func.grad(loss(ours), argnums=every))(*inputs)
        for a, b in zip(got, want, strict=True):
            torch.testing.assert_close(a, b)
        assert torch.equal(torch.func.vmap(ours)(*inputs), ours(*inputs))
        assert torch.equal(torch.func.vmap(ours, in_dims=1)(*inputs), ours(*(t.t() for t in inputs)))
        torch.testing.assert_close(
            torch.func.jacrev(ours)(*(t[0] for t in inputs)),
            torch.func.jacrev(theirs)(*(t[0] for t in inputs)),
        )
    shared = torch.func.vmap(kernel.silu_mul, (0, None))(x, up[0])
    assert torch.equal(shared, kernel.silu_mul(x, up[:1].expand_as(x)))


def test_forward_mode_is_refused(kernel):
    """Without the refusal the tangent would silently be zero."""
    x = torch.randn(4, 16)
    calls = [
        kernel.silu,
        lambda a: kernel.silu(torch.empty_like(x), a),
        lambda a: kernel.silu_mul(x, a),
        lambda a: kernel.gelu_mul(a, x),
        kernel.silu_and_mul,
        kernel.mul_and_silu,
        kernel.layers.Gelu(),
    ]
    for function in calls:
        with torch.autograd.forward_ad.dual_level(), pytest.raises(RuntimeError, match="forward-mode"):
            function(torch.autograd.forward_ad.make_dual(x, x))
    with pytest.raises(RuntimeError, match="forward-mode"):
        torch.func.jvp(kernel.silu, (x,), (x,))


def test_no_public_name_loses_a_gradient(kernel, device):
    """Every public function either gives a gradient to each input that wants one, or refuses."""
    apart = {f"{kind}_mul" for kind in GATED}
    for name in set(kernel.__all__) - {"layers"}:
        function = getattr(kernel, name)
        count = 2 if name in apart else 1
        for which in range(count):
            inputs = [torch.randn(4, 16, device=device) for _ in range(count)]
            inputs[which].requires_grad_()
            y = function(*inputs)
            y.sum().backward()
            assert inputs[which].grad.abs().sum() > 0, name
            with pytest.raises(RuntimeError, match="cannot be differentiated"):
                function(*inputs, out=torch.empty_like(y))
            if name not in apart:
                with pytest.raises(RuntimeError, match="cannot be differentiated"):
                    function(torch.empty_like(y), *inputs)
                    raise AssertionError(name)
            with torch.no_grad():
                function(*inputs, out=torch.empty_like(y))
    ops = kernel._ops.ops
    x = torch.randn(4, 16, device=device, requires_grad=True)
    for kind in GATED:
        for y in (
            getattr(ops, kind)(x),
            getattr(ops, f"{kind}_mul")(x, x.detach()),
            getattr(ops, f"{kind}_mul")(x.detach(), x),
            getattr(ops, f"{kind}_and_mul")(x),
        ):
            (g,) = torch.autograd.grad(y.sum(), x)
            assert g.abs().sum() > 0


def test_overwriting_a_saved_tensor_is_noticed(kernel, device):
    x = torch.randn(4, 16, device=device)
    weight = torch.randn(16, device=device, requires_grad=True)
    y = x * weight  # saves x
    with torch.no_grad():
        kernel.silu(x, x)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    gate = torch.randn(4, 16, device=device, requires_grad=True)
    up = torch.randn(4, 16, device=device)
    y = kernel.silu_mul(gate, up)  # saves up
    with torch.no_grad():
        up.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
