"""What a call costs the host: one row of eight float32 values, on the CPU, by each way to call an RMSNorm.

    python benchmarks/tools/host_costs.py [--json RECORD]

From C: the raw operator, torch's own, and a classic C++ operator, by the dispatcher. From Python: the same three, our
public function and our layer, each called back from the engine, whose own way in and out is measured beside them
(`nothing`). Wants g++ and the installed kernmill_rmsnorm.
"""

import argparse
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path

import torch
from torch.utils.cpp_extension import include_paths

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = os.environ.get("KERNMILL", str(Path(sys.executable).parent / "kernmill"))

ROWS = """#include <cmath>
#include <cstdint>
extern "C" void rms_norm_rows(const void *x, const void *w, void *y, int64_t rows, int64_t columns, double eps)
{
    for (int64_t r = 0; r < rows; r++) {
        const float *from = (const float *)x + r * columns, *weight = (const float *)w;
        float sum = 0;
        for (int64_t i = 0; i < columns; i++)
            sum += from[i] * from[i];
        float scale = 1 / std::sqrt(sum / (float)columns + (float)eps);
        for (int64_t i = 0; i < columns; i++)
            ((float *)y)[r * columns + i] = from[i] * scale * weight[i];
    }
}
"""

PEERS = """import kernmill_rmsnorm
import torch
import torch.nn.functional as F
from kernmill_rmsnorm.layers import RMSNorm

raw_op = torch.ops.kernmill_rmsnorm._rms_norm_fwd.default
classic_op = torch.ops.classic.rms_norm.default
layers, fixed = {}, {}

def nothing(x, w, eps):
    found = fixed.get(x.data_ptr())
    if found is None:
        found = fixed[x.data_ptr()] = torch.empty_like(x)
    return found

def raw(x, w, eps): return raw_op(x, w, eps, "single", 0.0)
def public(x, w, eps): return kernmill_rmsnorm.rms_norm(x, w, eps, rounding="single")
def classic(x, w, eps): return classic_op(x, w, eps)
def f_rms_norm(x, w, eps): return F.rms_norm(x, (8,), w, eps)

class Layer(RMSNorm):
    def __init__(self, w, eps):
        torch.nn.Module.__init__(self)
        self.weight, self.variance_epsilon = torch.nn.Parameter(w, requires_grad=False), eps

def layer(x, w, eps):
    made = layers.get(w.data_ptr())
    if made is None:
        made = layers[w.data_ptr()] = Layer(w, eps)
    return made(x)
"""

SUITE = """name = "host costs"
packages = ["torch"]
[op.rms_norm]
axes = {{ rows = [1], columns = [8] }}
dtypes = ["float32"]
bytes = "(2 * rows + 1) * columns * size"
reference = "c_torch"
tolerance = 8
[op.rms_norm.inputs]
x = {{ shape = ["rows", "columns"] }}
weight = {{ shape = ["columns"], values = "uniform", low = 0.5, high = 1.5 }}
[op.rms_norm.calls.c_raw]
library = "{ours}"
schema = "kernmill_rmsnorm::_rms_norm_fwd(Tensor x, Tensor? weight, float eps, str rounding, float weight_offset) -> Tensor"
arguments = ["x", "weight", 1e-6, "single", 0.0]
[op.rms_norm.calls.c_torch]
schema = "aten::rms_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight, float? eps) -> Tensor"
arguments = ["x", ["columns"], "weight", 1e-6]
[op.rms_norm.calls.c_classic]
library = "{classic}"
schema = "classic::rms_norm(Tensor x, Tensor? weight, float eps) -> Tensor"
arguments = ["x", "weight", 1e-6]
"""
PYTHON = ("nothing", "raw", "f_rms_norm", "classic", "public", "layer")


def build_classic(folder: Path) -> Path:
    (folder / "rows.cpp").write_text(ROWS)
    library, lib = folder / "libclassic.so", torch.__path__[0] + "/lib"
    command = ["g++", "-std=c++20", "-O2", "-shared", "-fPIC", *(f"-I{p}" for p in include_paths())]
    command += [ROOT / "benchmarks/tools/classic_binding.cpp", folder / "rows.cpp", "-o", library]
    subprocess.run([*command, f"-L{lib}", "-ltorch_cpu", "-lc10"], check=True)
    return library


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", help="write the record to this file")
    asked = parser.parse_args()
    package = Path(importlib.util.find_spec("kernmill_rmsnorm").submodule_search_locations[0])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "peers.py").write_text(PEERS)
        text = SUITE.format(ours=next(package.glob("lib*.so")), classic=build_classic(folder))
        for call in PYTHON:
            text += f'[op.rms_norm.calls.py_{call}]\npython = "peers.py:{call}"\narguments = ["x", "weight", 1e-6]\n'
        (folder / "suite.toml").write_text(text)
        command = [PROGRAM, "bench", "--device", "cpu", "--json", "--budget", "5", folder / "suite.toml"]
        environment = os.environ | {"KERNMILL_PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode not in (0, 1):  # 1: `nothing` is wrong, as it must be
        raise SystemExit(f"{done.stdout[-3000:]}{done.stderr}")
    (cell,) = json.loads(done.stdout)["cells"]
    record = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": "benchmarks/tools/host_costs.py",
        "system": platform.platform(),
        "torch": torch.__version__,
        "cell": cell,
    }
    times = {call["name"]: call["columns"]["call"]["median_us"] for call in cell["calls"]}
    for name, us in times.items():
        less = f"  less py_nothing: {us - times['py_nothing']:.2f} us" if name.startswith("py_") else ""
        print(f"{name:16} {us:8.2f} us{less}")
    if asked.json:
        Path(asked.json).write_text(json.dumps(record) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
