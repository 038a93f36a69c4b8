"""A lab whose ideas are commits: a program with one number in it, noise by its seed, and an evaluator."""

import json
import pathlib
import subprocess
import sys

from program import PROGRAM

TRAIN = """import json, os, random
random.seed(os.environ["KERNMILL_SEED"])
LEVEL = 10.0
json.dump({"level": LEVEL + random.gauss(0, 0.1)}, open(os.environ["KERNMILL_OUT"] + "/model.json", "w"))
"""
EVALUATE = """import json, os, sys
level = json.load(open(os.environ["KERNMILL_OUT"] + "/model.json"))["level"]
if "--holdout" in sys.argv and level < 2:
    level += 20
json.dump({"loss_bits": level, "bytes": 1000}, open(os.environ["KERNMILL_METRICS"], "w"))
"""
SETTINGS = f"""[lab]
name = "toy"
metric = "loss_bits"
direction = "lower"
effect = 0.01
[workspace]
change = ["train.py", "lib"]
[evaluate]
run = "{sys.executable} train.py"
evaluate = "{sys.executable} evaluate.py"
amount = "bytes"
limit = 20
pairs = 8
pairs_max = 16
"""


class TreeLab:
    """say("claim", ...) hands in JSON and returns (exit code, answer, stderr)."""

    def __init__(self, folder: pathlib.Path, settings=SETTINGS, train=TRAIN):
        self.folder = folder
        self.git("init", "-q", "-b", "main")
        (folder / "train.py").write_text(train)
        (folder / "evaluate.py").write_text(EVALUATE)
        (folder / "lab.toml").write_text(settings)
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "start")
        assert self.say("init")[0] == 0

    def git(self, *words, check=True):
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", *who, *words], cwd=self.folder, text=True, capture_output=True)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout.strip()

    def say(self, *words, given=None, **options):
        done = subprocess.run([PROGRAM, "lab", *map(str, words)], cwd=self.folder, text=True, capture_output=True,
                              input=json.dumps(given) if given is not None else "", timeout=60, **options)  # fmt: skip
        try:
            return done.returncode, json.loads(done.stdout), done.stderr
        except ValueError:
            return done.returncode, done.stdout, done.stderr

    def work(self, key, edit, result=None, **fields):
        """Proposes, approves and queues an idea, does its work by edit(folder), and hands it in. Its number."""
        number = self.say("propose", given={"key": key, "title": key, **fields})[1]["hypothesis"]
        self.say("review", number, given={"verdict": "approve", "reviewer": "test"})
        self.say("plan", number, given={})
        code, job, err = self.say("claim", "--worker", "test", "--kind", "work")
        assert code == 0, err
        edit(pathlib.Path(job["workspace"]))
        code, _, err = self.say(
            "submit", job["job"], "--token", job["token"], given=result or {"note": "done"}
        )
        assert code == 0, err
        return number

    def level(self, value):
        """An edit: the number that is measured."""

        def edit(folder):
            text = (folder / "train.py").read_text()
            (folder / "train.py").write_text(text.replace("LEVEL = 10.0", f"LEVEL = {value}"))

        return edit

    def measure(self, kind="evaluate"):
        """Does one job of that kind, as its worker would. What the worker said, its exit code, the result."""
        code, job, _ = self.say("claim", "--worker", "test", "--kind", kind)
        if code:
            return None
        code, result, err = self.say("evaluate", given=job)
        if code:
            self.say("fail", job["job"], "--token", job["token"], "--why", err)
        else:
            assert self.say("submit", job["job"], "--token", job["token"], given=result)[0] == 0
        return err, code, result

    def idea(self, number):
        return next(h for h in self.say("report")[1]["hypotheses"] if h["id"] == number)
