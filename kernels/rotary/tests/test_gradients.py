"""Gradients: right, complete, and never silently lost."""

import pytest
import torch
from conftest import DTYPES, eager_one, eager_pairs, lies_like, make, tables


def grads(function, inputs, dys):
    inputs = [t.detach().clone().requires_grad_() for t in inputs]
    outputs = function(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    return torch.autograd.grad(outputs, inputs, dys)


def error(got, want):
    return ((got.double() - want).norm() / want.norm()).item()


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("columns, rotated", [(64, 64), (128, 64), (80, 80), (10, 6)])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_as_close_to_float64_as_eager(kernel, worst, device, dtype, columns, rotated, interleaved):
    q, k = make(device, dtype, columns=columns)
    dq, dk = (torch.randn_like(t) for t in (q, k))
    cos, sin = (torch.randn(2, 7, rotated, device=device).to(dtype) for _ in range(2))
    formula = eager_pairs if interleaved else eager_one
    if interleaved:
        cos, sin = (torch.cat((t[..., : rotated // 2],) * 2, -1) for t in (cos, sin))
        table = cos[..., : rotated // 2], sin[..., : rotated // 2]
    else:
        table = cos, sin
    wide = [t.double() for t in table]
    want = grads(
        lambda a, b: (formula(a, *wide), formula(b, *wide)),
        (q.double(), k.double()),
        (dq.double(), dk.double()),
    )
    theirs = grads(lambda a, b: (formula(a, *table), formula(b, *table)), (q, k), (dq, dk))
    ours = grads(lambda a, b: kernel.rotary(a, b, cos, sin, interleaved=interleaved), (q, k), (dq, dk))
    for a, b, c, x in zip(ours, theirs, want, (q, k), strict=True):
        assert a.dtype == dtype and lies_like(a, x)
        worst(f"gradient {device} {str(dtype)[6:]}, relative", error(a, c))
        assert error(a, c) <= 1.05 * error(b, c) + 1e-9
        if dtype != torch.float32:  # rounded once
            assert ((a.double() - c).abs() <= 0.51 * torch.finfo(dtype).eps * c.abs() + 1e-6).all()  # fmt: skip


@pytest.mark.parametrize("interleaved", [False, True])
def test_gradcheck(kernel, device, interleaved):
    """Numbers against differences, in float32: the function is linear, so a large step is exact."""
    q, k = make(device, torch.float32, columns=16, length=3, batch=1)
    cos, sin = (torch.randn(1, 3, 12, device=device) for _ in range(2))
    function = lambda a, b: kernel.rotary(a, b, cos, sin, interleaved=interleaved)  # noqa: E731
    dys = [torch.randn_like(t) for t in (q, k)]
    got = grads(function, (q, k), dys)
    for x, g, i in ((q, got[0], 0), (k, got[1], 1)):
        direction = torch.randn_like(x)
        moved = [q, k]
        moved[i] = x + direction
        change = sum(
            ((a - b) * d).sum() for a, b, d in zip(function(*moved), function(q, k), dys, strict=True)
        )
        torch.testing.assert_close(change, (g * direction).sum(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_embedding(kernel, device, dtype, interleaved):
    q, k = torch.randn(2, 9, 4, 64, device=device).to(dtype)
    dq, dk = torch.randn(2, 9, 4, 64, device=device).to(dtype)
    positions = torch.randint(0, 20, (9,), device=device)
    cache = torch.randn(20, 32, device=device)
    cos, sin = (t.double().unsqueeze(0) for t in cache[positions].chunk(2, -1))

    def exact(x):
        if interleaved:
            return eager_pairs(x.unsqueeze(0), cos, sin, 2)[0]
        return eager_one(x.unsqueeze(0), torch.cat((cos, cos), -1), torch.cat((sin, sin), -1), 2)[0]

    want = grads(lambda a, b: (exact(a), exact(b)), (q.double(), k.double()), (dq.double(), dk.double()))
    for function in (kernel.rotary_embedding, kernel._ops.ops.rotary_embedding):
        got = grads(
            lambda a, b, f=function: f(a, b, positions, cache, interleaved=interleaved), (q, k), (dq, dk)
        )
        for a, b in zip(got, want, strict=True):
            assert a.dtype == dtype and error(a, b) <= torch.finfo(dtype).eps


def test_expanded_and_strided_gradients(kernel, device):
    """A gradient made by sum() has stride 0 everywhere: reading it as if dense is the field's bug."""
    for columns in (64, 10):
        q, k = (t.requires_grad_() for t in make(device, torch.float32, columns=columns))
        cos, sin = tables(device, torch.float32, 2, 7, columns)
        y, z = kernel.rotary(q, k, cos, sin)
        for dy in (
            torch.ones((), device=device).expand(y.shape),
            torch.randn(2, 1, 7, columns, device=device).expand(y.shape),
            torch.randn(2, 4, 7, 1, device=device).expand(y.shape),
            torch.randn(columns, 7, 4, 2, device=device).permute(3, 2, 1, 0),
            torch.randn(2, 4, 7, columns + 1, device=device)[..., 1:],
        ):
            got = torch.autograd.grad(y, q, dy, retain_graph=True)[0]
            want = torch.autograd.grad(y, q, dy.contiguous(), retain_graph=True)[0]
            assert torch.equal(got, want)


def test_only_what_is_wanted(kernel, device):
    q, k = make(device, torch.float32)
    cos, sin = tables(device, torch.float32, 2, 7, 64)
    for needs in ((True, False), (False, True)):
        for used in (0, 1, 2):
            a, b = q.clone().requires_grad_(needs[0]), k.clone().requires_grad_(needs[1])
            y, z = kernel.rotary(a, b, cos, sin)
            loss = (y.sum(), z.sum(), y.sum() + z.sum())[used]
            loss.backward()
            for t, need, index in ((a, needs[0], 0), (b, needs[1], 1)):
                reached = need and used in (index, 2)
                assert (t.grad is not None and bool(t.grad.any())) == reached
    a = q.clone().requires_grad_()
    y, none = kernel.rotary(a, None, cos, sin)
    y.sum().backward()
    assert none is None and a.grad is not None


def test_gradgrad(kernel, device):
    q, k = make(device, torch.float32, columns=16)
    cos, sin = (torch.randn(2, 7, 16, device=device) for _ in range(2))
    cache, positions = torch.randn(20, 16, device=device), torch.randint(0, 20, (7,), device=device)
    ops = kernel._ops.ops

    def second(function, *inputs):
        inputs = [t.detach().clone().requires_grad_() for t in inputs]
        loss = sum(t.sin().sum() for t in function(*inputs))
        first = torch.autograd.grad(loss, inputs, create_graph=True)
        return torch.autograd.grad(sum(g.pow(3).sum() for g in first), inputs)

    want = second(lambda a, b: (eager_one(a, cos, sin), eager_one(b, cos, sin)), q, k)
    for function in (kernel.rotary, ops.rotary):
        for a, b in zip(second(lambda a, b, f=function: f(a, b, cos, sin), q, k), want, strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)
    rows = [torch.cat((t, t), -1).unsqueeze(0) for t in cache[positions].chunk(2, -1)]
    x = torch.randn(7, 3, 16, device=device)
    want = second(lambda a: (eager_one(a[None], *rows, 2)[0],), x)
    for function in (kernel.rotary_embedding, ops.rotary_embedding):
        got = second(lambda a, f=function: f(a, None, positions, cache)[:1], x)
        torch.testing.assert_close(got[0], want[0], rtol=1e-4, atol=1e-4)


def test_func_transforms(kernel, device):
    q, k = make(device, torch.float32, columns=16, length=5)
    cos, sin = tables(device, torch.float32, 2, 5, 16)
    ours = lambda a, b: kernel.rotary(a, b, cos, sin)  # noqa: E731
    theirs = lambda a, b: (eager_one(a, cos, sin), eager_one(b, cos, sin))  # noqa: E731
    loss = lambda f: lambda a, b: sum(t.sin().sum() for t in f(a, b))  # noqa: E731
    got = torch.func.grad(loss(ours), argnums=(0, 1))(q, k)
    for a, b in zip(got, torch.func.grad(loss(theirs), argnums=(0, 1))(q, k), strict=True):
        torch.testing.assert_close(a, b)
    one = tables(device, torch.float32, 1, 5, 16)
    torch.testing.assert_close(
        torch.func.jacrev(lambda a: kernel.rotary(a[None, None], None, *one)[0])(q[0, 0]),
        torch.func.jacrev(lambda a: eager_one(a[None, None], *one))(q[0, 0]),
    )
    batched = torch.randn(3, 2, 4, 5, 16, device=device)
    want = torch.stack([kernel.rotary(a, None, cos, sin)[0] for a in batched])
    vmap = torch.func.vmap
    assert torch.equal(vmap(lambda a: kernel.rotary(a, None, cos, sin)[0])(batched), want)
    assert torch.equal(vmap(lambda a: kernel.rotary(a, None, cos, sin)[0], 1)(batched.movedim(0, 1)), want)
    both = vmap(lambda a: kernel.rotary(a, k, cos, sin))(batched)
    assert torch.equal(both[0], want)
    assert torch.equal(both[1], kernel.rotary(k, None, cos, sin)[0].expand(3, *k.shape))
    many = torch.randn(3, 2, 5, 16, device=device)
    each = torch.stack([kernel.rotary(a, None, c, sin)[0] for a, c in zip(batched, many, strict=True)])
    assert torch.equal(vmap(lambda a, c: kernel.rotary(a, None, c, sin)[0])(batched, many), each)
    per_sample = vmap(torch.func.grad(lambda a: kernel.rotary(a, None, cos, sin)[0].sin().sum()))(batched)
    want = vmap(torch.func.grad(lambda a: eager_one(a, cos, sin).sin().sum()))(batched)
    torch.testing.assert_close(per_sample, want)
    w = torch.ones(16, device=device)
    normed = vmap(lambda a: kernel.qk_norm_rotary(a, None, w, None, cos, sin)[0])(batched)
    want = torch.stack([kernel.qk_norm_rotary(a, None, w, None, cos, sin)[0] for a in batched])
    assert torch.equal(normed, want)


@pytest.mark.parametrize("shape", [(7, 4, 16), (2, 7, 4, 16)])
def test_vmap_of_the_norm(kernel, device, shape):
    vmap, f = torch.func.vmap, kernel.qk_norm
    q, k = torch.randn(2, 3, *shape, device=device)
    k = k[..., :2, :]
    w, v = torch.rand(2, 16, device=device) + 0.5
    want = [torch.stack([f(a, b, w, v)[i] for a, b in zip(q, k, strict=True)]) for i in (0, 1)]
    both = lambda a, b: f(a, b, w, v)  # noqa: E731
    for got in (vmap(both)(q, k), vmap(both, 1)(q.movedim(0, 1), k.movedim(0, 1))):
        assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])
    got = vmap(both, (0, None))(q, k[1])
    assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1][1].expand_as(want[1]))
    assert torch.equal(vmap(lambda a: f(a, None, w, None)[0])(q), want[0])
    scales = torch.rand(3, 16, device=device)
    each = torch.stack([f(a, None, s, None)[0] for a, s in zip(q, scales, strict=True)])
    assert torch.equal(vmap(lambda a, s: f(a, None, s, None)[0])(q, scales), each)


def test_vmap_of_the_embedding(kernel, device):
    x, cache = torch.randn(3, 7, 2, 16, device=device), torch.randn(20, 16, device=device)
    positions = torch.randint(0, 20, (3, 7), device=device)
    vmap, f = torch.func.vmap, kernel.rotary_embedding
    want = torch.stack([f(a, None, positions[0], cache)[0] for a in x])
    assert torch.equal(vmap(lambda a: f(a, None, positions[0], cache)[0])(x), want)
    want = torch.stack([f(a, None, p, cache)[0] for a, p in zip(x, positions, strict=True)])
    assert torch.equal(vmap(lambda a, p: f(a, None, p, cache)[0])(x, positions), want)
    y, z = vmap(lambda a, p: f(a, a, p, cache))(x, positions)
    assert torch.equal(y, want) and torch.equal(z, want)
    caches = torch.randn(3, 20, 16, device=device)
    want = torch.stack([f(a, None, p, c)[0] for a, p, c in zip(x, positions, caches, strict=True)])
    assert torch.equal(vmap(lambda a, p, c: f(a, None, p, c)[0])(x, positions, caches), want)


def every_call(kernel, device):
    """name -> (function, tensors): calls with every tensor that could want a gradient."""
    q, k = make(device, torch.float32, columns=16)
    cos, sin = tables(device, torch.float32, 2, 7, 16)
    w = torch.ones(16, device=device)
    x, cache = torch.randn(7, 2, 16, device=device), torch.randn(20, 16, device=device)
    positions = torch.arange(7, device=device)
    embed = lambda f: lambda a, b, c: f(a, b, positions, c)  # noqa: E731
    halves = [torch.randn(7, 2, 8, device=device) for _ in range(4)]
    table = torch.randn(2, 7, 1, 8, device=device).unbind(0)
    return {
        "rotary": (kernel.rotary, (q, k, cos, sin)),
        "rotary_": (kernel.rotary_, (q, k, cos, sin)),
        "rotary_embedding": (embed(kernel.rotary_embedding), (x, x + 1, cache)),
        "rotary_embedding_": (embed(kernel.rotary_embedding_), (x, x + 1, cache)),
        "qk_norm_rotary": (kernel.qk_norm_rotary, (q, k, w, w.clone(), cos, sin)),
        "qk_norm": (kernel.qk_norm, (q, k, w, w.clone())),
        "qk_norm_": (kernel.qk_norm_, (q, k, w, w.clone())),
        "apply_rotary_transformers": (kernel.apply_rotary_transformers, (q, k, cos, sin)),
        "apply_rotary": (
            lambda a, b, c, s, y, z: kernel.apply_rotary(a, b, c, s, y, z, False),
            (*halves[:2], *table, *halves[2:]),
        ),
    }


def test_forward_mode_is_refused(kernel, device):
    """Without the refusal the tangent would silently be zero."""
    for name, (function, tensors) in every_call(kernel, device).items():
        for i in range(len(tensors)):
            with torch.autograd.forward_ad.dual_level():
                dual = [t.clone() for t in tensors]
                dual[i] = torch.autograd.forward_ad.make_dual(dual[i], dual[i])
                with pytest.raises(RuntimeError, match="forward-mode"):
                    function(*dual)
                    raise AssertionError(name)


def test_no_public_name_loses_a_gradient(kernel, device):
    """Every public function either gives a gradient to each input that wants one, or refuses."""
    calls = every_call(kernel, device)
    assert set(kernel.__all__) == {*calls, "layers"}, "add the new name to every_call"
    differentiable = {"rotary", "rotary_embedding", "apply_rotary_transformers"}
    for name, (function, tensors) in calls.items():
        for i in range(len(tensors)):
            inputs = [t.clone() for t in tensors]
            inputs[i].requires_grad_()
            if name in differentiable and i < 2:
                sum(t.sum() for t in function(*inputs)).backward()
                assert inputs[i].grad.abs().sum() > 0
                continue
            with pytest.raises(RuntimeError, match="differentiated|gradient"):
                function(*inputs)
            with torch.no_grad():
                function(*inputs)


def test_registered_operators(kernel, device):
    """Callers of torch.ops get the same gradients, or the same refusals."""
    ops = kernel._ops.ops
    q, k = make(device, torch.bfloat16)
    dys = [torch.randn_like(t) for t in (q, k)]
    cos, sin = tables(device, torch.bfloat16, 2, 7, 64)
    want = grads(lambda a, b: kernel.rotary(a, b, cos, sin), (q, k), dys)
    got = grads(lambda a, b: ops.rotary(a, b, cos, sin), (q, k), dys)
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)
    for call in (
        lambda: ops.rotary(q, k, cos.clone().requires_grad_(), sin),
        lambda: ops.rotary_embedding(
            q[0], None, torch.arange(4, device=device), torch.randn(9, 64, device=device).requires_grad_()
        ),
        lambda: ops.qk_norm_rotary(
            q, None, cos, sin, None, False, 1, "hf", torch.ones(64, device=device).requires_grad_(), None
        ),
        lambda: ops.qk_norm(q, None, torch.ones(64, device=device).requires_grad_(), None),
    ):
        with pytest.raises(RuntimeError, match="gradient"):
            call()
    with torch.no_grad():
        ops.rotary(q, k, cos.clone().requires_grad_(), sin)


def test_overwriting_a_saved_tensor_is_noticed(kernel, device):
    q, _ = make(device, torch.float32)
    cos, sin = tables(device, torch.float32, 2, 7, 64)
    w = torch.randn(64, device=device, requires_grad=True)
    y = q * w  # saves q
    with torch.no_grad():
        kernel.rotary_(q, None, cos, sin)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
