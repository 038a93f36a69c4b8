"""kernmill get against a small hub: what is in the cache afterwards, and that nothing is when something is wrong."""

import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time
import urllib.parse

import pytest
import torch
from faulty_server import BUILD, CANARY, Reply
from small_hub import SmallHub, git_id

VARIANT = "torch-stable-abi210-cu126-x86_64-linux"
LIBRARY = f"build/{VARIANT}/_relu.abi3.so"
CONTENT = random.Random(3).randbytes(200_000)
FILES = {
    "README.md": b"# relu\n",
    "build/torch-cpu/__init__.py": b"",
    "build/torch-cpu/ops.py": b"cpu = True\n",
    f"build/{VARIANT}/__init__.py": b"",
    f"build/{VARIANT}/metadata.json": b"{}",
    f"build/{VARIANT}/sub folder/\u00e9 a+b#%.py": b"x = 1\n",
    f"build/{VARIANT}/__pycache__/x.pyc": b"stale",
    LIBRARY: CONTENT,
}
WANTED = sorted(p for p in FILES if p.startswith(f"build/{VARIANT}/") and not p.endswith(".pyc"))


@pytest.fixture
def hub(server, stranger):
    return SmallHub(server, stranger, dict(FILES))


@pytest.fixture
def cache(tmp_path) -> pathlib.Path:
    return tmp_path / "hf" / "hub"


def layout(cache: pathlib.Path, *parts: str) -> dict[str, bytes | str]:
    """Every file by its content, every link by where it points, of these folders of the repository."""
    found = {}
    for part in parts:
        for path in sorted((cache / "kernels--acme--relu" / part).rglob("*")):
            name = str(path.relative_to(cache))
            if path.is_symlink():
                found[name] = str(path.readlink())
            elif path.is_file():
                found[name] = path.read_bytes()
    return found


def visible(cache: pathlib.Path) -> list[str]:
    return [p for p in layout(cache, "blobs", "snapshots", "refs") if not p.endswith(".kernmill.incomplete")]


def test_a_variant_comes_into_the_cache(kernmill, hub, cache):
    done = kernmill("get", "acme/relu", "--version", "2", "--variant", VARIANT, "--json")
    assert done.code == 0, done.err
    assert done.json | {"path": ""} == {
        "schema": 1, "repository": "acme/relu", "revision": "v2", "commit": hub.commit, "variant": VARIANT,
        "path": "", "files": len(WANTED), "bytes": sum(len(FILES[p]) for p in WANTED),
        "downloaded_bytes": sum(len(FILES[p]) for p in WANTED),
    }  # fmt: skip
    snapshot = cache / "kernels--acme--relu/snapshots" / hub.commit
    assert done.json["path"] == str(snapshot / "build" / VARIANT)
    assert sorted(str(p.relative_to(snapshot)) for p in snapshot.rglob("*") if p.is_file()) == WANTED
    assert all((snapshot / p).read_bytes() == FILES[p] for p in WANTED)
    assert (cache / "kernels--acme--relu/refs/v2").read_text() == hub.commit
    assert {r.headers.get("Authorization") for r in hub.server.requests} == {f"Bearer {CANARY}"}
    assert {r.headers.get("Authorization") for r in hub.store.requests} == {None}
    assert [p for p in cache.rglob("*") if p.is_file() and CANARY.encode() in p.read_bytes()] == []


PYTHON = {"KERNMILL_PYTHON": sys.executable}  # whose torch it is for


# What torch here is for decides, and nothing of another variant is downloaded but what it says of itself.
def test_the_variant_for_this_machine_comes_alone(kernmill, hub, cache):
    done = kernmill("get", "acme/relu", "--json", **PYTHON)
    assert done.code == 0, done.err
    want = VARIANT if torch.version.cuda else "torch-cpu"
    assert done.json["variant"] == want and done.json["path"].endswith(f"/build/{want}")
    here = {p for p in FILES if p.startswith(f"build/{want}/") and not p.endswith(".pyc")}
    asked = {
        urllib.parse.unquote(p.split("/resolve/")[1].split("/", 1)[1])
        for p in hub.server.paths()
        if "/resolve/" in p
    }
    assert asked - {f"build/{VARIANT}/metadata.json"} <= here
    offline = kernmill("get", "acme/relu", HF_HUB_OFFLINE="1", **PYTHON)
    assert offline.out.strip() == done.json["path"]


