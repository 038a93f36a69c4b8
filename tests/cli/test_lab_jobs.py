"""`lab run --executor hf-jobs`, against a local server of the Hub's API of Jobs that really runs the commands."""

import json
import pathlib
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from jobs_server import TOKEN, Jobs
from program import PROGRAM
from test_lab import until
from test_lab_slurm import SlurmLab, wait_for
from test_lab_team import search_lab
from tree_lab import SETTINGS

EXECUTOR = '[executor]\nname = "hf-jobs"\nimage = "python:3.12"\nflavor = "cpu-basic"\npoll = 0.2\n'
WORKER = f"""{sys.executable} -c '
import json, os, sys, time
job = json.load(sys.stdin)
what = job["payload"]
print("hello from", os.environ["JOB_ID"], flush=True)
time.sleep(what.get("sleep", 0))
if what.get("exit"): sys.exit(what["exit"])
if what.get("say"): print(what["say"])
if what.get("file"):
    with open(os.environ["KERNMILL_RUN_DIR"] + "/r", "w") as f: json.dump(dict(metric=what["x"], text="t" * what["file"]), f)
    os.rename(f.name, os.environ["KERNMILL_RUN_DIR"] + "/result.json")
else: print(json.dumps(dict(metric=what["x"] ** 2, seen="KERNMILL_NONCE" in os.environ)))
'"""
HF = shutil.which("hf", path=str(pathlib.Path(sys.executable).parent))


class JobsLab(SlurmLab):
    def __init__(self, folder, hub, settings="", executor=EXECUTOR):
        super().__init__(folder, hub.environment(folder.parent))
        toml = folder / "lab.toml"
        toml.write_text(toml.read_text().rsplit("[executor]", 1)[0] + executor + settings)

    def run(self, *words):
        return self.start("run", "--worker", WORKER, "--json", *words)

    def bodies(self):
        return [json.loads(body) for (body,) in self.sql("SELECT body FROM results ORDER BY job")]


@pytest.fixture
def hub(tmp_path):
    with Jobs(tmp_path / "hub") as running:
        yield running


@pytest.fixture
def lab_of(tmp_path, hub):
    (tmp_path / "lab").mkdir()
    return lambda settings="", executor=EXECUTOR: JobsLab(tmp_path / "lab", hub, settings, executor)


