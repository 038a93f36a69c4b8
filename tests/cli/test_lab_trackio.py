"""`kernmill lab export --trackio`: what lies in the inbox, and what the real Trackio makes of it."""

import datetime
import importlib.util
import json
import os
import pathlib
import re
import resource
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request

import pytest
from test_lab import Lab
from test_lab_judge import BETTER, evaluated, pairs

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
TRACKIO = importlib.util.find_spec("trackio")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
BOARD = ["wave ID", "bead ID", "job ID", "stage", "mode", "worker name", "creation time", "hypothesis"]


def fill(lab):
    """An idea that won by 10 pairs, one with runs told one by one, one that died, one that waits; two alerts."""
    assert lab.say("judge", evaluated(lab, "won", {"pairs": pairs(BETTER)}))[0] == 0
    measured = lab.queued("<b>measured</b>\n# `x`", author="ada", parent="aaaa")
    job = lab.say("claim", "--worker", "w")[1]["job"]
    dead = lab.queued("dead")
    for _ in range(3):
        claim = lab.say("claim", "--worker", "w")[1]
        lab.say("fail", claim["job"], "--token", claim["token"], "--why", "boom")
    lab.queued("waits")
    with sqlite3.connect(lab.folder / ".lab/lab.db") as db:
        now = db.execute("SELECT max(at_us) FROM events").fetchone()[0]
        for pair in range(3):
            for arm, value, wall in [("parent", 10 + pair, 3000), ("candidate", 8 + pair, 2000)]:
                db.execute("INSERT INTO runs VALUES (?, ?, ?, ?, 1, 'h100', ?, 9, ?)",
                           [job, pair, arm, arm, value, wall])  # fmt: skip
        db.execute("INSERT INTO champions VALUES (1, 1, NULL, NULL, 'parent', ?)", [now])
        alert = "INSERT INTO alerts (campaign, key, level, title, text, subject, created_us) VALUES (1, ?, ?, ?, ?, ?, ?)"
        db.execute(alert, ["a", "warn", "a worker was lost", "thrice", f"job {claim['job']}", now])
        db.execute(alert, ["b", "error", "the budget is spent", "runs", "campaign 1", now + 1])
    return measured, dead


@pytest.fixture
def lab(tmp_path):
    (tmp_path / "my lab.x").mkdir()
    return Lab(tmp_path / "my lab.x")


def export(lab, *words):
    code, answer, err = lab.say("export", "--trackio", *words)
    assert code == 0, err
    return answer["trackio"]


def records(folder):
    return [
        json.loads(line) for path in sorted(folder.rglob("*.jsonl")) for line in path.read_text().splitlines()
    ]


def ids(rows):
    return [r.get("log_id") or r["alert_id"] for r in rows]


def micros(text):
    assert text.endswith("+00:00") and len(text) == 32
    return round(datetime.datetime.fromisoformat(text).timestamp() * 1e6)


# ---- the inbox ----


# Each rule that Trackio breaks on: a time, an id and a level in lower case in every record, a step in each row.
def test_every_record_has_what_it_must(lab, tmp_path):
    fill(lab)
    answer = export(lab, tmp_path / "t")
    rows = records(tmp_path / "t")
    assert answer == {"folder": str(tmp_path / "t"), "project": "my-lab-x", "records": len(rows),
                      "fragments": 1}  # fmt: skip
    assert [p.name for p in (tmp_path / "t/inbox").rglob("*") if p.is_file()] == ["00000000.jsonl"]
    for row in rows:
        assert row["v"] == 1 and row["project"] == "my-lab-x" and row["run"] and "\n" not in row["run"]
        assert row["run_id"] and micros(row["timestamp"]) > 0
        if row["kind"] == "metric":
            assert UUID.fullmatch(row["log_id"]) and isinstance(row["step"], int) and row["metrics"]
            assert not {"id", "run_id", "run_name", "log_id", "space_id", "created_at"} & set(
                row["config"] or {}
            )
        else:
            assert (
                row["kind"] == "alert" and row["level"] in ("info", "warn", "error") and row["step"] is None
            )
            assert UUID.fullmatch(row["alert_id"])
    assert len(set(ids(rows))) == len(rows)


