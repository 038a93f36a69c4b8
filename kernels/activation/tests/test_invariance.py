"""The same bits, always: an element's result depends on the element and the dtype alone."""

import pytest
import torch
from conftest import DTYPES, GATED, KINDS


@pytest.mark.parametrize("columns", [64, 1000, 1001, 4096])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bits_do_not_depend_on_the_number_of_rows(kernel, device, dtype, columns):
    most = 4096 if device == "cuda" else 256
    x = (3 * torch.randn(most, 2 * columns, device=device)).to(dtype)
    gate, up = x.chunk(2, -1)
    for kind in GATED:
        packed, apart, plain = (getattr(kernel, f"{kind}{end}") for end in ("_and_mul", "_mul", ""))
        whole, whole_plain = packed(x), plain(gate)
        for rows in (1, 7, 100, most):
            for start in {0, (most - rows) // 2, most - rows}:
                part = slice(start, start + rows)
                assert torch.equal(packed(x[part]), whole[part])
                assert torch.equal(apart(gate[part], up[part]), whole[part])
                assert torch.equal(plain(gate[part]), whole_plain[part])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bits_do_not_depend_on_the_place_in_a_vector(kernel, device, dtype, kind):
    """Whole vectors, the end of a row and unaligned rows: forward and gradient."""
    base = (3 * torch.randn(2000, device=device)).to(dtype)
    dy = torch.randn(2000, device=device).to(dtype)
    ops = kernel._ops.ops
    whole = ops._act_fwd(base, kind), ops._act_bwd(dy, base, kind)
    gated = ops._act_mul_fwd(base, dy, kind, "hf"), *ops._act_mul_bwd(dy, base, dy, kind, "hf")
    for part in (slice(1, 2000), slice(3, 1003), slice(0, 1997), slice(16, 17), slice(8, 24)):
        x, d = base[part], dy[part]
        assert torch.equal(ops._act_fwd(x, kind), whole[0][part])
        assert torch.equal(ops._act_bwd(d, x, kind), whole[1][part])
        got = ops._act_mul_fwd(x, d, kind, "hf"), *ops._act_mul_bwd(d, x, d, kind, "hf")
        for a, b in zip(got, gated, strict=True):
            assert torch.equal(a, b[part])


def test_threads_do_not_matter(kernel):
    x = torch.randn(300, 4096)
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append((kernel.silu_and_mul(x), kernel.gelu(x)))
    finally:
        torch.set_num_threads(before)
    for results_of in results[1:]:
        for a, b in zip(results_of, results[0], strict=True):
            assert torch.equal(a, b)


def test_inference_and_training_give_the_same_bits(kernel, device):
    x = torch.randn(50, 4096, device=device, dtype=torch.bfloat16)
    for function in (kernel.silu, kernel.gelu_and_mul, kernel.mul_and_silu):
        with torch.no_grad():
            want = function(x)
        assert torch.equal(function(x.clone().requires_grad_()), want)


OTHER_LEVEL = """
import hashlib, sys, torch
torch.ops.load_library(sys.argv[1])
ops = getattr(torch.ops, sys.argv[2])
digest = hashlib.sha256()
generator = torch.Generator().manual_seed(7)
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    for kind in ("silu", "gelu", "gelu_tanh", "quick_gelu"):
        for columns in (1, 9, 100, 1024, 4099):
            x, up, dy = (torch.randn(20, columns, generator=generator) for _ in range(3))
            x = (x * torch.logspace(-3, 2, 20)[:, None]).to(dtype)
            up, dy = up.to(dtype), dy.to(dtype)
            results = [ops._act_fwd(x, kind), ops._act_bwd(dy, x, kind)]
            for rounding in ("hf", "single"):
                results.append(ops._act_mul_fwd(x, up, kind, rounding))
                results.extend(ops._act_mul_bwd(dy, x, up, kind, rounding))
            for t in results:
                digest.update(t.contiguous().view(torch.uint8).numpy().tobytes())
print(digest.hexdigest())
"""


def test_instruction_sets_give_the_same_bits(kernel):
    """The same hash over forwards and backwards, with AVX2 and on the x86-64 baseline."""
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
