"""What only a GPU can show: streams, graphs, several devices, addresses beyond 2^31 elements."""

import pytest
import torch
from conftest import NO_GPU, eager_norm, eager_one, make, tables

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
two_gpus = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices")


def inputs(batch=1, length=64, heads=(32, 8), columns=128, dtype=torch.bfloat16, device="cuda"):
    q, k = make(device, dtype, batch, length, heads, columns)
    return q, k, *tables(device, dtype, batch, length, columns)


def test_graph_capture(kernel):
    q, k, cos, sin = inputs()
    w = torch.randn(128, device="cuda").bfloat16()

    def call():
        normed = *kernel.qk_norm_rotary(q, k, w, w, cos, sin), *kernel.qk_norm(q, k, w, w)
        return *kernel.rotary(q, k, cos, sin), *normed

    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got = call()
    for t in (q, k, cos, sin, w):
        t.copy_(torch.randn_like(t))
    want = call()
    graph.replay()
    torch.cuda.synchronize()
    assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))


def test_graph_of_a_training_step(kernel):
    q, k, cos, sin = inputs(length=300)
    q, k = q.requires_grad_(), k.requires_grad_()
    dys = torch.randn_like(q), torch.randn_like(k)

    def step():
        return torch.autograd.grad(kernel.rotary(q, k, cos, sin), (q, k), dys)

    want = step()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got = step()
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])


@pytest.mark.parametrize("length", [1, 16, 512, 4096])
def test_producers_are_waited_for(kernel, length):
    """Programmatic launch: all inputs are rewritten just before each call, and must be the new ones."""
    fixed = inputs(length=length)
    w = torch.randn(128, device="cuda").bfloat16()
    cache = torch.randn(4 * length, 128, device="cuda")
    positions = torch.zeros(length, device="cuda", dtype=torch.int64)
    fixed = (*fixed, w, cache, positions)
    sets = [
        (*(torch.randn_like(t) for t in fixed[:-1]), torch.randint_like(positions, 0, 4 * length))
        for _ in range(6)
    ]

    def chain(q, k, cos, sin, w, cache, positions):
        y, z = kernel.rotary(q, k, cos, sin)
        y, z = kernel.qk_norm_rotary(y, z, w, w, cos, sin)
        y, z = (t[0].transpose(0, 1) for t in kernel.qk_norm(y, z, w, w))
        kernel.qk_norm_(y, z, w, w)
        y, z = kernel.rotary_embedding(y, z, positions, cache)
        kernel.rotary_embedding_(y, z, positions, cache)
        return y, z

    want = []
    for values in sets:
        torch.cuda.synchronize()
        want.append(chain(*values))
    torch.cuda.synchronize()
    for _ in range(5):
        got = []
        for values in sets:
            for a, b in zip(fixed, values, strict=True):
                a.copy_(b)
            got.append(chain(*fixed))
        for a, b in zip(got, want, strict=True):
            assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


def test_current_stream_is_used(kernel):
    """Work queued before the call on a side stream must be seen by it."""
    q, k, cos, sin = inputs(length=512)
    side = torch.cuda.Stream()
    want = kernel.rotary(torch.ones_like(q), None, cos, sin)[0]
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(20_000_000)
        q.fill_(1.0)
        y = kernel.rotary(q, None, cos, sin)[0]
    side.synchronize()
    assert torch.equal(y, want)