def test_what_a_run_shows(lab, tmp_path):
    measured, dead = fill(lab)
    export(lab, tmp_path / "t")
    rows = records(tmp_path / "t")
    report = lab.report()

    def of(number):
        return [r for r in rows if r["run_id"].endswith(f"-{number}") and r["kind"] == "metric"]

    began = report["hypotheses"][1]["leases"][0]["began_us"]
    steps = [r for r in of(measured) if "gain" in r["metrics"]]
    assert [(r["step"], r["metrics"]) for r in steps] == [
        (i + 1, {"metric/parent": 10.0 + i, "metric/candidate": 8.0 + i, "gain": 2.0, "wall_ms/parent": 3000,
                 "wall_ms/candidate": 2000})
        for i in range(3)
    ]  # fmt: skip
    assert [micros(r["timestamp"]) - began for r in steps] == [5_000_000, 10_000_000, 15_000_000]
    first = of(measured)[0]
    assert first["step"] == 0 and first["metrics"] == {"lab/status": 0}
    assert first["config"]["author"] == "ada" and first["config"]["parent"] == "aaaa"
    assert [r["metrics"]["lab/status"] for r in of(dead)] == [0, 1, 2, 3, 2, 3, 2, 3, -4]
    won = [r for r in of(1) if "gain" in r["metrics"]]
    assert [r["metrics"]["metric/candidate"] for r in won] == pytest.approx([c for _, c in BETTER])
    (decision,) = [r for r in of(1) if "decision/gain" in r["metrics"]]
    assert decision["step"] == 10 and decision["metrics"]["decision/low"] > 0
    states = {e["at_us"] for e in report["events"]}
    assert all(micros(r["timestamp"]) in states for r in of(dead))
    last = rows[-1]["metrics"]
    assert last["ideas/accepted"] == 1 and last["ideas/stale"] == 0 and last["jobs/dead"] == 1
    assert (
        last["budget/runs_used"] == 5
        and last["budget/runs_allowed"] == 1000
        and "budget/money_used" not in last
    )
    assert (last["champion/mean"], last["champion/sd"], last["champion/n"]) == (11, 1, 3)
    board = last["job_board"]["_value"]
    assert last["job_board"]["_type"] == "trackio.table" and [list(r) for r in board] == [BOARD] * 4
    assert [r["stage"] for r in board] == ["queued", "dead", "leased", "done"]
    assert (
        last["report"]["_type"] == "trackio.markdown"
        and "- 1 won: **accepted** after 10" in last["report"]["_value"]
    )
    assert {a["run"]: a["level"] for a in rows if a["kind"] == "alert"} == {"3 dead": "warn", "lab": "error"}


def test_only_what_is_new(lab, tmp_path):
    fill(lab)
    export(lab, tmp_path / "t")
    before = records(tmp_path / "t")
    assert export(lab, tmp_path / "t")["records"] == 0
    lab.idea("new")
    assert export(lab, tmp_path / "t")["fragments"] == 1
    after = records(tmp_path / "t")[len(before) :]
    assert [(r["run"], r["step"]) for r in after[:1]] == [("5 new", 0)] and {r["run"] for r in after} == {
        "5 new",
        "lab",
    }
    # the dashboard shows every board and report that there was: none without news
    assert after[-1]["metrics"]["ideas/proposed"] == 1 and not {"job_board", "report"} & set(
        after[-1]["metrics"]
    )
    lab.say("cancel", 4, given={})
    export(lab, tmp_path / "t")
    last = records(tmp_path / "t")[-1]["metrics"]
    assert last["job_board"]["_value"][0]["stage"] == "cancelled" and "report" not in last
    # another folder has not seen anything yet
    assert set(ids(records(tmp_path / "t"))) >= set(ids(before))
    assert export(lab, tmp_path / "other")["records"] >= len(before)


# A crash between the fragment and the note of it, or a database that was lost: the same records, the same ids.
def test_again_is_the_same(lab, tmp_path):
    fill(lab)
    export(lab, tmp_path / "t")
    first = records(tmp_path / "t")
    (lab.folder / ".lab/trackio.json").unlink()
    export(lab, tmp_path / "t")
    paths = sorted(tmp_path.glob("t/inbox/*/*.jsonl"))
    assert [p.name for p in paths] == ["00000000.jsonl", "00000001.jsonl"]  # what waits is not written over
    assert paths[0].read_text() == paths[1].read_text()
    export(lab, "--all", tmp_path / "t")
    assert records(tmp_path / "t") == first * 3


