"""Whether `kernmill bench` can be believed on this GPU: its verdicts, its clock, and itself in another process.

    python benchmarks/tools/gpu_proof.py RECORD [--pairs N] [--planted N] [--only PART ...]

pairs      the same kernel twice, N times: how often the two are called different (at most 1 %)
planted    a kernel that takes 3 % longer, N times: how often that is found (at least 95 %)
spin       kernels that spin for 2 to 50 us of the multiprocessor's clock: the slope of measured against true time
processes  one cell in five processes: their ratios, and each one's interval
ncu        cells of 50 us and more beside NVIDIA's profiler (clock control none): the bias

Wants `kernmill` in PATH (or KERNMILL), kernmill_rmsnorm, and kernmill_cheats (tests/bench/gpu) installed.
"""

import argparse
import csv
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import torch

PROGRAM = os.environ.get("KERNMILL", "kernmill")


def library(package: str) -> str:
    folder = importlib.util.find_spec(package).submodule_search_locations[0]
    return str(next(Path(folder).glob("lib*.so")))


def bench(op: str, *words: str, budget: float = 1) -> list[dict]:
    """The cells of a suite of one operator."""
    with tempfile.TemporaryDirectory() as folder:
        suite = Path(folder) / "suite.toml"
        suite.write_text(f'name = "proof"\n{op}')
        command = [PROGRAM, "bench", suite, "--json", "--device", "cuda", "--budget", str(budget), *words]
        done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{done.stdout[-2000:]}{done.stderr}")
    return json.loads(done.stdout)["cells"]


def negation(axes: str, calls: dict[str, tuple[str, str]]) -> str:
    """A suite that compares operators of kernmill_cheats: name -> schema's rest, further arguments."""
    text = f"""[op.neg]
axes = {{ {axes} }}
dtypes = ["float32"]
bytes = "2 * rows * columns * size"
reference = "torch"
tolerance = 1
[op.neg.inputs]
x = {{ shape = ["rows", "columns"] }}
"""
    for name, (schema, more) in calls.items():
        text += f'[op.neg.calls.{name}]\nlibrary = "{library("kernmill_cheats")}"\n'
        text += f'schema = "kernmill_cheats::{schema} -> Tensor"\narguments = ["x"{more}]\n'
    return f'{text}[op.neg.calls.torch]\nschema = "aten::neg(Tensor self) -> Tensor"\narguments = ["x"]\n'


def verdicts(cells: list[dict]) -> dict:
    seconds = [cell["calls"][1]["columns"]["cold"] for cell in cells]
    said = [c["verdict"] for c in seconds]
    return {
        "pairs": len(cells),
        "verdicts": {v: said.count(v) for v in sorted(set(said))},
        "ratios": [round(c["ratio"]["median"], 5) for c in seconds],
        "rounds": [cell["rounds"] for cell in cells],
    }


