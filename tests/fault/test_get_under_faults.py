"""kernmill get, killed before each of its calls that touch a file, and with each of them failing.

Afterwards the cache is in the old state or in the new one, no half file has a name that somebody would look under, and
a repeat without the fault completes: byte for byte what an undisturbed run leaves.
"""

import concurrent.futures
import errno
import hashlib
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess

import pytest
from clients import PROGRAM, Client
from fetching import layout
from server import Hub
from store import git_blob_id

FAULTY = PROGRAM.parent / "kernmill-net-fault"
LIBRARY = "build/v/_relu.abi3.so"
OLD = {"build/v/__init__.py": b"", "build/v/mod.py": b"old = 1\n", LIBRARY: random.Random(1).randbytes(3000)}
NEW = {
    **OLD,
    "build/v/mod.py": b"new = 2\n",
    LIBRARY: random.Random(2).randbytes(5000),
    "build/v/sub/more.py": b"3\n",
}
TO_CACHE = ("get", "acme/relu", "--variant", "v", "-q")


class Place:
    """A hub, and a cache before the run that is disturbed: of a version that has moved on since, or of nothing."""

    def __init__(self, folder: pathlib.Path, hub: Hub, old: bool):
        folder.mkdir()
        self.folder, self.hub = folder, hub
        self.client = Client(folder, hub.url)
        self.before = folder / "hf/hub"
        self.old = hub.add("acme/relu", OLD, "v1").oid if old else None
        if old:
            self.client.kernmill(*TO_CACHE)
            self.before = self.before.rename(folder / "before")
        else:
            self.before = folder / "before"
            self.before.mkdir()
        self.new = hub.add("acme/relu", NEW, "v1").oid
        self.log, after = folder / "log", self.copy("after")
        done = self.run(after, *TO_CACHE, KERNMILL_FAULT_LOG=str(self.log))
        assert done.returncode == 0, done.stderr
        assert self.check(after) == "new"
        self.after = self.state(after)

    def copy(self, name) -> pathlib.Path:
        return pathlib.Path(shutil.copytree(self.before, self.folder / f"cache-{name}", symlinks=True))

    def run(self, cache: pathlib.Path, *words, program=FAULTY, **environment) -> subprocess.CompletedProcess:
        return self.client.run(program, *words, check=False, HF_HUB_CACHE=str(cache), **environment)

    @staticmethod
    def state(cache: pathlib.Path) -> dict:
        """All that has a name somebody looks under."""
        found = layout(cache, "blobs", "snapshots", "refs")
        return {name: what for name, what in found.items() if ".kernmill." not in name}

    def check(self, cache: pathlib.Path) -> str:
        """ "old" or "new"; every name that is there has all of its bytes, whichever it is."""
        repo = cache / "kernels--acme--relu"
        for blob in repo.glob("blobs/*"):
            if ".kernmill." not in blob.name:
                data = blob.read_bytes()
                assert blob.name in (git_blob_id(data), hashlib.sha256(data).hexdigest())
        commits = {self.old: OLD, self.new: NEW}
        for link in (path for path in repo.glob("snapshots/**/*") if not path.is_dir()):
            commit, name = str(link.relative_to(repo / "snapshots")).split("/", 1)
            assert link.read_bytes() == commits[commit][name]
        refs = {path.name: path.read_text() for path in repo.glob("refs/*")}
        now = refs.pop("v1", None)
        assert refs == {} and now in (self.old, self.new)
        for commit in {self.old, now} - {None}:
            for name, content in commits[commit].items():
                assert (repo / "snapshots" / commit / name).read_bytes() == content
        if (repo / "snapshots" / self.new / "build/v/__init__.py").exists():  # it could be imported
            assert all((repo / "snapshots" / self.new / name).exists() for name in NEW)
        return "new" if now == self.new else "old"

    def repeat(self, cache: pathlib.Path) -> None:
        done = self.run(cache, *TO_CACHE, program=PROGRAM)
        assert done.returncode == 0, done.stderr
        assert self.state(cache) == self.after
        shutil.rmtree(cache)

    def calls(self) -> list[str]:
        return [line.split()[1] for line in self.log.read_text().splitlines()]


