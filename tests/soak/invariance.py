"""Does a row keep its bits? Asked of our kernels, of torch, of torch.compile and of the peers that are installed.

    python3 invariance.py [--device cpu|cuda] [--quick] [--no-peers] [--budget SECONDS] [--json FILE]

A row's result is compared, bit by bit, with the one it has in the largest launch: in launches of 1 to 8192 rows; as
a slice of a larger tensor; one element off an aligned address; replayed from a CUDA graph; under torch.compile;
when gradients are wanted; and when the same call is made again. Gradients of rows are compared over launches,
those of weights are made twice. Then: the share of words that equal Transformers' eager formula.

Each comparison is a cell. "-": the question does not apply, or is not asked of that library (gradients of one that
has none; an unaligned address, at which some end the process). "not run": the call raised. Libraries that compile
for each H are asked at few, and none is started after --budget seconds.

Exit status 1: a cell of ours differs or raised, or fewer of its words are Transformers' than the cards promise: all
of rotary, 99.9 % of the others with rounding="hf" in 16-bit dtypes. What the others do changes nothing.

It needs torch and the four packages; this folder can be copied elsewhere. float32's words are shown and not asked
for: there a last place of the root, which torch finds by another order of additions, moves every word of a row.
"""

import argparse
import contextlib
import json
import pathlib
import platform
import sys
import time
from datetime import datetime, timezone

import torch
from same_bits import libraries, questions, table
from same_bits.operators import OPERATORS, Operator

DTYPES = (torch.bfloat16, torch.float16, torch.float32)
COMPILED = ("rms_norm", "fused_add_rms_norm", "layer_norm", "silu_and_mul", "rotary")
ELEMENTS = {"cuda": 1 << 27, "cpu": 1 << 20, "quick": 1 << 18}  # of one tensor of rows


