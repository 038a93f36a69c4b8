"""kernmill lock, get --lock and verify --lock beside the real client, on one hub and one cache.

What would be lost: a lock that `kernels` does not read, or that is not what it would have written; a file
that is not the one that was locked, and is loaded all the same.
"""

import hashlib
import json
import os
import pathlib
import sys

import pytest
from faults import WrongBytes
from small_kernels import CPU, files_of, locked, swap

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / os.environ.get("KERNMILL_BUILD", "build/release") / "bin/kernmill"


@pytest.fixture
def kernmill(client):
    assert PROGRAM.exists(), f"{PROGRAM} is not built; set KERNMILL_BUILD to the build folder"
    return lambda *words, **options: client.run(
        PROGRAM, *words, **{"KERNMILL_PYTHON": sys.executable, "check": False, **options}
    )


@pytest.fixture
def project(tmp_path):
    """project("acme/relu", ...) is a folder whose pyproject.toml wants version 1 of these."""

    def make(*kernels: str, name="project") -> pathlib.Path:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        lines = "".join(f'"{kernel}" = 1\n' for kernel in kernels)
        (folder / "pyproject.toml").write_text(f"[tool.kernels.dependencies]\n{lines}")
        return folder

    return make


# ---- lock ----


def test_the_lock_is_what_the_client_writes(hub, client, kernmill, project):
    """Several kernels, in another order than sorted; a dependency of a dependency, two versions of one kernel."""
    hub.add("acme/relu", files_of("relu"), "v1")
    base = hub.add("acme/base", files_of("base"), "v1")
    hub.add("acme/base", files_of("base", extra=b""), "v2")
    hub.add("acme/base", files_of("base"), "v10")
    depends = [{"repo-id": "acme/base", "version": 10}, {"repo-id": "acme/base", "revision": base.oid}]
    hub.add("acme/mid", files_of("mid", depends=depends), "v1")
    hub.add("acme/a-b", files_of("ab", depends=[{"repo-id": "acme/mid", "version": 1},
                                                {"repo-id": "acme/base", "version": 2}]), "v1")  # fmt: skip
    theirs = project("acme/relu", "acme/a-b", name="theirs")
    ours = project("acme/relu", "acme/a-b", name="ours")
    client.kernels("lock", theirs)
    done = kernmill("lock", ours, "--json")
    assert done.returncode == 0, done.stderr
    assert (ours / "kernels.lock").read_bytes() == (theirs / "kernels.lock").read_bytes()
    rows = json.loads((ours / "kernels.lock").read_text())
    assert [row["dependency"]["repo-id"] for row in rows] == [
        "acme/a-b",
        *["acme/base"] * 3,
        "acme/mid",
        "acme/relu",
    ]
    told = json.loads(done.stdout)
    assert not told["up_to_date"] and len(told["kernels"]) == len(rows)


def test_the_digests_are_those_of_the_files(hub, kernmill, project):
    files = files_of("relu")
    commit = hub.add("acme/relu", {**files, "build/torch-cpu/__pycache__/x.pyc": b"left out"}, "v1")
    folder = project("acme/relu")
    assert kernmill("lock", folder).returncode == 0
    assert locked(folder)["acme/relu"] == {
        "repo-id": "acme/relu",
        "version": 1,
        "commit": commit.oid,
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            for name, data in sorted(files.items())
            if name.startswith("build/")
        },
    }
    fetched = {entry.target.split("/")[-1] for entry in hub.seen("GET", "/resolve/")}
    assert "lib.so" not in fetched, "of what is in LFS the list has the digest"