def test_no_variant_for_this_machine(kernmill, server, stranger, cache):
    SmallHub(server, stranger, {"build/torch-xpu/__init__.py": b"", "build/torch-rocm/__init__.py": b""})
    done = kernmill("get", "acme/relu", **PYTHON)
    assert done.code == 5 and "no variant is for this machine (linux x86_64, " in done.err
    assert (
        "name one with --variant; or get --all" in done.err
        and not (cache / "kernels--acme--relu/snapshots").exists()
    )


def test_a_build_without_variants(kernmill, server, stranger):
    SmallHub(server, stranger, {"build/notes.txt": b"later\n"})
    done = kernmill("get", "acme/relu", **PYTHON)
    assert done.code == 5 and "no folder in build/: it has no variants" in done.err


# A branch may move while its files come.
def test_files_are_asked_for_by_the_commit(kernmill, hub):
    assert kernmill("get", "acme/relu", "--all").code == 0
    asked = [p for p in hub.server.paths() if "/resolve/" in p or "/tree/" in p]
    assert asked and all(hub.commit in p for p in asked)


def test_a_second_run_downloads_nothing(kernmill, hub):
    first = kernmill("get", "acme/relu", "--all", "--json").json
    before = len(hub.asked())
    second = kernmill("get", "acme/relu", "--all", "--json").json
    assert second == first | {"downloaded_bytes": 0} and first["revision"] == "v2"
    assert [p for p in hub.asked()[before:] if "/resolve/" in p] == []
    for words in ((), ("--version", "2"), ("--revision", hub.commit)):
        assert kernmill("get", "acme/relu", "--all", *words, HF_HUB_OFFLINE="1").out.strip() == first["path"]


def test_offline_asks_nothing(kernmill, hub):
    done = kernmill("get", "acme/relu", "--version", "2", HF_HUB_OFFLINE="1")
    assert done.code == 5 and "not in the cache" in done.err and hub.asked() == []


def test_a_folder(kernmill, hub, tmp_path):
    done = kernmill("get", "acme/relu", "--variant", VARIANT, "--output", f"{tmp_path}/out//")
    assert done.code == 0 and done.out.strip() == str(tmp_path / "out")
    got = {
        str(p.relative_to(tmp_path / "out")): p.read_bytes()
        for p in (tmp_path / "out").rglob("*")
        if p.is_file()
    }
    assert got == {p.removeprefix(f"build/{VARIANT}/"): FILES[p] for p in WANTED}
    assert kernmill("get", "acme/relu", "--all", "--output", tmp_path / "out").code == 2


MISTAKES = [
    (["relu"], 2, "no name of a repository"),
    (["acme/../x"], 2, "no name of a repository"),
    (["acme/relu", "--version", "1", "--revision", "v1"], 2, "twice"),
    (["acme/relu", "--variant", "../x"], 2, "no name of a variant"),
    (["acme/relu", "--variant", "torch-cpu", "--all"], 2, "--variant names one, --all means all"),
    (["acme/relu", "--revision", "../x"], 4, "no name of a revision"),
    (["acme/other"], 5, "no such repository"),
    (["acme/relu", "--version", "7"], 5, "its branches are: main, v1, v2"),
    (["acme/relu", "--variant", "torch-rocm"], 5, f"its variants are: torch-cpu, {VARIANT}"),
]


@pytest.mark.parametrize(("words", "code", "text"), MISTAKES, ids=lambda v: str(v)[:40])
def test_what_is_not_there_is_said_with_what_is(words, code, text, kernmill, hub, cache):
    done = kernmill("get", *words)
    assert done.code == code and text in done.err
    assert not cache.exists()


# ---- faults ----


def flip(reply: Reply) -> None:
    reply.body = reply.body[:-1] + bytes([reply.body[-1] ^ 1])


