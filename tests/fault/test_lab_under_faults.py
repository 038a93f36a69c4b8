"""kernmill lab, with SQLite and git, killed before each call that changes the disk, and with each of them failing.

Afterwards the store is in the old state or in the new one and its history whole, git has every commit that the store
names, and the same command once more leaves what an undisturbed one does. KERNMILL_SOAK=1 tries every call; without it,
one of some.
"""

import errno
import os
import pathlib
import shutil
import signal
import sqlite3
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
from preloaded import build_preload
from tree_lab import TreeLab

STRIDE = 1 if os.environ.get("KERNMILL_SOAK") else 11


preload = pytest.fixture(scope="module")(build_preload)


class Step:
    """A lab just before one command; each attempt begins there again, in the same folder."""

    def __init__(self, folder: pathlib.Path, name: str, preload: str):
        (folder / "lab").mkdir()
        self.lab, self.kept, self.log = TreeLab(folder / "lab"), folder / "kept", folder / "log"
        self.count, self.preload = folder / "count", preload
        self.words, self.given = getattr(self, name)()
        shutil.copytree(self.lab.folder, self.kept, symlinks=True)
        self.before = self.state()
        code, _, err = self.attempt()
        assert code == 0, err
        self.after, self.calls = (
            self.state(),
            [line.split(" ", 3)[1:] for line in self.log.read_text().splitlines()],
        )
        # a claim whose tree cannot be made gives the job back
        given_back = [
            [("queued", 0)],
            [("work", "queued", 1)],
            *self.before[2:5],
            [(1, "failed")],
            self.before[6],
        ]
        self.sound = [self.before, self.after, *([given_back] if name == "claim" else [])]
        assert self.after != self.before

    def claim(self):
        self.number = self.lab.say("propose", given={"key": "a", "title": "a"})[1]["hypothesis"]
        self.lab.say("review", self.number, given={"verdict": "approve", "reviewer": "test"})
        self.lab.say("plan", self.number, given={})
        return ("claim", "--worker", "test"), None

    def work(self):
        job = self.lab.say(*self.claim()[0])[1]
        self.lab.level(9.0)(pathlib.Path(job["workspace"]))
        return ("submit", job["job"], "--token", job["token"]), {"note": "n" * 5000}

    def result(self):
        words, given = self.work()
        self.lab.say(*words, given=given)
        job = self.lab.say("claim", "--worker", "test")[1]
        return ("submit", job["job"], "--token", job["token"]), self.lab.say("evaluate", given=job)[1]

    def promote(self):
        words, given = self.result()
        self.lab.say(*words, given=given)
        return ("promote", self.number), None

    def attempt(self, **fault):
        """The command from the start, with that fault."""
        shutil.rmtree(self.lab.folder)
        shutil.copytree(self.kept, self.lab.folder, symlinks=True)
        self.count.write_bytes(bytes(8))
        self.log.unlink(missing_ok=True)
        fault = {f"KERNMILL_FAULT_{name}": str(value) for name, value in fault.items()}
        shim = {
            "LD_PRELOAD": self.preload,
            "KERNMILL_FAULT_COUNT": self.count,
            "KERNMILL_FAULT_LOG": self.log,
        }
        return self.lab.say(*self.words, given=self.given, env={**os.environ, **shim, **fault})

    def state(self):
        """What the store says, and what git has of it; both must be sound."""
        code, _, err = self.lab.say("report")
        assert code == 0, err
        fsck = self.lab.git("fsck", "--connectivity-only", "--no-dangling", check=False)
        assert "missing" not in fsck and "broken" not in fsck, fsck
        store = sqlite3.connect(self.lab.folder / ".lab/lab.db")
        ask = lambda query: store.execute(query).fetchall()  # noqa: E731
        for (commit,) in ask("SELECT commit_id FROM hypotheses WHERE commit_id <> ''"):
            assert self.lab.git("cat-file", "-t", commit) == "commit"
        for (commit,) in ask("SELECT commit_id FROM champions"):
            assert self.lab.git("for-each-ref", "--contains", commit), "git may collect it"
        found = [ask(query) for query in (
            "SELECT state, commit_id <> '' FROM hypotheses", "SELECT kind, state, token FROM jobs", "SELECT hypothesis FROM champions",
            "SELECT verdict FROM decisions", "SELECT job FROM results", "SELECT job, how FROM leases", "SELECT count(*) FROM runs")]  # fmt: skip
        store.close()
        return found

    def settled(self):
        """The same command a minute later, as its user would say it, and all that follows from it."""
        for lock in self.lab.folder.glob(".git/**/*.lock"):
            os.utime(lock, (0, 0))
        if self.words[0] == "claim":
            self.claimed_again()
            return
        code, _, err = self.lab.say(*self.words, given=self.given)
        if "remove the file manually" in err:  # a lock of the user's own branch, or index
            for lock in self.lab.folder.glob(".git/**/*.lock"):
                lock.unlink()
            code, _, err = self.lab.say(*self.words, given=self.given)
        assert code == 0 and err == "", err
        assert self.state() == self.after
        if self.words[0] == "promote":
            assert "LEVEL = 9.0" in self.lab.git("show", "main:train.py")
            assert self.lab.git("rev-parse", "main") == self.lab.git("rev-parse", "refs/lab/champion")
            assert self.lab.git("status", "--porcelain", "--untracked-files=no") == ""
        else:
            assert "LEVEL = 9.0" in self.lab.git("show", f"refs/lab/{self.number}:train.py")

    def claimed_again(self):
        """A lease that nobody was told of runs out; its tree goes, and the next worker gets one."""
        store = sqlite3.connect(self.lab.folder / ".lab/lab.db")
        with store:
            store.execute("UPDATE jobs SET lease_until_ms = 0 WHERE state = 'leased'")
        store.close()
        code, job, err = self.lab.say(*self.words)
        assert code == 0, err
        self.lab.level(9.0)(pathlib.Path(job["workspace"]))
        assert self.lab.say("submit", job["job"], "--token", job["token"], given={})[0] == 0
        code, _, err = self.lab.say("sweep")
        assert code == 0, err
        assert list((self.lab.folder / ".lab/worktrees").iterdir()) == []
        self.lab.git("fsck", "--connectivity-only", "--no-dangling")
        assert self.state()[0] == [("evaluating", 1)]
        assert "LEVEL = 9.0" in self.lab.git("show", f"refs/lab/{self.number}:train.py")


