"""The calls of a suite, timed as most published tables are: the host's clock around a call and a synchronisation, 20
times unmeasured and 100 times measured, the mean; one set of inputs, which the cache keeps.

    python benchmarks/tools/wall_clock.py SUITE [--json RECORD]

To be read beside `kernmill bench` of the same suite, not instead: it times the host, the cache and the clock's own
wait together with the kernel. Wants a GPU, and the packages of the suite's calls; those that are missing are left out.
"""

import argparse
import importlib
import importlib.util
import itertools
import json
import statistics
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import tomllib
import torch

WARM_UPS, TIMED = 20, 100


def python_function(suite: Path, name: str):
    where, function = name.rsplit(":", 1)
    if not where.endswith(".py"):
        return getattr(importlib.import_module(where), function)
    spec = importlib.util.spec_from_file_location(Path(where).stem + "_peer", suite.parent / where)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, function)


def operator(call: dict):
    if "library" in call:
        importlib.import_module(call["library"])
    namespace, name = call["schema"].split("(")[0].split("::")
    return getattr(getattr(torch.ops, namespace), name)


def argument(value, inputs: dict, axes: dict):
    if isinstance(value, list):
        return [argument(v, inputs, axes) for v in value]
    if isinstance(value, str):
        return inputs.get(value, axes.get(value, value))
    return value


def make_inputs(op: dict, axes: dict, dtype: torch.dtype) -> dict:
    inputs = {}
    for name, spec in op["inputs"].items():
        sizes = [axes[s] for s in spec["shape"]]
        made = torch.rand if spec.get("values") == "uniform" else torch.randn
        inputs[name] = made(sizes, device="cuda", dtype=dtype)
    return inputs


def mean_us(function, arguments: list) -> float:
    for _ in range(WARM_UPS):
        function(*arguments)
    torch.cuda.synchronize()
    times = []
    for _ in range(TIMED):
        start = time.perf_counter()
        function(*arguments)
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return 1e6 * statistics.mean(times)


def shapes(op: dict) -> list[dict]:
    product = itertools.product(*op["axes"].values())
    return [dict(zip(op["axes"], sizes, strict=True)) for sizes in product] + op.get("shapes", [])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("suite", type=Path)
    parser.add_argument("--json", help="write the record to this file")
    asked = parser.parse_args()
    (op,) = tomllib.loads(asked.suite.read_text())["op"].values()
    functions = {}
    for name, call in op["calls"].items():
        try:
            functions[name] = (
                python_function(asked.suite, call["python"]) if "python" in call else operator(call)
            )
        except ImportError as e:
            print(f"{name} is left out: {e}", file=sys.stderr)
    cells = []
    for axes in shapes(op):
        inputs = make_inputs(op, axes, getattr(torch, op["dtypes"][0]))
        us = {
            name: mean_us(function, [argument(a, inputs, axes) for a in op["calls"][name]["arguments"]])
            for name, function in functions.items()
        }
        cells.append({"shape": axes, "mean_us": us})
        print(axes, {name: round(t, 1) for name, t in us.items()}, flush=True)
    record = {
        "command": f"benchmarks/tools/wall_clock.py {asked.suite.name}",
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "gpu": torch.cuda.get_device_name(),
        "torch": torch.__version__,
        "cells": cells,
    }
    if asked.json:
        Path(asked.json).write_text(json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
