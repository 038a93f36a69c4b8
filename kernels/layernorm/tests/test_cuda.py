"""What only a GPU can show: streams, threads, graphs, several devices, addresses beyond 2^31 elements."""

import threading

import pytest
import torch
from conftest import NO_GPU, eager

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
two_gpus = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices")


def make(rows=64, columns=4096, device="cuda", dtype=torch.bfloat16):
    return torch.randn(rows, columns, device=device).to(dtype), torch.randn(columns, device=device).to(dtype)


def test_graph_capture(kernel):
    x, weight = make()
    want = kernel.layer_norm(x, weight)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = kernel.layer_norm(x, weight)
    x.copy_(torch.randn_like(x))
    want = kernel.layer_norm(x, weight)
    graph.replay()
    torch.cuda.synchronize()
    assert torch.equal(y, want)


def test_graph_of_a_training_step(kernel):
    x, weight = make(300)
    x.requires_grad_()
    weight.requires_grad_()
    bias = torch.randn_like(weight, requires_grad=True)
    dy = torch.randn_like(x)

    def step():
        return torch.autograd.grad(kernel.layer_norm(x, weight, bias), (x, weight, bias), dy)

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
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)


def test_producers_are_waited_for(kernel):
    """Programmatic launch: all inputs are rewritten just before each call, and must be the new ones."""
    for rows, columns in (
        (1, 4096),
        (16, 4096),
        (512, 4096),
        (2048, 4096),
        (64, 128),
        (64, 4097),
        (64, 20000),
    ):
        sets = [
            [*make(rows, columns), torch.randn(columns, device="cuda").bfloat16(), make(rows, columns)[0]]
            for _ in range(6)
        ]
        inputs = [torch.empty_like(t) for t in sets[0]]

        def step(x, weight, bias, dy):
            y = kernel.layer_norm(x, weight, bias)
            again = kernel.fused_add_layer_norm(y, x, weight, bias)[0]
            _, mean, rstd = kernel._ops.ops._layer_norm_fwd_stats(again, weight, bias, 1e-5)
            return kernel._ops.ops._layer_norm_bwd(
                dy, again, weight, bias, mean, rstd, y, True, True, True
            ) + (again,)

        with torch.no_grad():
            want = [step(*values) for values in sets]
            torch.cuda.synchronize()
            for _ in range(5):
                got = []
                for values in sets:
                    for to, value in zip(inputs, values, strict=True):
                        to.copy_(value)
                    got.append(step(*inputs))
                for a, b in zip(got, want, strict=True):
                    for one, other in zip(a, b, strict=True):
                        assert torch.equal(one, other)


def test_two_streams(kernel):
    x, weight = make(2000)
    want = kernel.layer_norm(x, weight)
    torch.cuda.synchronize()
    streams = [torch.cuda.Stream() for _ in range(2)]
    outs = []
    for _ in range(20):
        for s in streams:
            with torch.cuda.stream(s):
                outs.append(kernel.layer_norm(x, weight))
    torch.cuda.synchronize()
    assert all(torch.equal(o, want) for o in outs)


def test_current_stream_is_used(kernel):
    """Work queued before the call on a side stream must be seen by it."""
    x, weight = make(512)
    side = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(20_000_000)
        x.fill_(-2.0)
        x[:, ::2] = 2.0
        y = kernel.layer_norm(x)
    side.synchronize()
    torch.testing.assert_close(y, x / 2, rtol=1e-2, atol=1e-2)


def test_threads(kernel):
    x, weight = make(200)
    want = kernel.layer_norm(x, weight)
    torch.cuda.synchronize()
    wrong = []

    def work():
        with torch.cuda.stream(torch.cuda.Stream()):
            for _ in range(200):
                y = kernel.layer_norm(x, weight)
                torch.cuda.current_stream().synchronize()
                if not torch.equal(y, want):
                    wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_close_to_the_cpu(kernel):
    x, weight = make(64, 1000, "cpu")
    torch.testing.assert_close(
        kernel.layer_norm(x.cuda(), weight.cuda()).cpu(), kernel.layer_norm(x, weight), rtol=8e-3, atol=1e-3
    )


