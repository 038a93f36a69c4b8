"""kernmill.load: what is loaded is what was built, from the hub, the cache or a folder; one module, whoever loads it.

What would be lost: a changed file runs; a kernel is loaded twice, and its operators cannot be registered again;
a program that needs no network asks for it.
"""

import json
import os
import pathlib
import shutil
import sys

import pytest
from small_kernels import CPU, files_of, locked, swap

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / os.environ.get("KERNMILL_BUILD", "build/release") / "bin/kernmill"
PURE = {"PYTHONPATH": str(ROOT / "python")}
LOAD = "import kernmill, pathlib, sys\n"


@pytest.fixture
def load(client):
    """load(code, ...): what a Python process of that client prints, a line each; `kernmill` is imported."""
    assert PROGRAM.exists(), f"{PROGRAM} is not built; set KERNMILL_BUILD to the build folder"

    def run(code: str, **environment) -> list[str]:
        places = {**PURE, "KERNMILL_PROGRAM": str(PROGRAM)}
        return client.run(sys.executable, "-c", LOAD + code, **{**places, **environment}).stdout.splitlines()

    return run


@pytest.fixture
def refused(load):
    """refused(call, ...): the error that the call must raise, as [class, code, text]."""

    def run(call: str, **environment) -> list[str]:
        code = (
            f"import json\ntry:\n    {call}\nexcept (RuntimeError, ValueError) as error:\n"
            "    print(json.dumps([type(error).__name__, getattr(error, 'code', ''), str(error)]))"
        )
        return json.loads(load(code, **environment)[-1])

    return run


@pytest.fixture
def lock(hub, client, tmp_path):
    """lock("acme/relu", ...) writes a kernels.lock for version 1 of these."""

    def make(*kernels: str) -> pathlib.Path:
        lines = "".join(f'"{kernel}" = 1\n' for kernel in kernels)
        (tmp_path / "pyproject.toml").write_text(f"[tool.kernels.dependencies]\n{lines}")
        client.run(PROGRAM, "lock", tmp_path)
        return tmp_path / "kernels.lock"

    return make


def cached(client, commit: str, name="acme/relu") -> pathlib.Path:
    return client.cache / f"kernels--{name.replace('/', '--')}/snapshots/{commit}/build/{CPU}"


# The first thing that a user's program does, and the last that may cost anything.
def test_import_brings_nothing_heavy(load):
    told = load("print(sorted({'torch', 'numpy', 'kernels', 'huggingface_hub'} & set(sys.modules)))")
    assert told == ["[]"]


def test_a_kernel_of_ours_from_the_hub(hub, client, load, kernel):
    """Cold; warm the hub is asked for the commit and the list, and for no file; offline it is not asked."""
    hub.add_folder("acme/rms", kernel, "v1")
    code = (
        "import torch\nmodule = kernmill.load('acme/rms', version=1{})\n"
        "print(module.rms_norm(torch.ones(2, 8)).sum().item())\nprint(module.__file__)"
    )
    total, path = load(code.format(""))
    assert abs(float(total) - 16) < 1e-3 and path.startswith(str(client.cache)) and "-cpu-" in path
    assert hub.seen("GET", "/resolve/")
    hub.log.clear()
    assert load(code.format("")) == [total, path]
    assert hub.log and not hub.seen(path="/resolve/")
    hub.log.clear()
    assert load(code.format(", offline=True")) == [total, path]
    assert load(code.format(""), HF_HUB_OFFLINE="1") == [total, path]
    assert hub.log == []


@pytest.mark.parametrize("first", ["ours", "theirs"])
def test_one_module_with_the_client(hub, load, kernel, first):
    """Registering the operators twice would raise, or change which of two is called."""
    hub.add_folder("acme/rms", kernel, "v1")
    ours, theirs = "kernmill.load('acme/rms', version=1)", "kernels.get_kernel('acme/rms', version=1)"
    one, other = (ours, theirs) if first == "ours" else (theirs, ours)
    told = load(f"import kernels\na = {one}\nb = {other}\nprint(a is b, a is sys.modules[a.__name__])")
    assert told == ["True True"]


