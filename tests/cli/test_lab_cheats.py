"""What a candidate's programs do while they are measured, to be measured as something else: each is seen, or changes nothing."""

import json
import pathlib
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
    (tmp_path / "lab/evaluate.py").write_text((tmp_path / "lab/evaluate.py").read_text() + "import time\ntime.sleep(0.3)\n")
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
    evaluation = subprocess.Popen([PROGRAM, "lab", "evaluate"], cwd=tmp_path, stdin=subprocess.PIPE, text=True)
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
    lab = TreeLab(folder, QUICK.replace("pairs = 1", "pairs = 2"))
    (folder / "evaluate.py").write_text(LOOK)
    lab.git("commit", "-qam", "a look")
    assert lab.say("init")[0] == 0
    _, (err, code, result) = cheat(lab, ELSEWHERE.format(victim=str(victim)) + LEFT[left] + "\n")
    assert [(p.name, p.read_text()) for p in victim.iterdir()] == [("x", "mine\n")]
    if left in ("another tree", "no tree"):
        assert code == 0 and result["ended"]["reason"] == "'evaluate.py' is protected, and was changed by its run"
        return
    assert code == 0 and "ended" not in result, (err, result)
    assert [p["parent"] > 9 and p["candidate"] > 9 for p in result["pairs"]] == [True, True], result