STEPS = ["claim", "work", "result", "promote"]


@pytest.fixture(scope="module", params=STEPS)
def step(request, tmp_path_factory, preload):
    return Step(tmp_path_factory.mktemp(request.param), request.param, preload)


# The list of calls is what the tests below stand on.
def test_what_can_be_failed(step):
    programs = {"kernmill"} if step.words[0] == "submit" and "pairs" in step.given else {"kernmill", "git"}
    assert {call[0] for call in step.calls} == programs
    assert {"pwrite", "fdatasync"} <= {call[1] for call in step.calls}


def test_killed_before_a_call(step):
    found = set()
    for n in range(1, len(step.calls) + 1, STRIDE):
        code, _, err = step.attempt(KILL=n)
        assert code in (0, -signal.SIGKILL), (n, step.calls[n - 1], err)
        found.add("after" if step.state() == step.after else "before")
        step.settled()
    assert "before" in found


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
def test_a_call_fails(step, code):
    refused = 0
    for n in range(code % STRIDE + 1, len(step.calls) + 1, STRIDE):
        status, _, err = step.attempt(FAIL=n, ERRNO=code)
        call = (n, *step.calls[n - 1])
        assert status in (0, 3, 4, 5), (call, err)
        assert status == 0 or "error:" in err, (call, err)
        refused += status != 0
        if status:
            assert step.state() in step.sound, call
        else:
            assert step.state() == step.after, call
        step.settled()
    assert refused
