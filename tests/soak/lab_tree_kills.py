"""Kills `lab run`, one of its workers, or all of them at once, while ideas go through their git trees to the branch.

usage: lab_tree_kills.py KERNMILL [KILLS]      default 300
Prints one line of JSON; the exit code is 1 when an idea is stuck, a commit is gone, or a tree is left.
"""

import json
import os
import pathlib
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
os.environ["KERNMILL_BUILD"] = str(pathlib.Path(sys.argv[1]).resolve().parents[1])
from program import PROGRAM
from tree_lab import SETTINGS, TreeLab

RUN = [str(PROGRAM), "lab", "run", "--slots", "3", "--worker"]
WORKER = f"""{sys.executable} -c '
import json, pathlib, re, sys
job = json.load(sys.stdin)
file = pathlib.Path(job["workspace"], "train.py")
file.write_text(re.sub("LEVEL = .*", "LEVEL = %r" % job["payload"]["level"], file.read_text()))
print("{{}}")
'"""
ENDS = {"promoted", "rejected", "undecided", "duplicate", "stale"}


def groups_of(pid):
    try:
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(child) for child in children]


def kill_groups(groups):
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass


def kill_something(draw, run):
    groups, what = groups_of(run.pid), draw.choice(["driver", "worker", "all"])
    if what == "worker":
        kill_groups(draw.sample(groups, min(1, len(groups))))
        return bool(groups)
    if run.poll() is not None:
        return False
    run.kill()
    run.wait()
    if what == "all":
        kill_groups(groups)
    return True


class Soak:
    def __init__(self, folder):
        self.lab, self.draw, self.kills, self.ideas = TreeLab(folder, SETTINGS), random.Random(7), 0, 0

    def store(self):
        return sqlite3.connect(self.lab.folder / ".lab/lab.db", timeout=60)

    def ask(self, query):
        store = self.store()
        rows = store.execute(query).fetchall()
        store.close()
        return rows

    def fill(self, count):
        for _ in range(count):
            self.ideas += 1
            level = round(self.draw.uniform(9.0, 11.0), 3) + self.ideas * 1e-6
            number = self.lab.say("propose", given={"key": f"level {self.ideas}", "title": f"level {level}",
                                                    "payload": {"level": level}})[1]["hypothesis"]  # fmt: skip
            self.lab.say("review", number, given={"verdict": "approve", "reviewer": "soak"})
            self.lab.say("plan", number, given={})

    def forgive(self):
        """A worker that was killed is a try that failed: as many tries as it takes."""
        store = self.store()
        with store:
            store.execute("UPDATE jobs SET attempts_max = 1000")
            store.execute("UPDATE budgets SET allowed = NULL")
        store.close()

    def start(self):
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.Popen([*RUN, WORKER], cwd=self.lab.folder, **quiet)

    def disturb(self, kills):
        run = self.start()
        while self.kills < kills:
            if self.ask("SELECT count(*) FROM jobs WHERE state = 'queued'")[0][0] < 4:
                self.fill(4)
            self.forgive()
            time.sleep(self.draw.uniform(0, 0.6))
            self.kills += kill_something(self.draw, run)
            if run.poll() is not None:
                run = self.start()
        run.kill()
        run.wait()
        self.forgive()

    def settle(self):
        """To its end, undisturbed. The leases of what was killed with its driver are given back at once."""
        done = subprocess.run([*RUN, WORKER], cwd=self.lab.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def judge(self):
        lab = self.lab
        states = dict(self.ask("SELECT state, count(*) FROM hypotheses GROUP BY state"))
        results = self.ask("SELECT count(*), count(DISTINCT job) FROM results")[0]
        done = self.ask("SELECT count(*) FROM leases WHERE how = 'done'")[0][0]
        waiting = self.ask("SELECT count(*) FROM jobs WHERE state IN ('queued', 'leased', 'dead')")[0][0]
        commits = [c for (c,) in self.ask("SELECT commit_id FROM hypotheses WHERE commit_id <> ''"
                                          " UNION SELECT commit_id FROM champions UNION SELECT commit_id FROM runs")]  # fmt: skip
        gone = [c for c in commits if not lab.git("for-each-ref", "--contains", c, check=False)]
        champion = self.ask("SELECT commit_id FROM champions ORDER BY id DESC LIMIT 1")[0][0]
        return {
            "kills": self.kills, "ideas": self.ideas, "states": states, "leases": self.ask("SELECT count(*) FROM leases")[0][0],
            "results": results[0], "doubled": done - results[1], "stuck": self.ideas - sum(states.get(s, 0) for s in ENDS) + waiting,
            "champions": self.ask("SELECT count(*) FROM champions")[0][0], "commits_gone": len(gone),
            "trees_left": len(list((lab.folder / ".lab/worktrees").iterdir())) + len(lab.git("worktree", "list").splitlines()) - 1,
            "branch_is_champion": lab.git("rev-parse", "main") == champion,
            "history_whole": lab.say("report")[0] == 0, "git_whole": lab.git("fsck", "--no-dangling", check=False) == "",
        }  # fmt: skip


def main():
    with tempfile.TemporaryDirectory() as name:
        soak = Soak(pathlib.Path(name))
        soak.disturb(int(sys.argv[2]) if len(sys.argv) > 2 else 300)
        soak.settle()
        answer = soak.judge()
    print(json.dumps(answer))
    bad = answer["doubled"] or answer["stuck"] or answer["commits_gone"] or answer["trees_left"]
    whole = answer["branch_is_champion"] and answer["history_whole"] and answer["git_whole"]
    sys.exit(1 if bad or not whole else 0)


main()
