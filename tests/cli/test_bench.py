"""kernmill bench on the CPU: what it measures, what it writes, and who is caught (tests/bench/candidates.c)."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from program import PROGRAM, ROOT, replace

sys.path.insert(0, str(ROOT / "tests/bench"))
from build_candidates import build

PYTHON = {"KERNMILL_PYTHON": sys.executable}
SUITE = """
name = "neg"
[op.neg]
axes = { rows = [7, 64], columns = [33] }
dtypes = ["float32"]
bytes = "2 * rows * columns * size"
reference = "torch"
tolerance = 1
[op.neg.inputs]
x = { shape = ["rows", "columns"] }
[op.neg.calls.torch]
schema = "aten::neg(Tensor self) -> Tensor"
arguments = ["x"]
"""


@pytest.fixture(scope="session")
def candidates(tmp_path_factory):
    """The library of candidates, linked with this torch."""
    return build(tmp_path_factory.mktemp("candidates"))


@pytest.fixture
def suite(candidates, tmp_path):
    """suite(*names) -> the file of a suite that compares torch's neg with these candidates."""

    def write(*names):
        calls = "".join(
            f'[op.neg.calls.{name}]\nlibrary = "{candidates}"\nschema = "cand::{name}(Tensor x) -> Tensor"\n'
            'arguments = ["x"]\n'
            for name in names
        )
        path = tmp_path / "suite.toml"
        path.write_text(SUITE + calls)
        return path

    return write


def bench(kernmill, *words):
    return kernmill("bench", "--budget", "0.05", *words, env=PYTHON)


def states(answer) -> dict[str, set[str]]:
    """name -> what each cell says of it."""
    found = {}
    for cell in answer.json["cells"]:
        for call in cell["calls"]:
            found.setdefault(call["name"], set()).add(call["state"])
    return found


# ---- who is caught ----


# Honest operators are not accused, beside cheats or alone, ever.
@pytest.mark.parametrize(
    "cheat",
    [
        "",
        "stale",
        "memo",
        "later",
        "zeroes",
        "spills",
        "small",
        "shapes",
        "coarse",
        "searches",
        "defers",
        "raises",
    ],
)
def test_cheats(cheat, kernmill, suite):
    names = ["honest", *([cheat] if cheat else [])]
    answer = bench(kernmill, "--json", suite(*names))
    assert answer.code == (1 if cheat else 0), answer.err
    said = states(answer)
    assert said["torch"] == said["honest"] == {"right"}
    if cheat == "raises":
        assert said[cheat] == {"failed"}
        assert answer.json["cells"][0]["calls"][2]["why"].endswith("cand::raises: not today")
    elif cheat in ("zeroes", "spills"):
        changed = {"zeroes": "x", "spills": "memory beside an input"}[cheat]
        assert said[cheat] == {"changed its inputs"} and answer.json["cells"][0]["calls"][2]["why"] == changed
    elif cheat == "defers":
        assert said[cheat] == {"cheats"}
        assert answer.json["cells"][0]["calls"][2]["why"] == "it writes its results after it has returned"
    elif cheat == "shapes":
        whys = [cell["calls"][2]["why"] for cell in answer.json["cells"]]
        assert said[cheat] == {"wrong"} and all(why.startswith("with another size (rows=") for why in whys)
    elif cheat:
        assert said[cheat] == {"wrong"}


# Who replaces the reference where it runs agrees with itself, and not with the process that no candidate is in.
def test_a_reference_that_is_replaced(kernmill, suite):
    answer = bench(kernmill, "--json", suite("swaps"))
    assert answer.code == 1, answer.err
    for cell in answer.json["cells"]:
        torch, swaps = cell[
            "calls"
        ]  # torch's is as wrong, from then on; what it returned before is wrong for zeros
        assert (torch["state"], swaps["state"]) == ("wrong", "wrong")
        assert "in a process of its own" in swaps["why"]
        assert cell["audit"] is None


REFERENCE = """
import torch
def neg(x):
    if "candidates.so" not in open("/proc/self/maps").read():
        raise RuntimeError("not here")
    return -x
"""


