"""kernmill get on the test hub: what is in the cache afterwards, and that the real clients read it and would have
written the same. What goes wrong is test_get_faults.py's."""

import json
import pathlib
import urllib.parse

import pytest
import torch
from fetching import FILES, VARIANT, WANTED, Getter, layout
from server import WRITER


@pytest.fixture
def get(client) -> Getter:
    return Getter(client)


@pytest.fixture
def commit(hub) -> str:
    """acme/relu, whose newest version is v2; a list of its files takes several pages."""
    hub.page_items = 3
    hub.add("acme/relu", {"build/torch-old/__init__.py": b"old"}, "v1")
    return hub.add("acme/relu", FILES, "v2").oid


def test_a_variant_comes_into_the_cache(hub, commit, get):
    done = get.json("--version", "2", "--variant", VARIANT)
    assert done | {"path": ""} == {
        "schema": 1, "repository": "acme/relu", "revision": "v2", "commit": commit, "variant": VARIANT,
        "path": "", "files": len(WANTED), "bytes": sum(len(FILES[p]) for p in WANTED),
        "downloaded_bytes": sum(len(FILES[p]) for p in WANTED),
    }  # fmt: skip
    snapshot = get.cache / "kernels--acme--relu/snapshots" / commit
    assert done["path"] == str(snapshot / "build" / VARIANT)
    assert sorted(str(p.relative_to(snapshot)) for p in snapshot.rglob("*") if p.is_file()) == WANTED
    assert all((snapshot / p).read_bytes() == FILES[p] for p in WANTED)
    assert (get.cache / "kernels--acme--relu/refs/v2").read_text() == commit
    assert {entry.token for entry in hub.seen(origin="hub")} == {f"Bearer {WRITER}"}
    assert {entry.token for entry in hub.seen(origin="objects")} == {None}
    assert [p for p in get.cache.rglob("*") if p.is_file() and WRITER.encode() in p.read_bytes()] == []


# What torch here is for decides, and nothing of another variant is downloaded but what it says of itself.
def test_the_variant_for_this_machine_comes_alone(hub, commit, get):
    done = get.json()
    want = VARIANT if torch.version.cuda else "torch-cpu"
    assert done["variant"] == want and done["path"].endswith(f"/build/{want}")
    here = {p for p in FILES if p.startswith(f"build/{want}/") and not p.endswith(".pyc")}
    asked = {
        urllib.parse.unquote(entry.target.split("/resolve/")[1].split("/", 1)[1])
        for entry in hub.seen(path="/resolve/")
    }
    assert asked - {f"build/{VARIANT}/metadata.json"} <= here
    assert get(HF_HUB_OFFLINE="1").stdout.strip() == done["path"]


def test_no_variant_for_this_machine(hub, get):
    hub.add("acme/relu", {"build/torch-xpu/__init__.py": b"", "build/torch-rocm/__init__.py": b""})
    said = get(code=1).stderr
    assert "no variant is for this machine (linux x86_64, " in said
    assert "name one with --variant; or get --all" in said
    assert not (get.cache / "kernels--acme--relu/snapshots").exists()


def test_a_build_without_variants(hub, get):
    hub.add("acme/relu", {"build/notes.txt": b"later\n"})
    assert "no folder in build/: it has no variants" in get(code=5).stderr


# A branch may move while its files come.
def test_files_are_asked_for_by_the_commit(hub, commit, get):
    get("--all")
    asked = hub.seen(path="/resolve/|/tree/")
    assert asked and all(commit in entry.target for entry in asked)


def test_a_second_run_downloads_nothing(hub, commit, get):
    first = get.json("--all")
    before = len(hub.log)
    second = get.json("--all")
    assert second == first | {"downloaded_bytes": 0} and first["revision"] == "v2"
    assert [e for e in hub.log[before:] if "/resolve/" in e.target or e.origin != "hub"] == []
    for words in ((), ("--version", "2"), ("--revision", commit)):
        assert get("--all", *words, HF_HUB_OFFLINE="1").stdout.strip() == first["path"]


def test_offline_asks_nothing(hub, commit, get):
    said = get("--version", "2", code=5, HF_HUB_OFFLINE="1").stderr
    assert "not in the cache" in said and hub.log == []