def hf(hub, folder, *words):
    done = subprocess.run(
        [HF, "jobs", *words], env=hub.environment(folder), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# Results by log and by file, several pages of a list, autolab's eight labels; and the official client reads what we sent.
def test_jobs_run_there(lab_of, hub, tmp_path):
    lab = lab_of("slots = 5\n")
    lab.jobs([{"x": i} for i in range(4)] + [{"x": 4, "file": 100_000}])
    told, err = wait_for(lab.run(), lab)
    assert told["done"] == 5, err
    assert [body["metric"] for body in lab.bodies()] == [0, 1, 4, 9, 4] and len(
        lab.bodies()[4]["text"]
    ) == 100_000
    assert lab.bodies()[0]["seen"] is False, "the nonce is not the command's"
    labels = next(iter(hub.jobs.values())).spec["labels"]
    eight = ["autolab", "mode", "launcher", "master", "campaign", "experiment", "worker", "hypothesis"]
    assert all(re.fullmatch("[a-z0-9_]{1,48}", labels[key]) for key in eight)
    assert labels["experiment"] == "job_1_1" and labels["launcher"] == "kernmill"
    first = next(iter(hub.jobs))
    assert first in hf(hub, tmp_path, "ps", "--all", "--label", "launcher=kernmill", "--format", "json")
    seen = json.loads(hf(hub, tmp_path, "inspect", first, "--format", "json"))
    assert "COMPLETED" in json.dumps(seen) and "python:3.12" in json.dumps(seen)
    assert f"hello from {first}" in hf(hub, tmp_path, "logs", first)
    assert f"hello from {first}" in (lab.folder / ".lab/runs/1/1/output.log").read_text()
    log = (lab.folder / ".lab/runs/1/1/output.log").read_text()
    assert (lab.folder / ".lab/runs/1/1/nonce").read_text() not in log


# The token goes to the Hub and nowhere else: not into a job, a log, or what the lab keeps.
def test_the_token_stays(lab_of, hub):
    lab = lab_of()
    lab.jobs([{"x": 1}])
    told, err = wait_for(lab.run(), lab)
    assert told["done"] == 1 and TOKEN not in err
    assert TOKEN not in json.dumps(next(iter(hub.jobs.values())).spec)
    assert not any(TOKEN.encode() in p.read_bytes() for p in lab.folder.rglob("*") if p.is_file())


# What a command prints in the form of a result is none without the nonce.
def test_a_result_cannot_be_forged(lab_of):
    lab = lab_of()
    fake = "0" * 32
    lab.jobs([{"x": 3, "say": f"{fake} eyJtZXRyaWMiOiAxfQ==\n{fake} end 0 13"}])
    assert wait_for(lab.run(), lab)[0]["done"] == 1
    assert lab.bodies()[0]["metric"] == 9


# Nor by one that looks for the nonce where a shell was started with it.
def test_the_nonce_is_nowhere(lab_of, tmp_path):
    lab = lab_of()
    seen = tmp_path / "seen"
    look = f"for f in /proc/[0-9]*/environ; do tr '\\0' '\\n' <$f 2>/dev/null; done | grep -c ^KERNMILL_NONCE >{seen}; echo '{{}}'"
    lab.jobs([{"x": 1}])
    run = lab.run("--worker", look)
    assert wait_for(run, lab)[0]["done"] == 1 and seen.read_text() == "0\n"


# The price of a flavor, by the Hub's seconds, is taken from the budget of money, its GPUs' time from theirs.
def test_what_it_costs(lab_of, hub):
    lab = lab_of(executor=EXECUTOR.replace("cpu-basic", "h200x2"))
    lab.jobs([{"x": 1, "sleep": 2.2}])
    assert wait_for(lab.run(), lab)[0]["done"] == 1
    seconds = next(iter(hub.jobs.values())).seconds
    assert seconds >= 2
    spent = dict(lab.sql("SELECT kind, used FROM budgets"))
    assert spent["money"] == pytest.approx(seconds * 0.166667 / 60) and spent["gpu_seconds"] == 2 * seconds
    assert lab.sql("SELECT money, gpu_seconds FROM leases") == [(spent["money"], spent["gpu_seconds"])]


# A spent budget of money cancels what runs there; it waits in the queue, and nothing more begins.
def test_money_ends(lab_of, hub):
    lab = lab_of(executor=EXECUTOR.replace("cpu-basic", "h200x2"))
    lab.sql("UPDATE budgets SET allowed = 0.005 WHERE kind = 'money'")
    lab.jobs([{"x": 1, "sleep": 60}, {"x": 2, "sleep": 60}])
    told, err = wait_for(lab.run(), lab)
    assert told["done"] == told["failed"] == 0 and "money is spent" in err, (told, err)
    assert [job.stage for job in hub.jobs.values()] == ["CANCELED"] * len(hub.jobs)
    assert lab.sql("SELECT DISTINCT state, attempts FROM jobs") == [("queued", 0)]
    assert 0.001 < dict(lab.sql("SELECT kind, used FROM budgets"))["money"] < 0.05


# An exit code, a job that was cancelled there, a stage that nobody knows: each is a failed try, never one that goes on.
@pytest.mark.parametrize("case", ["exit", "cancelled there", "unknown stage", "gone"])
def test_ends_that_are_no_results(lab_of, hub, case):
    lab = lab_of()
    lab.jobs([{"x": 1, "exit": 3} if case == "exit" else {"x": 1, "sleep": 60}])
    lab.sql("UPDATE jobs SET attempts_max = 1")
    driver = lab.run()
    until(lambda: hub.jobs and next(iter(hub.jobs.values())).began, 20)
    number, job = next(iter(hub.jobs.items()))
    if case == "cancelled there":
        job.end("CANCELED")
    if case == "unknown stage":
        hub.stages[number] = "MARVELLING"
    if case == "gone":
        del hub.jobs[number]
        job.end("CANCELED")
    told, _ = wait_for(driver, lab)
    state, why = lab.sql("SELECT state, error FROM jobs")[0]
    words = {
        "exit": "exit code 3",
        "cancelled there": "CANCELED",
        "unknown stage": "MARVELLING",
        "gone": "does not know",
    }
    assert told["failed"] == 1 and state == "dead" and words[case] in why
    assert job.ended, "what we do not understand does not go on to spend"


# Cancelled here: it ends there. A driver that is stopped gives its jobs back, and ends them there.
def test_cancel(lab_of, hub):
    lab = lab_of("slots = 2\n")
    lab.jobs([{"x": 1, "sleep": 60}, {"x": 2, "sleep": 60}])
    driver = lab.run("--lease", "1")
    until(lambda: len(hub.jobs) == 2 and all(job.began for job in hub.jobs.values()), 20)
    assert lab.say("cancel", 1)[0] == 0
    until(lambda: hub.jobs[f"{1:024x}"].stage == "CANCELED", 20)
    driver.send_signal(signal.SIGTERM)
    told, _ = wait_for(driver, lab)
    assert told["lost"] == 1 and hub.jobs[f"{2:024x}"].stage == "CANCELED"
    assert lab.sql("SELECT state FROM jobs") == [("cancelled",), ("queued",)]


# A killed driver's jobs go on, and the next driver takes them up: one job there, one result here.
def test_adopted(lab_of, hub):
    lab = lab_of("slots = 2\n")
    lab.jobs([{"x": 3, "sleep": 2}, {"x": 4, "sleep": 2}])
    driver = lab.run()
    until(
        lambda: (
            len(hub.jobs) == 2 and not lab.sql("SELECT 1 FROM leases WHERE remote IN ('', '?1.1', '?2.1')")
        ),
        20,
    )
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    told, err = wait_for(lab.run(), lab)
    assert told["done"] == 2 and err.count("goes on in hf-jobs") == 2
    assert len(hub.jobs) == 2 and [body["metric"] for body in lab.bodies()] == [9, 16]


# Killed at any point, again and again: at the end each job has one result, and each run was begun there once.
def test_killed_at_any_point(lab_of, hub):
    lab = lab_of("slots = 4\n")
    lab.jobs([{"x": i, "sleep": 0.4} for i in range(12)])
    random.seed(7)
    for _ in range(12):
        driver = lab.run()
        time.sleep(random.uniform(0.02, 0.9))
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    told, err = wait_for(lab.run(), lab)
    assert lab.counts() == {"done": 12}, (told, err)
    assert [body["metric"] for body in lab.bodies()] == [i * i for i in range(12)]
    runs = [job.spec["labels"]["kernmill_run"] for job in hub.jobs.values()]
    assert len(runs) == len(set(runs)), "no run was begun twice"
    assert all(job.ended for job in hub.jobs.values())


# Two drivers of one lab do not take each other's jobs for strays.
def test_two_drivers(lab_of, hub):
    lab = lab_of("slots = 3\n")
    lab.jobs([{"x": i, "sleep": 0.5} for i in range(9)])
    drivers = [lab.run(), lab.run()]
    done = [wait_for(driver, lab)[0]["done"] for driver in drivers]
    assert sum(done) == 9 and min(done) > 0 and {job.stage for job in hub.jobs.values()} == {"COMPLETED"}


# A driver that slept through its leases finds its jobs another's: what it ran there is cancelled, and hands in nothing.
def test_a_driver_that_slept(lab_of, hub):
    lab = lab_of()
    lab.jobs([{"x": 3, "sleep": 2.5}])
    sleeper = lab.run("--lease", "1")
    until(lambda: hub.jobs and next(iter(hub.jobs.values())).began, 20)
    sleeper.send_signal(signal.SIGSTOP)
    time.sleep(1.5)
    told, _ = wait_for(lab.run(), lab)
    assert told["done"] == 1
    sleeper.send_signal(signal.SIGCONT)
    assert wait_for(sleeper, lab)[0] == {"schema": 1, "done": 0, "failed": 0, "lost": 1}
    assert [job.stage for job in hub.jobs.values()] == ["CANCELED", "COMPLETED"]
    assert lab.sql("SELECT token FROM results") == [(2,)]


# A driver dies, and its lease ends before the next one comes: what its job cost is paid all the same, and once.
def test_what_nobody_saw_end_is_paid(lab_of, hub):
    lab = lab_of(executor=EXECUTOR.replace("cpu-basic", "h200x2"))
    lab.jobs([{"x": 3, "sleep": 1.2}])
    driver = lab.run("--lease", "1")
    until(
        lambda: (
            hub.jobs
            and next(iter(hub.jobs.values())).began
            and lab.sql("SELECT 1 FROM leases WHERE remote GLOB '0*'")
        ),
        20,
    )
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    until(lambda: next(iter(hub.jobs.values())).ended, 20)
    time.sleep(1)
    assert lab.say("claim", "--worker", "somebody", "--lease", "1")[1]["token"] == 2
    time.sleep(1.2)
    wait_for(lab.run(), lab)
    assert [body["metric"] for body in lab.bodies()] == [9]
    seconds = [job.seconds for job in hub.jobs.values()]
    assert len(seconds) == 2 and seconds[0] >= 1
    assert lab.sql("SELECT used FROM budgets WHERE kind = 'gpu_seconds'") == [(2.0 * sum(seconds),)]
    lab.say("report", "--html", lab.folder / "page.html")
    page = (lab.folder / "page.html").read_text()
    data = json.loads(
        re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1]
    )
    assert sum(row["gpu_seconds"] for row in data["costs"]) == 2.0 * sum(seconds)


