"""`lab run --executor slurm` on a real Slurm: nodes, controllers and drivers die, and every job has one result."""

import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import time

import pytest
from slurm_cluster import cluster  # noqa: F401
from test_lab import Lab, until
from test_lab_team import search_lab
from tree_lab import SETTINGS

EXECUTOR = '[executor]\nname = "slurm"\npoll = 0.5\n'
WORKER = f"""{sys.executable} -c '
import json, os, sys, time
job = json.load(sys.stdin)
what = job["payload"]
with open("ran", "a") as ran: ran.write(os.environ["KERNMILL_RUN_DIR"].split("/runs/")[1] + "\\n")
time.sleep(what.get("sleep", 0))
if what.get("exit"): sys.exit(what["exit"])
print(json.dumps(dict(metric=what["x"] ** 2, cost=dict(tokens=2))))
'"""


class SlurmLab(Lab):
    def __init__(self, folder, environment, settings=""):
        self.environment = environment
        super().__init__(folder)
        toml = folder / "lab.toml"
        toml.write_text(toml.read_text() + EXECUTOR + settings)

    def start(self, *words, **options):
        return super().start(*words, **{"env": self.environment, **options})

    def sql(self, sql, *values):
        db = sqlite3.connect(self.folder / ".lab/lab.db", timeout=30)
        try:
            with db:
                return db.execute(sql, values).fetchall()
        finally:
            db.close()

    def jobs(self, payloads):
        for i, payload in enumerate(payloads):
            self.sql(
                "INSERT INTO jobs (campaign, key, kind, payload, priority, state, attempts_max, created_us)"
                " VALUES (1, ?, 'try', ?, 0, 'queued', 4, 1)",
                f"k{i}",
                json.dumps(payload),
            )

    def counts(self):
        return dict(self.sql("SELECT state, count(*) FROM jobs GROUP BY state"))

    def ran(self):
        path = self.folder / "ran"
        return len(path.read_text().split()) if path.exists() else 0

    def run(self, *words):
        return self.start("run", "--worker", WORKER, "--json", *words)


@pytest.fixture
def lab_of(tmp_path, cluster):  # noqa: F811
    return lambda settings="": SlurmLab(tmp_path, cluster.environment(), settings)


def active(cluster):  # noqa: F811
    rows = cluster.say("squeue", "--array", "--noheader", "--format=%i|%T").split()
    return [row for row in rows if not row.endswith("COMPLETING")]


def wait_for(driver, lab, seconds=90):
    out, err = driver.communicate(timeout=seconds)
    assert driver.returncode == 0, err
    return json.loads(out), err


# 50 jobs as arrays. On the way the driver is killed and started again, the node loses its power, and the controller is
# restarted: every job has one result, of the token that holds it, and nothing of ours goes on in the cluster.
def test_everything_dies(lab_of, cluster):  # noqa: F811
    lab = lab_of("slots = 25\narray = 25\n")
    lab.jobs([{"x": i, "sleep": i % 5 * 0.7} for i in range(50)])
    driver = lab.run()
    until(lambda: lab.ran() >= 15, 40)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    held = lab.sql("SELECT job, token, remote FROM leases WHERE ended_us IS NULL")
    assert held and all("_" in remote for _, _, remote in held)
    driver = lab.run()
    until(lambda: lab.ran() >= 30, 40)
    cluster.kill_node()
    cluster.kill("slurmctld", signal.SIGTERM)
    time.sleep(1)
    cluster.start_controller()
    cluster.lose_node()
    cluster.start_node()
    told, err = wait_for(driver, lab)

    assert lab.counts() == {"done": 50}, err
    results = lab.sql(
        "SELECT r.job, r.token, j.token, r.body FROM results r JOIN jobs j ON j.id = r.job ORDER BY 1"
    )
    assert [json.loads(body)["metric"] for _, _, _, body in results] == [i * i for i in range(50)]
    assert all(token == held_by for _, token, held_by, _ in results)
    ends = dict(lab.sql("SELECT how, count(*) FROM leases GROUP BY how"))
    assert ends.pop("done") == 50 and ends.pop("failed") and set(ends) <= {"released"}, ends
    assert lab.sql("SELECT count(*) FROM events WHERE what = 'adopted'")[0][0] >= 5
    ran = (lab.folder / "ran").read_text().split()
    assert len(ran) == len(set(ran)), "one run of a token, never two"
    assert lab.sql("SELECT used FROM budgets WHERE kind = 'tokens'") == [(100.0,)]
    cluster.until(lambda: not active(cluster), f"something goes on in Slurm after {told}")


