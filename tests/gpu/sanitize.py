"""Every kernel of the four repositories and of kernmill_launch once or more, small, for compute-sanitizer:

    compute-sanitizer --tool memcheck --error-exitcode 9 python3 tests/gpu/sanitize.py
    compute-sanitizer --tool racecheck --error-exitcode 9 python3 tests/gpu/sanitize.py
    compute-sanitizer --tool initcheck --error-exitcode 9 python3 tests/gpu/sanitize.py

Each shape of the kernels is met with aligned and unaligned rows, with and without what is optional.

torch's caching allocator is off: else an allocation is a piece of a large one, whose ends memcheck does not know and
whose bytes an earlier tensor wrote. What lies between rows is never written, so that a read beside a row shows in
initcheck; and every result is read by a kernel, so that an element which was not written shows there, too.
"""

import itertools
import os

os.environ["PYTORCH_NO_CUDA_MEMORY_CACHING"] = "1"  # read when torch first allocates

import kernmill_activation
import kernmill_launch
import kernmill_layernorm
import kernmill_rotary
import torch

import kernmill_rmsnorm

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
COLUMNS = [128, 500, 1000, 2048, 4096, 8192, 16384, 20000, 66000]  # of float32 half as many: the same shapes


def padded(dtype, rows, columns, unaligned):
    """Random rows; the eight elements that lie between two of them stay unwritten."""
    view = torch.empty(rows, columns + 8, device="cuda", dtype=dtype)[:, unaligned : columns + unaligned]
    return view.copy_(torch.randn(rows, columns, device="cuda"))


def read(*tensors) -> None:
    for t in tensors:
        t.detach().sum()


def run(dtype, rows, columns, unaligned, weight_dtype) -> int:
    x, residual, dy = (padded(dtype, rows, columns, unaligned) for _ in range(3))
    weight = None if weight_dtype is None else torch.randn(columns, device="cuda").to(weight_dtype)
    for t in (x, residual, *([] if weight is None else [weight])):
        t.requires_grad_()
    y = kernmill_rmsnorm.rms_norm(x, weight)
    read(y, *torch.autograd.grad(y, [t for t in (x, weight) if t is not None], dy))
    outputs = kernmill_rmsnorm.fused_add_rms_norm(x, residual, weight, residual_rounding="unrounded")
    read(
        *outputs, *torch.autograd.grad(outputs, [t for t in (x, residual, weight) if t is not None], [dy, dy])
    )
    with torch.no_grad():
        read(*kernmill_rmsnorm.fused_add_rms_norm_(x, residual, weight))
        read(torch.ops.kernmill_rmsnorm._rms_norm_rstd(x, 1e-6))
    return 1


def others(dtype, rows) -> int:
    """layernorm, activation and rotary: each family's shapes, aligned and not, forward and backward."""
    cases = 0

    def make(columns, unaligned):
        return padded(dtype, rows, columns, unaligned).requires_grad_()

    for shape in itertools.product((128, 500, 1024, 4096, 8192, 20000), (0, 1)):
        x, residual, dy = make(*shape), make(*shape), make(*shape).detach()
        weight = torch.randn(shape[0], device="cuda").to(dtype).requires_grad_()
        y = kernmill_layernorm.layer_norm(x, weight, weight)
        read(y, *torch.autograd.grad(y, [x, weight], dy))
        outputs = kernmill_layernorm.fused_add_layer_norm(x, residual, weight)
        read(*outputs, *torch.autograd.grad(outputs, [x, residual, weight], [dy, dy]))
        y = kernmill_activation.silu_mul(x, residual)
        read(y, *torch.autograd.grad(y, [x, residual], dy))
        y = kernmill_activation.gelu_tanh(x)
        read(y, *torch.autograd.grad(y, [x], dy))
        cases += 4
    for size, interleaved in itertools.product((64, 80, 128, 10), (False, True)):
        q, k = (torch.randn(2, h, rows, size, device="cuda").to(dtype).requires_grad_() for h in (4, 2))
        cos, sin = (torch.randn(1, rows, size, device="cuda").to(dtype) for _ in range(2))
        outputs = kernmill_rotary.rotary(q, k, cos, sin, interleaved=interleaved)
        read(*outputs, *torch.autograd.grad(outputs, [q, k], outputs))
        with torch.no_grad():
            scale = torch.ones(size, device="cuda").to(dtype)
            read(*kernmill_rotary.qk_norm_rotary(q, k, scale, scale, cos, sin, interleaved=interleaved))
        cases += 2
    for size, unaligned in itertools.product((64, 80, 128, 10), (0, 1)):
        qkv = padded(dtype, 4 * rows, 6 * size, unaligned).unflatten(-1, (6, size))
        scale = torch.ones(size, device="cuda").to(dtype)
        for x in (qkv, qkv.unflatten(0, (4, rows)).transpose(1, 2)):
            q, k = x.split([4, 2], 1)
            read(*kernmill_rotary.qk_norm(q, k, scale, scale))
            read(*kernmill_rotary.qk_norm_(q, k, scale.float(), scale.float()))
            cases += 2
    return cases


def launches() -> int:
    x, y = torch.ones(32, 256, device="cuda"), torch.zeros(300, device="cuda")
    clusters = (0, 8, 16) if torch.cuda.get_device_capability() >= (9, 0) else ()
    for cluster in clusters:
        read(kernmill_launch.cluster_sum(x, cluster))
    read(kernmill_launch.reversed(torch.randn(20_000, device="cuda")))
    kernmill_launch.slow_steps(y, 3, True)
    read(y)
    return len(clusters) + 2


def main() -> None:
    cases = 0
    for dtype in DTYPES:
        for columns, unaligned in itertools.product(COLUMNS, (0, 1)):
            columns //= 2 if dtype == torch.float32 else 1
            rows = [5] if columns > 1000 else [37]
            if columns > 8000:
                rows = [2, 33]  # streamed, and not
            for weight_dtype, n in itertools.product({None, dtype, torch.float32}, rows):
                cases += run(dtype, n, columns, unaligned, weight_dtype)
        cases += others(dtype, 5)
    for columns in (384, 1024, 4096, 8192, 16384):  # several rows in each slot of a ring
        cases += run(torch.bfloat16, 900, columns, 0, torch.bfloat16)
    cases += launches()
    torch.cuda.synchronize()
    print(f"{cases} cases on {torch.cuda.get_device_name()}")


if __name__ == "__main__":
    main()
