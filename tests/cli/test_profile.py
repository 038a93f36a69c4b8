"""kernmill profile: real models on a real profiler. What is made of the events is tested in tests/unit."""

import importlib.util
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
from program import ROOT

SCRIPT = ROOT / "tests/cli/profiled.py"
LAYERS, STEPS = 2, 3
PYTHON = {"KERNMILL_PYTHON": sys.executable}
torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=no_gpu)]


def profile(kernmill, *words, script=SCRIPT) -> dict:
    answer = kernmill("profile", "--json", script, "--", *words, env=PYTHON)
    assert answer.code == 0, answer.err
    return answer.json


def fitted(document) -> dict[str, int]:
    """How many chains each function of ours fits."""
    counts = {}
    for row in document["chains"]:
        if row["kernel"]:
            counts[row["function"]] = counts.get(row["function"], 0) + row["count"]
    return counts


@pytest.fixture(scope="module", params=DEVICES)
def device(request) -> str:
    return request.param


RUNS = {
    "bfloat16": ["--dtype", "bfloat16"],
    "with kernels": ["--use"],
    "Bert": ["--model", "Bert"],
    "training": ["--train"],
    "compiled": ["--compile"],
}


@pytest.fixture(scope="module")
def runs(kernmill, device) -> dict[str, dict]:
    """The documents of all runs, two at a time: most of each is spent importing."""
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(lambda words: profile(kernmill, "--device", device, *words), RUNS.values())
        return dict(zip(RUNS, found, strict=True))


@pytest.fixture(scope="module")
def qwen3(runs) -> dict:
    return runs["bfloat16"]


# Two norms of the hidden state in a layer and one at the end, all but the first behind a residual; one of the
# queries and one of the keys in a layer, and both are rotated; and a gated MLP.
def test_every_place_is_found(qwen3):
    assert fitted(qwen3) == {
        "kernmill_rmsnorm.fused_add_rms_norm": STEPS * 2 * LAYERS,
        "kernmill_rmsnorm.rms_norm": STEPS * (1 + 2 * LAYERS),
        "kernmill_rotary.rotary": STEPS * 2 * LAYERS,
        "kernmill_activation.silu_mul": STEPS * LAYERS,
    }
    rows = [row for row in qwen3["chains"] if row["kernel"]]
    assert {row["dtype"] for row in rows} == {"bfloat16"}
    rows = [row for row in rows if row["kernel"] == "kernmill-rmsnorm"]
    assert {row["module"] for row in rows} == {"Qwen3RMSNorm"}
    assert all(row["covers"] == len(row["ops"]) for row in rows), "nothing else is in these chains"
    paths = {path for row in rows for path in row["paths"]}
    assert paths == {f"Qwen3ForCausalLM.model.{name}" for name in (
        "layers.*.input_layernorm", "layers.*.post_attention_layernorm", "layers.*.self_attn.q_norm",
        "layers.*.self_attn.k_norm", "norm")}  # fmt: skip
    kernels = {row["family"]: row for row in qwen3["kernels"]}
    counts = {"rms_norm": 4 * LAYERS + 1, "rotary": 2 * LAYERS, "activation": LAYERS}
    assert {family: row["count"] for family, row in kernels.items()} == {
        f: STEPS * n for f, n in counts.items()
    }
    assert 0 < kernels["rms_norm"]["by_use_us"] < kernels["rms_norm"]["time_us"], "adds are not the module's"
    for family in ("rotary", "activation"):
        assert kernels[family]["by_use_us"] == pytest.approx(kernels[family]["time_us"])
    assert all(row["win_us"] <= row["time_us"] for row in kernels.values())


# Two inputs and a weight are read, sum and norm are written, all of them in bfloat16 and once; of the last sum only the
# norm is read by others.
def test_bytes_are_those_of_one_pass(qwen3):
    full, weight = 2 * 12 * 64 * 2, 64 * 2
    fused = [row for row in qwen3["chains"] if row.get("function", "").endswith("fused_add_rms_norm")]
    assert sum(row["bytes"] for row in fused) == STEPS * (2 * LAYERS * (4 * full + weight) - full)
    assert all(row["bytes_by"] == "storages" for row in qwen3["chains"])