def test_another_lab_of_that_name_has_other_ids(lab, tmp_path):
    (tmp_path / "b/my lab.x").mkdir(parents=True)
    other = Lab(tmp_path / "b/my lab.x")
    for one in (lab, other):
        one.idea("a")
        export(one, tmp_path / "t")
    rows = records(tmp_path / "t")
    assert len(set(ids(rows))) == len(rows) and len(list((tmp_path / "t/inbox").iterdir())) == 2


# Names that Trackio gives to its own files would stop its importer for ever.
@pytest.mark.parametrize(
    ("name", "project"),
    [
        ("registry-a", "lab-registry-a"),
        ("a_system", "a_system-lab"),
        ("größe/1", "gr----e-1"),
        ("a.b", "a-b"),
    ],
)
def test_project_names(lab, tmp_path, name, project):
    toml = lab.folder / "lab.toml"
    toml.write_text(toml.read_text().replace('"my lab.x"', json.dumps(name, ensure_ascii=False)))
    lab.say("init")
    lab.idea("a")
    assert export(lab, tmp_path / "t")["project"] == project


def test_where_trackio_looks(lab, tmp_path):
    lab.idea("a")
    clean = {k: v for k, v in os.environ.items() if k not in ("TRACKIO_DIR", "HF_HOME", "XDG_CACHE_HOME")}
    for change, folder in [
        ({"TRACKIO_DIR": str(tmp_path / "x")}, "x"),
        ({"HF_HOME": str(tmp_path / "hf")}, "hf/trackio"),
        ({"HOME": str(tmp_path / "home")}, "home/.cache/huggingface/trackio"),
    ]:
        code, answer, _ = lab.say("export", "--trackio", env={**clean, **change})
        assert code == 0 and answer["trackio"]["folder"] == str(tmp_path / folder)
        assert records(tmp_path / folder)


def test_two_at_once(lab, tmp_path):
    fill(lab)
    running = [lab.start("export", "--trackio", tmp_path / "t") for _ in range(4)]
    assert [p.wait(60) for p in running] == [0] * 4
    rows = records(tmp_path / "t")
    assert len(set(ids(rows))) == len(rows) and len(list(tmp_path.glob("t/inbox/*/*.jsonl"))) == 1


# Killed at any moment: what has its name is whole, and the next export brings the rest.
def test_killed(lab, tmp_path):
    fill(lab)
    export(lab, tmp_path / "all")
    for i in range(25):
        (lab.folder / ".lab/trackio.json").unlink(missing_ok=True)
        process = lab.start("export", "--trackio", tmp_path / "t")
        time.sleep(i * 0.0005)
        process.kill()
        process.wait()
    export(lab, tmp_path / "t")
    assert set(ids(records(tmp_path / "t"))) == set(ids(records(tmp_path / "all")))


def test_a_full_disk(lab, tmp_path):
    fill(lab)
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))  # noqa: E731
    code, _, err = lab.say("export", "--trackio", tmp_path / "t", preexec_fn=limit)
    assert code == 5 and ".jsonl" in err
    assert not [p for p in (tmp_path / "t").rglob("*") if p.is_file()]
    assert not (lab.folder / ".lab/trackio.json").exists() and export(lab, tmp_path / "t")["records"] > 0


# A long title becomes a run's short name, between two characters.
def test_a_long_title(lab, tmp_path):
    lab.idea("a", parent="ü" * 3000)
    lab.say("propose", given={"key": "b", "title": "ö" * 100})
    export(lab, tmp_path / "t")
    rows = records(tmp_path / "t")
    assert {r["run"] for r in rows} == {"1 a", "2 " + "ö" * 39, "lab"} and rows[0]["config"][
        "parent"
    ] == "ü" * 500


def test_a_damaged_memory(lab, tmp_path):
    lab.idea("a")
    (lab.folder / ".lab/trackio.json").write_text("{")
    code, _, err = lab.say("export", "--trackio", tmp_path / "t")
    assert code == 4 and "trackio.json" in err and not records(tmp_path / "t")


def test_a_folder_that_cannot_be(lab, tmp_path):
    lab.idea("a")
    (tmp_path / "t").write_text("")
    code, _, err = lab.say("export", "--trackio", tmp_path / "t")
    assert code == 5 and str(tmp_path / "t") in err
    assert not (lab.folder / ".lab/trackio.json").exists()