def test_without_the_client(hub, load, refused):
    """The same by our own import; what depends on other kernels says what is missing."""
    hub.add("acme/relu", files_of("relu"), "v1")
    hub.add("acme/top", files_of("top", depends=[{"repo-id": "acme/relu", "version": 1}]), "v1")
    hide = "sys.modules['kernels'] = None\n"
    code = "module = kernmill.load('acme/relu', version=1)\nprint(module.NAME, module.layers.ANSWER, module.__name__)"
    assert load(hide + code + "\nprint(kernmill.load('acme/relu', version=1) is module)") == [
        "relu 42 _relu_torch_cpu_1234567", "True"]  # fmt: skip
    name, code, text = refused("sys.modules['kernels'] = None; kernmill.load('acme/top', version=1)")
    assert (name, code) == ("KernelError", "environment") and "pip install kernels" in text


# What is pinned cannot have moved: the hub has nothing to say.
def test_a_commit_in_the_cache_needs_no_request(hub, load):
    commit = hub.add("acme/relu", files_of("relu"), "v1").oid
    call = f"print(kernmill.load('acme/relu', revision='{commit}').NAME)"
    assert load(call) == ["relu"]
    hub.log.clear()
    assert load(call) == ["relu"] and hub.log == []


# A version can: the hub is asked each time, and what it says now is loaded.
def test_a_version_that_moves(hub, load):
    hub.add("acme/relu", files_of("relu"), "v1")
    call = "print(kernmill.load('acme/relu', version=1).NAME)"
    assert load(call) == ["relu"]
    hub.add("acme/relu", files_of("newer"), "v1")
    assert load(call) == ["newer"]
    assert load(call, HF_HUB_OFFLINE="1") == ["newer"]


# 0 is an alpha's version, and not the want of one.
def test_version_0(hub, load, refused):
    hub.add("acme/relu", files_of("relu"), "v1")
    assert refused("kernmill.load('acme/relu', version=0)")[1] == "absent"
    hub.add("acme/relu", files_of("alpha"), "v0")
    assert load("print(kernmill.load('acme/relu', version=0).NAME)") == ["alpha"]


def test_a_changed_file_is_not_loaded(hub, client, load, refused):
    commit = hub.add("acme/relu", files_of("relu"), "v1").oid
    call = f"kernmill.load('acme/relu', revision='{commit}'{{}})"
    assert load(f"print({call.format('')}.NAME)") == ["relu"]
    file = cached(client, commit) / "layers.py"
    file.resolve().write_bytes(b"ANSWER = 13\n")
    name, code, text = refused(call.format(", offline=True"))
    assert (name, code) == ("KernelError", "refused") and f"{file}: is not the file" in text
    (file.parent / "more.py").write_text("")
    name, code, text = refused(call.format(", offline=True"))
    assert code == "refused" and "layers.py" in text and "more.py" in text, "all of them"
    (file.parent / "more.py").unlink()
    hub.log.clear()
    assert load(f"print({call.format('')}.layers.ANSWER)") == ["42"], "with a hub it is fetched again"
    assert hub.seen("GET", "layers.py")


# ---- locks ----


def test_a_lock_and_what_the_kernel_depends_on(hub, client, load, lock):
    """A dependency of its own version; all of it offline the second time, and for the client's own load, too."""
    base = hub.add("acme/base", files_of("base"), "v2").oid
    use = b"from kernels import get_kernel_dep\nBASE = get_kernel_dep('acme/base').NAME\n"
    top = files_of("top", depends=[{"repo-id": "acme/base", "version": 2}], **{"__init__.py": use})
    hub.add("acme/top", top, "v1")
    path = lock("acme/top")
    hub.add("acme/base", files_of("other"), "v2")
    assert locked(path.parent)["acme/base"]["commit"] == base
    call = f"kernmill.load('acme/top', lock={str(path)!r})"
    assert load(f"print({call}.BASE)") == ["base"]
    hub.log.clear()
    assert load(f"print({call}.BASE)") == ["base"] and hub.log == []
    told = load(
        f"import kernels\na = {call}\nb = kernels.load_kernel('acme/top', lockfile={str(path)!r})\nprint(a is b)"
    )
    assert told == ["True"] and hub.log == []


def test_what_is_not_the_locks_is_not_loaded(hub, client, refused, lock):
    commit = hub.add("acme/relu", files_of("relu"), "v1").oid
    path = lock("acme/relu")
    swap(hub, "acme/relu", commit, f"build/{CPU}/layers.py", b"ANSWER = 13\n")
    name, code, text = refused(f"kernmill.load('acme/relu', lock={str(path)!r})")
    assert (name, code) == ("KernelError", "refused")
    assert f"build/{CPU}/layers.py: has another digest than the lock says" in text
    assert not (client.cache / "kernels--acme--relu/snapshots").exists()


