"""The evaluator: both builds in one process of `kernmill bench`, in turns and in random order, checked against torch.

Reads KERNMILL_PARENT and KERNMILL_CANDIDATE (build folders), writes the geometric means of the medians, in microseconds,
into KERNMILL_METRICS.

usage: measure.py cpu|cuda
"""

import glob
import json
import math
import os
import subprocess
import sys

DEVICE = sys.argv[1]
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
    (folder,) = glob.glob(f"{build}/torch-stable-abi*-{'cu' if DEVICE == 'cuda' else 'cpu'}*")
    (library,) = glob.glob(f"{folder}/*.so")
    with open(f"{folder}/metadata.json") as f:
        namespace = json.load(f)["id"]
    return CALL.format(name=name, library=library, namespace=namespace)


def median_of(cell, name):
    (found,) = [c for c in cell["calls"] if c["name"] == name]
    if found["state"] != "right":
        return None, f"{name} is {found['state']}: {found.get('why')}"
    return found["columns"]["call"]["median_us"], None


def main():
    out = os.environ["KERNMILL_OUT"]
    with open(f"{out}/suite.toml", "w") as f:
        f.write(SUITE.format(cells=CELLS[DEVICE]))
        f.write(call("parent", os.environ["KERNMILL_PARENT"]) + call("candidate", os.environ["KERNMILL_CANDIDATE"]))
    command = ["kernmill", "bench", out, "--device", DEVICE, "--budget", "0.5", "--json", "--quiet"]
    command += ["--incumbent", "parent", "--candidate", "candidate", "--output", f"{out}/record.jsonl"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    if done.returncode not in (0, 1):
        sys.exit(done.returncode)
    with open(f"{out}/record.jsonl") as f:
        cells = [json.loads(line) for line in f]
    document = {}
    for name in ("parent", "candidate"):
        medians = [median_of(cell, name) for cell in cells]
        wrong = [why for _, why in medians if why]
        if wrong:
            document = {"refused": wrong[0]}
            break
        document[name] = math.exp(sum(math.log(us) for us, _ in medians) / len(medians))
    with open(os.environ["KERNMILL_METRICS"], "w") as f:
        json.dump(document, f)


main()