# What ended for nothing, or was never there, is settled once, and stands in nobody's way; a driver that finds nothing to
# do pays what is left all the same.
def test_debts_of_nothing(lab_of, hub):
    lab = lab_of(executor=EXECUTOR.replace("cpu-basic", "h200x2"))
    lab.jobs([{"x": i} for i in range(21)])
    for _ in range(21):
        lab.say("claim", "--worker", "jobs/1", "--lease", "600")
    db = sqlite3.connect(lab.folder / ".lab/lab.db")
    with db:
        db.execute("UPDATE leases SET executor = 'hf-jobs', remote = CASE WHEN job % 2 THEN '0000000000000000000000' || job"
                   " ELSE '?' || job || '.1' END")  # fmt: skip
    db.close()
    for job in range(1, 22):
        lab.say("cancel", job)
    for left in (5, 0):
        wait_for(lab.run(), lab)
        assert lab.sql("SELECT count(*) FROM events WHERE what = 'spent'") == [(21 - left,)]
    assert lab.sql("SELECT used FROM budgets WHERE kind = 'gpu_seconds'") == [(0,)]


# A copy of a lab is another lab: it does not end what the first one runs.
def test_a_copy_leaves_the_first_alone(lab_of, hub, tmp_path):
    lab = lab_of()
    lab.jobs([{"x": 3, "sleep": 2}])
    driver = lab.run()
    until(lambda: hub.jobs and next(iter(hub.jobs.values())).began, 20)
    lab.say("backup", tmp_path / "copy.db")
    shutil.copytree(lab.folder, tmp_path / "copy", ignore=shutil.ignore_patterns("lab.db*"))
    shutil.copy(tmp_path / "copy.db", tmp_path / "copy/.lab/lab.db")
    db = sqlite3.connect(tmp_path / "copy/.lab/lab.db")
    with db:
        db.execute("UPDATE leases SET remote = ''")
    db.close()
    copy = subprocess.run([PROGRAM, "lab", "run", "--worker", "echo {}"], cwd=tmp_path / "copy", timeout=60,
                          env=hub.environment(tmp_path), stdin=subprocess.DEVNULL, capture_output=True, text=True)  # fmt: skip
    assert "has no lease" not in copy.stderr
    wait_for(driver, lab)
    assert [body["metric"] for body in lab.bodies()] == [9]