def grow(reply: Reply) -> None:
    reply.body += b"more"


def shrink(reply: Reply) -> None:
    reply.body = reply.body[:-1]


@pytest.mark.parametrize("fault", [flip, grow, shrink, lambda r: Reply(403), lambda r: Reply(200, b"<html>")])
@pytest.mark.parametrize("name", [LIBRARY, f"build/{VARIANT}/metadata.json"])
def test_a_wrong_file_shows_up_nowhere(fault, name, kernmill, hub, cache, tmp_path):
    hub.faults[name] = fault
    done = kernmill("get", "acme/relu", "--variant", VARIANT)
    assert done.code in (3, 4, 5), done.err
    assert layout(cache, "snapshots", "refs") == {}
    bad = {git_id(FILES[name])} | {
        e["lfs"]["oid"] for e in hub.listing("", True) if "lfs" in e and e["path"] == name
    }
    assert not bad & {pathlib.Path(p).name for p in visible(cache)}
    done = kernmill("get", "acme/relu", "--variant", VARIANT, "--output", tmp_path / "out")
    assert done.code in (3, 4, 5) and not list(tmp_path.glob("out*"))
    hub.faults.clear()
    assert kernmill("get", "acme/relu", "--variant", VARIANT).code == 0


HOSTILE = ["../../x", "/etc/x", "build/../../../x", "build/v/../../x", "build/v/\\..\\x", "build/v/a\x00b", "build/v/",
           "build//x", "build/v/.git/hooks/x", "build/v/" + "x" * 256, "other/x", "build"]  # fmt: skip


@pytest.mark.parametrize("path", HOSTILE)
def test_a_hostile_name_is_refused(path, kernmill, hub, cache, tmp_path):
    hub.entries = [hub.entry(LIBRARY, CONTENT), hub.entry(path, b"x")]
    before = sorted(tmp_path.rglob("*"))
    done = kernmill("get", "acme/relu", "--all", "--output", tmp_path / "out")
    assert done.code == 4, done.err
    assert sorted(tmp_path.rglob("*")) == before