def test_a_folder(commit, get, tmp_path):
    done = get("--variant", VARIANT, "--output", f"{tmp_path}/out//")
    assert done.stdout.strip() == str(tmp_path / "out")
    got = {
        str(p.relative_to(tmp_path / "out")): p.read_bytes()
        for p in (tmp_path / "out").rglob("*")
        if p.is_file()
    }
    assert got == {p.removeprefix(f"build/{VARIANT}/"): FILES[p] for p in WANTED}
    get("--all", "--output", tmp_path / "out", code=2)


MISTAKES = [
    (["relu"], 2, "no name of a repository"),
    (["acme/../x"], 2, "no name of a repository"),
    (["acme/relu", "--version", "1", "--revision", "v1"], 2, "twice"),
    (["acme/relu", "--variant", "../x"], 2, "no name of a variant"),
    (["acme/relu", "--variant", "torch-cpu", "--all"], 2, "--variant names one, --all means all"),
    (["acme/relu", "--revision", "../x"], 4, "no name of a revision"),
    (["acme/other"], 5, "Repository not found"),
    (["acme/relu", "--version", "7"], 5, "its branches are: main, v1, v2"),
    (["acme/relu", "--variant", "torch-rocm"], 5, f"its variants are: torch-cpu, {VARIANT}"),
]


@pytest.mark.parametrize(("words", "code", "text"), MISTAKES, ids=lambda v: str(v)[:40])
def test_what_is_not_there_is_said_with_what_is(words, code, text, commit, client, get):
    done = client.kernmill("get", *words, check=False)
    assert done.returncode == code and text in done.stderr
    assert not get.cache.exists()


# ---- the real clients on the same hub and the same cache ----

SNAPSHOT = f"""
print(snapshot_download("acme/relu", repo_type="kernel", revision="v2", allow_patterns=["build/{VARIANT}/*"],
                        ignore_patterns=["*.pyc"], local_files_only=OFFLINE))
"""


def snapshot(client, offline: bool = False) -> pathlib.Path:
    told = client.python(f"OFFLINE = {offline}\n{SNAPSHOT}", HF_HUB_DISABLE_XET="1")
    return pathlib.Path(told.stdout.strip())


# blobs, snapshots and refs, byte by byte and link by link.
def test_the_cache_is_the_one_that_the_python_client_writes(hub, commit, get, client_of):
    get("--variant", VARIANT)
    other = client_of(hub.url)
    snapshot(other)
    parts = ("blobs", "snapshots", "refs")
    assert layout(get.cache, *parts) == layout(other.cache, *parts)
    locks = ".locks/kernels--acme--relu"
    ours = {p.name: p.stat().st_mode & 0o777 for p in (get.cache / locks).iterdir()}
    assert ours == {p.name: p.stat().st_mode & 0o777 for p in (other.cache / locks).iterdir()}


def test_each_reads_what_the_other_wrote(hub, commit, client, get, client_of):
    ours = get("--version", "2", "--variant", VARIANT).stdout.strip()
    before = len(hub.log)
    assert str(snapshot(client, offline=True) / "build" / VARIANT) == ours
    assert [e.target for e in hub.log[before:] if e.target != "/api/agent-harnesses"] == []
    other = client_of(hub.url)
    snapshot(other)
    assert Getter(other).json("--variant", VARIANT)["downloaded_bytes"] == 0


METADATA = {"name": "relu", "id": "_relu_1234", "version": 2, "license": "apache-2.0", "python-depends": [],
            "backend": {"type": "cpu"}}  # fmt: skip
LOAD = """
import kernels
kernel = kernels.get_kernel("acme/relu", version=2)
print(kernel.answer(), kernel.__file__)
"""


# What that client's own download does not leave behind: a version that is found without a network.
def test_kernels_loads_it_offline(hub, client, get):
    answer = {
        "README.md": b"# relu",
        "build/torch-cpu/__init__.py": b"def answer():\n    return 42\n",
        "build/torch-cpu/metadata.json": json.dumps(METADATA).encode(),
        "build/torch-cuda/__init__.py": b"",
        "build/torch-cuda/metadata.json": json.dumps(METADATA).encode(),
    }
    hub.add("acme/relu", answer, "v2")
    path = get("--variant", "torch-cpu").stdout.strip()
    before = len(hub.log)
    told = client.python(LOAD, HF_HUB_OFFLINE="1")
    assert told.stdout.split() == ["42", f"{path}/__init__.py"]
    assert [entry.target for entry in hub.log[before:]] == []
