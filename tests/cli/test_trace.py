"""kernmill bench --import and --export: problem sets of others as suites, and record lines for them.

The keys are those of FlashInfer Trace and SOL-ExecBench; the definitions are ours."""

import hashlib
import json
import sys

import pytest
from program import ROOT

TORCH = {
    "schema": "aten::rms_norm(Tensor input, SymInt[] normalized_shape, Tensor? weight, float? eps) -> Tensor"
}
X = {"shape": ["n", "h"], "dtype": "float32"}


def rms_norm(eps: str | None = None, dtype: str = "bfloat16", name: str = "rms") -> dict:
    """A definition with its epsilon in the code, or as an input."""
    x = {"shape": ["n", "h"], "dtype": dtype}
    inputs = {"x": x, "w": {"shape": ["h"], "dtype": dtype, "description": "scale"}}
    if eps is None:
        inputs["eps"] = {"shape": None, "dtype": "float32"}
    code = (
        f"import torch\n\n\ndef run(x, w{'' if eps else ', eps'}):\n    f = x.float()\n"
        f"    r = torch.rsqrt((f * f).mean(-1, keepdim=True) + {eps or 'eps'})\n"
        "    return (f * r * w.float()).to(x.dtype)\n"
    )
    return {
        "name": name,
        "op_type": "rmsnorm",
        "tags": ["status:draft"],
        "axes": {"h": {"type": "const", "value": 32}, "n": {"type": "var", "description": "tokens"}},
        "inputs": inputs,
        "outputs": {"y": {"shape": ["n", "h"], "dtype": dtype}},
        "reference": code,
    }


def workload(uuid: str, inputs: dict | None = None, **axes) -> dict:
    return {"uuid": uuid, "axes": axes, "inputs": inputs or {"x": {"type": "random"}}}


def scalar(value) -> dict:
    return {"x": {"type": "random"}, "eps": {"type": "scalar", "value": value}}


