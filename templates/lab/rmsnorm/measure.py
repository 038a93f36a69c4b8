"""The evaluator: both builds in one process of `kernmill bench`, in turns and in random order, checked against torch.

Reads KERNMILL_PARENT and KERNMILL_CANDIDATE (build folders), writes the geometric means of the medians, in microseconds,
into KERNMILL_METRICS.

usage: measure.py cpu|cuda
"""

import json
import math
import os
import pathlib
import subprocess
import sys

import torch

DEVICE = sys.argv[1]
COLUMN = "call" if DEVICE == "cpu" else "cold"
CELLS = {"cpu": "{ rows = [256], columns = [2048] }", "cuda": "{ rows = [16384], columns = [4096] }"}
SUITE = """name = "lab"
packages = ["torch"]
[op.rms_norm]
axes = {cells}
dtypes = ["float32"]
bytes = "(2 * rows + 1) * columns * size"
flops = "4 * rows * columns"
reference = "torch"
tolerance = 16.0
[op.rms_norm.inputs]
x = {{ shape = ["rows", "columns"] }}
weight = {{ shape = ["columns"], values = "uniform", low = 0.5, high = 1.5 }}
[op.rms_norm.calls.torch]
schema = "aten::rms_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight, float? eps) -> Tensor"
arguments = ["x", ["columns"], "weight", 1e-6]
"""
CALL = """[op.rms_norm.calls.{name}]
library = "{library}"
schema = "{namespace}::rms_norm(Tensor x, Tensor weight, float eps) -> Tensor"
arguments = ["x", "weight", 1e-6]
"""


def call(name, build):
    variant = "cpu" if DEVICE == "cpu" else "cu13*" if torch.version.cuda.startswith("13.") else "cu12*"
    (folder,) = pathlib.Path(build).glob(f"torch-stable-abi*-{variant}-*")
    (library,) = folder.glob("*.so")
    namespace = json.loads((folder / "metadata.json").read_text())["id"]
    return CALL.format(name=name, library=library, namespace=namespace)


def median_of(cell, name):
    (found,) = [c for c in cell["calls"] if c["name"] == name]
    if found["state"] != "right":
        return None, f"{name} is {found['state']}: {found.get('why')}"
    return found["columns"][COLUMN]["median_us"], None


def main():
    out = pathlib.Path(os.environ["KERNMILL_OUT"])
    calls = call("parent", os.environ["KERNMILL_PARENT"]) + call(
        "candidate", os.environ["KERNMILL_CANDIDATE"]
    )
    (out / "suite.toml").write_text(SUITE.format(cells=CELLS[DEVICE]) + calls)
    # whatever it is worth to be the incumbent, both are, in turns
    first, second = (
        ("parent", "candidate") if int(os.environ["KERNMILL_SEED"]) & 1 else ("candidate", "parent")
    )
    command = ["kernmill", "bench", out, "--device", DEVICE, "--budget", "0.5", "--json", "--quiet"]
    command += ["--incumbent", first, "--candidate", second, "--output", out / "record.jsonl"]
    done = subprocess.run(command, stdout=subprocess.PIPE)
    if done.returncode not in (0, 1):
        sys.exit(done.returncode)
    cells = [json.loads(line) for line in (out / "record.jsonl").read_text().splitlines()]
    document = {}
    for name in ("parent", "candidate"):
        medians = [median_of(cell, name) for cell in cells]
        wrong = [why for _, why in medians if why]
        if wrong:
            document = {"refused": wrong[0]}
            break
        document[name] = math.exp(sum(math.log(us) for us, _ in medians) / len(medians))
    pathlib.Path(os.environ["KERNMILL_METRICS"]).write_text(json.dumps(document))


main()
