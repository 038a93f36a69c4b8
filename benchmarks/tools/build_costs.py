"""What building costs: kernels/rmsnorm from nothing and again, the start of the program, the sizes, and the
binding's compile time beside a classic C++ one. Prints a table and, with --json, writes the record.

usage: .venv/bin/python benchmarks/tools/build_costs.py [--json FILE]

Every time is the median of its runs; a cold build has an empty build folder and an empty cache, and is run
once for each row.
"""

import argparse
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timezone

import torch
from torch.utils.cpp_extension import include_paths

ROOT = pathlib.Path(__file__).resolve().parents[2]
KERNEL = ROOT / "kernels/rmsnorm"
PROGRAM = pathlib.Path(sys.executable).parent / "kernmill"
Figures = dict[str, float]  # "what, unit" and the number
FLAGS = ["-O3", "-fPIC", "-fexceptions", "-fvisibility=hidden"]


def seconds(command: list, runs: int = 1, **options) -> float:
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run([str(c) for c in command], check=True, stdout=subprocess.DEVNULL, **options)
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def start(_: pathlib.Path) -> Figures:
    return {"start of the program (version), s": seconds([PROGRAM, "version"], runs=25)}


def builds(work: pathlib.Path) -> Figures:
    environment = {**os.environ, "KERNMILL_CACHE": str(work / "cache")}
    command = [PROGRAM, "build", KERNEL, "--quiet", "--build-dir"]
    return {
        "cold build, all architectures, s": seconds([*command, work / "a"], env=environment),
        "clean build, images from the cache, s": seconds([*command, work / "b"], env=environment),
        "nothing changed, s": seconds([*command, work / "a"], runs=9, env=environment),
        "cold build, --arch 90a, s": seconds(
            [*command, work / "c", "--arch", "90a"], env={**environment, "KERNMILL_CACHE": str(work / "d")}
        ),
    }


def sizes(work: pathlib.Path) -> Figures:
    result = {}
    for path in sorted((work / "a").glob("torch-stable-*/*.so")):
        result[f"library, {path.parent.name.split('-')[3]}, bytes"] = path.stat().st_size
    result["kernmill, bytes"] = PROGRAM.stat().st_size
    return result


def bindings(work: pathlib.Path) -> Figures:
    ours = ["gcc", "-std=c17", *FLAGS, "-DCPU_KERNEL", f"-I{ROOT}/csrc/sdk", "-c"]
    ours += [KERNEL / "torch-ext/torch_binding.c", "-o", work / "ours.o"]
    classic = ["g++", "-std=c++20", *FLAGS, *(f"-I{p}" for p in include_paths()), "-c"]
    classic += [ROOT / "benchmarks/tools/classic_binding.cpp", "-o", work / "classic.o"]
    import sysconfig

    python = [f"-I{sysconfig.get_path('include')}", "-DEXTENSION"]
    return {
        "binding in C (13 operators), s": seconds(ours, runs=5),
        "classic C++ binding (1 operator), torch/library.h, s": seconds(classic, runs=3),
        "classic C++ binding (1 operator), torch/extension.h, s": seconds([*classic, *python], runs=2),
    }


def cpu() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def first_line(*command) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout.splitlines()[0]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for measure in (start, builds, sizes, bindings):
            for name, value in measure(pathlib.Path(folder)).items():
                figures[name] = value
                shown = f"{value:>12.3f}" if name.endswith(" s") else f"{value:>12,}"
                print(f"{name:<58} {shown}", flush=True)
    record = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": "benchmarks/tools/build_costs.py",
        "machine": {"cpu": cpu(), "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {
            "kernmill": first_line(str(PROGRAM), "version"),
            "torch": torch.__version__,
            "gcc": first_line("gcc", "--version"),
            "g++": first_line("g++", "--version"),
        },
        "figures": figures,
    }
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
