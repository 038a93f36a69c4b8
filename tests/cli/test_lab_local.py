"""What lab.toml's [executor] bounds on this machine: GPUs, the time and memory of a process, the length of a log."""

import json
import sqlite3
import subprocess
import sys

import pytest
from program import PROGRAM
from test_lab import Lab

LOOK = f"""{sys.executable} -c '
import json, os, resource, sys, time
job = json.load(sys.stdin)
began = time.time(); time.sleep(0.3)
print(json.dumps(dict(gpu=os.environ.get("CUDA_VISIBLE_DEVICES"), began=began, ended=time.time(),
                      cpu=resource.getrlimit(resource.RLIMIT_CPU)[0], data=resource.getrlimit(resource.RLIMIT_DATA)[0],
                      beat=os.path.exists(os.environ["KERNMILL_RUN_DIR"] + "/heartbeat"))))
'"""


class LocalLab(Lab):
    def __init__(self, folder, settings):
        super().__init__(folder)
        toml = folder / "lab.toml"
        toml.write_text(toml.read_text() + '[executor]\nname = "local"\n' + settings)

    def bodies(self):
        return [h["results"][0]["body"] for h in self.report()["hypotheses"] if h["results"]]

    def sql(self, sql):
        db = sqlite3.connect(self.folder / ".lab/lab.db")
        try:
            return db.execute(sql).fetchall()
        finally:
            db.close()


# Each run has a GPU of its own, and no more run at once than there are, whatever the slots say. Their time is counted.
def test_gpus(tmp_path):
    lab = LocalLab(tmp_path, 'gpus = ["0", "GPU-5e1f"]\nslots = 4\n')
    for i in range(6):
        lab.queued(f"k{i}")
    assert lab.say("run", "--worker", LOOK, "--json")[1]["done"] == 6
    runs = lab.bodies()
    assert {run["gpu"] for run in runs} == {"0", "GPU-5e1f"}
    for gpu in ("0", "GPU-5e1f"):
        times = sorted((run["began"], run["ended"]) for run in runs if run["gpu"] == gpu)
        assert all(before[1] <= after[0] for before, after in zip(times, times[1:], strict=False)), (
            "one at a time"
        )
    spent = lab.sql("SELECT used FROM budgets WHERE kind = 'gpu_seconds'")[0][0]
    assert 1.8 <= spent < 20 and spent == pytest.approx(
        sum(x for (x,) in lab.sql("SELECT gpu_seconds FROM leases"))
    )


# Nor do two drivers of a lab share one.
def test_gpus_of_two_drivers(tmp_path):
    lab = LocalLab(tmp_path, 'gpus = ["MIG-GPU-5e1f/1/0"]\nslots = 2\n')
    for i in range(6):
        lab.queued(f"k{i}")
    command = [PROGRAM, "lab", "run", "--worker", LOOK]
    drivers = [subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE) for _ in range(2)]
    said = [driver.communicate(timeout=60)[1].decode() for driver in drivers]
    times = sorted((run["began"], run["ended"]) for run in lab.bodies())
    assert len(times) == 6 and all(text.count(": done") for text in said), said
    assert all(before[1] <= after[0] for before, after in zip(times, times[1:], strict=False))


# What cannot be locked is said; nobody waits for it for ever.
def test_a_gpu_that_cannot_be_locked(tmp_path):
    lab = LocalLab(tmp_path, 'gpus = ["0"]\n')
    lab.queued("a")
    (tmp_path / ".lab/gpu-0.lock").mkdir()
    code, _, err = lab.say("run", "--worker", LOOK, "--json")
    assert code not in (0, 1) and "gpu-0.lock" in err
    assert lab.sql("SELECT state, attempts FROM jobs WHERE kind = 'work'") == [("queued", 0)]


# A spent budget of GPU seconds is a hard stop: what runs is ended, and waits, and nothing more is handed out.
def test_gpu_seconds_end(tmp_path):
    lab = LocalLab(tmp_path, 'gpus = ["0", "1"]\nslots = 3\n')
    for i in range(3):
        lab.queued(f"k{i}")
    db = sqlite3.connect(tmp_path / ".lab/lab.db")
    with db:
        db.execute("INSERT OR REPLACE INTO budgets (campaign, kind, allowed) VALUES (1, 'gpu_seconds', 0.1)")
    db.close()
    for _ in range(2):
        code, told, err = lab.say("run", "--worker", "sleep 100", "--json")
        assert code == 0 and told["done"] == told["failed"] == 0 and "gpu_seconds is spent" in err
    assert lab.sql("SELECT state, attempts FROM jobs WHERE kind = 'work'") == [("queued", 0)] * 3
    (used,) = lab.sql("SELECT used FROM budgets WHERE kind = 'gpu_seconds'")[0]
    assert 0.1 <= used == sum(x for (x,) in lab.sql("SELECT gpu_seconds FROM leases"))
    assert lab.sql("SELECT count(*) FROM leases") == [(2,)]