# A request whose answer was lost may have begun the job: it is looked for before another one is begun.
@pytest.mark.parametrize("fault", ["503", "503 after"])
def test_an_answer_is_lost(lab_of, hub, fault):
    lab = lab_of()
    hub.faults = [fault]
    lab.jobs([{"x": 5}])
    told, err = wait_for(lab.run(), lab)
    assert told["done"] == 1 and len(hub.jobs) == 1 and "waiting for the Hub" in err


# What the Hub refuses ends the driver, in the Hub's words, and costs the job no attempt.
def test_what_the_hub_refuses(lab_of, hub):
    lab = lab_of()
    hub.faults = ["402"]
    lab.jobs([{"x": 5}])
    code, _, err = lab.say("run", "--worker", WORKER)
    assert code and "Payment required" in err
    assert lab.sql("SELECT state, attempts FROM jobs") == [("queued", 0)]


# A log whose stream stays open is read as far as it came.
def test_a_stream_that_stays_open(lab_of, hub):
    lab = lab_of()
    hub.streams_stay_open = True
    lab.jobs([{"x": 6}])
    began = time.monotonic()
    assert wait_for(lab.run(), lab)[0]["done"] == 1 and time.monotonic() - began < 25


# Scripts that jobs share come by a volume, in the client's own form of it.
def test_volumes(lab_of, hub, tmp_path):
    scripts = hub.folder / "acme/scripts/v1"
    scripts.mkdir(parents=True)
    (scripts / "train.py").write_text("print('{\"metric\": 11}')\n")
    lab = lab_of(f'volumes = ["hf://buckets/acme/scripts/v1:{tmp_path}/mounted:ro"]\n')
    lab.jobs([{"x": 0}])
    driver = lab.start("run", "--worker", f"{sys.executable} {tmp_path}/mounted/train.py", "--json")
    assert wait_for(driver, lab)[0]["done"] == 1 and lab.bodies() == [{"metric": 11}]
    assert next(iter(hub.jobs.values())).spec["volumes"] == [
        {
            "type": "bucket",
            "source": "acme/scripts",
            "mountPath": f"{tmp_path}/mounted",
            "path": "v1",
            "readOnly": True,
        }
    ]