# What the process of the reference has not judged is said so, and is never taken for faster.
def test_a_reference_that_fails_where_no_candidate_is(kernmill, suite, tmp_path):
    path = suite("honest")
    (tmp_path / "reference.py").write_text(REFERENCE)
    replace(path, 'reference = "torch"', 'reference = "python"')
    path.write_text(
        path.read_text() + '[op.neg.calls.python]\npython = "reference.py:neg"\narguments = ["x"]\n'
    )
    answer = bench(kernmill, "--json", "--filter", "rows=7 ", path)
    assert answer.code == 0, answer.err
    assert all("RuntimeError: not here" in cell["audit"] for cell in answer.json["cells"])
    answer = bench(kernmill, "--filter", "rows=7 ", "--candidate", "honest", "--incumbent", "python", path)
    assert (answer.code, json.loads(answer.out)["verdict"]) == (1, "undecided")
    assert json.loads(answer.out)["reason"].startswith("not audited: ")


# A crash costs the candidate its cell and nobody else's: the cell is measured again without it, and the others after it.
def test_a_candidate_that_crashes(kernmill, suite):
    answer = bench(kernmill, "--json", suite("honest", "crashes", "aborts", "leaves"))
    assert answer.code == 1, answer.err
    assert len(answer.json["cells"]) == 2
    ends = [{"crashes": "signal 11", "leaves": "exit code 3"}]
    ends.append(ends[0] | {"aborts": "signal 6"})
    for cell, expected in zip(answer.json["cells"], ends, strict=True):
        calls = {call["name"]: call for call in cell["calls"]}
        for name, call in calls.items():
            if name in expected:
                assert (call["state"], call["why"]) == ("failed", f"the process ended ({expected[name]})")
            else:
                assert call["state"] == "right" and cell["audit"] is None
        assert calls["honest"]["columns"]["call"]["ratio"] and not calls["crashes"]["columns"]


# Without the reference there is nothing to measure: an error names the cell and the call.
def test_a_reference_that_crashes(kernmill, suite):
    path = suite("crashes")
    replace(path, 'reference = "torch"', 'reference = "crashes"')
    answer = bench(kernmill, path)
    assert (answer.code, answer.out) == (4, "")
    assert (
        "error: the cell 'neg rows=7 columns=33 float32': 'crashes': the process ended (signal 11)\n"
        in answer.err
    )


CRASHING = "import os\ndef neg(x):\n    os.abort()\n"


# The same from Python.
def test_a_python_candidate_that_crashes(kernmill, suite, tmp_path):
    path = suite("honest")
    (tmp_path / "peers.py").write_text(CRASHING)
    path.write_text(path.read_text() + '[op.neg.calls.python]\npython = "peers.py:neg"\narguments = ["x"]\n')
    answer = bench(kernmill, "--json", "--filter", "rows=7 ", path)
    assert answer.code == 1 and states(answer) == {
        "torch": {"right"},
        "honest": {"right"},
        "python": {"failed"},
    }


# A call that never returns is named when its time is over.
def test_a_candidate_that_hangs(kernmill, suite):
    answer = bench(kernmill, "--timeout", "3", suite("honest", "hangs"))
    assert answer.code == 5
    assert (
        "the cell 'neg rows=7 columns=33 float32': 'hangs' takes longer than 3 s; it was ended" in answer.err
    )


# Who writes into the harness's own channel, or its files, costs the run.
@pytest.mark.parametrize(
    "cheat, why", [("forges", "a forged record"), ("edits", "suite.toml' changed while")]
)
def test_tampering(cheat, why, kernmill, suite, tmp_path):
    record = tmp_path / "record.jsonl"
    answer = bench(kernmill, "-o", record, suite("honest", cheat))
    assert (answer.code, answer.out) == (4, "") and why in answer.err
    assert not record.exists() or not record.read_text()


# Inputs are drawn when the libraries are loaded: what an earlier run kept is of no use.
def test_answers_of_an_earlier_run(kernmill, suite, candidates, tmp_path):
    path, library = suite("answers"), tmp_path / "own.so"
    library.write_bytes(candidates.read_bytes())
    replace(path, str(candidates), str(library))
    assert states(bench(kernmill, "--json", path))["answers"] == {"right"}
    assert states(bench(kernmill, "--json", path))["answers"] == {"wrong"}