# Whatever byte the process is killed at: nothing is visible, and the next run goes on.
def test_a_killed_download_is_gone_on_with(kernmill, hub, cache, environment, tmp_path):
    def slow(reply):
        reply.body, reply.length, reply.pause = reply.body[:150_000], len(reply.body), 0
        reply.cut = 150_000
        return reply

    hub.faults[LIBRARY] = slow
    digest = hashlib.sha256(CONTENT).hexdigest()
    places = {"HF_ENDPOINT": hub.server.url, "HF_HOME": str(tmp_path / "hf")}
    process = subprocess.Popen(
        [BUILD / "bin/kernmill", "get", "acme/relu", "--variant", VARIANT, "-q"],
        env={**environment, **places}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not any(
        p.stat().st_size for p in cache.glob(f"kernels--acme--relu/blobs/{digest}.kernmill.incomplete")
    ):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert layout(cache, "snapshots", "refs") == {}
    hub.faults.clear()
    before = len(hub.store.requests)
    assert kernmill("get", "acme/relu", "--variant", VARIANT).code == 0
    assert hub.store.requests[before].headers["Range"].startswith("bytes=")
    assert [p for p in layout(cache, "blobs") if "kernmill" in p] == []


# An earlier half of something else must not spoil the file for ever.
def test_a_spoiled_half_is_thrown_away(kernmill, hub, cache):
    assert kernmill("get", "acme/relu", "--variant", VARIANT).code == 0
    (link,) = cache.glob(f"kernels--acme--relu/snapshots/*/{LIBRARY}")
    blob = link.resolve()
    blob.rename(f"{blob}.kernmill.incomplete")
    os.truncate(f"{blob}.kernmill.incomplete", 1000)
    pathlib.Path(f"{blob}.kernmill.incomplete").write_bytes(b"y" * 1000)
    assert kernmill("get", "acme/relu", "--variant", VARIANT).code == 0
    assert link.read_bytes() == CONTENT


def test_two_at_once_share_the_work(kernmill, hub, environment, tmp_path, cache):
    hub.faults = {p: lambda r: setattr(r, "pause", 0.3) for p in FILES}
    places = {"HF_ENDPOINT": hub.server.url, "HF_HOME": str(tmp_path / "hf")}
    command = [BUILD / "bin/kernmill", "get", "acme/relu", "--all", "-q"]
    processes = [
        subprocess.Popen(command, env={**environment, **places}, stdout=subprocess.PIPE) for _ in range(3)
    ]
    assert [p.communicate()[0] and p.returncode for p in processes] == [0, 0, 0]
    fetched = [p for p in hub.server.paths("GET") if "/resolve/" in p and not p.endswith("__init__.py")]
    assert len(fetched) == len(set(fetched)), "a file was downloaded twice"


# ---- the real client on the same hub and the same cache ----

SNAPSHOT = """
import sys, huggingface_hub
print(huggingface_hub.snapshot_download("acme/relu", repo_type="kernel", revision="v2",
      allow_patterns=[sys.argv[1]], ignore_patterns=["*.pyc"], local_files_only=len(sys.argv) > 2))
"""


@pytest.fixture
def python_client(run, server, tmp_path):
    pytest.importorskip("huggingface_hub")

    def start(home, *words):
        env = {"HF_ENDPOINT": server.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1",
               "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}  # fmt: skip
        done = run(sys.executable, "-c", SNAPSHOT, f"build/{VARIANT}/*", *words, **env)
        assert done.code == 0, done.err
        return pathlib.Path(done.out.strip())

    return start


# blobs, snapshots and refs, byte by byte and link by link.
def test_the_cache_is_the_one_that_the_python_client_writes(kernmill, hub, python_client, cache, tmp_path):
    assert kernmill("get", "acme/relu", "--variant", VARIANT).code == 0
    python_client(tmp_path / "python")
    parts = ("blobs", "snapshots", "refs")
    assert layout(cache, *parts) == layout(tmp_path / "python/hub", *parts)
    locks = ".locks/kernels--acme--relu"
    ours = {p.name: p.stat().st_mode & 0o777 for p in (cache / locks).iterdir()}
    assert ours == {p.name: p.stat().st_mode & 0o777 for p in (tmp_path / "python/hub" / locks).iterdir()}


def test_each_reads_what_the_other_wrote(kernmill, hub, python_client, tmp_path):
    ours = kernmill("get", "acme/relu", "--version", "2", "--variant", VARIANT).out.strip()
    before = len(hub.asked())
    assert str(python_client(tmp_path / "hf", "offline") / "build" / VARIANT) == ours
    assert len(hub.asked()) == before
    python_client(tmp_path / "other")
    before = len(hub.asked())
    done = kernmill("get", "acme/relu", "--variant", VARIANT, "--json", HF_HOME=str(tmp_path / "other"))
    assert done.json["downloaded_bytes"] == 0


METADATA = {"name": "relu", "id": "_relu_1234", "version": 2, "license": "apache-2.0", "python-depends": [],
            "backend": {"type": "cpu"}}  # fmt: skip
LOAD = """
import kernels
kernel = kernels.get_kernel("acme/relu", version=2)
print(kernel.answer(), kernel.__file__)
"""


# What that client's own download does not leave behind: a version that is found without a network.
def test_kernels_loads_it_offline(kernmill, run, hub, tmp_path):
    pytest.importorskip("kernels")
    hub.files = {
        "README.md": b"# relu",
        "build/torch-cpu/__init__.py": b"def answer():\n    return 42\n",
        "build/torch-cpu/metadata.json": json.dumps(METADATA).encode(),
        "build/torch-cuda/__init__.py": b"",
        "build/torch-cuda/metadata.json": json.dumps(METADATA).encode(),
    }
    path = kernmill("get", "acme/relu", "--variant", "torch-cpu").out.strip()
    before = len(hub.asked())
    places = {"HF_ENDPOINT": hub.server.url, "HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1"}
    done = run(sys.executable, "-c", LOAD, **places)
    assert done.out.split() == ["42", f"{path}/__init__.py"], done.err
    assert len(hub.asked()) == before
