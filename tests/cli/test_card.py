"""The Hub's card: what it says is what the files and the records say, and nothing else."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from program import replace

CPU = "torch-stable-abi210-cpu-x86_64-linux"
PYTHON = {"KERNMILL_PYTHON": sys.executable}


def sections(card: str) -> dict[str, str]:
    """Of a card, by heading; "" is what comes before the first."""
    parts = re.split(r"^## (.+)$", card, flags=re.MULTILINE)
    return dict(zip(["", *parts[1::2]], parts[::2], strict=True))


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


@pytest.fixture
def own(built, tmp_path):
    """The built kernel, to be changed."""
    folder = tmp_path / "demo-kernel"
    shutil.copytree(built, folder)
    return folder


@pytest.fixture
def card(kernmill, own, tmp_path):
    """card(...): the sections of what `pack` writes."""

    def pack(*words):
        answer = kernmill("pack", "--cpu", "--json", "-q", "-o", "out", *words, own, cwd=tmp_path, env=PYTHON)
        assert answer.code == 0, answer.err
        assert kernmill("check", "--json", tmp_path / answer.json["hub"]).json["findings"] == []
        pack.wheel = tmp_path / answer.json["wheel"]
        pack.hub = tmp_path / answer.json["hub"]
        return sections((tmp_path / answer.json["card"]).read_text())

    return pack


# Every field of the part that card.toml and the files tell, against the files.
def test_every_field(card, own):
    text = (own / "card.toml").read_text()
    extra = 'layers = ["Scale"]\nmodels = ["Llama | 2", "Qwen3"]\nlimits = ["one <b>limit</b>"]\n\n[wheel]'
    (own / "card.toml").write_text(text.replace("\n[wheel]", extra))
    found = card()
    glance = dict(rows(found["At a glance"])[1:])
    assert glance == {
        "what": "y = factor * x, the smallest kernel there is",
        "operators": "`scale`",
        "layers": "`Scale`",
        "target models": "Llama &#124; 2, Qwen3",
        "dtypes": "float32",
        "shapes": "any sizes and strides",
        "limits": "one &#60;b>limit&#60;/b>",
        "licence": "Apache-2.0",
    }
    wheel, hub = rows(found["What it needs"])[1:]
    processor = "x86-64, baseline"
    assert wheel[0] == "wheel" and wheel[2:4] == [">=3.10", "none"]
    assert hub[0] == f"`{CPU}`" and hub[2:4] == ["any", "none"]
    assert wheel[1] == hub[1] == "2.10 or newer; newest tested: not tested"
    library = own / f"build/{CPU}/libdemo_kernel.so"
    needs = subprocess.run(["objdump", "-T", library], capture_output=True, text=True, check=True).stdout
    newest = max(tuple(map(int, v.split("."))) for v in re.findall(r"GLIBC_([0-9.]+)", needs))
    assert wheel[4] == hub[4] == f"{newest[0]}.{newest[1]} or newer"
    assert wheel[5] == hub[5] == processor
    assert "Linux on x86_64" in found["What it needs"]
    built_with = found["How it was built"]
    facts = dict(row for row in rows(built_with) if len(row) == 2)
    identity = json.loads((own / f"build/{CPU}/metadata.json").read_text())["id"]
    version = subprocess.run(["cc", "--version"], capture_output=True, text=True, check=True).stdout
    assert facts["C compiler"] == version.splitlines()[0]
    assert facts["device compiler"] == "none: a CPU build"
    assert facts["optimisation"] == "full"
    assert facts["source commit"] == "not known: no git repository"
    assert re.fullmatch(r"\d+\.\d+\.\d+", facts["kernmill"])
    assert facts["operators, wheel"] == "`torch.ops.demo_kernel`"
    assert facts["operators, Hub folders with CPU alone"] == f"`torch.ops.{identity}`"
    for name, folder in (("wheel", own / "build/wheel/demo_kernel"), (f"`{CPU}`", own / "build" / CPU)):
        (row,) = (r for r in rows(built_with) if r[0] == name)
        data = (folder / "libdemo_kernel.so").read_bytes()
        files = sum(
            p.stat().st_size for p in folder.rglob("*") if "__pycache__" not in str(p) and p.is_file()
        )
        assert row[1:] == [str(len(data)), str(files), f"`{hashlib.sha256(data).hexdigest()}`"]
    assert f"`{card.wheel.name}` has {card.wheel.stat().st_size} bytes" in built_with


# The commit is the repository's, and a change that is in no commit is told.
def test_the_commit(card, own):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@a.example", "-C", own]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run(
        [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert f"| source commit | `{head}` |" in card()["How it was built"]
    with (own / "CARD.md").open("a") as file:
        file.write("\nMore.\n")
    assert f"`{head}`, with changes that are not committed |" in card()["How it was built"]


# Nothing was tested or measured, and nothing is stated: the card has the plain words, and no record.
def test_nothing_is_known(card, own):
    (own / "card.toml").write_text('summary = "a demo"\n\n[wheel]\nversion = "1.0.0"\n')
    found = card()
    glance = dict(rows(found["At a glance"])[1:])
    assert [glance[k] for k in ("operators", "layers", "target models", "dtypes", "shapes", "limits")] == [
        "not stated"
    ] * 6
    assert found["Tests"] == "\n\nNot tested on these files.\n\n"
    assert found["Speed"] == "\n\nNot measured on these files.\n\n"
    assert rows(found["What it needs"])[1][1:3] == ["2.10 or newer; newest tested: not tested", "any"]
    assert not (card.hub / "tests.json").exists()


def package_sha256(folder) -> str:
    digest = hashlib.sha256()
    for file in sorted(p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in str(p)):
        if file.name != "metadata.json":
            name = str(file.relative_to(folder)).encode()
            digest.update(name + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def run_of(folder, **more):
    """A run as kernmill.pytest_plugin writes it, of these files."""
    library = next(folder.glob("*.so"))
    return {
        "target": folder.name,
        "date": "2026-11-25T10:00:00Z",
        "package_sha256": package_sha256(folder),
        "libraries": {library.name: hashlib.sha256(library.read_bytes()).hexdigest()},
        "whole": True,
        "cpu": "A CPU",
        "gpu": "A GPU | of ours",
        "driver": "580.1",
        "python": "3.12.3",
        "torch": "2.11.0+cu130",
        "passed": 7,
        "failed": 0,
        "skipped": 0,
        "failures": [],
        "skips": {},
        "worst": {"scale cuda, ulp": 0.5},
        **more,
    }


# What `kernmill test` found on these files, and on another machine, stands in the card; of other files, nothing.
def test_tests(kernmill, card, own, tmp_path):
    assert kernmill("test", "--cpu", "-q", own, env=PYTHON).code == 0
    hub = own / "build" / CPU
    one = json.loads((own / f"build/tests/{CPU}.json").read_text())["runs"][0]
    found = card()
    table = rows(found["Tests"])
    verdict = ["passed on these very files", "3", "0", "2", f"{one['cpu']}, no GPU"]
    assert table[1][:6] == ["wheel", *verdict] and table[2][:6] == [f"`{CPU}`", *verdict]
    assert table[2][6:] == [f"torch {one['torch']}, Python {one['python']}", one["date"]]
    assert "Failed: nothing." in found["Tests"] and "- no CUDA device: 2" in found["Tests"]
    assert ["scale cpu, absolute", f"{one['worst']['scale cpu, absolute']:.4g}"] in table
    assert rows(found["What it needs"])[2][1] == f"2.10 or newer; newest tested: {one['torch']}"
    assert len(json.loads((card.hub / "tests.json").read_text())["runs"]) == 2

    records = tmp_path / "records"
    records.mkdir()
    (records / "gpu.json").write_text(json.dumps(run_of(hub, torch="2.14.1+cu130", skipped=1)))
    other = run_of(hub) | {"package_sha256": "0" * 64}
    (records / "other.json").write_text(json.dumps({"runs": [other, other]}))
    (records / "log.json").write_text('{"what": "else"}')
    found = card("--tests", records)
    row = rows(found["Tests"])[3]
    assert row[5:] == ["A GPU &#124; of ours, driver 580.1", "torch 2.14.1+cu130, Python 3.12.3", row[7]]
    assert "2 more runs were on other files and are left out" in found["Tests"]
    assert rows(found["What it needs"])[2][1].endswith("newest tested: 2.14.1+cu130")
    assert ["scale cuda, ulp", "0.5"] in rows(found["Tests"])
    record = json.loads((card.hub / "tests.json").read_text())
    assert sorted(run["gpu"] or "" for run in record["runs"]) == ["", "", "A GPU | of ours"]

    # what is packed carries its own record, with which the folder alone can be judged
    mine = {run["package_sha256"] for run in record["runs"] if run["target"] == CPU}
    assert mine == {package_sha256(card.hub / "build" / CPU)}

    # Python is tested too: with another line in it these are other files
    with (own / "torch-ext/demo_kernel/__init__.py").open("a") as file:
        file.write("\n# another line\n")
    found = card()
    assert "Not tested on these files." in found["Tests"] and "2 more runs" in found["Tests"]
    assert not (card.hub / "tests.json").exists()


# Records that were named for nothing are told of.
def test_records_of_other_files(kernmill, own, tmp_path):
    (tmp_path / "r.json").write_text('{"passed": 1, "failed": 0}')
    answer = kernmill("pack", "--cpu", "-o", "out", "--tests", "r.json", own, cwd=tmp_path, env=PYTHON)
    assert answer.code == 0 and "nothing was tested: 'r.json' has no run on these files" in answer.err


# What failed is named, and an error that is no number is no small one.
def test_a_failure_is_told(card, own, tmp_path):
    hub = own / "build" / CPU
    bad = run_of(hub, failed=1, failures=["tests/test_a.py::test_<b>"], worst={"scale, ulp": "nan"})
    good = run_of(hub, worst={"scale, ulp": 3.0}, cpu="Another")
    part = run_of(own / "build/wheel/demo_kernel", whole=False, gpu=None, driver=None)
    (tmp_path / "r.json").write_text(json.dumps({"runs": [bad, good, part]}))
    text = card("--tests", "r.json")["Tests"]
    assert "failed on these very files" in text and "a part passed on these very files" in text
    assert "Failed:\n\n- tests/test_a.py::test_&#60;b>\n" in text
    assert ["scale, ulp", "nan"] in rows(text)


# A record that was named and is none, or is not there, is an error.
@pytest.mark.parametrize("text, code", [("{}", 4), ('{"passed": 1', 4), (None, 5)])
def test_what_is_no_record(kernmill, own, tmp_path, text, code):
    if text:
        (tmp_path / "r.json").write_text(text)
    answer = kernmill("pack", "--cpu", "-q", "-o", "out", "--tests", "r.json", own, cwd=tmp_path, env=PYTHON)
    assert answer.code == code and "r.json" in answer.err


# The lines of the part on installing do what they say, from an index and from the file.
def test_install_lines(kernmill, card, own, tmp_path):
    def run(text):
        (line,) = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)[:1]
        target = tmp_path / f"target{len(list(tmp_path.iterdir()))}"
        line = line.replace("pip ", f"{sys.executable} -m pip ").replace("python -c", f"{sys.executable} -c")
        environment = {**os.environ, "PIP_TARGET": str(target), "PYTHONPATH": str(target)}
        done = subprocess.run(
            ["sh", "-ec", line], cwd=card.wheel.parent, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert (target / "demo_kernel/libdemo_kernel.so").exists()

    text = card()["Install"]
    assert 'get_local_kernel(Path("demo-kernel"))' in text and "names no repository" in text
    run(text)
    replace(own / "card.toml", "[wheel]", f'[wheel]\nindex = "file://{tmp_path}/served/cpu"')
    text = card("--index", tmp_path / "served")["Install"]
    assert "demo-kernel==1.0.0+cpu" in text
    run(text)
