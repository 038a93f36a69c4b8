"""What a candidate's programs do while they are measured, to be measured as something else: each is seen, or changes nothing."""

import json
import pathlib
import sqlite3
import subprocess
import time

import pytest
from program import PROGRAM
from test_lab import Lab
from tree_lab import SETTINGS, TRAIN, TreeLab

QUICK = SETTINGS.replace("pairs = 8", "pairs = 1").replace("pairs_max = 16", "pairs_max = 1")


def cheat(lab, lines):
    """An idea whose program begins with these lines; what its evaluation gave."""
    number = lab.work("cheat", lambda f: (f / "train.py").write_text(lines + TRAIN))
    assert lab.idea(number)["state"] == "evaluating", lab.idea(number)["reason"]
    return number, lab.measure()


def is_alive(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


# It leaves its process group and its parent, waits for the evaluator's file, and writes another number there.
AWAY = """import os
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open({pid!r}, "w").write(str(os.getpid()))
        import glob, json as j; end = os.times().elapsed + 20
        while os.times().elapsed < end:
            for path in glob.glob("../" + "met" + "rics-*"):
                j.dump({{"loss" + "_bits": 1.0, "bytes": 1000}}, open(path, "w"))
    os._exit(0)
while not os.path.exists({pid!r}): pass
"""


# Nothing that a run has started is there when it is evaluated, whatever group or session it went to.
def test_a_process_that_went_away(tmp_path):
    (tmp_path / "lab").mkdir()
    lab = TreeLab(tmp_path / "lab", QUICK)
    (tmp_path / "lab/evaluate.py").write_text(
        (tmp_path / "lab/evaluate.py").read_text() + "import time\ntime.sleep(0.3)\n"
    )
    lab.git("commit", "-qam", "slower")
    assert lab.say("init")[0] == 0
    pid = str(tmp_path / "pid")
    _, (err, code, result) = cheat(lab, AWAY.format(pid=pid))
    assert code == 0, err
    assert not is_alive(pathlib.Path(pid).read_text())
    assert result["pairs"][0]["candidate"] > 9


def waits(path):
    end = time.monotonic() + 10
    while not (path.exists() and path.read_text().endswith("\n")) and time.monotonic() < end:
        time.sleep(0.02)
    return path.read_text().strip()


def dies(pid):
    end = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    return not is_alive(pid)


# The same of any job of `lab run`, at its end, at its time limit, and when the driver is killed.
@pytest.mark.parametrize("how", ["end", "limit", "killed"])
def test_a_job_that_went_away(tmp_path, how):
    lab = Lab(tmp_path)
    lab.queued("a")
    pid = tmp_path / "pid"
    away = f"setsid sh -c 'echo $$ > {pid}; exec sleep 60' & while ! test -s {pid}; do sleep 0.02; done; "
    words = ["run", "--worker", away + ("echo '{}'" if how == "end" else "sleep 60"), "--lease", 10]
    driver = lab.start(*words, *(["--limit", 1] if how == "limit" else []))
    number = waits(pid)
    if how == "killed":
        assert is_alive(number)
        driver.kill()
    else:
        driver.communicate(timeout=30)
    assert dies(number)
    driver.communicate(timeout=30)


# A program whose evaluation is killed goes with it.
def test_a_program_without_its_judge(tmp_path):
    lab = TreeLab(tmp_path, QUICK)
    line = f'import os, signal; open({str(tmp_path / "pid")!r}, "w").write(str(os.getpid()) + "\\n"); signal.pause()\n'
    lab.work("slow", lambda f: (f / "train.py").write_text(line + TRAIN))
    job = lab.say("claim", "--worker", "test", "--kind", "evaluate")[1]
    evaluation = subprocess.Popen(
        [PROGRAM, "lab", "evaluate"], cwd=tmp_path, stdin=subprocess.PIPE, text=True
    )
    evaluation.stdin.write(json.dumps(job))
    evaluation.stdin.close()
    number = waits(tmp_path / "pid")
    evaluation.kill()
    evaluation.wait()
    assert dies(number)


# ---- what a run leaves in a tree ----

# The evaluator looks at all that is there; what is not the commit is worth a loss of nothing.
LOOK = """import json, os
level = json.load(open(os.environ["KERNMILL_OUT"] + "/model.json"))["level"]
found = {os.path.relpath(os.path.join(d, f)) for d, _, files in os.walk(".", followlinks=True) for f in files}
same = os.path.isfile(".git") and open("lib/x").read() == "1\\n" and open("lib/y").read() == "1\\n"
if found != {".git", "train.py", "evaluate.py", "lab.toml", "lib/x", "lib/y"} or not same:
    level = 0
json.dump({"loss_bits": level, "bytes": 1000}, open(os.environ["KERNMILL_METRICS"], "w"))
"""
ELSEWHERE = """import os, shutil, subprocess
git = lambda *words: subprocess.run(["git", *words], capture_output=True)
victim = {victim!r}
"""
LEFT = {
    "nothing": "",
    "assumed unchanged": 'git("update-index", "--assume-unchanged", "lib/x"); open("lib/x", "w").write("2\\n")',
    "skipped": 'git("update-index", "--skip-worktree", "lib/x"); open("lib/x", "w").write("2\\n")',
    "a lock": 'open(git("rev-parse", "--git-path", "index.lock").stdout.decode().strip(), "w")',
    "a repository of its own": 'os.remove(".git"); git("init", "-q"); git("config", "core.worktree", victim); git("commit", "-q", "--allow-empty", "-m", "a")',
    "a folder .git": 'os.remove(".git"); os.mkdir(".git"); open(".git/kept", "w")',
    "no .git": 'os.remove(".git")',
    "a repository in a folder": 'os.mkdir("lib/.git"); open("lib/.git/kept", "w")',
    "ignored": 'open(".gitignore", "w").write("*\\n"); open("lib/kept", "w")',
    "no file": 'os.remove("lib/x"); os.mkdir("lib/x"); open("lib/x/kept", "w")',
    "another folder": 'shutil.rmtree("lib"); os.symlink(victim, "lib")',
    "another tree": 'here = os.getcwd(); names = os.listdir(); os.rename(here, here + "2"); os.mkdir(here); [os.symlink(here + "2/" + n, here + "/" + n) for n in names]',
    "no tree": 'here = os.getcwd(); shutil.rmtree(here); os.symlink(victim, here)',
    "the same stat": 'n = os.environ["KERNMILL_OUT"] + "/x"; shutil.copy2("lib/x", n); git("config", "core.trustc" + "time", "false"); open("lib/x", "r+").write("2"); shutil.copystat(n, "lib/x")',
    "beside it": 'kept = os.path.exists("../kept") and 1 / 0; open("../kept", "w")',
    "closed": 'os.makedirs("new/a"); os.chmod("new/a", 0); os.chmod("new", 0); os.chmod("lib/x", 0); os.chmod("lib", 0)',
    "the parent's tree": 'for f in "ab": os.chdir("../" + f); git("update-index", "--assume-unchanged", "lib/x", "lib/y"); open("lib/x", "w").write("2\\n"); open("lib/y", "w").write("3\\n")',
}  # fmt: skip


# Whatever a run does to its tree, to the parent's, and to git's files, the next command finds the commit, and nobody else's files are touched.
@pytest.mark.parametrize("left", LEFT)
def test_what_a_run_leaves(tmp_path, left):
    folder, victim = tmp_path / "lab", tmp_path / "victim"
    for path, text in ((folder / "lib/x", "1\n"), (folder / "lib/y", "1\n"), (victim / "x", "mine\n")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    lab = TreeLab(folder, QUICK.replace("pairs = 1", "pairs = 2").replace("pairs_max = 1", "pairs_max = 2"))
    (folder / "evaluate.py").write_text(LOOK)
    lab.git("commit", "-qam", "a look")
    assert lab.say("init")[0] == 0
    _, (err, code, result) = cheat(lab, ELSEWHERE.format(victim=str(victim)) + LEFT[left] + "\n")
    assert [(p.name, p.read_text()) for p in victim.iterdir()] == [("x", "mine\n")]
    if left in ("another tree", "no tree"):
        assert (
            code == 0
            and result["ended"]["reason"] == "'evaluate.py' is protected, and was changed by its run"
        )
        return
    assert code == 0 and "ended" not in result, (err, result)
    assert [p["parent"] > 9 and p["candidate"] > 9 for p in result["pairs"]] == [True, True], result


# ---- what is handed in ----

FORGED = {"pairs": [{"parent": 10.0, "candidate": 1.0 + i / 100, "block": "here", "amount": [1000, 1000]} for i in range(16)]}  # fmt: skip


# Of an idea that is measured by the lab, nobody else's numbers count: not its worker's, not a result without its commits.
def test_pairs_that_nobody_measured(tmp_path):
    lab = TreeLab(tmp_path, QUICK)
    edit = lambda f: (f / "train.py").write_text(TRAIN + "UNUSED = 1\n")  # noqa: E731
    number = lab.work("forged", edit, result=FORGED)
    job = lab.say("claim", "--worker", "t", "--kind", "evaluate")[1]
    code, _, err = lab.say("submit", job["job"], "--token", job["token"], given=FORGED)
    assert code == 2 and "does not name the commits" in err and lab.idea(number)["state"] == "evaluating"
    result = lab.say("evaluate", given=job)[1]
    assert lab.say("submit", job["job"], "--token", job["token"], given=result)[0] == 0
    assert lab.idea(number)["state"] == "undecided"
    assert lab.say("judge", number)[1]["n"] == 1


HELD = {"parent": 10.0, "candidate": 10.0, "block": "here", "amount": [1000, 1000]}
NO_HOLDOUTS = {
    "no numbers": [{"block": "here"}] * 3,
    "no finite number": [{**HELD, "candidate": None}] * 3,
    "less of it": [{**HELD, "candidate": 1.0, "amount": [1000, 10]}] * 3,
    "somewhere else": [{**HELD, "candidate": 1.0, "block": str(i)} for i in range(3)],
}


# A use of the holdout that cannot be compared is no pass; one of another commit is none at all, and one of fewer pairs is refused.
def test_a_holdout_that_says_nothing(tmp_path):
    lab = TreeLab(tmp_path, QUICK.replace("amount =", 'holdout = "python3 evaluate.py --holdout"\namount ='))
    store = sqlite3.connect(tmp_path / ".lab/lab.db")
    for i, (name, pairs) in enumerate(NO_HOLDOUTS.items()):
        number = lab.work(name, lab.level(9.0 - i / 100))
        job = lab.say("claim", "--worker", "t", "--kind", "evaluate")[1]
        lab.say("cancel", job["job"])
        with store:
            store.execute("UPDATE hypotheses SET state = 'accepted' WHERE id = ?", (number,))
        assert lab.say("promote", number)[0] == 1
        job = lab.say("claim", "--worker", "t", "--kind", "holdout")[1]
        commits = {"parent_commit": job["payload"]["parent"], "candidate_commit": job["payload"]["candidate"]}
        words = ("submit", job["job"], "--token", job["token"])
        if i == 0:
            code, _, err = lab.say(
                *words, given={**commits, "holdout": True, "pairs": [{**HELD, "candidate": 1.0}]}
            )
            assert code == 4 and "3" in err
        assert lab.say(*words, given={**commits, "holdout": True, "pairs": pairs})[0] == 0
        assert lab.idea(number)["state"] == "invalid", name
    number = lab.work("other", lab.level(8.5))
    with store:
        store.execute("UPDATE hypotheses SET state = 'accepted' WHERE id = ?", (number,))
    lab.say("promote", number)
    job = lab.say("claim", "--worker", "t", "--kind", "holdout")[1]
    given = {
        "parent_commit": job["payload"]["parent"],
        "candidate_commit": "0" * 40,
        "holdout": True,
        "pairs": [HELD] * 3,
    }
    assert lab.say("submit", job["job"], "--token", job["token"], given=given)[0] == 0
    assert lab.say("promote", number)[0] == 1 and lab.idea(number)["state"] == "accepted"


# ---- what was built, and a process that measures both ----

BUILD = "python3 -c \\\"import os; open(os.environ['KERNMILL_BUILD'] + '/level', 'w').write('10')\\\""
BUILT = """import json, os
json.dump({"loss_bits": float(open(os.environ["KERNMILL_BUILD"] + "/level").read()), "bytes": 1000}, open(os.environ["KERNMILL_METRICS"], "w"))
"""
OTHERS = """import glob, os
for path in glob.glob("../*/level"):
    os.path.realpath(path).startswith(os.environ["KERNMILL_BUILD"]) or open(path, "w").write("20")
"""


# What was built stays as it was built: a run that makes its parent's worse is seen.
def test_the_parents_build(tmp_path):
    lab = TreeLab(
        tmp_path,
        QUICK.replace("run =", f'build = "{BUILD}"\nrun =')
        .replace("pairs = 1", "pairs = 2")
        .replace("pairs_max = 1", "pairs_max = 2"),
    )
    (tmp_path / "evaluate.py").write_text(BUILT)
    lab.git("commit", "-qam", "built")
    assert lab.say("init")[0] == 0
    number, (err, code, result) = cheat(lab, OTHERS)
    assert code == 0 and lab.idea(number)["state"] == "invalid", (err, result)
    assert lab.idea(number)["reason"] == "what was built of the parent was changed by its run"


PAIR = """import json, os
levels = [float(open(os.environ["KERNMILL_" + name] + "/level").read()) for name in ("PARENT", "CANDIDATE")]
1 / (levels[1] - 5)
if levels[1] == 7:
    open(os.environ["KERNMILL_PARENT"] + "/level", "w").write("11")
json.dump({"parent": levels[0], "candidate": levels[1], "bytes": [7, 7]}, open(os.environ["KERNMILL_METRICS"], "w"))
"""


# Where one process measures both, its end is the candidate's when two of the parent end well; else it is nobody's fault, as before.
def test_a_candidate_that_ends_the_pair(tmp_path):
    build = "python3 -c \\\"import os, re; open(os.environ['KERNMILL_BUILD'] + '/level', 'w').write(re.search('LEVEL = (.*)', open('train.py').read())[1])\\\""
    settings = QUICK.split("[evaluate]")[0] + f'[evaluate]\nbuild = "{build}"\npair = "python3 pair.py"\namount = "bytes"\npairs = 1\n'  # fmt: skip
    (tmp_path / "pair.py").write_text(PAIR)
    lab = TreeLab(tmp_path, settings)
    number = lab.work("five", lab.level(5.0))
    err, code, result = lab.measure()
    assert code == 0 and lab.idea(number)["state"] == "crashed", (err, result)
    assert "ZeroDivisionError" in lab.idea(number)["reason"]
    number = lab.work("seven", lab.level(7.0))
    err, code, result = lab.measure()
    assert code == 0 and lab.idea(number)["state"] == "invalid", (err, result)
    assert lab.idea(number)["reason"] == "what was built of the parent was changed by the evaluation of both"
    (tmp_path / "pair.py").write_text("raise SystemExit(3)\n")
    lab.git("commit", "-qam", "broken")
    assert lab.say("init")[0] == 0
    number = lab.work("six", lab.level(6.0))
    err, code, _ = lab.measure()
    assert (
        code == 4
        and "the evaluation of both exited with 3" in err
        and lab.idea(number)["state"] == "evaluating"
    )


# An evaluator that fails for both is nobody's idea's fault, whoever has the first turn.
@pytest.mark.parametrize("attempt", range(4))
def test_a_broken_evaluator(tmp_path, attempt):
    lab = TreeLab(tmp_path, QUICK)
    (tmp_path / "evaluate.py").write_text("import sys; sys.exit(3)\n")
    lab.git("commit", "-qam", "broken")
    assert lab.say("init")[0] == 0
    number = lab.work("a", lab.level(9.0))
    err, code, _ = lab.measure()
    assert code == 4 and "the parent's run: its evaluation exited with 3" in err
    assert lab.idea(number)["state"] == "evaluating"