class Plan:
    """What is asked: quick or not, on the CPU or a GPU."""

    def __init__(self, device: str, quick: bool, budget: float):
        self.device, self.quick = device, quick
        self.elements = ELEMENTS["quick" if quick else device]
        self.start, self.budget = time.monotonic(), budget

    def seconds_left(self) -> float:
        return self.start + self.budget - time.monotonic()

    def most(self, operator: Operator, columns: int) -> int:
        return max(8, min(questions.ROWS[-1], self.elements // operator.elements_a_row(columns)))

    def cells(self, library: libraries.Library) -> list[tuple[Operator, torch.dtype, int]]:
        operators = [o for o in OPERATORS if o.name in library.calls]
        if library.slow_start:
            sizes, dtypes = (4096, 16384, 1000), DTYPES[:1]
            if self.quick or library.compiled:
                sizes = sizes[: 1 if self.quick or self.device == "cpu" else 2]
        else:
            sizes, dtypes = None, (DTYPES[0], DTYPES[2]) if self.quick else DTYPES
        some = (128, 1000, 4096) if self.quick else None
        result = []
        for dtype in dtypes:
            for place in range(9):  # every operator at its first H, then at its second: time may run out
                for o in operators:
                    columns = [c for c in o.columns if not some or c in some]
                    if sizes:
                        columns = [128] if o.family == "rotary" else list(sizes)
                    result.extend((o, dtype, c) for c in columns[place : place + 1])
        return result

    def with_compile(
        self, library: libraries.Library, operator: Operator, dtype: torch.dtype, columns: int
    ) -> bool:
        """At one dtype and H; of others few operators, for which code is generated and compiled."""
        asked = COMPILED[: 1 if self.quick else None]
        chosen = library.ours or operator.name in asked
        return chosen and dtype == DTYPES[0] and columns == (128 if operator.family == "rotary" else 4096)


class DeviceLost(Exception):
    """Nothing can be asked any more; what was answered is shown."""


def lost(device: str) -> bool:
    """Whether an error has taken the device with it."""
    try:
        if device == "cuda":
            torch.cuda.synchronize()
            torch.cuda.empty_cache()  # what captured graphs held is not given back otherwise
    except RuntimeError:
        return True
    return False


def ask(library: libraries.Library, plan: Plan, until: float, record: dict) -> None:
    cells = plan.cells(library)
    for i, (operator, dtype, columns) in enumerate(cells):
        if not library.ours and time.monotonic() > until:
            record["libraries"][library.name]["out_of_time"] = len(cells) - i
            return
        where = {
            "library": library.name,
            "operator": operator.name,
            "dtype": str(dtype).removeprefix("torch."),
            "columns": columns,
        }
        try:
            subject = questions.Subject(
                operator, library, dtype, columns, plan.most(operator, columns), plan.device
            )
            record["words"].append(where | questions.share_of_words(subject))
            with_compile = plan.with_compile(library, operator, dtype, columns)
            for answer in questions.ask(subject, with_compile, plan.quick):
                record["cells"].append(where | answer)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"[:300]
            record["cells"].append(where | {"question": "call", "rows": 0, "same": None, "error": said})
        subject = None
        if lost(plan.device):
            ended = {"question": "call", "rows": 0, "same": None, "error": "the device's context has ended"}
            record["cells"].append(where | ended)
            record["libraries"][library.name]["missing"] = (
                "ended the device's context: nothing is asked after it"
            )
            raise DeviceLost


def ask_all(waiting: list[libraries.Library], plan: Plan, record: dict) -> None:
    """Each has its share of the time that is left."""
    for i, library in enumerate(waiting):
        began = time.monotonic()
        ask(library, plan, began + plan.seconds_left() / (len(waiting) - i), record)
        record["libraries"][library.name]["seconds"] = round(time.monotonic() - began, 1)


def everyone(plan: Plan, with_peers: bool) -> list[libraries.Library]:
    result = [libraries.ours()]
    if not with_peers:
        return result
    names = COMPILED[: 1 if plan.quick else None]
    result += [libraries.eager(), libraries.torch_op()]
    return (
        result
        + [libraries.compiled(k, names) for k in ("dynamic", "per shape")]
        + libraries.peers(plan.device)
    )


def new_record(plan: Plan) -> dict:
    cuda = plan.device == "cuda"
    packages = {name: libraries.version_of(name) for name in ("triton", "transformers", "numpy")}
    return {
        "schema": 1,
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": " ".join(["invariance.py", *sys.argv[1:]]),
        "device": torch.cuda.get_device_name() if cuda else processor(),
        "threads": None if cuda else torch.get_num_threads(),
        "system": platform.platform(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            **packages,
        },
        "libraries": {},
        "cells": [],
        "words": [],
    }


def processor() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def finish(record: dict, json_file: pathlib.Path | None) -> int:
    if json_file:
        json_file.write_text(json.dumps(record) + "\n")
    print(f"{record['device']}, torch {record['versions']['torch']}\n")
    print(table.show(record))
    return 1 if table.ours_failed(record) or table.ours_below(record) else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"])
    parser.add_argument("--quick", action="store_true", help="few cells: less than a minute on a CPU")
    parser.add_argument("--no-peers", action="store_true", help="ours alone")
    parser.add_argument(
        "--budget", type=float, default=160, help="seconds after which no other library is asked"
    )
    parser.add_argument("--json", type=pathlib.Path, help="every cell, with versions, device and date")
    options = parser.parse_args()
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    plan = Plan(device, options.quick, options.budget)
    torch._dynamo.config.cache_size_limit = 1024
    record = new_record(plan)
    asked = everyone(plan, not options.no_peers)
    for library in asked:
        record["libraries"][library.name] = {
            "version": library.version,
            "ours": library.ours,
            "missing": library.missing,
            "out_of_time": 0,
        }
    with contextlib.suppress(DeviceLost):
        ask_all([library for library in asked if not library.missing], plan, record)
    return finish(record, options.json)


if __name__ == "__main__":
    sys.exit(main())