# ---- folders ----


def test_a_folder(load, refused, tmp_path):
    for name, data in files_of("relu").items():
        (tmp_path / "relu" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "relu" / name).write_bytes(data)
    root, variant = tmp_path / "relu", tmp_path / f"relu/build/{CPU}"
    for path in (root, root / "build", variant):
        assert load(f"print(kernmill.load({str(path)!r}).__file__)") == [str(variant / "__init__.py")]
        assert load(f"print(kernmill.load(pathlib.Path({str(path)!r})).NAME)") == ["relu"]
    assert load(f"print(kernmill.load({str(root)!r}, variant='torch-cuda').__file__)")[0].endswith(
        "cuda/__init__.py"
    )
    (variant / "layers.py").write_text("ANSWER = 13\n")
    name, code, text = refused(f"kernmill.load({str(root)!r})")
    assert (name, code) == ("KernelError", "refused") and f"{variant}/layers.py" in text
    shutil.rmtree(variant)
    name, code, text = refused(f"kernmill.load({str(root)!r})")
    assert (name, code) == ("KernelError", "absent") and "kernmill explain" in text


# A module that fails to load leaves nothing behind, and can be tried again.
def test_a_kernel_that_raises(load, tmp_path):
    (tmp_path / "bad").mkdir()
    for name, data in files_of("bad", **{"__init__.py": b"raise RuntimeError('of its own')\n"}).items():
        if name.startswith(f"build/{CPU}/"):
            (tmp_path / "bad" / pathlib.Path(name).name).write_bytes(data)
    for hide in ("", "sys.modules['kernels'] = None\n"):
        told = load(
            f"{hide}for _ in range(2):\n    try:\n        kernmill.load({str(tmp_path / 'bad')!r})\n"
            "    except RuntimeError as error:\n"
            "        print(type(error).__name__, error, '_bad_torch_cpu_1234567' in sys.modules)"
        )
        assert told == ["RuntimeError of its own False"] * 2


# ---- errors ----


def test_errors_are_the_programs_own(hub, refused, tmp_path):
    hub.add("acme/relu", files_of("relu"), "v1")
    for call, name, code, text in [
        ("'acme/relu'", "ValueError", "", "needs a version"),
        ("'acme/relu', version=1, revision='main'", "ValueError", "", "twice"),
        (f"{str(tmp_path)!r}, version=1", "ValueError", "", "is a folder"),
        (
            "'acme/relu', version=7",
            "KernelError",
            "absent",
            "has no revision 'v7'\n  its branches are: main, v1",
        ),
        (
            "'acme/relu', version=1, variant='torch-none'",
            "KernelError",
            "absent",
            "its variants are: torch-cpu",
        ),
        ("'acme/relu', version=1, offline=True", "KernelError", "absent", "not in the cache"),
        ("'--help', version=1", "KernelError", "usage", "no name of a repository"),
        ("'acme/relu', lock='none.lock'", "KernelError", "absent", "none.lock"),
        ("pathlib.Path('none')", "KernelError", "absent", "'none' is not there"),
    ]:
        told = refused(f"kernmill.load({call})")
        assert told[:2] == [name, code] and text in told[2], (call, told)


# The pure wheel has no program, or a script in its place, and says where there is one.
def test_without_the_program(client, tmp_path):
    code = (
        "import kernmill\ntry:\n    kernmill.load('acme/relu', version=1)\n"
        "except kernmill.KernelError as error:\n    print(error.code, error)"
    )
    script = tmp_path / "bin/kernmill"
    info = tmp_path / "lib/kernmill-0.1.0.dist-info"
    for path, text in [(script, "#!/bin/sh\n"), (info / "METADATA", "Name: kernmill\nVersion: 0.1.0\n"),
                       (info / "RECORD", "../bin/kernmill,,\n")]:  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    for places in (PURE, {"PYTHONPATH": f"{PURE['PYTHONPATH']}{os.pathsep}{info.parent}"}):
        told = client.run(sys.executable, "-S", "-c", code, **places).stdout
        assert told.startswith("environment ") and "pip install --force-reinstall kernmill" in told
    told = client.run(sys.executable, "-c", code, **PURE, KERNMILL_PROGRAM="/nowhere/kernmill").stdout
    assert told.startswith("environment unable to start the kernmill program")
