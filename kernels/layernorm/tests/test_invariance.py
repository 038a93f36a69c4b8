"""The same bits, always: a row's result depends on the row, its length and the dtypes alone."""

import pytest
import torch
from conftest import DTYPES

ROWS = [1, 7, 256, 4096]


@pytest.mark.parametrize("columns", [64, 128, 1000, 1024, 4096, 8192, 20000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bits_do_not_depend_on_the_number_of_rows(kernel, device, dtype, columns):
    most = ROWS[-1] if device == "cuda" or columns <= 1024 else 256
    x = torch.randn(most, columns, device=device).to(dtype)
    residual = torch.randn(most, columns, device=device).to(dtype)
    weight, bias = (torch.randn(columns, device=device).to(dtype) for _ in range(2))
    whole = kernel.layer_norm(x, weight, bias)
    whole_sum = kernel.fused_add_layer_norm(x, residual, weight, bias)
    for rows in (r for r in ROWS if r <= most):
        for start in {0, (most - rows) // 2, most - rows}:
            part = slice(start, start + rows)
            assert torch.equal(kernel.layer_norm(x[part], weight, bias), whole[part])
            y, total = kernel.fused_add_layer_norm(x[part], residual[part], weight, bias)
            assert torch.equal(y, whole_sum[0][part]) and torch.equal(total, whole_sum[1][part])


@pytest.mark.parametrize("columns", [128, 1000, 4096, 20000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_input_gradients_do_not_depend_on_the_number_of_rows(kernel, device, dtype, columns):
    x = torch.randn(300, columns, device=device).to(dtype).requires_grad_()
    dy = torch.randn(300, columns, device=device).to(dtype)
    weight = torch.randn(columns, device=device).to(dtype)
    (whole,) = torch.autograd.grad(kernel.layer_norm(x, weight), x, dy)
    for rows in (1, 7, 150):
        part = x[:rows].detach().requires_grad_()
        (some,) = torch.autograd.grad(kernel.layer_norm(part, weight), part, dy[:rows])
        assert torch.equal(some, whole[:rows])


@pytest.mark.parametrize("columns", [128, 1000, 4096])
def test_weight_gradients_are_reproducible(kernel, device, columns):
    x = torch.randn(1000, columns, device=device)
    dy = torch.randn(1000, columns, device=device)
    weights = [torch.randn(columns, device=device, requires_grad=True) for _ in range(2)]
    grads = [torch.autograd.grad(kernel.layer_norm(x, *weights), weights, dy) for _ in range(3)]
    for again in grads[1:]:
        assert torch.equal(grads[0][0], again[0]) and torch.equal(grads[0][1], again[1])


def test_threads_do_not_matter(kernel):
    x, dy = torch.randn(300, 4096), torch.randn(300, 4096)
    weight, bias = (torch.randn(4096, requires_grad=True) for _ in range(2))
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            y = kernel.layer_norm(x, weight, bias)
            results.append((y, *torch.autograd.grad(y, (weight, bias), dy)))
    finally:
        torch.set_num_threads(before)
    for others in results[1:]:
        for a, b in zip(others, results[0], strict=True):
            assert torch.equal(a, b)


def test_inference_and_training_give_the_same_bits(kernel, device):
    x = torch.randn(50, 4096, device=device, dtype=torch.bfloat16)
    weight = torch.randn(4096, device=device, dtype=torch.bfloat16)
    with torch.no_grad():
        want = kernel.layer_norm(x, weight)
    assert torch.equal(kernel.layer_norm(x, weight.requires_grad_()), want)


@pytest.mark.parametrize("columns", [63, 64, 640, 1000, 4096, 8192, 12000, 16384, 24000, 49152, 60000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bits_do_not_depend_on_alignment(kernel, device, dtype, columns):
    """The path by single elements stands in for the one by vectors, forward and backward."""
    x, dy = (torch.randn(5, columns + 1, device=device).to(dtype) for _ in range(2))
    weight, bias = (torch.randn(columns, device=device).to(dtype).requires_grad_() for _ in range(2))
    results = []
    for a, b in ((x[:, 1:], dy[:, 1:]), (x[:, 1:].contiguous(), dy[:, 1:].contiguous())):
        a = a.detach().requires_grad_()
        y = kernel.layer_norm(a, weight, bias)
        total = kernel.fused_add_layer_norm(a, b, weight, bias)
        results.append((y, *total, *torch.autograd.grad(y, (a, weight, bias), b)))
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


OTHER_LEVEL = """
import hashlib, sys, torch
torch.ops.load_library(sys.argv[1])
ops = getattr(torch.ops, sys.argv[2])
digest = hashlib.sha256()
generator = torch.Generator().manual_seed(7)
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    for columns in (1, 9, 100, 1024, 4099):
        x, r, dy = (torch.randn(20, columns, generator=generator).to(dtype) for _ in range(3))
        w, b = (torch.randn(columns, generator=generator).to(dtype) for _ in range(2))
        y, total, mean, rstd = ops._fused_add_layer_norm_fwd_stats(x * 300 + 100, r, w, b, 1e-5, "rounded")
        grads = ops._layer_norm_bwd(dy, total, w, b, mean, rstd, r, True, True, True)
        for t in (y, total, mean, rstd, *grads):
            digest.update(t.contiguous().view(torch.uint8).numpy().tobytes())
print(digest.hexdigest())
"""


def test_instruction_sets_give_the_same_bits(kernel):
    """The same hash over a forward and a backward, with AVX2 and on the x86-64 baseline."""
    import os
    import pathlib
    import subprocess
    import sys

    if "AVX" not in torch.backends.cpu.get_cpu_capability():
        pytest.skip("this CPU has no AVX2")
    (library,) = pathlib.Path(kernel._ops.__file__).parent.glob("*.so")
    arguments = [sys.executable, "-c", OTHER_LEVEL, str(library), kernel._ops.ops.name]
    hashes = [
        subprocess.run(
            arguments,
            env={**os.environ, "KERNMILL_CPU_ISA": level},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for level in ("", "x86-64")
    ]
    assert len(hashes[0]) == 65 and hashes[0] == hashes[1]