# What is packed outside the call is packed for values that do not stay.
def test_set_up_outside_the_call(kernmill, candidates, tmp_path):
    path = tmp_path / "suite.toml"
    path.write_text(SUITE.replace('x = { shape = ["rows", "columns"] }',
                                  'x = { shape = ["rows", "columns"] }\nw = { shape = ["columns"] }')
                    .replace('aten::neg(Tensor self)', 'aten::mul.Tensor(Tensor self, Tensor other)')
                    .replace('["x"]', '["x", "w"]')
                    + f'[op.neg.calls.packs]\nlibrary = "{candidates}"\narguments = ["x", "w"]\n'
                      'schema = "cand::packs(Tensor x, Tensor w) -> Tensor"\n')  # fmt: skip
    said = states(bench(kernmill, "--json", path))
    assert said["torch"] == {"right"} and said["packs"] == {"wrong"}


# Answers so small that any absolute bound would take zeros for them.
def test_zeros_for_small_answers(kernmill, tmp_path):
    path = tmp_path / "suite.toml"
    (tmp_path / "peer.py").write_text("import torch\n\n\ndef zeros(x):\n    return torch.zeros_like(x)\n")
    softmax = "aten::_softmax(Tensor self, int dim, bool half_to_float)"
    path.write_text(SUITE.replace("aten::neg(Tensor self)", softmax).replace('["x"]', '["x", 1, false]')
                    .replace("tolerance = 1", "tolerance = 8").replace("columns = [33]", "columns = [4096]")
                    + '[op.neg.calls.zeros]\npython = "peer.py:zeros"\narguments = ["x"]\n')  # fmt: skip
    said = states(bench(kernmill, "--json", "--filter", "rows=7 ", path))
    assert said["torch"] == {"right"} and said["zeros"] == {"wrong"}


# ---- what is measured and written ----


def test_record(kernmill, suite, tmp_path):
    path = suite("honest")
    replace(path, 'name = "neg"', 'name = "neg"\npackages = ["torch", "no-such-package"]')
    record = tmp_path / "record.jsonl"
    record.write_text('{"cut": ')
    answer = bench(kernmill, "--filter", "rows=64", "--output", record, path)
    assert answer.code == 0 and answer.out.startswith("neg rows=64 columns=33 float32  (")
    cut, line = record.read_text().splitlines()
    assert cut == '{"cut": '
    cell = json.loads(line)
    assert cell["schema"] == 1 and cell["environment"]["cores"] >= 1
    assert (cell["op"], cell["shape"], cell["dtype"]) == ("neg", {"rows": 64, "columns": 33}, "float32")
    (library,) = cell["environment"]["libraries"].values()
    assert cell["environment"]["packages"] == {"torch": torch.__version__, "no-such-package": None}
    assert len(library) == 64 and cell["torch"] == ".".join(torch.__version__.split(".")[:2])
    assert cell["bytes"] == 2 * 64 * 33 * 4 and cell["rounds"] >= 12 and len(cell["seed"]) == 16
    assert cell["result_memory"] == "bench"  # torch's requests are found in this torch, too
    first, second = cell["calls"]
    assert second["error_ulp"] == 0
    first, second = first["columns"]["call"], second["columns"]["call"]
    assert "ratio" not in first
    assert len(first["samples_us"]) == len(second["samples_us"]) == cell["rounds"]
    assert 0 < min(first["samples_us"]) <= first["median_us"] <= max(first["samples_us"])
    ratio = second["ratio"]
    assert ratio["low"] <= ratio["median"] <= ratio["high"]
    assert second["verdict"] in ("faster", "slower", "same", "undecided")


# Another operator with another argument: its answer is another one.
def test_a_wrong_answer(kernmill, suite):
    path = suite("honest")
    replace(
        path,
        '"cand::honest(Tensor x) -> Tensor"',
        '"aten::cumsum(Tensor self, int dim, *, ScalarType? d) -> Tensor"',
    )
    text = path.read_text()
    path.write_text(text[: text.rindex('["x"]')] + '["x", 0, "none"]\n')
    answer = bench(kernmill, "--json", "--filter", "rows=64", path)
    call = answer.json["cells"][0]["calls"][1]
    assert answer.code == 1 and call["state"] == "wrong" and call["error_ulp"] > 1


