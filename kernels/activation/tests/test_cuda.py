"""What only a GPU can show: streams, graphs, programmatic launch, addresses beyond 2^31 elements."""

import pytest
import torch
from conftest import EAGER, GATED, KINDS, NO_GPU

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason=NO_GPU)
two_gpus = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="fewer than two CUDA devices")


def make(rows=64, columns=4096, device="cuda", dtype=torch.bfloat16):
    return tuple(torch.randn(rows, columns, device=device).to(dtype) for _ in range(2))


def test_graph_capture_of_a_training_step(kernel):
    gate, up = (t.requires_grad_() for t in make(300))
    dy = torch.randn_like(gate)

    def step():
        y = kernel.silu_mul(gate, up)
        return y.detach(), *torch.autograd.grad(y, (gate, up), dy)

    step()
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        got = step()
    with torch.no_grad():
        gate.copy_(torch.randn_like(gate))
        up.copy_(torch.randn_like(up))
    want = step()
    graph.replay()
    torch.cuda.synchronize()
    for a, b in zip(got, want, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("rows", [1, 16, 512, 4096])
def test_producers_are_waited_for(kernel, rows):
    """Programmatic launch: inputs are rewritten just before each call by kernels that launch so, too."""
    gates, ups = ([torch.randn(rows, 4096, device="cuda").bfloat16() for _ in range(6)] for _ in range(2))
    want = [kernel.silu_mul(g, u) for g, u in zip(gates, ups, strict=True)]
    want_grads = [
        kernel._ops.ops._act_mul_bwd(u, g, u, "silu", "hf") for g, u in zip(gates, ups, strict=True)
    ]
    activated = [kernel.gelu(g) for g in gates]
    chained = [kernel.silu_mul(a, u) for a, u in zip(activated, ups, strict=True)]
    torch.cuda.synchronize()
    gate, up, middle = (torch.empty_like(gates[0]) for _ in range(3))
    for _ in range(5):
        got, grads, chains = [], [], []
        for g, u in zip(gates, ups, strict=True):
            gate.copy_(g)
            up.copy_(u)
            got.append(kernel.silu_mul(gate, up))
            grads.append(kernel._ops.ops._act_mul_bwd(up, gate, up, "silu", "hf"))
            kernel.gelu(middle, gate)
            chains.append(kernel.silu_mul(middle, up))
        for a, b in zip(got + chains, want + chained, strict=True):
            assert torch.equal(a, b)
        for a, b in zip(grads, want_grads, strict=True):
            assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])


def test_current_stream_is_used(kernel):
    """Work queued before the call on a side stream must be seen by it."""
    gate, up = make(512)
    side = torch.cuda.Stream()
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(20_000_000)
        gate.fill_(0.0)
        y = kernel.silu_mul(gate, up)
    side.synchronize()
    assert not y.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_close_to_the_cpu(kernel, dtype):
    for columns in (1000, 1001, 14336):
        gate, up = make(16, columns, "cpu", dtype)
        for kind in GATED:
            function = getattr(kernel, f"{kind}_mul")
            got = function(gate.cuda(), up.cuda()).cpu()
            assert (got == function(gate, up)).double().mean().item() >= 0.999


def test_widths_of_models_and_grids(kernel):
    """Every way a row is cut: fewer vectors than a block, one block, several, with and without an end."""
    for columns in (8, 96, 1016, 1024, 1536, 2056, 5632, 8960, 11008, 13824, 14336, 18944, 28672, 100000):
        for rows in (1, 3, 70):
            x = torch.randn(rows, 2 * columns, device="cuda").bfloat16()
            gate, up = x.chunk(2, -1)
            want = EAGER["silu"](gate) * up
            got = kernel.silu_and_mul(x)
            assert (got == want).double().mean().item() >= 0.995, (rows, columns)
            assert (got.float() - want.float()).abs().max() <= 0.05
            assert torch.equal(kernel.silu_mul(gate, up), got)


@pytest.mark.parametrize("rows", [65535, 65536, 200001])
def test_more_rows_than_a_grid_dimension(kernel, rows):
    x = torch.randn(rows, 2 * 2048, device="cuda").bfloat16() if rows < 70000 else None
    if x is None:
        x = torch.randn(rows, 2 * 136, device="cuda").bfloat16()
    gate, up = x.chunk(2, -1)
    assert torch.equal(kernel.silu_and_mul(x), kernel.silu(gate.contiguous()) * up)
    dy = torch.randn_like(up)
    got = kernel._ops.ops._act_mul_packed_bwd(dy, x, "silu", "hf", False)
    want = kernel._ops.ops._act_mul_bwd(dy, gate.contiguous(), up.contiguous(), "silu", "hf")
    assert torch.equal(got, torch.cat(want, -1))


def test_inputs_on_cpu_and_gpu_are_refused(kernel):
    gate, up = make()
    with pytest.raises(RuntimeError, match="'gate' is on cuda:0 and 'up' is on cpu"):
        kernel.silu_mul(gate, up.cpu())


@two_gpus
def test_second_device_runs_in_its_own_context(kernel):
    gate, up = make(device="cuda:1")
    y = kernel.silu_mul(gate, up)
    torch.cuda.synchronize("cuda:1")
    assert y.device.index == 1 and torch.cuda.current_device() == 0


@pytest.mark.parametrize("columns", [4096, 4097])
def test_more_than_2_31_elements(kernel, columns):
    rows = 2**31 // columns + 10
    if torch.cuda.mem_get_info()[0] < 5 * 2 * rows * columns:
        pytest.skip("not enough free GPU memory")
    x = torch.empty(rows, columns, device="cuda", dtype=torch.bfloat16)
    for part in x.split(2**16):
        part.normal_()
    for function in (kernel.silu, lambda t: kernel.silu_mul(t, t)):
        y = function(x)
        for start in (0, rows // 2, rows - 100):
            part = slice(start, start + 100)
            assert torch.equal(y[part], function(x[part].clone()))
        del y
    if columns % 2 == 0:
        y = kernel.silu_and_mul(x)
        assert torch.equal(y[-100:], kernel.silu_and_mul(x[-100:].clone()))


def test_rows_far_apart(kernel):
    base = torch.empty(2**31 + 5000, device="cuda", dtype=torch.bfloat16)
    x = base.as_strided((2, 4096), (2**31, 1))
    x.normal_()
    for kind in KINDS:
        function = getattr(kernel, kind)
        assert torch.equal(function(x), function(x.contiguous()))
    assert torch.equal(kernel.silu_and_mul(x), kernel.silu_and_mul(x.contiguous()))
