"""More than 2^31 elements on the CPU, 2^32 on a GPU, in bfloat16: where an index of 32 bits would wrap.

    python3 large.py [--device cpu|cuda] [--memory GB] [OPERATOR...]

Forward, in place and backward of all four kernels, one after the other. Every word is compared with Transformers'
formula, or one that keeps its digits, in chunks; the rows around 2^30, 2^31 and 2^32 elements, the first and the
last with float64, and with a small launch of the same rows, bit by bit; weight gradients, in float32, with float64
sums over all rows, so close that rows which a wrapped index loses would be missed. What needs more memory than there is, or than --memory says,
is not run and said so: most take 9 to 20 GB on the CPU, and up to 45 GB on a GPU.

It needs torch, the four packages, and same_bits/ beside it.
"""

import argparse
import importlib
import json
import math
import pathlib
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from same_bits import libraries
from same_bits.operators import OPERATORS, Operator, tables
from same_bits.questions import differing
from torch import Tensor

CHUNK = 1 << 14  # rows of random numbers that are made
WINDOW = 64
ELEMENTS = {"cpu": 2**31, "cuda": 2**32}
SUMS = 5e-6  # of gradients of weights on the CPU, which adds in float64 what 256 rows give in float32
CASES = (
    *(("rms_norm", columns) for columns in (4096, 4099, 64)),
    ("fused_add_rms_norm", 4096),
    *(("layer_norm", columns) for columns in (4096, 4099)),
    ("fused_add_layer_norm", 4096),
    ("silu_and_mul", 2048),
    ("gelu_tanh", 4099),
    ("rotary", 128),
    ("qk_norm_rotary", 128),
    ("qk_norm", 128),
)


def in_place(name: str) -> Callable | None:
    """The form that writes to its rows, of the operators that have one."""
    if name.endswith("rms_norm"):
        return getattr(importlib.import_module("kernmill_rmsnorm"), f"{name}_")
    if name.endswith("layer_norm"):
        return getattr(importlib.import_module("kernmill_layernorm"), f"{name}_")
    if name == "gelu_tanh":
        return lambda x: importlib.import_module("kernmill_activation").gelu_tanh(x, out=x)
    if name == "rotary":
        rotary_ = importlib.import_module("kernmill_rotary").rotary_
        return lambda q, k, cos, sin: rotary_(q[None], k[None], cos[None], sin[None], unsqueeze_dim=2)
    if name == "qk_norm":
        return importlib.import_module("kernmill_rotary").qk_norm_
    return None


def fill(x: Tensor, seed: int) -> None:
    """Random rows, made from one random chunk by a factor and a shift that differ from chunk to chunk."""
    generator = torch.Generator(x.device).manual_seed(seed)
    base = torch.randn(CHUNK, *x.shape[1:], generator=generator, device=x.device)
    for i, part in enumerate(x.split(CHUNK)):
        part.copy_((base.roll(i, -1) * (1 + i % 7))[: part.shape[0]])


@dataclass
class Case:
    operator: Operator
    columns: int
    device: str

    def __post_init__(self):
        self.call = libraries.ours().calls[self.operator.name]
        self.one_row, self.parameters = self.operator.inputs(1, self.columns, torch.bfloat16, self.device)
        one_result = self.operator.formula(*self.one_row, *self.parameters)
        self.wanted = 2 if self.operator.family == "rotary" else len(self.one_row)  # of these, gradients
        self.sizes = {t.numel() for t in (*self.one_row[: self.wanted], *one_result)}
        least = ELEMENTS[self.device] // self.one_row[0].numel()
        # rows that are compared at once; on the CPU in tensors that malloc reuses rather than maps anew
        self.chunk = (2**26 if self.device == "cuda" else 2**21) // self.one_row[0].numel()
        # rows that a wrapped index would lose: more than the sums of a GPU, of float32, may be off by
        self.more = least >> 8
        self.rows = least + self.more
        given, made = (sum(t.numel() for t in group) for group in (self.one_row, one_result))
        grads = sum(t.numel() for t in self.one_row[: self.wanted])
        if self.operator.name.startswith("fused"):
            grads //= 2  # both inputs have the same
        chunks = 4 if self.parameters else 2
        self.gigabytes = {
            "forward": 2e-9 * self.rows * (given + made) + 2,
            "backward": 2e-9 * self.rows * (given + made + grads) + chunks,
        }

    def inputs(self) -> list[Tensor]:
        result = []
        for i, t in enumerate(self.one_row):
            if i < self.wanted:
                result.append(torch.empty(self.rows, *t.shape[1:], dtype=torch.bfloat16, device=self.device))
                fill(result[-1], self.columns + i)
        if len(self.one_row) > self.wanted:
            result += [t.bfloat16() for t in tables(self.rows, self.columns, self.device)]
        return result

    def places(self) -> list[slice]:
        """The first rows, the last, and those around what 32 bits can count."""
        last = self.rows - WINDOW
        starts = {0, last}
        for size in self.sizes:
            starts |= {2**bits // size - WINDOW // 2 for bits in (30, 31, 32)}
        return [slice(start, start + WINDOW) for start in sorted(starts) if 0 <= start <= last]


def close(got: Tensor, want: Tensor) -> float:
    """The largest error, in parts of the largest number of its row: some places of bfloat16; of a wrong row, 1."""
    got, want = got.double().flatten(1), want.double().flatten(1)
    error = ((got - want).abs().amax(1) / want.abs().amax(1)).max().item()
    assert error <= 2**-6, f"error of {error:.3g} beside float64"
    return error


def gelu_tanh(x: Tensor) -> tuple[Tensor]:
    """Without the sum 1 + tanh, which has no digits left below -3: a tenth of these numbers, which go to 30, lie there,
    and Transformers' own words are as random as the rounding."""
    x, t = x.float(), x.dtype
    return ((x * torch.sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))).to(t),)


