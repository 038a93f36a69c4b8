"""kernmill bench on a GPU: who is caught, by which name, and that honest operators are not accused.

KERNMILL names the program; the library is the one that is installed as kernmill_cheats, or built here."""

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import pytest
import torch

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

SUITE = """
name = "neg"
[op.neg]
axes = { rows = [64], columns = [4096] }
dtypes = ["float32"]
bytes = "2 * rows * columns * size"
reference = "torch"
tolerance = 1
[op.neg.inputs]
x = { shape = ["rows", "columns"] }
w = { shape = ["columns"] }
[op.neg.calls.torch]
schema = "aten::neg(Tensor self) -> Tensor"
arguments = ["x"]
"""

CAUGHT = {
    "races": ("wrong", "in a chain"),  # reads before its predecessor has written
    "sniffs": ("wrong", "beyond the tolerance"),  # works where a result was poisoned
    "remembers": ("cheats", "faster with values that it has seen"),
    "replays": ("cheats", "different numbers of kernels"),  # keeps answers to pointers
    "tires": ("wrong", "beyond the tolerance"),  # works for the first launches
    "spills": ("changed its inputs", "memory beside an input"),
    "zeroes": ("changed its inputs", "x"),
    "nothing": ("wrong", "beyond the tolerance"),
    "fails": ("failed", "kernmill_cheats::fails"),  # asks for too large a block, and does not look
    "coarse": ("wrong", "beyond the tolerance"),
    "shapes": ("wrong", "with another size"),
    "batches": ("cheats", "different numbers of kernels"),
    "skips": (
        "wrong",
        "in a chain",
    ),  # the first call does the work of all, before the others' inputs are there
    "defers": ("cheats", "runs alone does not compute its results"),
    "aside": ("cheats", "leaves no kernel in a graph"),
    "decoy": ("wrong", "beyond the tolerance"),
    "leaks": ("cheats", "keeps memory"),
    "persists": ("cheats", "a part of the cache aside"),
}

# The same in place: what is overwritten is the call's own, is new before each replay, and is all that it may write to.
CAUGHT_IN_PLACE = {
    "keeps": ("wrong", "beyond the tolerance"),  # leaves it to an earlier call to have been right
    "overraces": ("wrong", "in a chain"),
    "overruns": ("changed its inputs", "memory beside an input"),
    "recalls": ("cheats", "faster with values that it has seen"),
    "repeats": ("cheats", "different numbers of kernels"),
    "strays": ("changed its inputs", "w"),
}


def library():
    spec = importlib.util.find_spec("kernmill_cheats")
    here = (
        Path(spec.submodule_search_locations[0])
        if spec
        else Path(__file__).parents[1] / "build/wheel/kernmill_cheats"
    )
    return next(here.glob("lib*.so"))


def lines(name):
    schema, more = "(Tensor x) -> Tensor", 'arguments = ["x"]\n'
    if name == "strays":
        schema, more = "(Tensor(a!) x, Tensor w) -> ()", 'arguments = ["x", "w"]\noverwrites = ["x"]\n'
    elif name == "overwrites" or name in CAUGHT_IN_PLACE:
        schema, more = "(Tensor(a!) x) -> ()", more + 'overwrites = ["x"]\n'
    return (
        f'[op.neg.calls.{name}]\nlibrary = "{library()}"\nschema = "kernmill_cheats::{name}{schema}"\n{more}'
    )


def bench(path, *names):
    """The calls of the one cell, by name, and the exit code."""
    suite = path / "suite.toml"
    suite.write_text(SUITE + "".join(map(lines, names)))
    program = os.environ.get("KERNMILL", "kernmill")
    done = subprocess.run(
        [program, "bench", suite, "--json", "--device", "cuda", "--budget", "0.5"],
        capture_output=True,
        text=True,
    )
    assert done.returncode in (0, 1), done.stderr
    (cell,) = json.loads(done.stdout)["cells"]
    assert cell["audit"] is None
    return {call["name"]: call for call in cell["calls"]}, done.returncode


@needs_gpu
def test_honest_operators_are_not_accused(tmp_path):
    calls, code = bench(tmp_path, "honest", "early", "twice", "overwrites")
    assert {name: (c["state"], c["why"]) for name, c in calls.items()} == dict.fromkeys(
        calls, ("right", None)
    )
    assert code == 0
    assert calls["twice"]["kernels"] == 2
    assert all(
        c["columns"].keys() >= {"cold", "chained", "hot", "stream", "host", "latency"} for c in calls.values()
    )


# Right in an honest time, and somebody else's work: the record says whose kernels they are.
@needs_gpu
@pytest.mark.parametrize(
    "name, said",
    [("borrows", "a kernel of torch's own"), ("unpacks", "in the .nv_fatbin of no measured library")],
)
def test_whose_work_it_is(tmp_path, name, said):
    calls, _ = bench(tmp_path, "honest", name)
    assert (calls[name]["state"], said in (calls[name]["note"] or "")) == ("right", True), calls[name]
    assert (calls["honest"]["note"], calls["honest"]["kernel_names"]) == (None, ["negate"])
    assert name == "borrows" or calls[name]["kernel_names"] == ["unpacked"]


@needs_gpu
@pytest.mark.parametrize("name", [*CAUGHT, *CAUGHT_IN_PLACE])
def test_is_caught(tmp_path, name):
    calls, code = bench(tmp_path, name)
    state, why = (CAUGHT | CAUGHT_IN_PLACE)[name]
    assert (calls[name]["state"], why in calls[name]["why"]) == (state, True), calls[name]["why"]
    assert code == 1
    if state != "changed its inputs":  # then nobody's time is believed
        assert calls["torch"]["state"] == "right"