def test_a_size_that_stands_twice(kernmill, suite):
    path = suite()
    replace(path, "[7, 64]", "[7, 64, 7]")
    answer = kernmill("bench", "--list", path)
    assert answer.code == 4 and "suite.toml:4:25: error: the axis 'rows' has the size 7 twice" in answer.err


def test_list_and_filter(kernmill, suite):
    path = suite()
    answer = kernmill("bench", "--list", path)
    assert answer.out == "neg rows=7 columns=33 float32\nneg rows=64 columns=33 float32\n"
    assert kernmill("bench", "--list", "--json", "-f", "rows=64", path).json["cells"] == [
        "neg rows=64 columns=33 float32"
    ]
    answer = kernmill("bench", "-f", "rows=8", path)
    assert answer.code == 2 and "no cell of" in answer.err


def test_a_suite_in_a_folder_of_its_own(kernmill, suite, tmp_path):
    suite()
    assert kernmill("bench", "--list", "--margin", "1%", tmp_path).code == 0
    assert kernmill("bench", "--list", "--margin", "1", cwd=tmp_path).code == 0


def test_what_is_missing(kernmill, suite, tmp_path):
    assert kernmill("bench", tmp_path / "none").code == 5
    answer = kernmill("bench", suite(), "--budget", "soon")
    assert answer.code == 2 and "option '--budget' wants a number above 0, not 'soon'" in answer.err
    path = suite("honest")
    text = path.read_text()
    path.write_text(text.replace(text[text.index("library = ") : text.index("\n", text.index("library = "))],
                                 'library = "no_such_package"'))  # fmt: skip
    answer = bench(kernmill, path)
    assert answer.code == 3 and "the package 'no_such_package' is neither built nor installed" in answer.err


# ---- calls that only Python can make ----

PEERS = """
import torch

def honest(x):
    return torch.neg(x)

def pair(x):
    return torch.neg(x), x.clone()

def alias(x):
    return x

def raises(x):
    raise ValueError("not today\\nnor tomorrow")

def scaled(x, rows, none, flag, text):
    assert (rows, none, flag) == (x.shape[0], None, True) and text == 2 * rows
    return torch.neg(x)
"""


def test_calls_of_python(kernmill, suite, tmp_path):
    path = suite("honest")
    (tmp_path / "peers.py").write_text(PEERS)
    names = {name: f"peers.py:{name}" for name in ("honest", "pair", "alias", "raises", "scaled", "absent")}
    names |= {"module": "torch:neg", "missing": "no_such_module:neg"}
    more = {"scaled": ', "rows", "none", true, "2 * rows"'}
    with path.open("a") as f:
        for name, where in names.items():
            f.write(f'[op.neg.calls.py_{name}]\npython = "{where}"\narguments = ["x"{more.get(name, "")}]\n')
    answer = bench(kernmill, "--json", "--filter", "rows=64", path)
    assert answer.code == 1, answer.err
    (cell,) = answer.json["cells"]
    assert cell["result_memory"] == "bench"
    said = {c["name"].removeprefix("py_"): (c["state"], c["why"]) for c in cell["calls"]}
    for name in ("torch", "honest", "module", "scaled"):
        assert said[name] == ("right", None)
    assert said["pair"] == ("wrong", "it returns another number of results")
    assert said["alias"] == ("failed", "it returns memory of an input")
    assert said["raises"] == ("failed", "ValueError: not today")
    assert said["absent"][0] == "failed" and "'absent'" in said["absent"][1]
    assert said["missing"] == ("missing", "ModuleNotFoundError: No module named 'no_such_module'")