# ---- the real Trackio ----


class Dashboard:
    """`trackio show` on 127.0.0.1, and the command line beside it."""

    def __init__(self, folder: pathlib.Path):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        clean = {
            k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRACKIO_", "GRADIO_", "SPACE_"))
        }
        self.environment = {**clean, "TRACKIO_DIR": str(folder), "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1",
                            "GRADIO_SERVER_PORT": str(self.port), "TRACKIO_INBOX_POLL_INTERVAL": "5", "BROWSER": "true"}  # fmt: skip
        self.folder = folder
        self.process = subprocess.Popen(self.words("show", "--host", "127.0.0.1"), env=self.environment,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip

    @staticmethod
    def words(*words):
        return [sys.executable, "-c", "from trackio.cli import main; main()", *map(str, words)]

    def say(self, *words):
        done = subprocess.run(
            self.words(*words, "--json"), env=self.environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def wait(self):
        """Until the inbox is empty and pages are served."""
        for _ in range(300):
            time.sleep(0.1)
            try:
                if not list(self.folder.glob("inbox/*/*.jsonl")):
                    return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/version", timeout=5).read()
            except OSError:
                pass
        raise AssertionError("Trackio did not take what lay in its inbox")

    def page(self, name, profile):
        words = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
                 "--virtual-time-budget=10000", "--dump-dom", f"http://127.0.0.1:{self.port}/{name}?project=my-lab-x"]  # fmt: skip
        return subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.fixture
def dashboard(lab, tmp_path):
    if not TRACKIO:
        pytest.skip("trackio is missing: scripts/setup --test")
    fill(lab)
    export(lab, tmp_path / "t")
    d = Dashboard(tmp_path / "t")
    yield d
    d.process.terminate()
    d.process.wait(20)


def test_trackio_takes_all_of_it(lab, dashboard, tmp_path):
    rows = records(tmp_path / "t")
    dashboard.wait()
    runs = ["1 won", "2 <b>measured</b> # `x`", "3 dead", "4 waits", "lab"]
    project = ("--project", "my-lab-x")
    assert sorted(dashboard.say("list", "runs", *project)["runs"]) == runs
    values = dashboard.say("get", "metric", *project, "--run", runs[1], "--metric", "metric/candidate")[
        "values"
    ]
    assert [(v["step"], v["value"]) for v in values] == [(1, 8.0), (2, 9.0), (3, 10.0)]
    assert [v["timestamp"] for v in values] == [
        r["timestamp"] for r in rows if "wall_ms/parent" in r.get("metrics", {})
    ]
    assert "lab/status" in dashboard.say("list", "metrics", *project, "--run", "3 dead")["metrics"]
    alerts = dashboard.say("list", "alerts", *project, "--level", "warn")["alerts"]
    assert [(a["run"], a["title"], a["text"]) for a in alerts] == [("3 dead", "a worker was lost", "thrice")]
    assert dashboard.say("get", "run", *project, "--run", "1 won")["config"]["state"] == "accepted"
    with sqlite3.connect(tmp_path / "t/my-lab-x.db") as db:
        count = db.execute(
            "SELECT (SELECT count(*) FROM metrics) + (SELECT count(*) FROM alerts)"
        ).fetchone()[0]
    assert count == len(rows)
    # once more, all of it, while the dashboard runs: nothing is there twice
    export(lab, "--all", tmp_path / "t")
    dashboard.wait()
    with sqlite3.connect(tmp_path / "t/my-lab-x.db") as db:
        again = db.execute(
            "SELECT (SELECT count(*) FROM metrics) + (SELECT count(*) FROM alerts)"
        ).fetchone()[0]
    assert again == count


@pytest.mark.skipif(not CHROMIUM, reason="no chromium")
def test_the_dashboard_shows_it(dashboard, tmp_path):
    dashboard.wait()
    board = dashboard.page("media", tmp_path / "profile")
    for text in ["job_board", *BOARD, "hypothesis 3", "dead"]:
        assert text in board
    report = dashboard.page("reports", tmp_path / "profile")
    for text in [
        "<h3>Decisions</h3>",
        "<strong>accepted</strong> after 10 pairs",
        "the budget is spent",
        "thrice",
    ]:
        assert text in report
    assert "&lt;b&gt;measured" in dashboard.page("runs", tmp_path / "profile")
