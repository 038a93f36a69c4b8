"""What NVIDIA's profiler counts in one cold launch of each cell that misses a goal.

usage: python benchmarks/tools/ncu_cells.py [--json FILE]          needs ncu, and a GPU whose counters it may read

Before a launch 256 MiB are written elsewhere, so that the inputs are not in the cache. The profiler sets the clock to
its base, so times here are longer than the bench's: the shares and counts are what is read.
"""

import argparse
import csv
import io
import json
import subprocess
import sys
from datetime import date
from pathlib import Path

METRICS = {
    "gpu__time_duration.sum": "time",
    "dram__bytes_read.sum": "dram_read",
    "dram__bytes_write.sum": "dram_written",
    "dram__throughput.avg.pct_of_peak_sustained_elapsed": "dram_of_peak",
    "sm__cycles_active.avg": "cycles_active",
    "sm__cycles_elapsed.max": "cycles_elapsed",
    "sm__warps_active.avg.pct_of_peak_sustained_active": "warps_active",
    "launch__registers_per_thread": "registers",
    "launch__block_size": "block",
    "launch__grid_size": "grid",
    "lts__t_sector_hit_rate.pct": "l2_hits",
    "smsp__average_warps_issue_stalled_long_scoreboard_per_issue_active.ratio": "stalled_on_memory",
    "smsp__average_warps_issue_stalled_barrier_per_issue_active.ratio": "stalled_on_barrier",
}


def launch_all() -> None:
    import kernmill_layernorm  # noqa: F401
    import kernmill_rotary  # noqa: F401
    import torch

    import kernmill_rmsnorm  # noqa: F401

    rms, layer, rotary = (getattr(torch.ops, f"kernmill_{n}") for n in ("rmsnorm", "layernorm", "rotary"))
    flush = torch.empty(256 << 20, device="cuda", dtype=torch.uint8)

    def x(*shape):
        return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)

    def cell(name, op, *arguments):
        op(*arguments)
        flush.fill_(1)
        torch.cuda.synchronize()
        torch.cuda.cudart().cudaProfilerStart()
        op(*arguments)
        torch.cuda.synchronize()
        torch.cuda.cudart().cudaProfilerStop()
        print("CELL", name, flush=True)

    rounding = (1e-6, "single", 0.0)
    for rows, columns in ((512, 4096), (2048, 4096), (32768, 512)):
        cell(f"rms_norm {rows}x{columns}", rms._rms_norm_fwd, x(rows, columns), x(columns), *rounding)
    cell("fused_add_rms_norm 512x4096", rms._fused_add_rms_norm_fwd,
         x(512, 4096), x(512, 4096), x(4096), *rounding, "rounded")  # fmt: skip
    cell("layer_norm 4096x65536", layer._layer_norm_fwd, x(4096, 65536), x(65536), x(65536), 1e-6)
    at, cache = torch.randint(0, 4096, (32768,), device="cuda"), torch.rand(4096, 128, device="cuda")
    cell("rotary_embedding 32768", rotary._rotary_embedding_fwd,
         x(32768, 4096), x(32768, 1024), at, cache, 128, False, False)  # fmt: skip
    dy, s, rstd = x(32768, 4096), x(32768, 4096), torch.rand(32768, device="cuda")
    cell("rms_norm_backward 32768x4096", rms._rms_norm_bwd,
         dy, s, x(4096), rstd, None, "single", 0.0, True, True)  # fmt: skip


def read(text: str) -> list[dict]:
    """The kernels in their order, each with its cell; the last cell has two."""
    cells = [line[5:] for line in text.splitlines() if line.startswith("CELL ")]
    table = "\n".join(line for line in text.splitlines() if line.startswith('"'))
    launches: dict[str, dict] = {}
    for row in csv.DictReader(io.StringIO(table)):
        if row["ID"] not in launches:
            cell = cells[min(len(launches), len(cells) - 1)]
            launches[row["ID"]] = {"cell": cell, "kernel": row["Kernel Name"].split("(")[0]}
        value = float(row["Metric Value"].replace(",", ""))
        unit = row["Metric Unit"]
        launches[row["ID"]][METRICS[row["Metric Name"]]] = f"{value:g} {unit}" if unit else value
    return list(launches.values())


def machine() -> dict:
    import torch

    told = subprocess.run(["ncu", "--version"], capture_output=True, text=True, check=True).stdout
    ncu = told.split("Version ")[1].split()[0]
    return {"gpu": torch.cuda.get_device_name(), "torch": torch.__version__, "ncu": ncu}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--json")
    parser.add_argument("--launch", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.launch:
        launch_all()
        return
    command = ["ncu", "--profile-from-start", "off", "--metrics", ",".join(METRICS), "--csv"]
    command += [sys.executable, __file__, "--launch"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"ncu failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    launches = read(done.stdout)
    for launch in launches:
        print(" ".join(f"{name}={value}" for name, value in launch.items()))
    if options.json:
        document = {"date": date.today().isoformat(), "machine": machine(), "launches": launches}
        Path(options.json).write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
