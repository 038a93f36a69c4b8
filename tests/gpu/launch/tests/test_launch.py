"""Shared memory above 48 KiB, clusters and programmatic launches, on a GPU: run by `run test` of scripts/gpu-wheelhouse."""

import pytest
import torch

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICE = torch.cuda.get_device_properties(0) if torch.cuda.is_available() else None
MOST = DEVICE.shared_memory_per_block_optin // 4 if DEVICE else 1
hopper = pytest.mark.skipif(DEVICE is not None and DEVICE.major < 9, reason="needs compute capability 9.0")


def test_device(kernel):
    d = DEVICE
    want = f"sm_{10 * d.major + d.minor}, {d.multi_processor_count} multiprocessors, {4 * MOST} bytes"
    assert kernel.device(torch.zeros(1, device="cuda")) == want


@pytest.mark.parametrize("count", [1, 12 * 1024, 12 * 1024 + 1, 20_000, 100, MOST, 12 * 1024 + 1])
def test_shared_memory(kernel, count):
    """In this order: the limit grows, shrinks, and grows to all there is."""
    x = torch.randn(count, device="cuda")
    assert torch.equal(kernel.reversed(x), x.flip(0))


def test_too_much_shared_memory(kernel):
    want = rf"asks for {4 * (MOST + 1)} bytes of shared memory; a block on this sm_\d+ device can have {4 * MOST}"
    with pytest.raises(RuntimeError, match=want):
        kernel.reversed(torch.zeros(MOST + 1, device="cuda"))
    x = torch.randn(MOST, device="cuda")
    assert torch.equal(kernel.reversed(x), x.flip(0))  # nothing was lost by it


@hopper
@pytest.mark.parametrize("cluster", [0, 1, 2, 4, 8, 16])
def test_clusters(kernel, cluster):
    """16 is more than a portable cluster has. Small integers, so that sums are exact in any order."""
    x = torch.randint(-8, 9, (32, 256), device="cuda").float()
    groups = x.view(-1, max(cluster, 1) * 256)
    want = groups.sum(1).repeat_interleave(max(cluster, 1))
    assert torch.equal(kernel.cluster_sum(x, cluster), want)


@hopper
def test_a_cluster_that_does_not_divide_the_grid(kernel):
    with pytest.raises(RuntimeError, match=r"cluster_sum: launching 'cluster_sum' failed: CUDA_ERROR_\w+ \("):
        kernel.cluster_sum(torch.zeros(3, 256, device="cuda"), 2)


@pytest.mark.parametrize("programmatic", [False, True])
def test_a_chain_of_launches(kernel, programmatic):
    y = torch.zeros(5000, device="cuda")
    kernel.slow_steps(y, 50, programmatic)
    kernel.slow_steps(y, 50, programmatic)
    assert torch.equal(y, torch.full_like(y, 100))


def time_of(run) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    run()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


@hopper
def test_programmatic_launches_overlap(kernel):
    """Each step sleeps before it waits, so overlapped steps end sooner: the attribute reached the driver."""
    y = torch.zeros(128, device="cuda")
    for programmatic in (True, False):
        kernel.slow_steps(y, 200, programmatic)
    apart = min(time_of(lambda: kernel.slow_steps(y, 200, False)) for _ in range(5))
    together = min(time_of(lambda: kernel.slow_steps(y, 200, True)) for _ in range(5))
    assert together < 0.8 * apart, f"{together:.3f} ms programmatic, {apart:.3f} ms not"


@hopper
def test_all_in_a_graph(kernel):
    x, rows, y = (
        torch.randn(MOST, device="cuda"),
        torch.ones(32, 256, device="cuda"),
        torch.zeros(300, device="cuda"),
    )
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        backwards, sums = kernel.reversed(x), kernel.cluster_sum(rows, 8)
        kernel.slow_steps(y, 7, True)
    graph.replay()
    graph.replay()
    assert torch.equal(backwards, x.flip(0))
    assert torch.equal(sums, torch.full_like(sums, 8 * 256))
    assert torch.equal(y, torch.full_like(y, 14))
