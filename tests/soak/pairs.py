"""How often `kernmill bench` is wrong: pairs of equals, and pairs of which one does three per cent more.

    python tests/soak/pairs.py PAIRS [RECORD]

Of equals at most one pair in a hundred may be called different; of the others 95 % must be found. Each pair is a
cell of its own, measured anew.
"""

import json
import pathlib
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from datetime import datetime, timezone

import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "bench"))
from build_candidates import build

PROGRAM = pathlib.Path(sys.executable).parent / "kernmill"
SUITE = """
name = "pairs"
[op.pair]
axes = {{ rows = [8], columns = [1000], pair = [{pairs}] }}
dtypes = ["float32"]
bytes = "2 * rows * columns * size"
reference = "reference"
[op.pair.inputs]
x = {{ shape = ["rows", "columns"] }}
[op.pair.calls.first]
library = "{library}"
schema = "cand::turns(Tensor x, int count) -> Tensor"
arguments = ["x", 100]
[op.pair.calls.second]
library = "{library}"
schema = "cand::turns(Tensor x, int count) -> Tensor"
arguments = ["x", {count}]
[op.pair.calls.reference]
schema = "aten::neg(Tensor self) -> Tensor"
arguments = ["x"]
"""


def verdicts(
    folder: pathlib.Path, library: pathlib.Path, pairs: int, count: int
) -> tuple[Counter, list[float]]:
    suite = folder / "suite.toml"
    numbers = ", ".join(str(i) for i in range(pairs))
    suite.write_text(SUITE.format(pairs=numbers, library=library, count=count))
    command = [PROGRAM, "bench", "--json", "--budget", "5", suite]
    environment = {"KERNMILL_PYTHON": sys.executable, "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    seconds = [cell["calls"][1]["columns"]["call"] for cell in json.loads(done.stdout)["cells"]]
    return Counter(c["verdict"] for c in seconds), [c["ratio"]["median"] for c in seconds]


def main() -> int:
    pairs = int(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        library = build(folder)
        equal, equal_ratios = verdicts(folder, library, pairs, 100)
        planted, planted_ratios = verdicts(folder, library, pairs, 103)
    wrong = equal["faster"] + equal["slower"]
    record = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": f"scripts/soak bench {pairs}",
        "system": platform.platform(),
        "torch": torch.__version__,
        "equal": dict(equal),
        "three_per_cent_more": dict(planted),
        "equal_ratios": equal_ratios,
        "planted_ratios": planted_ratios,
    }
    if len(sys.argv) > 2:
        pathlib.Path(sys.argv[2]).write_text(json.dumps(record) + "\n")
    print(f"equals: {dict(equal)}; called different: {wrong} of {pairs} (at most 1 %)")
    print(f"three per cent more: {dict(planted)}; found: {planted['slower']} of {pairs} (at least 95 %)")
    return 0 if wrong <= pairs / 100 and planted["slower"] >= 0.95 * pairs else 1


if __name__ == "__main__":
    sys.exit(main())