# Times are shares of one whole, and nothing is won twice or below a copy's time.
def test_the_sums_are_right(qwen3, device):
    assert qwen3["schema"] == 1 and qwen3["marked"] and qwen3["device"] == device
    assert qwen3["times"] == {"cpu": "cpu", "cuda": "kernels"}[device]
    total = qwen3["total_us"]
    assert sum(row["time_us"] for row in qwen3["ops"]) == pytest.approx(total)
    assert sum(row["share"] for row in qwen3["ops"]) == pytest.approx(1)
    chains = qwen3["chains"]
    for row in chains:
        assert row["win_us"] >= max(0, row["time_us"] - row["floor_us"]) - 1e-6
        assert row["win_share"] == pytest.approx(row["win_us"] / total)
        assert row["floor_us"] == pytest.approx(row["bytes"] / qwen3["copy"]["gbps"] / 1e3)
    assert [row["win_us"] for row in chains] == sorted((row["win_us"] for row in chains), reverse=True)
    for key in ("count", "time_us", "win_us"):
        assert qwen3["chains_total"][key] == pytest.approx(sum(row[key] for row in chains))
    assert qwen3["chains_total"]["time_us"] < total
    assert qwen3["copy"]["measured"] and qwen3["copy"]["gbps"] > 0.1


# What was promised to fit does, and is no chain any more.
def test_with_the_kernels_in_place(runs):
    document = runs["with kernels"]
    calls = {
        row["name"]: (row["class"], row["calls"]) for row in document["ops"] if "kernmill_" in row["name"]
    }
    assert calls == {
        "kernmill_rmsnorm::_rms_norm_fwd": ("custom", STEPS * (2 * LAYERS + 1)),
        "kernmill_rotary::_qk_norm_rotary_fwd": ("custom", STEPS * LAYERS),
        "kernmill_activation::_act_mul_fwd": ("custom", STEPS * LAYERS),
    }
    assert fitted(document) == {} and document["kernels"] == []


# A BERT's norms stand behind residuals, but for that of the embeddings and that of the head; its activation alone.
def test_other_families(runs):
    document = runs["Bert"]
    assert fitted(document) == {
        "kernmill_layernorm.fused_add_layer_norm": STEPS * 2 * LAYERS,
        "kernmill_layernorm.layer_norm": STEPS * 2,
        "kernmill_activation.gelu or gelu_tanh": STEPS * LAYERS,
    }
    kernels = {row["name"]: row for row in document["kernels"]}
    assert kernels["kernmill-layernorm"]["by_use_us"] > 0
    assert kernels["kernmill-activation"]["by_use_us"] == 0, "use() leaves an activation that stands alone"


# A gradient is credited to the module that it is the gradient of.
def test_training(runs):
    document = runs["training"]
    backward = [row for row in document["chains"] if row["backward"] and row["module"] == "Qwen3RMSNorm"]
    assert backward and all(row["bytes_by"] == "largest tensors" for row in backward)
    kernels = {row["family"]: row for row in document["kernels"]}
    assert kernels["rms_norm"]["backward_us"] > 0
    assert "cross entropy" in {row["pattern"] for row in document["chains"]}


# Our ranges around modules must not break a graph that has to be whole.
def test_compiled_whole(runs):
    assert runs["compiled"]["total_us"] > 0


# For people: within 100 columns, the result alone on stdout, and what the script prints beside it.
def test_table(kernmill, tmp_path):
    record = tmp_path / "profile.json"
    words = ["--top", "3", "--copy-rate", "20", "--output", record, SCRIPT, "--", "--steps", "2"]
    answer = kernmill("profile", *words, env=PYTHON)
    assert answer.code == 0, answer.err
    assert all(len(line) <= 100 for line in answer.out.splitlines())
    assert "the script has ended" in answer.err and "has ended" not in answer.out
    assert "copy: 20 GB/s, as told" in answer.out
    assert "kernmill_rmsnorm.fused_add_rms_norm fits, for 7 of 7 operators" in answer.out
    for name, family in ("rmsnorm", "rms_norm"), ("rotary", "rotary"), ("activation", "activation"):
        assert (
            f'  pip install kernmill-{name}; the family "{family}" of kernmill.transformers\n' in answer.out
        )
    assert answer.out.count("print(kernmill.transformers.use(model))") == 1
    document = json.loads(record.read_text())
    assert document["arguments"] == ["--steps", "2"] and document["environment"]["cores"] >= 1


# The script is run as Python would run it: its name, its arguments, the modules beside it.
def test_the_script_is_main(kernmill, tmp_path):
    (tmp_path / "beside.py").write_text("value = 3\n")
    (tmp_path / "script.py").write_text(
        "import sys, torch, beside\n"
        "assert __name__ == '__main__' and sys.argv[1:] == ['-x', 'y'], sys.argv\n"
        "torch.ones(beside.value).exp()\n"
        "sys.exit(0)\n"
    )
    document = profile(kernmill, "-x", "y", script=tmp_path / "script.py")
    assert "aten::exp" in {row["name"] for row in document["ops"]}
    assert document["chains"][0]["module"] == "" and document["chains"][0]["paths"] == []