def test_inputs_on_cpu_and_gpu_are_refused(kernel):
    x, weight = make()
    with pytest.raises(RuntimeError, match="'x' is on cuda:0 and 'weight' is on cpu"):
        kernel.layer_norm(x, weight.cpu())


@two_gpus
def test_inputs_on_two_devices_are_refused(kernel):
    x, weight = make()
    with pytest.raises(RuntimeError, match="'x' is on cuda:0 and 'weight' is on cuda:1"):
        kernel.layer_norm(x, weight.to("cuda:1"))


@two_gpus
def test_second_device_runs_in_its_own_context(kernel):
    x, weight = make(device="cuda:1")
    assert torch.cuda.current_device() == 0
    y = kernel.layer_norm(x, weight)
    torch.cuda.synchronize("cuda:1")
    assert y.device.index == 1 and torch.cuda.current_device() == 0
    torch.testing.assert_close(y, eager(x, weight), rtol=2e-2, atol=1e-2)
    x.requires_grad_()
    kernel.layer_norm(x, weight).sum().backward()
    assert x.grad.device.index == 1
    a, b = make(), make(device="cuda:1")
    for _ in range(10):
        first, second = kernel.layer_norm(*a), kernel.layer_norm(*b)
    assert first.device.index == 0 and second.device.index == 1


@pytest.mark.parametrize("columns", [4096, 4097])
def test_more_than_2_31_elements(kernel, columns):
    rows = 2**31 // columns + 10
    if torch.cuda.mem_get_info()[0] < 3 * 2 * rows * columns:
        pytest.skip("not enough free GPU memory")
    x = torch.empty(rows, columns, device="cuda", dtype=torch.bfloat16)
    for part in x.split(2**16):
        part.normal_()
    weight = torch.randn(columns, device="cuda", dtype=torch.bfloat16)
    y = kernel.layer_norm(x, weight)
    for start in (0, rows // 2, rows - 100):
        part = slice(start, start + 100)
        assert torch.equal(y[part], kernel.layer_norm(x[part].clone(), weight))
    for a, b in zip(x.split(2**15), y.split(2**15), strict=True):
        same = (eager(a, weight) == b).double().mean().item()
        assert same >= 0.99


def test_rows_far_apart(kernel):
    base = torch.empty(2**31 + 5000, device="cuda", dtype=torch.bfloat16)
    x = base.as_strided((2, 4096), (2**31, 1))
    x.normal_()
    assert torch.equal(kernel.layer_norm(x), kernel.layer_norm(x.contiguous()))


FIRST_CALL = """
import sys, threading, torch
torch.ops.load_library(sys.argv[1])
ops = getattr(torch.ops, sys.argv[2])
x, w = torch.randn(64, 4096, device="cuda"), torch.randn(4096, device="cuda")
call = lambda: ops._layer_norm_fwd(x, w, w, 1e-5)
want = torch.nn.functional.layer_norm(x, (4096,), w, w, 1e-5)
torch.cuda.synchronize()
got = []
if sys.argv[3] == "capture":
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got.append(call())
    graph.replay()
elif sys.argv[3] == "thread":
    t = threading.Thread(target=lambda: got.append(call()))
    t.start()
    t.join()
else:
    threads = [threading.Thread(target=lambda: got.append(call())) for _ in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
torch.cuda.synchronize()
for y in got:
    torch.testing.assert_close(y, want, rtol=1e-5, atol=1e-5)
print(len(got))
"""


@pytest.mark.parametrize("how", ["capture", "thread", "threads"])
def test_first_call_of_a_process(kernel, how):
    """The image is loaded inside a graph capture, by a thread that never touched CUDA, by eight at once."""
    import pathlib
    import subprocess
    import sys

    (library,) = pathlib.Path(kernel._ops.__file__).parent.glob("*.so")
    arguments = [sys.executable, "-c", FIRST_CALL, str(library), kernel._ops.ops.name, how]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == ("8" if how == "threads" else "1")


def test_training_in_a_graph_and_eager_give_the_same_bits(kernel):
    for columns in (128, 1000, 4096, 20000):
        x, weight = make(77, columns)
        want = kernel.layer_norm(x, weight)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            y = kernel.layer_norm(x, weight)
        graph.replay()
        torch.cuda.synchronize()
        assert torch.equal(y, want)
