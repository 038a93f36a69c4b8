"""More than 2^31 elements on the CPU, the reference in chunks. Needs about 14 GB of memory and two minutes.

Forward, fused in place, and the backward, in bfloat16, with row counts on both sides of 2^31 elements.
"""

import json
import sys
import time

import torch

import kernmill_rmsnorm as k

CHUNK = 1 << 14


def eager(x, weight, eps=1e-6):
    h = x.float()
    return weight * (h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


def fill(x: torch.Tensor, seed: int) -> None:
    """Random rows, made from one random chunk by a factor and a shift that differ from row to row."""
    base = torch.randn(CHUNK, x.shape[1], generator=torch.Generator().manual_seed(seed))
    for i, part in enumerate(x.split(CHUNK)):
        part.copy_((base.roll(i, 1) * (1 + i % 7))[: part.shape[0]])


def same_words(x, y, weight) -> tuple[int, int]:
    same = total = 0
    for a, b in zip(x.split(CHUNK), y.split(CHUNK), strict=True):
        same += int((eager(a, weight) == b).sum())
        total += b.numel()
    return same, total


@torch.no_grad()
def check(columns: int) -> dict:
    rows = 2**31 // columns + 100
    x = torch.empty(rows, columns, dtype=torch.bfloat16)
    fill(x, columns)
    weight = torch.randn(columns).bfloat16()
    start = time.perf_counter()
    y = k.rms_norm(x, weight)
    seconds = time.perf_counter() - start
    same, total = same_words(x, y, weight)
    for start_row in (0, rows // 2, rows - 64):
        part = slice(start_row, start_row + 64)
        assert torch.equal(y[part], k.rms_norm(x[part].clone(), weight)), "bits depend on the number of rows"
    k.rms_norm_(x, weight)
    assert torch.equal(x, y), "in place gives other bits"
    assert same / total >= 0.999, f"{same / total:.5%} of the words equal the eager formula"
    return {
        "rows": rows,
        "columns": columns,
        "elements": total,
        "same_words": same / total,
        "forward_s": seconds,
    }


def main() -> None:
    results = [check(columns) for columns in (4096, 4099, 64)]
    for r in results:
        print(json.dumps(r))
    assert all(r["elements"] > 2**31 for r in results)


if __name__ == "__main__":
    sys.exit(main())