@pytest.mark.parametrize("columns, rotated", [(64, 64), (80, 80), (96, 96), (128, 64), (256, 256), (10, 6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_same_bits_as_the_cpu(kernel, dtype, columns, rotated):
    """Products and sums are rounded one by one on both."""
    q, k = make("cpu", dtype, columns=columns)
    for interleaved in (False, True):
        for table in {dtype, torch.float32}:
            cos, sin = tables("cpu", table, 2, 7, rotated)
            for rounding in ("hf", "single"):
                how = {"interleaved": interleaved, "rounding": rounding}
                want = kernel.rotary(q, k, cos, sin, **how)
                got = kernel.rotary(q.cuda(), k.cuda(), cos.cuda(), sin.cuda(), **how)
                assert torch.equal(got[0].cpu(), want[0]) and torch.equal(got[1].cpu(), want[1])


@pytest.mark.parametrize("batch, length", [(1, 1), (64, 1), (3, 700), (70000, 2), (1, 5000)])
def test_shapes_of_launches(kernel, batch, length):
    """Batches that do and do not join, more of them than a grid has, few positions and many."""
    q, k = make("cuda", torch.bfloat16, batch, length, (5, 2), 64)
    w = torch.randn(64, device="cuda").bfloat16()
    for rows in {1, batch}:
        cos, sin = (torch.randn(rows, length, 64, device="cuda").bfloat16() for _ in range(2))
        y, z = kernel.rotary(q, k, cos, sin)
        assert torch.equal(y, eager_one(q, cos, sin)) and torch.equal(z, eager_one(k, cos, sin))
        n, _ = kernel.qk_norm_rotary(q, k, w, w, cos, sin)
        last = slice(batch - 1, batch)
        c, s = (t[-1:] for t in (cos, sin))
        assert torch.equal(n[last], kernel.qk_norm_rotary(q[last], None, w, None, c, s)[0])
    for x in (q, q.contiguous(), q.flatten(0, 1)):
        y, _ = kernel.qk_norm(x, None, w, None)
        assert torch.equal(y[-1:], kernel.qk_norm(x[-1:], None, w, None)[0])
        torch.testing.assert_close(y, eager_norm(x, w))


def test_inputs_on_cpu_and_gpu_are_refused(kernel):
    q, k, cos, sin = inputs()
    with pytest.raises(RuntimeError, match="'q' is on cuda:0 and 'cos' is on cpu"):
        kernel.rotary(q, k, cos.cpu(), sin)


@two_gpus
def test_second_device_runs_in_its_own_context(kernel):
    q, k, cos, sin = inputs(device="cuda:1")
    assert torch.cuda.current_device() == 0
    y, _ = kernel.rotary(q, k, cos, sin)
    torch.cuda.synchronize("cuda:1")
    assert y.device.index == 1 and torch.cuda.current_device() == 0
    assert torch.equal(y, eager_one(q, cos, sin))


@pytest.mark.parametrize("columns", [128, 130])
def test_more_than_2_31_elements(kernel, columns):
    heads = 32
    length = 2**31 // (heads * columns) + 10
    if torch.cuda.mem_get_info()[0] < 3 * 2 * heads * length * columns:
        pytest.skip("not enough free GPU memory")
    q = torch.empty(1, length, heads, columns, device="cuda", dtype=torch.bfloat16)
    for part in q.split(2**14, 1):
        part.normal_()
    cos, sin = tables("cuda", torch.bfloat16, 1, length, columns)
    y = kernel.rotary(q, None, cos, sin, unsqueeze_dim=2)[0]
    for start in (0, length // 2, length - 100):
        part = slice(start, start + 100)
        want = eager_one(q[:, part], cos[:, part], sin[:, part], 2)
        assert torch.equal(y[:, part], want)
    kernel.rotary_(q, None, cos, sin, unsqueeze_dim=2)
    assert torch.equal(q, y)


def test_rows_far_apart(kernel):
    base = torch.empty(2**31 + 5000, device="cuda", dtype=torch.bfloat16)
    for strides in ((2**31, 128, 128, 1), (128, 2**31, 128, 1), (128, 128, 2**31, 1)):
        shape = [2 if s == 2**31 else 1 for s in strides[:3]]
        q = base.as_strided((*shape, 128), strides)
        q.normal_()
        cos, sin = tables("cuda", torch.bfloat16, shape[0], shape[2], 128)
        assert torch.equal(
            kernel.rotary(q, None, cos, sin)[0], kernel.rotary(q.contiguous(), None, cos, sin)[0]
        )


FIRST_CALL = """
import sys, threading, torch
torch.ops.load_library(sys.argv[1])
ops = getattr(torch.ops, sys.argv[2])
q, cos, sin = (torch.randn(1, 8, 64, 128, device="cuda") for _ in range(3))
cos, sin = cos[:, 0], sin[:, 0]
call = lambda: ops._rotary_fwd(q, None, cos, sin, None, False, 1, "hf", False)[0]
want = q * cos + torch.cat((-q[..., 64:], q[..., :64]), -1) * sin
torch.cuda.synchronize()
got = []
if sys.argv[3] == "capture":
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got.append(call())
    graph.replay()
else:
    threads = [threading.Thread(target=lambda: got.append(call())) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
torch.cuda.synchronize()
for y in got:
    assert torch.equal(y, want)
print(len(got))
"""


@pytest.mark.parametrize("how", ["capture", "threads"])
def test_first_call_of_a_process(kernel, how):
    """The image is loaded inside a graph capture, by eight threads at once."""
    import pathlib
    import subprocess
    import sys

    (library,) = pathlib.Path(kernel._ops.__file__).parent.glob("*.so")
    arguments = [sys.executable, "-c", FIRST_CALL, str(library), kernel._ops.ops.name, how]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ("8" if how == "threads" else "1")
