"""Kills `lab run`, or one of its workers, at random moments while a queue drains, and counts what came of it.

usage: lab_kills.py KERNMILL [KILLS [JOBS]]      default 300 kills, as many jobs as it takes
Prints one line of JSON: kills, jobs, results, lost, doubled, and whether the history is whole.
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

WORKER = "sleep 0.0$(($$ % 10)); echo '{\"ok\": true}'"


def say(program, folder, *words, given=None):
    text = json.dumps(given) if given is not None else ""
    return subprocess.run(
        [program, "lab", *words], cwd=folder, input=text, text=True, capture_output=True, check=True
    )


def fill(folder, count, start):
    """As `lab submit` would, at once: what is to be killed is the work."""
    store = sqlite3.connect(folder / ".lab/lab.db", timeout=60)
    with store:
        rows = ((f"job {i}", i) for i in range(start, start + count))
        store.executemany("INSERT INTO jobs (campaign, key, kind, payload, priority, state, attempts_max, created_us)"
                          " VALUES (1, ?, 'work', '{}', 0, 'queued', 100, ?)", rows)  # fmt: skip
        store.execute("UPDATE budgets SET allowed = NULL")
    store.close()


def workers_of(pid):
    return [int(p) for p in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def kill_something(draw, runs):
    run = draw.choice(runs)
    try:
        children = workers_of(run.pid)
    except OSError:
        children = []
    if children and draw.random() < 0.4:
        try:
            os.killpg(draw.choice(children), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True
    if run.poll() is not None:
        return False
    run.kill()
    run.wait()
    return True


def soak(program, folder, kills):
    say(program, folder, "init")
    draw, done, jobs, runs = random.Random(7), 0, 0, []
    while done < kills:
        store = sqlite3.connect(folder / ".lab/lab.db", timeout=60)
        waiting = store.execute("SELECT count(*) FROM jobs WHERE state = 'queued'").fetchone()[0]
        store.close()
        if waiting < 50:
            fill(folder, 300, jobs)
            jobs += 300
        runs = [run for run in runs if run.poll() is None]
        while len(runs) < 2:
            command = [program, "lab", "run", "--slots", "3", "--worker", WORKER]
            runs.append(
                subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
        time.sleep(draw.uniform(0, 0.25))
        done += kill_something(draw, runs)
    for run in runs:
        run.kill()
        run.wait()
    say(program, folder, "run", "--slots", "3", "--worker", WORKER)
    return done, jobs


def main():
    program = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        # a worker that was killed is a try that failed: as many tries as it takes
        kills, jobs = soak(program, folder, int(sys.argv[2]) if len(sys.argv) > 2 else 300)
        store = sqlite3.connect(folder / ".lab/lab.db")
        states = dict(store.execute("SELECT state, count(*) FROM jobs GROUP BY state"))
        results = store.execute("SELECT count(*), count(DISTINCT job) FROM results").fetchone()
        leases = store.execute("SELECT count(*) FROM leases WHERE how = 'done'").fetchone()[0]
        whole = (
            subprocess.run([program, "lab", "report", "--json"], cwd=folder, capture_output=True).returncode
            == 0
        )
    dead = states.get("dead", 0)
    answer = {"kills": kills, "jobs": jobs, "states": states, "results": results[0], "doubled": leases - results[1],
              "lost": jobs - results[1] - dead, "dead_after_their_tries": dead, "history_whole": whole}  # fmt: skip
    print(json.dumps(answer))
    sys.exit(0 if whole and answer["lost"] == 0 and answer["doubled"] == 0 else 1)


main()