def sha256(definition: dict) -> str:
    """Of the meaning, as csrc/bench/trace_problem.h says."""
    axes = {
        name: {k: v for k, v in axis.items() if k in ("type", "value", "expression")}
        for name, axis in definition["axes"].items()
    }
    tensors = {
        key: [[name, {k: t[k] for k in ("shape", "dtype")}] for name, t in definition[key].items()]
        for key in ("inputs", "outputs")
    }
    meaning = {"axes": axes, **tensors, "reference": definition["reference"]}
    text = json.dumps(meaning, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def write_set(folder, definitions, workloads):
    """A FlashInfer Trace set; workloads: {definition: [workload]}."""
    (folder / "definitions/norm").mkdir(parents=True)
    (folder / "workloads/norm").mkdir(parents=True)
    for d in definitions:
        (folder / f"definitions/norm/{d['name']}.json").write_text(json.dumps(d))
    for name, rows in workloads.items():
        lines = [
            json.dumps({"definition": name, "solution": None, "workload": w, "evaluation": None})
            for w in rows
        ]
        (folder / f"workloads/norm/{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def write_problem(folder, definition, workloads):
    """A SOL-ExecBench problem."""
    folder.mkdir(parents=True)
    (folder / "definition.json").write_text(json.dumps(definition))
    (folder / "workload.jsonl").write_text("".join(json.dumps(w) + "\n" for w in workloads))
    return folder


def write_bindings(path, **calls):
    """calls: sha -> {call: {key: value}}."""
    text = ""
    for sha, bound in calls["bindings"].items():
        text += f"[bind.{sha}]\n"
        for name, keys in bound.items():
            text += f"[bind.{sha}.calls.{name}]\n"
            text += "".join(f"{k} = {json.dumps(v)}\n" for k, v in keys.items())
    path.write_text(text)
    return path


@pytest.fixture
def bench(kernmill, tmp_path):
    """bench(words...), on the CPU, with modules of tmp_path importable."""

    def run(*words):
        env = {"KERNMILL_PYTHON": sys.executable, "PYTHONPATH": str(tmp_path)}
        return kernmill("bench", *words, cwd=tmp_path, env=env)

    return run


def measure(bench, suite, *words):
    return bench("--budget", "0.02", "--device", "cpu", *words, suite)


def calls(answer) -> dict:
    return {c["name"]: c for c in answer.json["cells"][0]["calls"]}


# ---- from a set to its lines ----


# Bound by hash alone: the name differs, and the suite has what the set says, by its workloads.
def test_a_set_there_and_back(bench, tmp_path):
    free, fixed = rms_norm(name="free"), rms_norm("1e-5", name="fixed")
    write_set(
        tmp_path / "set",
        [free, fixed],
        {
            "free": [workload("a", scalar(1e-6), n=3), workload("b", scalar(1e-6), n=17),
                     workload("c", scalar(0.001), n=3)],
            "fixed": [workload("d", n=5)],
        },
    )  # fmt: skip
    bind = write_bindings(
        tmp_path / "bind.toml",
        bindings={
            sha256(free): {"torch": {**TORCH, "arguments": ["x", ["h"], "w", "eps"]}},
            sha256(fixed): {"torch": {**TORCH, "arguments": ["x", ["h"], "w", 1e-5]}},
        },
    )
    answer = bench("--import", "set", "--bind", bind, "-o", "suite", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["left_out"] == [] and answer.json["cells"] == 4
    assert [(d["name"], d["sha256"], d["operators"], d["calls"]) for d in answer.json["definitions"]] == [
        ("fixed", sha256(fixed), 1, ["torch"]),
        ("free", sha256(free), 2, ["torch"]),
    ]
    assert (tmp_path / "suite/references/free.py").read_text() == free["reference"]
    answer = measure(bench, "suite/suite.toml", "--json", "--export", "trace", "-o", "out.jsonl")
    assert answer.code == 0, answer.err
    cells = {cell["trace"]["workload"]["uuid"]: cell for cell in answer.json["cells"]}
    assert [cells[u]["op"] for u in "abcd"] == ["free", "free", "free#2", "fixed"]
    assert cells["b"]["shape"] == {"n": 17, "h": 32} and cells["b"]["bytes"] == 2 * (2 * 17 * 32 + 32)
    for cell in cells.values():
        for call in cell["calls"]:
            assert (
                call["state"]
                == call["rules"]["float64"]["state"]
                == call["rules"]["trace"]["state"]
                == "right"
            )
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sorted(line["workload"]["uuid"] for line in lines) == list("abcd")
    for line in lines:
        check_line(line)
        assert line["solution"] == "torch" and line["evaluation"]["status"] == "PASSED"
    (line,) = [line for line in lines if line["workload"]["uuid"] == "c"]
    assert line["definition"] == "free" and line["workload"] == workload("c", scalar(0.001), n=3)


def check_line(line, sol=False):
    """A Trace line has these keys and no other."""
    assert list(line) == ["definition", "workload", "solution", "evaluation"]
    e = line["evaluation"]
    assert list(e) == ["status", "environment", "timestamp", "log", "correctness", "performance"]
    assert list(e["environment"]) == ["hardware", "libs"] and e["environment"]["hardware"]
    assert all(isinstance(v, str) for v in e["environment"]["libs"].values())
    assert {"torch", "kernmill"} <= set(e["environment"]["libs"]) and e["timestamp"].endswith("Z")
    passed, compared = e["status"] == "PASSED", e["status"] in ("PASSED", "INCORRECT_NUMERICAL")
    assert (e["correctness"] is not None) == compared and (e["performance"] is not None) == passed
    assert bool(e["log"]) != passed
    if compared:
        more = ["has_nan", "has_inf"] if sol else []
        assert list(e["correctness"]) == ["max_relative_error", "max_absolute_error", "extra", *more]
        ours = e["correctness"]["extra"]["kernmill"]
        assert len(ours["seed"]) == 16 and len(ours["sha256"]) == 64 and ours["rounds"] > 0
        assert set(ours["rules"]) == {"float64", "trace"} and ours["interval"]["against"] == "reference"
    if passed:
        p = e["performance"]
        assert list(p) == ["latency_ms", "reference_latency_ms", "speedup_factor"]
        assert p["speedup_factor"] == pytest.approx(p["reference_latency_ms"] / p["latency_ms"])


# The trap: the same name in another set is another function.
def test_the_same_name_with_another_epsilon(bench, tmp_path):
    bound, other = rms_norm("1e-5"), rms_norm("1e-6")
    bind = write_bindings(
        tmp_path / "bind.toml",
        bindings={sha256(bound): {"torch": {**TORCH, "arguments": ["x", ["h"], "w", 1e-5]}}},
    )
    write_set(tmp_path / "set", [other], {"rms": [workload("a", n=2)]})
    answer = bench("--import", "set", "--bind", bind)
    assert answer.code == 0 and "rms  1 workloads  not bound\n" in answer.out
    assert f"[bind.{sha256(other)}.calls.NAME]" in answer.out and 'arguments = ["x", "w"]' in answer.out
    suite = (tmp_path / "imported-suite/suite.toml").read_text()
    assert "calls.reference]" in suite and "calls.torch]" not in suite
    renamed = rms_norm("1e-5", name="another") | {"description": "words", "tags": []}
    assert sha256(renamed) == sha256(bound)
    write_set(tmp_path / "second", [renamed], {"another": [workload("a", n=2)]})
    answer = bench("--import", "second", "--bind", bind, "-o", "second-suite")
    assert answer.code == 0 and "another  1 workloads  bound to torch\n" in answer.out


# What is shipped can be read, and binds nothing by its name.
def test_the_bindings_of_the_tree(bench, tmp_path):
    write_set(
        tmp_path / "set", [rms_norm("1e-5", name="rmsnorm_h4096")], {"rmsnorm_h4096": [workload("a", n=2)]}
    )
    answer = bench("--import", "set", "--bind", ROOT / "benchmarks/bindings.toml", "--json")
    assert answer.code == 0 and answer.json["definitions"][0]["calls"] == [], answer.err


# Each rule alone makes a call wrong, and the line says which: an epsilon that moves 4 units in the last place, or 4000.
@pytest.mark.parametrize("eps, ours, theirs", [(2e-6, "right", "numerical"), (1e-3, "wrong", "right")])
def test_two_rules_that_disagree(bench, tmp_path, eps, ours, theirs):
    definition = rms_norm("1e-6", "float32")
    tight = {"max_atol": 1e-9, "max_rtol": 1e-8, "required_matched_ratio": 1.0}
    rows = [workload("a", n=64) | ({"tolerance": tight} if theirs == "numerical" else {})]
    write_problem(tmp_path / "problem", definition, rows)
    bind = write_bindings(
        tmp_path / "bind.toml",
        bindings={sha256(definition): {"torch": {**TORCH, "arguments": ["x", ["h"], "w", eps]}}},
    )
    assert bench("--import", "problem", "--bind", bind, "-o", "suite").code == 0
    answer = measure(bench, "suite/suite.toml", "--json", "--export", "trace", "-o", "out.jsonl")
    assert answer.code == 1, answer.err
    assert calls(answer)["reference"]["state"] == "right"
    torch = calls(answer)["torch"]
    assert torch["state"] == "wrong"
    assert (torch["rules"]["float64"]["state"], torch["rules"]["trace"]["state"]) == (ours, theirs)
    assert torch["why"].startswith("by the rule of its trace: ") == (ours == "right")
    line = json.loads((tmp_path / "out.jsonl").read_text())
    check_line(line, sol=True)
    assert line["evaluation"]["status"] == "INCORRECT_NUMERICAL" and line["workload"] == rows[0]


CANDIDATES = """
import torch

def honest(x):
    return 2 * x

def changes(x):
    y = 2 * x
    x.zero_()
    return y

def in_place(x):
    x.add_(x)

def shape(x):
    return (2 * x)[:1].clone()

def dtype(x):
    return (2 * x).double()

def nan(x):
    y = 2 * x
    y.view(-1)[0] = float("nan")
    return y

def raises(x):
    raise ValueError("not today")
"""
DOUBLE = {
    "name": "double",
    "op_type": "pointwise",
    "axes": {"n": {"type": "var"}, "h": {"type": "var"}},
    "inputs": {"x": X},
    "outputs": {"y": X},
    "reference": "def run(x):\n    return x + x\n",
}


@pytest.mark.parametrize("sol", [False, True])
def test_states_as_statuses(bench, tmp_path, sol):
    (tmp_path / "candidates_of_test.py").write_text(CANDIDATES)
    names = ["honest", "changes", "shape", "dtype", "nan", "raises"]
    where = {n: {"python": f"candidates_of_test:{n}", "arguments": ["x"]} for n in names}
    where["in_place"] = {
        "python": "candidates_of_test:in_place",
        "arguments": ["x"],
        "overwrites": ["x"],
    }
    where["absent"] = {"python": "no_such_module:f", "arguments": ["x"]}
    bind = write_bindings(tmp_path / "bind.toml", bindings={sha256(DOUBLE): where})
    if sol:
        write_problem(tmp_path / "set/L1/double", DOUBLE, [workload("a", n=9, h=8)])
    else:
        write_set(tmp_path / "set", [DOUBLE], {"double": [workload("a", n=9, h=8)]})
    assert bench("--import", "set", "--bind", bind, "-o", "suite").code == 0
    answer = measure(bench, "suite/suite.toml", "--export", "trace:honest", "-o", "out.jsonl")
    assert answer.code == 1, answer.err
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {line["solution"]: line["evaluation"]["status"] for line in lines} == {
        "honest": "PASSED",
        "in_place": "PASSED",
        "changes": "REWARD_HACK" if sol else "RUNTIME_ERROR",
        "shape": "INCORRECT_SHAPE",
        "dtype": "INCORRECT_DTYPE",
        "nan": "INCORRECT_NUMERICAL",
        "raises": "RUNTIME_ERROR",
        "absent": "COMPILE_ERROR",
    }
    for line in lines:
        check_line(line, sol)
    by_name = {line["solution"]: line["evaluation"] for line in lines}
    assert by_name["raises"]["log"] == "kernmill: failed: ValueError: not today"
    assert by_name["honest"]["performance"]["speedup_factor"] == 1
    errors = by_name["nan"]["correctness"]
    if sol:
        assert errors["max_absolute_error"] == 0 and (errors["has_nan"], errors["has_inf"]) == (True, False)
    else:
        assert errors["max_absolute_error"] == errors["max_relative_error"] == "NaN"


# A definition whose function does not run here costs its own cells.
def test_a_reference_that_fails(bench, tmp_path):
    broken = DOUBLE | {"name": "broken", "reference": "def run(x):\n    raise OSError('no oracle')\n"}
    write_problem(tmp_path / "set/a", broken, [workload("a", n=2, h=2)])
    write_problem(tmp_path / "set/b", DOUBLE, [workload("b", n=2, h=2)])
    (tmp_path / "candidates_of_test.py").write_text(CANDIDATES)
    honest = {"honest": {"python": "candidates_of_test:honest", "arguments": ["x"]}}
    bind = write_bindings(tmp_path / "bind.toml", bindings={sha256(broken): honest, sha256(DOUBLE): honest})
    assert bench("--import", "set", "--bind", bind, "-o", "suite").code == 0
    assert measure(bench, "suite/suite.toml", "--export", "trace", "-o", "out.jsonl").code == 1
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["evaluation"]["status"] for line in lines] == ["INVALID_REFERENCE", "PASSED"]
    assert lines[0]["evaluation"]["log"].endswith(
        "the reference failed on float64 inputs: OSError: no oracle"
    )


# ---- what a suite has of a problem ----


def test_a_problem_with_expressions(bench, tmp_path):
    definition = {
        "name": "gate",
        "axes": {
            "half": {"type": "expr", "expression": "width // 2", "description": None},
            "rows": {"type": "var"},
            "width": {"type": "const", "value": 6},
        },
        "inputs": {
            "x": {"shape": ["rows", "width"], "dtype": "bfloat16"},
            "post_norm_weight": {"shape": ["half"], "dtype": "float32"},
            "one": {"shape": ["1"], "dtype": "bfloat16"},
        },
        "outputs": {"y": {"shape": ["rows", "half"], "dtype": "bfloat16"}},
        "reference": "import torch\n\n\ndef run(x, post_norm_weight, one):\n    a, b = x.float().chunk(2, -1)\n"
        "    return (a * b * post_norm_weight + one.float()).to(torch.bfloat16)\n",
    }
    write_problem(tmp_path / "gate", definition, [workload("a", rows=4), workload("b", rows=1)])
    answer = bench("--import", "gate", "-o", "suite", "--json")
    assert answer.code == 0 and answer.json["cells"] == 2, answer.err
    suite = (tmp_path / "suite/suite.toml").read_text()
    assert (
        'post_norm_weight = { shape = ["(width // 2)"], dtype = "float32", '
        'values = "uniform", low = 0.5, high = 1.5 }' in suite
    )
    answer = measure(bench, "suite/suite.toml", "--json")
    assert answer.code == 0, answer.err
    cell = answer.json["cells"][0]
    assert cell["shape"] == {"rows": 4, "width": 6} and cell["bytes"] == 2 * 24 + 4 * 3 + 2 * 1 + 2 * 12
    assert cell["dtype"] == "bfloat16" and cell["trace"]["format"] == "sol"


def test_what_is_left_out(bench, tmp_path):
    fp8 = DOUBLE | {"name": "fp8", "inputs": {"x": X | {"dtype": "float8_e4m3fn"}}}
    optional = DOUBLE | {"name": "optional", "inputs": {"x": X | {"optional": True}}}
    sampling = DOUBLE | {"name": "sampling", "op_type": "sampling"}
    odd = DOUBLE | {
        "name": "odd",
        "axes": {"n": {"type": "var"}, "h": {"type": "expr", "expression": "n ^ 2"}},
    }
    file = {"x": {"type": "safetensors", "path": "a.safetensors", "tensor_key": "x"}}
    write_set(
        tmp_path / "set",
        [fp8, optional, sampling, odd, DOUBLE, rms_norm()],
        {
            "double": [workload("a", file, n=1, h=1), workload("b", file, n=2, h=1), workload("c", n=1),
                       workload("d", {"x": {"type": "custom"}}, n=1, h=1), workload("e", n=2, h=3)],
            "odd": [workload("f", n=2)],
            "rms": [workload("g", n=2)],
            "nobody": [workload("h", n=2)],
        },
    )  # fmt: skip
    answer = bench("--import", "set", "-o", "suite")
    assert answer.code == 0, answer.err
    start = answer.out.index("left out:\n")
    assert answer.out[start : answer.out.index("\n\n", start)].splitlines()[1:] == [
        "  double, 2 workloads: the values of 'x' stand in a file (safetensors)",
        "  double, workload c: it has no size for the axis 'h'",
        "  double, workload d: the values of 'x' come from a function (custom)",
        "  fp8: 'x' is of the dtype float8_e4m3fn, which suites do not have",
        "  odd, workload f: 'n ^ 2', column 3: expected an operator or the end",
        "  optional: 'x' is optional",
        "  rms, workload g: its number 'eps' has no value",
        "  sampling: its results are drawn at random (op_type 'sampling'), to be compared as distributions",
        "  nobody, workload h: there is no definition of that name",
    ]
    assert answer.out.endswith("\nwrote suite/suite.toml: 1 operators, 1 cells\n")
    write_problem(tmp_path / "problem", fp8, [workload("a", n=1, h=1)])
    answer = bench("--import", "problem", "-o", "none")
    assert answer.code == 1 and answer.out.endswith("\nnothing to write\n")
    assert not (tmp_path / "none").exists()


# ---- files ----


def test_twice_the_same_bytes_and_no_edit_is_lost(bench, tmp_path):
    write_set(tmp_path / "set", [DOUBLE], {"double": [workload("a", n=2, h=3)]})
    assert bench("--import", "set", "-o", "one").code == bench("--import", "set", "-o", "two").code == 0
    one, two = ((tmp_path / name / "suite.toml").read_bytes() for name in ("one", "two"))
    assert one == two and str(tmp_path).encode() not in one
    assert bench("--import", "set", "-o", "one").code == 0
    (tmp_path / "one/suite.toml").write_bytes(one + b"# mine\n")
    answer = bench("--import", "set", "-o", "one")
    assert answer.code == 2 and "'one/suite.toml' was not imported, or was edited since" in answer.err
    assert (tmp_path / "one/suite.toml").read_bytes() == one + b"# mine\n"
    answer = bench("--import", "set", "-o", "set")
    assert answer.code == 2 and "the folder 'set' holds other files" in answer.err


def test_broken_sets(bench, tmp_path):
    folder = write_set(tmp_path / "set", [DOUBLE], {"double": [workload("a", n=2, h=3)]})
    lines = folder / "workloads/norm/double.jsonl"
    lines.write_text(lines.read_text() + '\n{"definition": "double",, }\n')
    answer = bench("--import", "set")
    assert answer.code == 4 and "set/workloads/norm/double.jsonl:3:" in answer.err
    lines.write_text('{"definition": "double", "workload": {"axes": {}}}\n')
    answer = bench("--import", "set")
    assert answer.code == 4 and "double.jsonl:1: error: this is no workload" in answer.err
    (folder / "definitions/norm/double.json").write_text('{\n  "name": "double",\n')
    answer = bench("--import", "set")
    assert answer.code == 4 and "set/definitions/norm/double.json:" in answer.err
    (folder / "definitions/norm/double.json").write_text('{"name": "double"}')
    answer = bench("--import", "set")
    assert answer.code == 4 and "'reference'" in answer.err and "double.json" in answer.err
    (tmp_path / "empty").mkdir()
    answer = bench("--import", "empty")
    assert answer.code == 5 and "'empty' holds no definition" in answer.err


@pytest.mark.parametrize("keys, said", [
    ({**TORCH, "arguments": ["input", ["h"], "w", 1e-6]}, "4:14: error: 'call', argument 'input': there is no input 'input'"),
    ({**TORCH, "arguments": ["x", ["hidden"], "w", 1e-6]}, "there is no 'hidden'"),
    ({**TORCH, "arguments": ["x", ["h"], "w"]}, "'call' has 3 arguments, its schema 4"),
    ({"schema": "aten::f(Tensor x) -> (Tensor, Tensor)", "arguments": ["x"]}, "'call' returns 2 results, 'rms' 1"),
    ({"python": "torch:neg", "arguments": ["y"]}, "'call': there is no input 'y'"),
    ({"python": "peers.py:f", "arguments": ["x"]}, "'call' is in a file"),
])  # fmt: skip
def test_bindings_that_do_not_fit(bench, tmp_path, keys, said):
    definition = rms_norm("1e-6")
    write_set(tmp_path / "set", [definition], {"rms": [workload("a", n=2)]})
    write_bindings(tmp_path / "bind.toml", bindings={sha256(definition): {"call": keys}})
    answer = bench("--import", "set", "--bind", "bind.toml")
    assert answer.code == 4 and said in answer.err and "bind.toml:" in answer.err
    assert not (tmp_path / "imported-suite").exists()


def test_options_that_do_not_fit(bench, tmp_path):
    (tmp_path / "bind.toml").write_text("[bind.rmsnorm_h4096.calls.a]\n")
    write_set(tmp_path / "set", [DOUBLE], {"double": [workload("a", n=2, h=3)]})
    answer = bench("--import", "set", "--bind", "bind.toml")
    assert answer.code == 4 and "'rmsnorm_h4096' is no sha256" in answer.err
    assert bench("--import", "set", "-o", "suite").code == 0
    suite = "suite/suite.toml"
    for words, said in [
        (["--bind", "bind.toml", suite], "'--bind' belongs to --import"),
        (["--import", "set", suite], "makes a suite, and measures none"),
        (["--export", "trace", suite], "'--export' wants --output FILE"),
        (["--export", "csv", "-o", "x", suite], "wants trace or trace:CALL, not 'csv'"),
        (["--export", "trace:peer", "-o", "x", suite], "'double' has no call 'peer'"),
    ]:
        answer = bench(*words)
        assert answer.code == 2 and said in answer.err, words
    text = (tmp_path / suite).read_text()
    start, end = text.index("\n[op.double.trace]"), text.index("\n[op.double.calls.reference]")
    (tmp_path / suite).write_text(text[:start] + text[end:])
    answer = bench("--export", "trace", "-o", "x", suite)
    assert answer.code == 2 and "'double' has no definition whose traces there could be" in answer.err
