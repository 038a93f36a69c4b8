"""The same bits, always: a head's result depends on the head, D, R and the dtypes alone."""

import pytest
import torch
from conftest import DTYPES, make, tables

SHAPES = [(64, 64), (128, 128), (128, 64), (80, 80), (10, 6)]


@pytest.mark.parametrize("interleaved", [False, True])
@pytest.mark.parametrize("columns, rotated", SHAPES)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_bits_do_not_depend_on_the_rest_of_the_call(kernel, device, dtype, columns, rotated, interleaved):
    q, k = make(device, dtype, batch=3, length=300, heads=(9, 5), columns=columns)
    cos, sin = tables(device, dtype, 3, 300, rotated)
    wq, wk = torch.randn(2, columns, device=device).to(dtype)

    def both(a, b, c, s):
        weights = wq, None if b is None else wk
        return (
            *kernel.rotary(a, b, c, s, interleaved=interleaved),
            *kernel.qk_norm_rotary(a, b, *weights, c, s, interleaved=interleaved),
        )

    whole = both(q, k, cos, sin)
    for batches, positions, heads in (
        (slice(0, 1), slice(0, 1), slice(0, 1)),
        (slice(2, 3), slice(299, 300), slice(8, 9)),
        (slice(1, 3), slice(17, 18), slice(0, 9)),
        (slice(0, 3), slice(40, 111), slice(3, 4)),
        (slice(1, 2), slice(0, 300), slice(2, 8)),
    ):
        c, s = cos[batches, positions], sin[batches, positions]
        part = q[batches, heads, positions]
        for x in (part, part.contiguous()):
            got = both(x, None, c, s)
            assert torch.equal(got[0], whole[0][batches, heads, positions])
            assert torch.equal(got[2], whole[2][batches, heads, positions])
        got = both(part, k[batches, :, positions], c, s)
        assert torch.equal(got[1], whole[1][batches, :, positions])
        assert torch.equal(got[3], whole[3][batches, :, positions])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_an_unaligned_head_has_the_same_bits(kernel, device, dtype):
    """Vectors and elements: the norm's sum has the same order in both."""
    for columns, rotated in SHAPES:
        cos, sin = tables(device, dtype, 2, 7, rotated)
        base = torch.randn(2, 7, 3, columns + 1, device=device).to(dtype)
        x, w = base[..., 1:], torch.randn(columns, device=device).to(dtype)
        for interleaved in (False, True):
            more = {"interleaved": interleaved, "unsqueeze_dim": 2}
            assert torch.equal(
                kernel.rotary(x, None, cos, sin, **more)[0],
                kernel.rotary(x.contiguous(), None, cos, sin, **more)[0],
            )
            assert torch.equal(
                kernel.qk_norm_rotary(x, None, w, None, cos, sin, **more)[0],
                kernel.qk_norm_rotary(x.contiguous(), None, w, None, cos, sin, **more)[0],
            )


def test_embedding_and_tables_agree(kernel, device):
    """The same rotation by a cache and by tables: the same bits."""
    x = torch.randn(1, 30, 4, 64, device=device, dtype=torch.bfloat16)
    cos, sin = tables(device, torch.float32, 1, 30, 64)
    cache = torch.cat((cos[0, :, :32], sin[0, :, :32]), -1)
    positions = torch.arange(30, device=device)
    want = kernel.rotary(x, None, cos, sin, unsqueeze_dim=2)[0][0]
    assert torch.equal(kernel.rotary_embedding(x[0], None, positions, cache)[0], want)
    for i in (0, 11, 29):
        one = slice(i, i + 1)
        assert torch.equal(kernel.rotary_embedding(x[0, one], None, positions[one], cache)[0], want[one])


def test_threads_do_not_matter(kernel):
    q, k = make("cpu", torch.bfloat16, batch=2, length=200, heads=(8, 8), columns=128)
    cos, sin = tables("cpu", torch.bfloat16, 2, 200, 128)
    w = torch.randn(128).bfloat16()
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            normed = *kernel.qk_norm_rotary(q, k, w, w, cos, sin), *kernel.qk_norm(q, k, w, w)
            results.append((*kernel.rotary(q, k, cos, sin), *normed))
    finally:
        torch.set_num_threads(before)
    for some in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(some, results[0], strict=True))


def test_inference_and_training_give_the_same_bits(kernel, device):
    q, k = make(device, torch.bfloat16)
    cos, sin = tables(device, torch.bfloat16, 2, 7, 64)
    want = kernel.rotary(q, k, cos, sin)
    got = kernel.rotary(q.clone().requires_grad_(), k.clone().requires_grad_(), cos, sin)
    assert torch.equal(got[0], want[0]) and torch.equal(got[1], want[1])


OTHER_LEVEL = """
import hashlib, sys, torch
torch.ops.load_library(sys.argv[1])
ops = getattr(torch.ops, sys.argv[2])
digest = hashlib.sha256()
generator = torch.Generator().manual_seed(7)
for dtype in (torch.float32, torch.float16, torch.bfloat16):
    for columns, rotated in ((2, 2), (10, 6), (64, 64), (128, 96), (130, 130)):
        for table in (dtype, torch.float32):
            for interleaved in (False, True):
                q, k = (torch.randn(2, 3, 5, columns, generator=generator).to(dtype) for _ in range(2))
                cos, sin = (torch.randn(2, 5, rotated, generator=generator).to(table) for _ in range(2))
                w = torch.randn(columns, generator=generator).to(dtype)
                for rounding, conj in (("hf", False), ("single", True)):
                    some = ops._rotary_fwd(q * 300, k, cos, sin, None, interleaved, 1, rounding, conj)
                    more = ops._qk_norm_rotary_fwd(
                        q * 300, k, cos, sin, None, interleaved, 1, rounding, w, w, 1e-6, 0.0
                    )
                    norm = ops._qk_norm_fwd(q * 300, k, w, w, 1e-6, 0.0, rounding)
                    for t in (*some, *more, *norm):
                        digest.update(t.contiguous().view(torch.uint8).numpy().tobytes())
print(digest.hexdigest())
"""


def test_instruction_sets_give_the_same_bits(kernel):
    """The same hash with AVX2 and on the x86-64 baseline."""
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