def pairs(count: int) -> dict:
    """Thirds: of 1 MB and 16 MB tensors through the memory, and of a kernel that spins for 10 us."""
    honest = {"first": ("honest(Tensor x)", ""), "second": ("honest(Tensor x)", "")}
    spins = dict.fromkeys(("first", "second"), ("spins(Tensor x, int cycles)", ", 19800"))
    numbers = ", ".join(map(str, range(count // 3)))
    cells = []
    for rows, calls in ((256, honest), (4096, honest), (4096, spins)):
        cells += bench(negation(f"rows = [{rows}], columns = [1024], pair = [{numbers}]", calls))
    found = verdicts(cells)
    found["called_different"] = found["verdicts"].get("faster", 0) + found["verdicts"].get("slower", 0)
    return found


def planted(count: int) -> dict:
    calls = {
        "first": ("spins(Tensor x, int cycles)", ", 20000"),
        "second": ("spins(Tensor x, int cycles)", ", 20600"),
    }
    numbers = ", ".join(map(str, range(count)))
    found = verdicts(bench(negation(f"rows = [512], columns = [1024], pair = [{numbers}]", calls)))
    found["found"] = found["verdicts"].get("slower", 0)
    return found


def spin() -> dict:
    cycles = [4000, 8000, 16000, 24000, 40000, 64000, 100000]
    axes = f"rows = [1], columns = [256], cycles = {cycles}"
    cells = bench(negation(axes, {"spins": ("spins(Tensor x, int cycles)", ', "cycles"')}))
    mhz = cells[0]["gpu"]["most"]["sm_mhz"]
    out = {"sm_mhz": [mhz, min(c["gpu"]["least"]["sm_mhz"] for c in cells)], "cycles": cycles}
    true_us = [c / mhz for c in cycles]
    for column in ("cold", "sets64", "hot", "stream"):
        us = [cell["calls"][0]["columns"][column]["median_us"] for cell in cells]
        slope, intercept = statistics.linear_regression(true_us, us)
        out[column] = {"us": us, "slope": slope, "intercept_us": intercept}
    return out


RMS_NORM = """[op.rms_norm]
axes = {{ rows = [], columns = [] }}
shapes = [{shapes}]
dtypes = ["bfloat16"]
bytes = "(2 * rows + 1) * columns * size"
reference = "torch"
tolerance = 2
[op.rms_norm.inputs]
x = {{ shape = ["rows", "columns"] }}
weight = {{ shape = ["columns"], values = "uniform", low = 0.5, high = 1.5 }}
[op.rms_norm.calls.kernmill]
library = "{library}"
schema = "kernmill_rmsnorm::_rms_norm_fwd(Tensor x, Tensor? weight, float eps, str rounding, float weight_offset) -> Tensor"
arguments = ["x", "weight", 1e-6, "single", 0.0]
[op.rms_norm.calls.torch]
schema = "aten::rms_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight, float? eps) -> Tensor"
arguments = ["x", ["columns"], "weight", 1e-6]
"""


def rms_norm(shapes: list[tuple[int, int]]) -> str:
    listed = ", ".join(f"{{ rows = {r}, columns = {c} }}" for r, c in shapes)
    return RMS_NORM.format(shapes=listed, library=library("kernmill_rmsnorm"))


def processes() -> dict:
    op = rms_norm([(2048, 4096)])
    ratios = [bench(op)[0]["calls"][1]["columns"]["cold"]["ratio"] for _ in range(5)]
    medians = [r["median"] for r in ratios]
    inside = all(r["low"] <= statistics.median(medians) <= r["high"] for r in ratios)
    return {
        "ratios": ratios,
        "spread": max(medians) / min(medians) - 1,
        "all_intervals_hold_the_median": inside,
    }


LARGE = [
    (65536, 4096),
    (32768, 8192),
    (4096, 65536),
    (262144, 1024),
    (2097152, 128),
    (16384, 4096),
    (65536, 1024),
]


def profiled() -> None:
    """What runs below the profiler: the kernel of each cell, 12 times over 4 sets."""
    torch.ops.load_library(library("kernmill_rmsnorm"))
    raw = torch.ops.kernmill_rmsnorm._rms_norm_fwd
    for rows, columns in LARGE:
        x = [torch.randn(rows, columns, device="cuda", dtype=torch.bfloat16) for _ in range(4)]
        w = torch.rand(columns, device="cuda", dtype=torch.bfloat16) + 0.5
        for i in range(12):
            raw(x[i % 4], w, 1e-6, "single", 0.0)


def profile(cache_control: str) -> list[float]:
    """The profiler's kernel times, in microseconds: medians of 12, a cell each."""
    command = ["ncu", "--csv", "--clock-control", "none", "--cache-control", cache_control]
    command += ["--metrics", "gpu__time_duration.sum", "--kernel-name", "regex:rms", "--print-units", "base"]
    command += [sys.executable, __file__, "-", "--only", "profiled"]
    done = subprocess.run(command, capture_output=True, text=True)
    rows = [line for line in done.stdout.splitlines() if line.startswith('"')]
    times = [float(r["Metric Value"].replace(",", "")) / 1e3 for r in csv.DictReader(rows)]
    if len(times) != 12 * len(LARGE):
        raise SystemExit(f"{len(times)} kernels were profiled\n{done.stdout[-1500:]}{done.stderr[-500:]}")
    return [statistics.median(times[12 * k : 12 * k + 12]) for k in range(len(LARGE))]


def ncu() -> dict:
    """Beside cold times: once with caches that the profiler emptied (what was written may then stay in the cache,
    unlike amid other kernels), once with caches as they are."""
    emptied, as_they_are = profile("all"), profile("none")
    cells = {(c["shape"]["rows"], c["shape"]["columns"]): c for c in bench(rms_norm(LARGE))}
    out = []
    for k, shape in enumerate(LARGE):
        cold = cells[shape]["calls"][0]["columns"]["cold"]["median_us"]
        empty = cells[shape]["yardsticks"]["empty"]["median_us"]
        row = {"shape": shape, "cold_us": cold, "empty_us": empty}
        for name, us in (("emptied", emptied[k]), ("as_they_are", as_they_are[k])):
            row[name] = {"ncu_us": us, "bias": cold / us - 1, "bias_less_empty": (cold - empty) / us - 1}
        out.append(row)
    return {"cells": out}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("record", help="the file to write, JSON")
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--planted", type=int, default=100)
    parser.add_argument("--only", nargs="+", default=["spin", "processes", "ncu", "planted", "pairs"])
    asked = parser.parse_args()
    if asked.only == ["profiled"]:
        profiled()
        return 0
    parts = {"pairs": lambda: pairs(asked.pairs), "planted": lambda: planted(asked.planted)}
    parts |= {"spin": spin, "processes": processes, "ncu": ncu}
    record = {
        "command": f"benchmarks/tools/gpu_proof.py --pairs {asked.pairs} --planted {asked.planted}",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
    }
    for name in asked.only:
        record[name] = parts[name]()
        Path(asked.record).write_text(json.dumps(record) + "\n")
        short = {
            k: v for k, v in record[name].items() if k not in ("ratios", "rounds") or name == "processes"
        }
        print(name, json.dumps(short), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
