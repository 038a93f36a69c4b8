"""Every kernel of kernmill_rmsnorm and kernmill_launch once or more, small, for compute-sanitizer:

    compute-sanitizer --tool memcheck --error-exitcode 9 python3 tests/gpu/sanitize.py
    compute-sanitizer --tool racecheck --error-exitcode 9 python3 tests/gpu/sanitize.py

Each shape of the kernels is met with aligned and unaligned rows, with and without what is optional.
"""

import itertools

import kernmill_launch
import torch

import kernmill_rmsnorm

DTYPES = [torch.float32, torch.float16, torch.bfloat16]
COLUMNS = [128, 500, 1000, 2048, 4096, 8192, 16384, 20000, 66000]  # of float32 half as many: the same shapes


def run(dtype, rows, columns, unaligned, weight_dtype) -> int:
    make = lambda: torch.randn(rows, columns + 8, device="cuda").to(dtype)[:, unaligned : columns + unaligned]  # noqa: E731
    x, residual, dy = make(), make(), make()
    weight = None if weight_dtype is None else torch.randn(columns, device="cuda").to(weight_dtype)
    for t in (x, residual, *([] if weight is None else [weight])):
        t.requires_grad_()
    y = kernmill_rmsnorm.rms_norm(x, weight)
    torch.autograd.grad(y, [t for t in (x, weight) if t is not None], dy)
    outputs = kernmill_rmsnorm.fused_add_rms_norm(x, residual, weight, residual_rounding="unrounded")
    torch.autograd.grad(outputs, [t for t in (x, residual, weight) if t is not None], [dy, dy])
    with torch.no_grad():
        kernmill_rmsnorm.fused_add_rms_norm_(x, residual, weight)
        torch.ops.kernmill_rmsnorm._rms_norm_rstd(x, 1e-6)
    return 1


def launches() -> int:
    x, y = torch.ones(32, 256, device="cuda"), torch.zeros(300, device="cuda")
    clusters = (0, 8, 16) if torch.cuda.get_device_capability() >= (9, 0) else ()
    for cluster in clusters:
        kernmill_launch.cluster_sum(x, cluster)
    kernmill_launch.reversed(torch.randn(20_000, device="cuda"))
    kernmill_launch.slow_steps(y, 3, True)
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
    cases += launches()
    torch.cuda.synchronize()
    print(f"{cases} cases on {torch.cuda.get_device_name()}")


if __name__ == "__main__":
    main()