# A controller that crashes forgets its last seconds: it begins tasks again that have ended, and does not know others. No
# result is lost, and none is there twice. (Two minutes: scripts/soak slurm.)
@pytest.mark.skipif("KERNMILL_SOAK" not in os.environ, reason="scripts/soak slurm")
@pytest.mark.parametrize("turn", range(int(os.environ.get("KERNMILL_SOAK", "1"))))
def test_a_controller_that_forgets(lab_of, cluster, turn):  # noqa: F811
    lab = lab_of("slots = 25\narray = 25\n")
    lab.jobs([{"x": i, "sleep": i % 5 * 0.7} for i in range(50)])
    random.seed(turn)
    driver = lab.run()
    for limit in (15, 30, 45):
        until(lambda limit=limit: cluster.resume_node() or lab.ran() >= limit, 200)
        time.sleep(random.uniform(0, 1))
        cluster.kill("slurmctld")
        if limit == 30:
            driver.send_signal(signal.SIGKILL)
            driver.wait()
            driver = lab.run()
        cluster.start_controller()
    until(lambda: cluster.resume_node() or driver.poll() is not None, 300)
    told, err = wait_for(driver, lab)
    assert lab.counts() == {"done": 50}, (told, err)
    results = lab.sql("SELECT job, body FROM results ORDER BY job")
    assert [json.loads(body)["metric"] for _, body in results] == [i * i for i in range(50)]
    assert lab.sql("SELECT count(*) FROM leases WHERE how = 'done'") == [(50,)]
    cluster.until(lambda: not active(cluster), "something goes on in Slurm")
    print(f"turn {turn}: 50 done, {told['failed']} tries failed, {lab.ran()} begun")


# Drivers that are killed at any point, again and again: each job has one result, and no token ran twice.
@pytest.mark.skipif("KERNMILL_SOAK" not in os.environ, reason="scripts/soak slurm")
@pytest.mark.parametrize("turn", range(int(os.environ.get("KERNMILL_SOAK", "1"))))
def test_drivers_killed_at_any_point(lab_of, cluster, turn):  # noqa: F811
    lab = lab_of(f"slots = 8\narray = {turn % 2 * 8}\n")
    lab.jobs([{"x": i, "sleep": 0.5} for i in range(40)])
    random.seed(turn)
    for _ in range(30):
        driver = lab.run()
        time.sleep(random.uniform(0.02, 1.5))
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    told, err = wait_for(lab.run(), lab, 200)
    assert lab.counts() == {"done": 40}, (told, err)
    results = lab.sql("SELECT body FROM results ORDER BY job")
    assert [json.loads(body)["metric"] for (body,) in results] == [i * i for i in range(40)]
    ran = (lab.folder / "ran").read_text().split()
    assert len(ran) == len(set(ran)), "one run of a token, never two"
    cluster.until(lambda: not active(cluster), "something goes on in Slurm")
    adopted = lab.sql("SELECT count(*) FROM events WHERE what = 'adopted'")[0][0]
    print(f"turn {turn}: 40 done, {adopted} adopted, {len(ran)} begun")