def test_limits_of_a_process(tmp_path):
    lab = LocalLab(tmp_path, "cpu_seconds = 7\nmemory_mb = 512\n")
    lab.queued("a")
    assert lab.say("run", "--worker", LOOK, "--json")[1]["done"] == 1
    run = lab.bodies()[0]
    assert run["cpu"] == 7 and run["data"] == 512 << 20 and run["gpu"] is None and run["beat"]


# They hold: a process that takes more than it may is ended by the kernel, and the reason is told.
@pytest.mark.parametrize(
    ("settings", "code", "why"),
    [
        ("cpu_seconds = 1\n", "while True: pass", "exit code"),
        ("memory_mb = 64\n", "b = bytes(1 << 28)", "exit code 1"),
    ],
)
def test_limits_hold(tmp_path, settings, code, why):
    lab = LocalLab(tmp_path, settings)
    lab.queued("a")
    db = sqlite3.connect(tmp_path / ".lab/lab.db")
    with db:
        db.execute("UPDATE jobs SET attempts_max = 1")
    db.close()
    _, told, _ = lab.say("run", "--worker", f"{sys.executable} -c '{code}'", "--json")
    assert told["failed"] == 1 and why in lab.report()["hypotheses"][0]["reason"]


# A command that prints without end is ended, and its log stays near what it may have.
def test_a_log_without_end(tmp_path):
    lab = LocalLab(tmp_path, "output_mb = 1\n")
    lab.queued("a")
    code, told, err = lab.say(
        "run", "--worker", "while :; do head -c 20000 /dev/zero; sleep 0.01; done", "--json"
    )
    assert code == 0 and told["failed"] == 3 and "output limit" in err
    logs = list((tmp_path / ".lab/runs").rglob("output.log"))
    assert len(logs) == 3 and all(1 << 20 < log.stat().st_size < 4 << 20 for log in logs)


# A worker that puts a pipe in the place of its log stops nobody: its result is read, or its try has failed.
def test_a_log_that_is_no_file(tmp_path):
    lab = LocalLab(tmp_path, "")
    lab.queued("a")
    spoil = "cd $KERNMILL_RUN_DIR; rm output.log; mkfifo output.log; "
    assert lab.say("run", "--worker", spoil + "echo '{\"ok\": true}' >result.json", "--json")[1]["done"] == 1
    lab.queued("b")
    code, told, err = lab.say("run", "--worker", spoil, "--json")
    assert code == 0 and told["failed"] == 3 and "output.log" in err


def test_tokens_are_counted(tmp_path):
    lab = LocalLab(tmp_path, "")
    lab.queued("a")
    assert lab.say("run", "--worker", 'echo \'{"cost": {"tokens": 700}}\'', "--json")[1]["done"] == 1
    assert lab.sql("SELECT used FROM budgets WHERE kind = 'tokens'") == [(700.0,)]
    assert lab.sql("SELECT tokens FROM leases") == [(700.0,)]


WRONG = {
    "no such executor": ('name = "k8s"\n', "k8s"),
    "no such key": ('name = "local"\nslurm = 1\n', "slurm"),
    "a relative folder": ('name = "local"\nfolder = "runs"\n', "no whole path"),
    "never asks": ('name = "local"\npoll = 0\n', "poll"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_settings(tmp_path, case):
    lines, text = WRONG[case]
    lab = Lab(tmp_path)
    (tmp_path / "lab.toml").write_text((tmp_path / "lab.toml").read_text() + "[executor]\n" + lines)
    code, _, err = lab.say("run", "--worker", "true")
    assert code == 4 and text in err and "lab.toml" in err


# lab.toml's executor is the default; the command line's wins.
def test_the_command_line_wins(tmp_path):
    lab = Lab(tmp_path)
    (tmp_path / "lab.toml").write_text(
        (tmp_path / "lab.toml").read_text()
        + '[executor]\nname = "hf-jobs"\nimage = "x"\nflavor = "cpu-basic"\n'
    )
    lab.queued("a")
    told = lab.say("run", "--executor", "local", "--worker", "echo '{\"x\": 1}'", "--json")[1]
    assert told["done"] == 1
    code, _, err = lab.say("run", "--executor", "moon", "--worker", "true")
    assert code == 2 and "moon" in err and json.dumps(told)