def share_of_words(case: Case, rows: list[Tensor], results: tuple[Tensor, ...]) -> float:
    """Of all words, against the formula in chunks."""
    differ = total = 0
    formula = gelu_tanh if case.operator.name == "gelu_tanh" else case.operator.formula
    for start in range(0, case.rows, case.chunk):
        part = slice(start, start + case.chunk)
        want = formula(*(t[part] for t in rows), *case.parameters)
        counts = differing(tuple(t[part] for t in results), want)
        differ, total = differ + counts[0], total + counts[1]
    share = 1 - differ / total
    assert share >= max(case.operator.promised[0], 0.99), f"{share:.5%} of the words equal the formula"
    return share


@torch.no_grad()
def forward(case: Case) -> dict:
    rows, exact = case.inputs(), [p.double() for p in case.parameters]
    synchronize(case.device)
    start = time.perf_counter()
    results = case.call(*rows, *case.parameters)
    synchronize(case.device)
    seconds, error = time.perf_counter() - start, 0.0
    for place in case.places():
        some, got = [t[place].clone() for t in rows], tuple(t[place] for t in results)
        for a, b in zip(got, case.operator.formula(*(t.double() for t in some), *exact), strict=True):
            error = max(error, close(a, b))
        assert differing(case.call(*some, *case.parameters), got)[0] == 0, f"other bits at {place}"
    share = share_of_words(case, rows, results)
    write = in_place(case.operator.name)
    if write is not None:
        write(*rows, *case.parameters)
        for a, b in zip(rows, results, strict=False):
            assert torch.equal(a, b), "in place gives other words"
    return {"seconds": round(seconds, 3), "error": error, "same_words": share, "in_place": write is not None}


def gradients(call: Callable, case: Case, rows: list[Tensor], parameters: list[Tensor], coming=None) -> tuple:
    """The results and the gradients; where none comes in, the results come in themselves."""
    wanted = [t.detach().requires_grad_() for t in (*rows[: case.wanted], *parameters)]
    with torch.enable_grad():
        results = call(*wanted[: case.wanted], *rows[case.wanted :], *wanted[case.wanted :])
    coming = coming or [t.detach() for t in results]
    return [t.detach() for t in results], torch.autograd.grad(results, wanted, coming)


def parameter_gradients(case: Case, rows: list[Tensor], coming: list[Tensor]) -> list[Tensor]:
    """In float64, over all rows."""
    exact, sums = [p.double() for p in case.parameters], [0.0] * len(case.parameters)
    for start in range(0, case.rows, case.chunk // 4):
        part = slice(start, start + case.chunk // 4)
        some, dy = [t[part].double() for t in rows], [t[part].double() for t in coming]
        _, grads = gradients(case.operator.formula, case, some, exact, dy)
        sums = [a + b for a, b in zip(sums, grads[case.wanted :], strict=True)]
    return sums


def backward(case: Case) -> dict:
    rows, parameters = case.inputs(), [p.float() for p in case.parameters]
    exact = [p.double() for p in parameters]
    synchronize(case.device)
    start = time.perf_counter()
    coming, grads = gradients(case.call, case, rows, parameters)
    synchronize(case.device)
    seconds, error = time.perf_counter() - start, 0.0
    for place in case.places():
        some, dy = [t[place].clone() for t in rows], [t[place].clone() for t in coming]
        got = tuple(t[place] for t in grads[: case.wanted])
        _, want = gradients(
            case.operator.formula, case, [t.double() for t in some], exact, [t.double() for t in dy]
        )
        for a, b in zip(got, want, strict=False):
            error = max(error, close(a, b))
        _, again = gradients(case.call, case, some, parameters, dy)
        assert differing(again[: case.wanted], got)[0] == 0, f"other bits at {place}"
    result = {"seconds": round(seconds, 3), "error": error}
    if parameters:
        sums = parameter_gradients(case, rows, coming)
        errors = [
            ((a - b).abs().max() / b.abs().max()).item()
            for a, b in zip(grads[case.wanted :], sums, strict=True)
        ]
        bound = 0.2 * case.more / case.rows if case.device == "cuda" else SUMS
        assert max(errors) <= bound, f"gradients of parameters off by {errors}"
        result["parameter_error"] = max(errors)
    return result


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def free_gigabytes(device: str) -> float:
    if device == "cuda":
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info()[0] / 1e9
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--memory", type=float, default=1e9, help="gigabytes to stay below")
    parser.add_argument("operators", nargs="*", metavar="OPERATOR", help="default: all")
    options = parser.parse_args()
    known = {o.name: o for o in OPERATORS}
    unknown = set(options.operators) - {name for name, _ in CASES}
    if unknown:
        parser.error(f"not an operator here: {', '.join(sorted(unknown))}")
    for name, columns in CASES:
        if options.operators and name not in options.operators:
            continue
        case = Case(known[name], columns, options.device)
        for work in (forward, backward) if case.operator.differentiates else (forward,):
            elements = case.rows * case.one_row[0].numel()
            line = {"operator": name, "work": work.__name__, "columns": columns, "elements": elements}
            need = case.gigabytes[work.__name__]
            free = min(free_gigabytes(options.device), options.memory)
            if need > free:
                line["not_run"] = f"needs {need:.0f} GB, {free:.0f} are free"
            else:
                line |= work(case)
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    sys.exit(main())
