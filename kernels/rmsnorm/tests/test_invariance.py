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
    weight = torch.randn(columns, device=device).to(dtype)
    whole = kernel.rms_norm(x, weight)
    whole_sum = kernel.fused_add_rms_norm(x, residual, weight)
    for rows in (r for r in ROWS if r <= most):
        for start in {0, (most - rows) // 2, most - rows}:
            part = slice(start, start + rows)
            assert torch.equal(kernel.rms_norm(x[part], weight), whole[part])
            y, total = kernel.fused_add_rms_norm(x[part], residual[part], weight)
            assert torch.equal(y, whole_sum[0][part]) and torch.equal(total, whole_sum[1][part])


@pytest.mark.parametrize("columns", [128, 1000, 4096, 20000])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_input_gradients_do_not_depend_on_the_number_of_rows(kernel, device, dtype, columns):
    x = torch.randn(300, columns, device=device).to(dtype).requires_grad_()
    dy = torch.randn(300, columns, device=device).to(dtype)
    weight = torch.randn(columns, device=device).to(dtype)
    (whole,) = torch.autograd.grad(kernel.rms_norm(x, weight), x, dy)
    for rows in (1, 7, 150):
        part = x[:rows].detach().requires_grad_()
        (some,) = torch.autograd.grad(kernel.rms_norm(part, weight), part, dy[:rows])
        assert torch.equal(some, whole[:rows])


@pytest.mark.parametrize("columns", [128, 1000, 4096])
def test_weight_gradients_are_reproducible(kernel, device, columns):
    x = torch.randn(1000, columns, device=device)
    dy = torch.randn(1000, columns, device=device)
    weight = torch.randn(columns, device=device, requires_grad=True)
    grads = [torch.autograd.grad(kernel.rms_norm(x, weight), weight, dy)[0] for _ in range(3)]
    assert torch.equal(grads[0], grads[1]) and torch.equal(grads[0], grads[2])


def test_threads_do_not_matter(kernel):
    x, weight = torch.randn(300, 4096), torch.randn(4096, requires_grad=True)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            y = kernel.rms_norm(x, weight)
            results.append((y, torch.autograd.grad(y.sum(), weight)[0]))
    finally:
        torch.set_num_threads(before)
    for y, grad in results[1:]:
        assert torch.equal(y, results[0][0]) and torch.equal(grad, results[0][1])


def test_inference_and_training_give_the_same_bits(kernel, device):
    x = torch.randn(50, 4096, device=device, dtype=torch.bfloat16)
    weight = torch.randn(4096, device=device, dtype=torch.bfloat16)
    with torch.no_grad():
        want = kernel.rms_norm(x, weight)
    assert torch.equal(kernel.rms_norm(x, weight.requires_grad_()), want)


OTHER_LEVEL = """
import hashlib, sys, torch
torch.ops.load_library(sys.argv[1])
ops = getattr(torch.ops, sys.argv[2])
digest = hashlib.sha256()
generator = torch.Generator().manual_seed(7)
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    for columns in (1, 9, 100, 1024, 4099):
        x, r, dy = (torch.randn(20, columns, generator=generator).to(dtype) for _ in range(3))
        w = torch.randn(columns, generator=generator).to(dtype)
        y, total, rstd = ops._fused_add_rms_norm_fwd_rstd(x * 300, r, w, 1e-6, "hf", 0.0, "rounded")
        grads = ops._rms_norm_bwd(dy, total, w, rstd, None, "hf", 0.0, True, True)
        for t in (y, total, rstd, *grads):
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