# A driver that is killed right after sbatch knows no number: the next one finds the job by its comment, and no second
# one is submitted.
def test_killed_between_sbatch_and_the_store(lab_of, cluster, tmp_path):  # noqa: F811
    lab = lab_of()
    lab.jobs([{"x": 7, "sleep": 3}])
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "sbatch").write_text(
        f'#!/bin/sh\n{shutil.which("sbatch")} "$@" >/dev/null; kill -9 $PPID; sleep 5\n'
    )
    (tools / "sbatch").chmod(0o755)
    driver = lab.start(
        "run", "--worker", WORKER, env={**lab.environment, "PATH": f"{tools}:{os.environ['PATH']}"}
    )
    assert driver.wait(30) == -signal.SIGKILL
    assert lab.sql("SELECT executor, remote FROM leases") == [("slurm", "?1.1")]
    told, _ = wait_for(lab.run(), lab)
    assert told["done"] == 1 and (lab.folder / "ran").read_text().split() == ["1/1"]
    assert lab.sql("SELECT how FROM leases") == [("done",)]


# What sbatch refuses ends the driver with sbatch's own words, and costs the job no attempt.
def test_what_sbatch_refuses(lab_of):
    lab = lab_of('partition = "nowhere"\n')
    lab.jobs([{"x": 1}])
    code, _, err = lab.say("run", "--worker", WORKER)
    assert code == 3 and "invalid partition" in err and "[executor]" in err
    assert lab.sql("SELECT state, attempts FROM jobs") == [("queued", 0)]


# Cancelled work is cancelled there, an exit code is told as on this machine, and a time limit is Slurm's, too.
def test_ends_that_are_no_results(lab_of, cluster):  # noqa: F811
    lab = lab_of("slots = 3\n")
    lab.jobs([{"x": 1, "sleep": 60}, {"x": 2, "exit": 3}, {"x": 3, "sleep": 60}])
    driver = lab.run("--lease", "3")
    until(lambda: (lab.folder / "ran").exists() and "3/1" in (lab.folder / "ran").read_text(), 20)
    assert lab.say("cancel", 1)[0] == 0
    until(lambda: lab.sql("SELECT state FROM jobs WHERE id = 2") == [("dead",)], 40)
    assert "exit code 3" in lab.sql("SELECT error FROM jobs WHERE id = 2")[0][0]
    driver.send_signal(signal.SIGTERM)
    told, err = wait_for(driver, lab)
    assert told["lost"] == 1 and "told to stop" in err
    assert lab.sql("SELECT state, attempts FROM jobs WHERE id = 3") == [("queued", 0)]
    cluster.until(lambda: not active(cluster), "it goes on in Slurm")


# The whole team with its work and its measuring under Slurm, the champion promoted here; GPUs that it gives are counted.
def test_the_team(tmp_path, cluster):  # noqa: F811
    slow = SETTINGS.replace('run = "', 'run = "sleep 0.15; ')  # Slurm counts whole seconds
    lab = search_lab(tmp_path, settings=slow + EXECUTOR + 'gres = "gpu:2"\nslots = 2\n')
    code, _, err = lab.say("run", env=cluster.environment())
    assert code == 0, err
    ideas = {h["key"]: h for h in lab.say("report")[1]["hypotheses"]}
    assert ideas["LEVEL=8.0"]["state"] == "promoted"
    leases = [lease for idea in ideas.values() for lease in idea["leases"]]
    assert {lease["executor"] for lease in ideas["LEVEL=8.0"]["leases"]} == {"slurm"}
    assert (
        all(lease["gpu_seconds"] % 2 == 0 for lease in leases) and sum(x["gpu_seconds"] for x in leases) > 0
    )


# Where Slurm is not installed, the error says what to do.
def test_no_slurm_here(tmp_path):
    lab = Lab(tmp_path)
    code, _, err = lab.say(
        "run", "--worker", "true", "--executor", "slurm", env={**os.environ, "PATH": str(tmp_path)}
    )
    assert code == 3 and "sbatch is missing" in err and "slurm-client" in err
