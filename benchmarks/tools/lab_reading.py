"""What it costs to look at a large lab: `lab status`, of which each frame of `lab watch` is made, and `lab report --html`.

    python benchmarks/tools/lab_reading.py PROGRAM [--ideas N] [--repeats N] [--output RECORD]

The store is made for it: N ideas, each judged, with a job, a lease and a run in turns of parent and candidate, a
promotion in every hundred, 20 workers, 200 alerts, and no events. Each command is a process of its own; times are of the whole of it,
beside `kernmill version`, which opens no store.
"""

import argparse
import contextlib
import json
import pathlib
import platform
import random
import sqlite3
import statistics
import subprocess
import tempfile
import time
from datetime import datetime, timezone

STATES = ["rejected"] * 7 + ["invalid", "duplicate", "failed"]
WORKERS = 20


def fill(db: sqlite3.Connection, ideas: int) -> None:
    rng = random.Random(1)
    champion, number, now = f"{0:040x}", 1, 1_764_000_000_000_000
    db.execute("INSERT INTO champions VALUES (1, 1, NULL, NULL, ?, ?)", (champion, now))
    for i in range(1, ideas + 1):
        now += 30_000_000
        won, commit = i % 100 == 0, f"{i:040x}"
        state, gain = ("promoted" if won else rng.choice(STATES)), rng.gauss(0.2 if won else 0, 0.05)
        live = i > ideas - WORKERS
        db.execute(
            "INSERT INTO hypotheses (id, campaign, key, title, text, payload, author, source, parent, state, reason,"
            " priority, created_us, updated_us, commit_id) VALUES (?, 1, ?, ?, ?, '{}', 'a', '', ?, ?, ?, 0, ?, ?, ?)",
            (i, f"idea-{i}", f"idea {i}: what it changes", "why it should help " * 10, champion,
             "running" if live else state, "no gain after 8 pairs", now, now, commit))  # fmt: skip
        db.execute(
            "INSERT INTO jobs (id, campaign, hypothesis, key, kind, payload, priority, state, token, attempts,"
            " attempts_max, worker, created_us, started_us, ended_us) VALUES (?, 1, ?, ?, 'evaluate', '{}', 0, ?, 1, 1, 3,"
            " ?, ?, ?, ?)", (i, i, f"job-{i}", "leased" if live else "done", f"w{i % WORKERS}", now, now, now))  # fmt: skip
        db.execute("INSERT INTO leases (job, token, worker, began_us, ended_us, how) VALUES (?, 1, ?, ?, ?, ?)",
                   (i, f"w{i % WORKERS}", now, None if live else now + 25_000_000, None if live else "done"))  # fmt: skip
        db.execute("INSERT INTO runs VALUES (?, 0, ?, ?, 1, 'h100 a', ?, 1000, 25000)",
                   (i, "parent" if i % 2 else "candidate", champion, rng.gauss(10, 0.05)))  # fmt: skip
        db.execute("INSERT INTO decisions VALUES (NULL, ?, ?, 'as measured', 8, ?, ?, ?, 0.05, NULL, ?)",
                   (i, "accepted" if won else "rejected", gain, gain - 0.1, gain + 0.1, now))  # fmt: skip
        if won:
            number, champion = number + 1, commit
            db.execute(
                "INSERT INTO champions VALUES (?, 1, ?, ?, ?, ?)", (number, number - 1, i, commit, now + 1)
            )
    for i in range(200):
        db.execute(
            "INSERT INTO alerts VALUES (NULL, 1, ?, 'warn', 'a title', 'a text', 'job 1', ?, 0)",
            (f"a{i}", now),
        )
    db.execute("UPDATE budgets SET used = ? WHERE kind = 'runs'", (ideas,))


def milliseconds(command: list, repeats: int) -> list[float]:
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(1000 * (time.perf_counter() - begin))
    return times


def row(name: str, times: list[float], **more) -> dict:
    return {"command": name, "runs": len(times), "median_ms": round(statistics.median(times), 2),
            "least_ms": round(min(times), 2), "most_ms": round(max(times), 2), **more}  # fmt: skip


def measure(program: pathlib.Path, ideas: int, repeats: int) -> list[dict]:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        subprocess.run([program, "lab", "init", folder], check=True, stdout=subprocess.DEVNULL)
        with contextlib.closing(sqlite3.connect(folder / ".lab/lab.db")) as db, db:
            fill(db, ideas)
        page = folder / "page.html"
        lab = [program, "lab"]
        rows = [row("version", milliseconds([program, "version"], repeats)),
                row("lab status", milliseconds([*lab, "status", "-C", folder], repeats)),
                row("lab status --json", milliseconds([*lab, "status", "-C", folder, "--json"], repeats)),
                row("lab report --html", milliseconds([*lab, "report", "-C", folder, "--html", page], repeats),
                    page_bytes=page.stat().st_size)]  # fmt: skip
        lines = subprocess.run(
            [*lab, "status", "-C", folder], capture_output=True, text=True
        ).stdout.splitlines()
        rows[1] |= {"lines": len(lines), "columns": max(map(len, lines))}
        return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--ideas", type=int, default=10000)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--output", type=pathlib.Path)
    a = parser.parse_args()
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    rows = measure(a.program.resolve(), a.ideas, a.repeats)
    head = {"date": datetime.now(timezone.utc).isoformat(timespec="seconds"), "commit": commit,
            "command": f"python benchmarks/tools/lab_reading.py build/release/bin/kernmill --ideas {a.ideas}",
            "system": platform.platform(), "ideas": a.ideas}  # fmt: skip
    lines = [f'  "{key}": {json.dumps(value)}' for key, value in head.items()]
    lines.append('  "reading": [\n    ' + ",\n    ".join(map(json.dumps, rows)) + "\n  ]")
    text = "{\n" + ",\n".join(lines) + "\n}\n"
    if a.output:
        a.output.write_text(text)
    print(text, end="")


if __name__ == "__main__":
    main()