FAILING = {
    "raise ValueError('boom')": (4, "failed: ValueError: boom"),
    "x = = 1": (4, "failed: SyntaxError"),
    "import sys; sys.exit(3)": (4, "ended with exit code 3"),
    "import sys; sys.exit('no data')": (4, "ended with exit code 1"),
    "import os; os._exit(0)": (4, "ended its process (exit code 0) and left no profile"),
    "print('hello')": (4, "the script ran no operator of torch"),
    "import torch\nwith torch.profiler.record_function('kernmill'): pass\ntorch.ones(2)": (
        4, "no operator of torch ran inside the ranges"),
}  # fmt: skip


# All of them at once: each waits for an import of torch.
def test_scripts_that_fail(kernmill, tmp_path):
    def run(number: int, code: str):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "script.py").write_text(code + "\n")
        return kernmill("profile", "script.py", cwd=folder, env=PYTHON)

    with ThreadPoolExecutor() as pool:
        answers = list(pool.map(run, range(len(FAILING)), FAILING))
    for answer, (code, (status, message)) in zip(answers, FAILING.items(), strict=True):
        assert (answer.code, answer.out) == (status, "") and message in answer.err, code
        if "boom" in code:  # its own traceback, and nothing of ours in it
            assert 'File "script.py", line 1' in answer.err and "profile_host" not in answer.err


def test_what_is_not_there(kernmill, tmp_path):
    answer = kernmill("profile", "absent.py", cwd=tmp_path, env=PYTHON)
    assert answer.code == 5 and "there is no script 'absent.py'" in answer.err
    (tmp_path / "script.py").touch()
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    answer = kernmill("profile", "script.py", cwd=tmp_path, env={"KERNMILL_PYTHON": str(bare)})
    assert answer.code == 3 and "pip install 'torch>=2.10'" in answer.err
    for rate in ("0", "fast", "-1"):
        assert kernmill("profile", "--copy-rate", rate, "script.py", cwd=tmp_path, env=PYTHON).code == 2


# ---- the host, without a GPU ----


def load_host():
    spec = importlib.util.spec_from_file_location("profile_host", ROOT / "csrc/python/profile_host.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Results:
    """What the profiler of a GPU gives: operator 7 launched two kernels, and a range is shown on the device, too."""

    def events(self):
        def event(name, linked, ns, kind="kernel", annotation=False):
            return SimpleNamespace(
                name=lambda: name, linked_correlation_id=lambda: linked, duration_ns=lambda: ns,
                device_type=lambda: SimpleNamespace(name="CUDA"), activity_type=lambda: kind,
                is_user_annotation=lambda: annotation,
            )  # fmt: skip

        return [
            event("kernel", 7, 100), event("Memset", 7, 20, "gpu_memset"), event("nobody's", 0, 3),
            event("kernmill", 6, 900, "gpu_user_annotation", True), event("step", 0, 900, "gpu_user_annotation", True),
            event("launched before", 99, 5),
        ]  # fmt: skip

    def experimental_event_tree(self):
        def node(name, correlation, kind="TorchOp", children=(), thread=1):
            fields = SimpleNamespace(inputs=[], sequence_number=-1)
            return SimpleNamespace(
                name=name, correlation_id=correlation, tag=SimpleNamespace(name=kind), children=list(children),
                extra_fields=fields, start_tid=thread, start_time_ns=10, duration_time_ns=50,
            )  # fmt: skip

        launch = node("cudaLaunchKernel", 7, "Kineto")  # has a number of its own kind
        gradient = node("MulBackward0", 8, thread=2, children=[node("aten::mul", 9, thread=2)])
        return [node("kernmill", 6, children=[node("aten::mul", 7, children=[launch]), gradient]), launch]


# A kernel belongs to the operator that launched it; what the device shows of ranges is no work.
def test_kernels_belong_to_operators():
    writer = load_host().Writer(Results(), 10)
    rows = [(row[0], list(writer.names)[row[1]], row[2], row[5], row[6]) for row in writer.rows]
    assert rows[:2] == [(0, "kernmill", 0, 0, 0), (1, "aten::mul", 0, 120, 2)]
    assert rows[2:] == [
        (0, "MulBackward0", 1, 0, 0),
        (1, "aten::mul", 1, 0, 0),
    ]  # a thread's calls stand together
    assert writer.on_device and writer.unattributed_ns == 3 + 5


# More events than anybody reads are refused while they are counted, not when memory is gone.
def test_too_many_events(tmp_path):
    (tmp_path / "script.py").write_text("import torch\nfor _ in range(20): torch.ones(2)\n")
    read, write = os.pipe()
    host = ROOT / "csrc/python/profile_host.py"
    command = [sys.executable, host, str(write), "10", tmp_path / "script.py"]
    subprocess.run(command, pass_fds=[write], check=True)
    os.close(write)
    with os.fdopen(read) as pipe:
        assert json.load(pipe) == {"too_many": 10}