@pytest.mark.parametrize("wrong", [
    ('python = "peers"', "'python' names no function"),
    ('python = "torch:neg"\nschema = "aten::neg(Tensor self) -> Tensor"', "wants a schema"),
    ('python = "torch:neg"\nlibrary = "x"', "wants a schema"),
    ("", "wants a schema"),
])  # fmt: skip
def test_a_call_of_two_kinds(kernmill, suite, wrong):
    path = suite()
    with path.open("a") as f:
        f.write(f'[op.neg.calls.peer]\n{wrong[0]}\narguments = ["x"]\n')
    answer = bench(kernmill, "--list", path)
    assert answer.code == 4 and wrong[1] in answer.err and "suite.toml:" in answer.err


# A reference may round to the type that it was written for, and give a view: it is compared all the same.
def test_a_reference_in_python(kernmill, suite, tmp_path):
    path = suite("honest", "coarse")
    (tmp_path / "peer.py").write_text(
        "import torch\ndef neg(x):\n    return torch.neg(x).to(torch.float32).t().contiguous().t()\n"
        "def dense(x):\n    return torch.neg(x)\n"
    )
    with path.open("a") as f:
        f.write('[op.neg.calls.peer]\npython = "peer.py:neg"\narguments = ["x"]\n')
        f.write('[op.neg.calls.dense]\npython = "peer.py:dense"\narguments = ["x"]\n')
    replace(path, 'reference = "torch"', 'reference = "peer"')
    said = states(bench(kernmill, "--json", "--filter", "rows=7 ", path))
    assert said["torch"] == said["honest"] == said["dense"] == {"right"}
    assert said["coarse"] == {"wrong"}


# An input that is rows of a wider tensor: calls are given its strides, and one that ignores them is wrong.
def test_strides(kernmill, suite, tmp_path):
    path = suite()
    (tmp_path / "peers.py").write_text(
        "def strided(x):\n    assert x.stride() == (2 * x.shape[1], 1)\n    return -x\n\n\n"
        "def blind(x):\n    return -x.as_strided(x.shape, (x.shape[1], 1))\n"
    )
    with path.open("a") as f:
        for name in ("strided", "blind"):
            f.write(f'[op.neg.calls.{name}]\npython = "peers.py:{name}"\narguments = ["x"]\n')
    replace(path, '["rows", "columns"]', '["rows", "columns"], strides = ["2 * columns", "1"]')
    said = states(bench(kernmill, "--json", path))
    assert said["torch"] == said["strided"] == {"right"} and said["blind"] == {"wrong"}
    replace(path, '["2 * columns", "1"]', '["2 * columns"]')
    answer = bench(kernmill, "--list", path)
    assert answer.code == 4 and "'x' has 2 dimensions and 1 strides" in answer.err
    assert "suite.toml:10:" in answer.err


# Models stand for their published sizes; what two of them share is measured once.
def test_models(kernmill, suite):
    path = suite()
    table = 'models = { names = ["Qwen3-8B", "Llama-3.1-8B"], rows = [3, "heads"], columns = ["hidden", "head_dim"] }'
    replace(
        path, "axes = { rows = [7, 64], columns = [33] }", f"axes = {{ rows = [], columns = [] }}\n{table}"
    )
    answer = bench(kernmill, "--list", path)
    assert answer.out.splitlines() == [
        f"neg rows={r} columns={c} float32" for r in (3, 32) for c in (4096, 128)
    ]
    known = {m["name"]: m for m in kernmill("bench", "--models", "--json").json["models"]}
    assert known["Qwen3-8B"]["hidden"] == 4096 and known["Qwen3-8B"]["vocab"] == 151936
    for wrong, said in {
        'names = ["Qwen3-8b"]': "'Qwen3-8b' is no known model\n  known: Qwen3-0.6B, ",
        'names = ["Qwen3-8B"], rows = [1], columns = ["hiden"]': "for Qwen3-8B: ",
        'names = ["Qwen3-8B"], rows = [1]': "'models' wants entries for the axis 'columns'",
        'names = ["Qwen3-8B"], rows = ["1 / 2"], columns = [1]': "for Qwen3-8B: 0.5 is no size of an axis",
        'names = ["Qwen3-8B"], rows = [1], columns = [1], rest = [1]': "'rest' is no axis of 'neg'",
    }.items():
        replace(path, table, f"models = {{ {wrong} }}")
        answer = bench(kernmill, "--list", path)
        assert answer.code == 4 and said in answer.err and "suite.toml:5:" in answer.err, answer.err
        replace(path, f"models = {{ {wrong} }}", table)