@pytest.fixture(scope="module", params=[True, False], ids=["an-older-version", "nothing"])
def place(request, tmp_path_factory):
    assert FAULTY.exists(), f"{FAULTY} is not built"
    folder = tmp_path_factory.mktemp("faults")
    with Hub(folder / "hub") as hub:
        yield Place(folder / "place", hub, request.param)
        assert hub.broken == []


def every(count: int, work) -> list:
    """work(1) to work(count), two at a time."""
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(work, range(1, count + 1)))


# The list of calls is what the two tests below stand on: it must hold what changes the disk.
def test_what_can_be_failed(place):
    calls = place.calls()
    assert {"open", "write", "fsync", "rename", "symlink", "mkdir"} <= set(calls)
    assert len(calls) > 40


def test_killed_before_every_call(place):
    def killed_before(n: int) -> str:
        cache = place.copy(f"kill-{n}")
        done = place.run(cache, *TO_CACHE, KERNMILL_FAULT_KILL=str(n))
        state = place.check(cache)
        place.repeat(cache)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return state if done.returncode else "done"

    count = len(place.calls())
    found = every(count + 3, killed_before)
    assert (
        found[-1] == "done" and found.count("done") < 8
    )  # how the answers come in decides some of the calls
    assert set(found) == {"old", "done"}  # the last call of all is the one that makes it the new state


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_every_call_fails(code, place):
    def failing(n: int) -> tuple[int, str]:
        cache, log = place.copy(f"fail-{code}-{n}"), place.folder / f"log-{code}-{n}"
        done = place.run(
            cache,
            *TO_CACHE,
            KERNMILL_FAULT_FAIL=str(n),
            KERNMILL_FAULT_ERRNO=str(code),
            KERNMILL_FAULT_LOG=str(log),
        )
        calls = [line.split(" ", 2) for line in log.read_text().splitlines()]
        call = calls[n - 1][1] if n <= len(calls) else "none"
        state = place.check(cache)
        if done.returncode == 0:
            assert state == "new" and place.state(cache) == place.after
        else:
            assert done.returncode == 5, (call, done.stderr)
            assert re.search(rf"'/[^']+'.*: {os.strerror(code)}\n", done.stderr), (call, done.stderr)
        place.repeat(cache)
        return done.returncode, call

    found = every(len(place.calls()), failing)
    for call in ("write", "fsync", "rename", "symlink", "mkdir"):
        assert {status for status, name in found if name == call} == {5}, call


# What is handed out as a folder of its own is there whole, or not at all.
def test_a_folder_is_whole_or_absent(place):
    words = ("get", "acme/relu", "--variant", "v", "-q", "--output")
    whole = {name.removeprefix("build/v/"): content for name, content in NEW.items()}

    def content(folder: pathlib.Path) -> dict:
        return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}

    def broken(n: int, fault: str, cache: pathlib.Path) -> int:
        home = place.folder / f"out-{fault}-{n}"
        home.mkdir()
        log = home.with_suffix(".log")
        done = place.run(
            cache, *words, home / "out", **{f"KERNMILL_FAULT_{fault}": str(n)}, KERNMILL_FAULT_LOG=str(log)
        )
        assert done.returncode in (0, 5, -signal.SIGKILL), done.stderr
        if done.returncode:
            assert not (home / "out").exists()
            if fault == "FAIL":
                assert "'/" in done.stderr and os.strerror(errno.ENOSPC) in done.stderr
                call = log.read_text().splitlines()[n - 1].split()[1]
                assert call in ("unlinkat", "openat") or list(home.iterdir()) == []
            assert place.run(cache, *words, home / "out", program=PROGRAM).returncode == 0
        assert content(home / "out") == whole
        return done.returncode

    cache, log = place.copy("output"), place.folder / "log-output"
    place.run(cache, *TO_CACHE)
    assert place.run(cache, *words, place.folder / "plain", KERNMILL_FAULT_LOG=str(log)).returncode == 0
    count = len(log.read_text().splitlines())
    assert -signal.SIGKILL in every(count, lambda n: broken(n, "KILL", cache))
    assert 5 in every(count, lambda n: broken(n, "FAIL", cache))


# A kernel may take or give fewer bytes than it was asked to.
def test_short_reads_and_writes(place):
    cache = place.copy("short")
    done = place.run(cache, *TO_CACHE, KERNMILL_FAULT_SHORT="7")
    assert done.returncode == 0, done.stderr
    assert place.state(cache) == place.after and place.check(cache) == "new"