def test_check_says_when_it_is_out_of_date(hub, kernmill, project):
    first = hub.add("acme/relu", files_of("relu"), "v1").oid
    folder = project("acme/relu")
    done = kernmill("lock", folder, "--check")
    assert done.returncode == 1 and not (folder / "kernels.lock").exists()
    told = f"acme/relu version 1: locked at {first}\n{folder}/kernels.lock: 1 kernel, out of date\n"
    assert (done.stdout, done.stderr) == (told, "")
    assert kernmill("lock", folder).returncode == 0
    before = {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()}
    done = kernmill("lock", folder, "--check")
    assert done.returncode == 0 and done.stdout.endswith("1 kernel, up to date\n")
    assert kernmill("lock", folder).returncode == 0
    second = hub.add("acme/relu", {"a.txt": b"moves the branch"}, "v1").oid
    done = kernmill("lock", folder, "--check", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["changes"] == [f"acme/relu version 1: from {first} to {second}"]
    assert {p.name: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.iterdir()} == before
    assert kernmill("lock", folder).returncode == 0
    assert kernmill("lock", folder, "--check").returncode == 0
    (folder / "kernels.lock.digests.json").unlink()
    done = kernmill("lock", folder, "--check")
    assert done.returncode == 1 and "kernels.lock.digests.json" in done.stdout
    hub.add("acme/more", files_of("more"), "v1")
    project("acme/more")
    done = kernmill("lock", folder)
    assert "acme/more version 1: locked at" in done.stdout


def test_a_dependency_that_is_dropped(hub, kernmill, project):
    for name in ("relu", "more"):
        hub.add(f"acme/{name}", files_of(name), "v1")
    folder = project("acme/relu", "acme/more")
    assert kernmill("lock", folder).returncode == 0
    project("acme/relu")
    done = kernmill("lock", folder, "--check")
    assert done.returncode == 1 and "acme/more version 1: no longer needed\n" in done.stdout


# What is published and does not agree with itself is not locked.
@pytest.mark.parametrize("how", ["changed", "large", "unlisted", "absent", "no metadata"])
def test_a_list_and_a_metadata_that_disagree(hub, kernmill, project, how):
    files = files_of("relu")
    if how == "changed":
        files[f"build/{CPU}/layers.py"] += b"# later\n"
    elif how == "large":
        files[f"build/{CPU}/lib.so"] += b"later"
    elif how == "unlisted":
        files[f"build/{CPU}/more.py"] = b""
    elif how == "absent":
        del files[f"build/{CPU}/layers.py"]
    else:
        del files[f"build/{CPU}/metadata.json"]
    hub.add("acme/relu", files, "v1")
    folder = project("acme/relu")
    done = kernmill("lock", folder)
    named = {"large": "lib.so", "unlisted": "more.py", "no metadata": "metadata.json"}.get(how, "layers.py")
    assert done.returncode == 4 and f"build/{CPU}/{named}" in done.stderr
    assert not (folder / "kernels.lock").exists() and not (folder / "kernels.lock.digests.json").exists()


def test_projects_that_cannot_be_locked(hub, client, kernmill, project):
    hub.add("acme/one", files_of("one", depends=[{"repo-id": "acme/two", "version": 1}]), "v1")
    hub.add("acme/two", files_of("two", depends=[{"repo-id": "acme/one", "version": 1}]), "v1")
    hub.add("acme/empty", {"a.txt": b""}, "v1")
    folder = project("acme/one")
    done = kernmill("lock", folder)
    assert done.returncode == 4 and "circle" in done.stderr
    assert client.kernels("lock", folder, check=False).returncode != 0
    for kernel, code, text in [
        ("acme/empty", 5, "build"),
        ("acme/none", 5, "acme/none"),
        ("none", 2, "OWNER/NAME"),
    ]:
        done = kernmill("lock", project(kernel))
        assert done.returncode == code and text in done.stderr, done.stderr
    for text, place in [('"acme/one" = "1"', ":2:14"), ('"acme/one" = -1', ":2:14"), ("", ":1:")]:
        (folder / "pyproject.toml").write_text(f"[tool.kernels.dependencies]\n{text}\n")
        done = kernmill("lock", folder)
        assert done.returncode == 4 and f"pyproject.toml{place}" in done.stderr, done.stderr
    (folder / "pyproject.toml").unlink()
    assert kernmill("lock", folder).returncode == 5


# ---- get --lock ----


def test_a_locked_kernel_is_loaded_offline(hub, client, kernmill, project, kernel):
    """Though the branch has moved on since; the client finds what ours left, and asks nobody."""
    commit = hub.add_folder("acme/rms", kernel, "v1").oid
    folder = project("acme/rms")
    assert kernmill("lock", folder).returncode == 0
    hub.add("acme/rms", {"build/torch-cpu/x.py": b""}, "v1")
    lock = folder / "kernels.lock"
    done = kernmill("get", "acme/rms", "--lock", lock)
    assert done.returncode == 0 and f"/snapshots/{commit}/build/" in done.stdout, done.stderr
    assert kernmill("verify", "acme/rms", "--lock", lock).returncode == 0
    hub.log.clear()
    told = client.python(
        "import kernels, torch\n"
        f"module = kernels.load_kernel('acme/rms', lockfile={str(lock)!r})\n"
        "print(module.rms_norm(torch.ones(2, 8)).sum().item(), module.__file__)",
        HF_HUB_OFFLINE="1",
    )
    total, path = told.stdout.split()
    assert abs(float(total) - 16) < 1e-3 and str(pathlib.Path(path).parent) == done.stdout.strip()
    again = kernmill("get", "acme/rms", "--lock", lock, HF_HUB_OFFLINE="1")
    assert (again.returncode, again.stdout) == (0, done.stdout) and hub.log == []


# The client's own download leaves a list behind that keeps its load from the lock from working.
def test_after_the_clients_own_download(hub, client, kernmill, project):
    hub.add("acme/relu", files_of("relu"), "v1")
    folder = project("acme/relu")
    lock = folder / "kernels.lock"
    assert kernmill("lock", folder).returncode == 0
    client.python("import kernels\nkernels.get_kernel('acme/relu', version=1)")
    load = f"import kernels\nprint(kernels.load_kernel('acme/relu', lockfile={str(lock)!r}).NAME)"
    assert client.errors(load)[0].startswith("FileNotFoundError"), "else the list need not be removed"
    assert kernmill("get", "acme/relu", "--lock", lock).returncode == 0
    assert client.python(load, HF_HUB_OFFLINE="1").stdout.strip() == "relu"


# Where the client stops: a dependency on a branch. Its own load then finds it in the lock.
def test_a_dependency_on_a_branch(hub, client, kernmill, project):
    hub.add("acme/base", files_of("base"), "main")
    use = b"from kernels import get_kernel_dep\nBASE = get_kernel_dep('acme/base').NAME\n"
    depends = [{"repo-id": "acme/base", "revision": "main"}]
    hub.add("acme/top", files_of("top", depends=depends, **{"__init__.py": use}), "v1")
    folder = project("acme/top")
    lock = folder / "kernels.lock"
    assert client.kernels("lock", folder, check=False).returncode != 0
    assert kernmill("lock", folder).returncode == 0
    hub.add("acme/base", files_of("other"), "main")
    for words in (["acme/top"], ["acme/base", "--revision", "main"]):
        assert kernmill("get", *words, "--lock", lock).returncode == 0
    told = client.python(
        f"import kernels\nprint(kernels.load_kernel('acme/top', lockfile={str(lock)!r}).BASE)",
        HF_HUB_OFFLINE="1",
    )
    assert told.stdout.strip() == "base"


@pytest.mark.parametrize(
    ("name", "data", "large", "why"),
    [
        ("lib.so", b"other bytes, same commit", True, "another size"),
        ("layers.py", b"ANSWER = 13\n", False, "another digest"),
        ("layers.py", b"ANSWER = 42 # long\n", False, "another size"),
        ("more.py", b"import os\n", False, "not in the lock"),
        ("layers.py", None, False, "has it no more"),
    ],
)
def test_what_is_not_the_locks_is_refused(hub, client, kernmill, project, name, data, large, why):
    commit = hub.add("acme/relu", files_of("relu"), "v1").oid
    folder = project("acme/relu")
    lock = folder / "kernels.lock"
    assert kernmill("lock", folder).returncode == 0
    swap(hub, "acme/relu", commit, f"build/{CPU}/{name}", data, large)
    repo = client.cache / "kernels--acme--relu"
    for words in (["--variant", CPU], ["--all"], ["--all", "--output", folder / "copy"]):
        done = kernmill("get", "acme/relu", "--lock", lock, "--json", *words)
        assert done.returncode == 1, done.stdout + done.stderr
        (row,) = json.loads(done.stdout)["refused"]
        assert row["path"] == f"build/{CPU}/{name}" and why in row["message"]
        assert not (repo / "snapshots").exists() and not (repo / "refs").exists()
        assert not (folder / "copy").exists()
    text = kernmill("get", "acme/relu", "--lock", lock, "--variant", CPU)
    assert text.returncode == 1 and text.stdout == "" and f"build/{CPU}/{name}" in text.stderr
    assert kernmill("get", "acme/relu", "--lock", lock, "--variant", "torch-cuda").returncode == 0


# Same size, same list, one bit: the digest of the list itself is not met.
def test_a_wrong_byte_on_the_way(hub, client, kernmill, project):
    hub.add("acme/relu", files_of("relu"), "v1")
    folder = project("acme/relu")
    assert kernmill("lock", folder).returncode == 0
    library = files_of("relu")[f"build/{CPU}/lib.so"]
    hub.fault(WrongBytes(), path=hashlib.sha256(library).hexdigest(), times=10)
    done = kernmill("get", "acme/relu", "--lock", folder / "kernels.lock", "--variant", CPU)
    assert done.returncode == 4 and "lib.so" in done.stderr
    assert not (client.cache / "kernels--acme--relu/snapshots").exists()


# Without a network what is in the cache is read, not believed.
def test_offline_the_cache_is_held_against_the_lock(hub, client, kernmill, project):
    commit = hub.add("acme/relu", files_of("relu"), "v1").oid
    folder = project("acme/relu")
    lock = folder / "kernels.lock"
    assert kernmill("lock", folder).returncode == 0
    assert kernmill("get", "acme/relu", "--lock", lock, "--variant", CPU).returncode == 0
    words = ["get", "acme/relu", "--lock", lock, "--variant", CPU, "--json"]
    assert kernmill(*words, HF_HUB_OFFLINE="1").returncode == 0
    file = client.cache / f"kernels--acme--relu/snapshots/{commit}/build/{CPU}/layers.py"
    file.resolve().write_bytes(b"ANSWER = 13\n")
    done = kernmill(*words, HF_HUB_OFFLINE="1")
    assert done.returncode == 1 and {row["path"] for row in json.loads(done.stdout)["refused"]} == {str(file)}
    assert kernmill(*words).returncode == 0, "and with one it is fetched again"
    assert file.read_bytes() == b"ANSWER = 42\n"


def test_locks_that_do_not_serve(hub, client, kernmill, project):
    hub.add("acme/relu", files_of("relu"), "v1")
    folder = project("acme/relu")
    lock = folder / "kernels.lock"
    client.kernels("lock", folder)
    done = kernmill("get", "acme/relu", "--lock", lock)
    assert done.returncode == 5 and "kernmill lock" in done.stderr, "the client writes no digests"
    assert kernmill("lock", folder).returncode == 0
    done = kernmill("get", "acme/other", "--lock", lock)
    assert done.returncode == 5 and "acme/other" in done.stderr
    assert kernmill("get", "acme/relu", "--lock", lock, "--version", "2").returncode == 5
    assert kernmill("get", "acme/relu", "--lock", lock, "--version", "1", "--variant", CPU).returncode == 0
    hub.add("acme/relu", {"a.txt": b""}, "v1")
    client.kernels("lock", folder)
    done = kernmill("get", "acme/relu", "--lock", lock)
    assert done.returncode == 4 and "something else wrote" in done.stderr
    for text in ("", "{}", "[1]", '[{"dependency": {"repo-id": "a/b"}, "lock": {"commit": "x"}}]',
                 '[{"dependency": {"repo-id": "a/b", "version": 1}, "lock": {"commit": "main"}}]'):  # fmt: skip
        lock.write_text(text)
        assert kernmill("get", "acme/relu", "--lock", lock).returncode == 4, text