MEASURE = """import json, pathlib, subprocess, sys, tempfile
job = json.load(sys.stdin)["payload"]
tree = tempfile.mkdtemp()
subprocess.run(["git", "clone", "-q", sys.argv[1], tree], check=True)
def level(commit, seed):
    subprocess.run(["git", "fetch", "-q", "origin", commit], cwd=tree, check=True)
    text = subprocess.run(["git", "show", f"{commit}:train.py"], cwd=tree, check=True, capture_output=True, text=True).stdout
    return float(text.split("LEVEL = ")[1].split()[0]) + seed % 7 / 1000
pairs = [{"parent": level(job["parent"], job["seed"] + i), "candidate": level(job["candidate"], job["seed"] + i + 3),
          "seed": job["seed"] + i, "block": "h200", "amount": [1000, 1000], "wall_ms": [1, 1]} for i in range(job["pairs"])]
print(json.dumps({"pairs": pairs, "parent_commit": job["parent"], "candidate_commit": job["candidate"]}))
"""


# The whole team: ideas and their work here, their commits measured there by the executor's own command.
def test_the_team(hub, tmp_path):
    (tmp_path / "measure.py").write_text(MEASURE)
    (tmp_path / "lab").mkdir()
    command = f'command = "{sys.executable} {tmp_path}/measure.py {tmp_path}/lab"\nslots = 3\n'
    lab = search_lab(tmp_path / "lab", settings=SETTINGS + EXECUTOR + command)
    lab.git("config", "uploadpack.allowAnySHA1InWant", "true")
    code, _, err = lab.say("run", env=hub.environment(tmp_path))
    assert code == 0, err
    ideas = {h["key"]: h for h in lab.say("report")[1]["hypotheses"]}
    assert ideas["LEVEL=8.0"]["state"] == "promoted", err
    assert {job.spec["labels"]["mode"] for job in hub.jobs.values()} >= {"evaluate"}
    assert all(re.fullmatch("[0-9a-f]{12}", job.spec["labels"]["master"]) for job in hub.jobs.values())
    assert {x["executor"] for x in ideas["LEVEL=8.0"]["leases"]} == {"", "hf-jobs"}


# Without such a command there is nothing that a container could run.
def test_no_command_for_a_team(hub, tmp_path):
    lab = search_lab(tmp_path, settings=SETTINGS + EXECUTOR)
    code, _, err = lab.say("run", env=hub.environment(tmp_path))
    assert code == 2 and "'command'" in err and not hub.jobs


WRONG = {
    "flavor": ('flavor = "h400"', 2, "h200x2"),
    "volume": ('volumes = ["s3://x:/y"]', 4, "hf://buckets/OWNER/NAME"),
    "timeout": ('timeout = "soon"', 4, "90m"),
    "secret": ('secrets = ["NO_SUCH_SECRET"]', 3, "NO_SUCH_SECRET"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_settings(lab_of, case):
    line, expected, text = WRONG[case]
    base = EXECUTOR if case != "flavor" else EXECUTOR.replace('flavor = "cpu-basic"\n', "")
    lab = lab_of(line + "\n", base)
    lab.jobs([{"x": 1}])
    code, _, err = lab.say("run", "--worker", WORKER)
    assert code == expected and text in err


def test_no_token(lab_of):
    lab = lab_of()
    del lab.environment["HF_TOKEN"]
    code, _, err = lab.say("run", "--worker", "true")
    assert code == 3 and "token" in err and "hf auth login" in err