# A suite's calls are prepared for every set: a tensor that stays behind costs its memory until the process ends.
def test_prepared_calls_give_their_tensors_back():
    script = """
import ctypes, json, sys
sys.path.insert(0, sys.argv[1])
import torch, bench_host as host
delete = ctypes.CDLL(torch.__path__[0] + "/lib/libtorch_cpu.so").aoti_torch_delete_tensor_object
delete.argtypes = [ctypes.c_void_p]
results, why = (ctypes.c_void_p * 8)(), ctypes.create_string_buffer(200)
def holders(storage): return torch._C._storage_Use_Count(storage._cdata)
for widened in (0, 1):
    x = torch.ones(3)
    storage = x.untyped_storage()
    given = json.dumps([[host.handle_of(x)]]).encode()
    del x
    number = host.prepare(b"torch:neg", given, widened, ctypes.addressof(why), 200)
    held = holders(storage)
    assert host.call(number, ctypes.addressof(results), ctypes.addressof(why), 200) == 1, why.value
    delete(results[0])
    host.release(number)
    assert holders(storage) == held - 1
"""
    done = subprocess.run(
        [sys.executable, "-c", script, ROOT / "csrc/python"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


# An error counts in units of the result's type: a call that returns a narrower one would be right by itself.
def test_a_narrower_result(kernmill, suite, tmp_path):
    path = suite()
    (tmp_path / "peers.py").write_text(
        "def half(x):\n    return -x.bfloat16()\n\n\ndef double(x):\n    return -x.double()\n"
    )
    with path.open("a") as f:
        for name in ("half", "double"):
            f.write(f'[op.neg.calls.{name}]\npython = "peers.py:{name}"\narguments = ["x"]\n')
    answer = bench(kernmill, "--json", "--filter", "rows=64", path)
    _, half, double = answer.json["cells"][0]["calls"]
    assert (half["state"], half["why"]) == ("wrong", "a result is bfloat16, the reference's float32")
    assert (double["state"], double["why"]) == ("wrong", "a result is float64, the reference's float32")


# What an option needs is asked for, and a file that cannot be written costs no measurement.
@pytest.mark.parametrize("words, code, said", [
    (["--gate", "2%"], 2, "'--gate' belongs to --baseline"),
    (["--incumbent", "torch"], 2, "'--incumbent' belongs to --candidate"),
    (["--output", "/nonexistent/r.jsonl"], 5, "unable to open '/nonexistent/r.jsonl'"),
])  # fmt: skip
def test_options_that_cannot_be_met(kernmill, suite, words, code, said):
    answer = bench(kernmill, *words, suite())
    assert (answer.code, answer.out) == (code, "") and said in answer.err


# A gate that compares nothing must not pass.
def test_a_baseline_of_other_cells(kernmill, suite, tmp_path):
    record = tmp_path / "r.jsonl"
    assert bench(kernmill, "--filter", "rows=7 ", "--output", record, suite("honest")).code == 0
    answer = bench(kernmill, "--filter", "rows=64", "--baseline", record, suite("honest"))
    assert answer.code == 4 and "nothing of this run has a cell in" in answer.err


# Whoever interrupts the program does not leave what it measures behind, though that would never end.
def test_an_interrupt_ends_the_child(environment, suite, tmp_path):
    path, pid_file = suite(), tmp_path / "pid"
    (tmp_path / "peers.py").write_text(
        "import os, pathlib, time\n\n\n"
        "def endless(x):\n"
        "    pathlib.Path(__file__).with_name('pid').write_text(str(os.getpid()))\n"
        "    time.sleep(300)\n"
    )
    with path.open("a") as f:
        f.write('[op.neg.calls.endless]\npython = "peers.py:endless"\narguments = ["x"]\n')
    process = subprocess.Popen([PROGRAM, "bench", path], env={**environment, **PYTHON})
    deadline = time.monotonic() + 60
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    child = Path("/proc", pid_file.read_text())
    process.send_signal(signal.SIGINT)
    process.wait(10)
    deadline = time.monotonic() + 10
    while child.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.exists()
