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
