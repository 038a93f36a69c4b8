"""How long `kernmill lab claim` takes with 10,000 jobs queued and sixteen workers.

usage: lab_claims.py [--program FILE] [--output FILE] [--seconds N]
Each worker claims, waits for a second on average, and claims again ("working"); then all claim without a pause ("at once").
Times are of the whole command, process start included, in milliseconds, without what Python's subprocess adds (posix_spawn, no
pipes); beside them what `kernmill version` takes, and what one fsync of a byte takes on the same disk.
"""

import argparse
import concurrent.futures
import datetime
import json
import os
import pathlib
import platform
import random
import shutil
import statistics
import subprocess
import tempfile
import time

JOBS, WORKERS = 10_000, 16


def ms(function):
    begin = time.perf_counter()
    function()
    return (time.perf_counter() - begin) * 1e3


def run(*words, **options):
    return subprocess.run(words, capture_output=True, text=True, **options)


def spawn(*words):
    nowhere = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0)]
    process = os.posix_spawnp(words[0], list(map(str, words)), os.environ, file_actions=nowhere)
    _, status = os.waitpid(process, 0)
    if status != 0:
        raise RuntimeError(f"{words}: {status}")


def fill(program, folder):
    import sqlite3

    run(program, "lab", "init", folder, check=True)
    store = sqlite3.connect(folder / ".lab/lab.db")
    with store:
        store.execute("UPDATE budgets SET allowed = NULL")
        rows = (("{}", f"job {i}", i) for i in range(JOBS))
        store.executemany("INSERT INTO jobs (campaign, key, kind, payload, priority, state, attempts_max, created_us)"
                          " SELECT 1, ?2, 'work', ?1, 0, 'queued', 3, ?3", rows)  # fmt: skip


def claims(program, folder, seconds, pause):
    def work(number):
        draw, found, end = random.Random(number), [], time.monotonic() + seconds
        time.sleep(draw.random() * pause)
        while time.monotonic() < end:
            found.append(ms(lambda: spawn(program, "lab", "claim", "--worker", f"w{number}", "-C", folder)))
            time.sleep(draw.uniform(0, 2 * pause))
        return found

    with concurrent.futures.ThreadPoolExecutor(WORKERS) as pool:
        found = sorted(t for part in pool.map(work, range(WORKERS)) for t in part)
    return {"claims": len(found), "median_ms": statistics.median(found), "p99_ms": found[int(len(found) * 0.99)],
            "most_ms": found[-1]}  # fmt: skip


def fsync_ms(folder):
    with (folder / "byte").open("wb") as f:

        def once():
            f.write(b"x")
            f.flush()
            os.fsync(f.fileno())

        return statistics.median(ms(once) for _ in range(100))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", default=shutil.which("kernmill"))
    parser.add_argument("--output")
    parser.add_argument("--seconds", type=float, default=30)
    a = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=".") as name:
        folder = pathlib.Path(name).resolve()
        fill(a.program, folder)
        record = {
            "schema": 1,
            "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "command": "benchmarks/tools/lab_claims.py",
            "kernmill": run(a.program, "version").stdout.split()[1],
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "queued": JOBS,
            "workers": WORKERS,
            "version_ms": statistics.median(ms(lambda: spawn(a.program, "version")) for _ in range(20)),
            "fsync_ms": fsync_ms(folder),
            "working": claims(a.program, folder, a.seconds, 1.0),
            "at_once": claims(a.program, folder, a.seconds / 3, 0.0),
        }
    text = json.dumps(record)
    print(text)
    if a.output:
        pathlib.Path(a.output).write_text(text + "\n")


main()
