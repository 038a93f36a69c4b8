"""`kernmill lab`: ideas, the queue, and that nothing is lost or done twice."""

import concurrent.futures
import functools
import json
import pathlib
import resource
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from program import PROGRAM


class Lab:
    """A lab in a folder; say("claim", ...) hands in JSON and returns (exit code, answer, stderr)."""

    def __init__(self, folder):
        self.folder = folder
        self.say("init")

    def start(self, *words, **options):
        return subprocess.Popen([PROGRAM, "lab", *map(str, words)], cwd=self.folder, text=True,
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)  # fmt: skip

    def say(self, *words, given=None, **options):
        process = self.start(*words, **options)
        out, err = process.communicate(json.dumps(given) if given is not None else "", timeout=60)
        try:
            answer = json.loads(out)
        except ValueError:
            answer = out
        return process.returncode, answer, err

    def idea(self, key, **fields):
        return self.say("propose", given={"key": key, "title": key, **fields})[1]["hypothesis"]

    def queued(self, key, **fields):
        number = self.idea(key, **fields)
        assert self.say("review", number, given={"verdict": "approve"})[1]["state"] == "reviewed"
        assert self.say("plan", number, given={})[1]["state"] == "queued"
        return number

    def report(self):
        return self.say("report")[1]

    def state(self, number):
        return next(h["state"] for h in self.report()["hypotheses"] if h["id"] == number)


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


# An idea's whole way, each role by its own command; the history tells it in order.
def test_the_way_of_an_idea(lab):
    number = lab.queued(
        "wider", text="fewer blocks", payload={"threads": 512}, author="ada", source="arXiv:1"
    )
    code, job, _ = lab.say("claim", "--worker", "w")
    assert code == 0 and job["payload"] == {"threads": 512} and job["hypothesis"] == number
    assert lab.state(number) == "running"
    assert lab.say("beat", job["job"], "--token", job["token"])[0] == 0
    assert lab.say("submit", job["job"], "--token", job["token"], given={"metric": 2.5})[0] == 0
    assert lab.state(number) == "evaluating"
    assert (
        lab.say("decide", number, given={"state": "accepted", "reason": "faster"})[1]["state"] == "accepted"
    )
    report = lab.report()
    idea = report["hypotheses"][0]
    assert idea["results"][0]["body"] == {"metric": 2.5} and idea["reason"] == "faster"
    assert [(x["worker"], x["how"]) for x in idea["leases"]] == [("w", "done")]
    events = [(e["subject"], e["what"]) for e in report["events"]]
    assert events == [
        ("campaign 1", "settings"),
        ("hypothesis 1", "proposed"),
        ("hypothesis 1", "reviewed"),
        ("hypothesis 1", "queued"),
        ("job 1", "submitted"),
        ("job 1", "claimed"),
        ("hypothesis 1", "running"),
        ("job 1", "done"),
        ("hypothesis 1", "evaluating"),
        ("hypothesis 1", "accepted"),
    ]


# Proposing is safe to repeat, and the queue hands out by priority, then by age.
def test_repeats_and_order(lab):
    first = lab.queued("a")
    assert lab.say("propose", given={"key": "a", "title": "a"})[1] == {
        "schema": 1,
        "hypothesis": first,
        "made": False,
    }
    lab.queued("b")
    lab.queued("c", priority=5)
    order = [lab.say("claim", "--worker", "w")[1]["key"] for _ in range(3)]
    assert [key.split(",")[0] for key in order] == ["hypothesis 3", "hypothesis 1", "hypothesis 2"]
    assert lab.say("claim", "--worker", "w")[0] == 1


# There is no way that is not in the table: not from nowhere, not backwards, not twice.
@pytest.mark.parametrize("state", ["promoted", "running", "nonsense", "proposed", "evaluating"])
def test_no_such_way(lab, state):
    number = lab.idea("a")
    code, _, err = lab.say("decide", number, given={"state": state})
    assert code == 2 and "cannot become" in err and lab.state(number) == "proposed"


def test_a_rejected_idea_stays(lab):
    number = lab.idea("a")
    assert lab.say("review", number, given={"verdict": "reject", "text": "known"})[1]["state"] == "rejected"
    assert lab.say("plan", number, given={})[0] == 2
    assert lab.say("review", number, given={"verdict": "approve"})[0] == 2


WRONG = {
    "no key": ({"title": "x"}, "key"),
    "empty key": ({"key": "", "title": "x"}, "key"),
    "long key": ({"key": "k" * 129, "title": "x"}, "key"),
    "a list": ([1], "no JSON object"),
    "key is a number": ({"key": 1, "title": "x"}, "key"),
    "text too long": ({"key": "k", "title": "x", "text": "t" * 70000}, "longer than"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_proposal(lab, case):
    given, text = WRONG[case]
    code, _, err = lab.say("propose", given=given)
    assert code == 4 and text in err and not lab.report()["hypotheses"]


# A worker that slept beyond its lease finds its job another's: its result changes nothing.
def test_a_late_result_is_refused(lab):
    number = lab.queued("a")
    first = lab.say("claim", "--worker", "slow", "--lease", "1")[1]
    time.sleep(1.2)
    second = lab.say("claim", "--worker", "quick")[1]
    assert second["job"] == first["job"] and second["token"] == first["token"] + 1
    assert lab.say("beat", first["job"], "--token", first["token"])[0] == 1
    code, _, err = lab.say("submit", first["job"], "--token", first["token"], given={"metric": 1})
    assert code == 1 and "refused" in err
    assert lab.say("submit", second["job"], "--token", second["token"], given={"metric": 2})[0] == 0
    assert lab.say("submit", second["job"], "--token", second["token"], given={"metric": 3})[0] == 1
    assert [r["body"] for r in lab.report()["hypotheses"][number - 1]["results"]] == [{"metric": 2}]


# Another boot's leases are over, whatever their clock says.
def test_leases_end_with_the_boot(lab):
    lab.queued("a")
    lab.say("claim", "--worker", "w", "--lease", "86400")
    with sqlite3.connect(lab.folder / ".lab/lab.db") as db:
        db.execute("UPDATE jobs SET lease_boot = '00000000-0000-0000-0000-000000000000'")
    db.close()
    assert lab.say("claim", "--worker", "after")[1]["attempt"] == 2


# What fails is tried again, and given up after the attempts that it has.
def test_attempts_end(lab):
    number = lab.queued("a")
    for attempt in range(1, 4):
        job = lab.say("claim", "--worker", "w")[1]
        assert job["attempt"] == attempt
        assert lab.say("fail", job["job"], "--token", job["token"], "--why", f"try {attempt}")[0] == 0
    assert lab.say("claim", "--worker", "w")[0] == 1
    idea = lab.report()["hypotheses"][0]
    assert idea["state"] == "failed" and idea["reason"] == "try 3" and lab.state(number) == "failed"


def test_cancelled_work_tells_its_worker(lab):
    number = lab.queued("a")
    job = lab.say("claim", "--worker", "w")[1]
    assert lab.say("cancel", job["job"], "--why", "enough")[0] == 0
    assert lab.say("beat", job["job"], "--token", job["token"])[0] == 1
    assert lab.say("cancel", job["job"])[0] == 1 and lab.state(number) == "cancelled"


# A spent budget is a hard stop, until lab.toml says more.
def test_the_budget(lab):
    for key in "abc":
        lab.queued(key)
    settings = lab.folder / "lab.toml"
    settings.write_text(settings.read_text().replace("runs = 1000", "runs = 2"))
    assert lab.say("init")[0] == 0
    assert [lab.say("claim", "--worker", "w")[0] for _ in range(2)] == [0, 0]
    code, _, err = lab.say("claim", "--worker", "w")
    assert code == 2 and "runs is spent: 2 of 2" in err
    settings.write_text(settings.read_text().replace("runs = 2", "runs = 3"))
    lab.say("init")
    assert lab.say("claim", "--worker", "w")[0] == 0


def test_a_wrong_lab_toml(lab):
    (lab.folder / "lab.toml").write_text('[lab]\nname = "x"\nmetrik = "y"\ndirection = "lower"\n')
    code, _, err = lab.say("init")
    assert code == 4 and "lab.toml:3:1" in err and "metric" in err


# What happened cannot be changed, not by SQL, and not behind its back.
def test_the_history_stays(lab):
    number = lab.queued("a")
    with sqlite3.connect(lab.folder / ".lab/lab.db") as db:
        for sql in ("UPDATE events SET what = 'x'", "DELETE FROM events", "DELETE FROM reviews"):
            with pytest.raises(sqlite3.IntegrityError, match="never"):
                db.execute(sql)
        db.execute("DROP TRIGGER events_stay")
        db.execute("UPDATE events SET what = 'accepted' WHERE id = 3")
    db.close()
    code, _, err = lab.say("report")
    assert code == 4 and "changed at event 3" in err and number == 1


def test_a_backup_is_a_lab(lab, tmp_path):
    lab.queued("a")
    assert lab.say("backup", "copy.db")[0] == 0
    assert lab.say("backup", "copy.db")[0] == 2
    other = tmp_path / "other"
    (other / ".lab").mkdir(parents=True)
    (lab.folder / "copy.db").rename(other / ".lab/lab.db")
    done = subprocess.run(
        [PROGRAM, "lab", "status", "--json"], cwd=other, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["jobs"] == {"queued": 1}


# Found from below; named where there is none; refused when a newer program made it, or when it is none.
def test_where_the_lab_is(lab, tmp_path):
    below = tmp_path / "a/b"
    below.mkdir(parents=True)
    done = subprocess.run([PROGRAM, "lab", "status"], cwd=below, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(tmp_path.name)
    none = subprocess.run([PROGRAM, "lab", "status"], cwd="/", capture_output=True, text=True, check=False)
    assert none.returncode == 5 and "kernmill lab init" in none.stderr
    with sqlite3.connect(tmp_path / ".lab/lab.db") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    code, _, err = lab.say("status")
    assert code == 3 and "newer kernmill" in err
    (tmp_path / ".lab/lab.db").write_bytes(b"no store at all" * 100)
    code, _, err = lab.say("status")
    assert code == 4 and "no lab's store" in err


# 12 workers at once on 60 jobs: each job is claimed once.
def test_no_job_is_claimed_twice(lab):
    for i in range(60):
        lab.queued(f"k{i}")

    def work(worker):
        jobs = []
        while True:
            code, job, err = lab.say("claim", "--worker", f"w{worker}")
            if code:
                assert code == 1, err
                return jobs
            jobs.append(job["job"])

    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        claimed = [job for jobs in pool.map(work, range(12)) for job in jobs]
    assert sorted(claimed) == list(range(1, 61))


# The disk is full at any write: exit code 5, and the store is as it was.
@pytest.mark.parametrize("words", [("propose",), ("claim", "--worker", "w"), ("submit", "1", "--token", "1")])
def test_a_full_disk(lab, words):
    lab.queued("a")
    lab.say("claim", "--worker", "w")
    lab.queued("b", text="x" * 20000)
    store = lab.folder / ".lab/lab.db"
    given = {"key": "c", "title": "c", "text": "y" * 60000} if words[0] != "claim" else None
    before = lab.report()
    limits = range(0, store.stat().st_size + 4096, 8192)
    refused = 0
    for limit in limits:
        process = lab.start(
            *words, preexec_fn=functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (limit, limit))
        )
        out, err = process.communicate(json.dumps(given) if given else "", timeout=30)
        if process.returncode == 0:
            break
        refused += 1
        assert process.returncode == 5, (limit, out, err)
        assert lab.report() == before
    assert refused


# --- lab run ---

WORKER = f"""{sys.executable} -c '
import json, os, sys
job = json.load(sys.stdin)
what = job["payload"].get("do", "print")
if what == "print": print("noise"); print(json.dumps(dict(metric=job["payload"]["x"] ** 2)))
if what == "file":
    temporary = os.environ["KERNMILL_RUN_DIR"] + "/r.tmp"
    open(temporary, "w").write(json.dumps(dict(metric=7)))
    os.rename(temporary, os.environ["KERNMILL_RUN_DIR"] + "/result.json")
if what == "exit": sys.exit(3)
if what == "nothing": print("no result")
if what == "kill": os.kill(os.getpid(), 9)
if what == "sleep":
    import subprocess, time
    child = subprocess.Popen(["sleep", "1000"]); open("child", "w").write(str(child.pid)); time.sleep(1000)
'"""


def test_run_does_the_work(lab):
    for i in range(6):
        lab.queued(f"k{i}", payload={"x": i})
    lab.queued("file", payload={"do": "file"})
    code, told, _ = lab.say("run", "--worker", WORKER, "--slots", 3, "--json")
    assert code == 0 and told == {"schema": 1, "done": 7, "failed": 0, "lost": 0}
    results = [h["results"][0]["body"]["metric"] for h in lab.report()["hypotheses"]]
    assert results == [0, 1, 4, 9, 16, 25, 7]


@pytest.mark.parametrize(
    ("do", "why"), [("exit", "exit code 3"), ("nothing", "no result.json"), ("kill", "exit code 137")]
)
def test_run_gives_back_what_failed(lab, do, why):
    lab.queued("a", payload={"do": do})
    code, told, _ = lab.say("run", "--worker", WORKER, "--json")
    idea = lab.report()["hypotheses"][0]
    assert code == 0 and told["failed"] == 3 and idea["state"] == "failed" and why in idea["reason"]


# However much it prints: the end of the output counts.
def test_run_reads_the_end_of_a_long_output(lab):
    lab.queued("a")
    worker = "head -c 9000000 /dev/zero | tr '\\0' '\\n'; echo '{\"metric\": 3}'"
    assert lab.say("run", "--worker", worker, "--json")[1]["done"] == 1
    assert lab.report()["hypotheses"][0]["results"][0]["body"] == {"metric": 3}


def test_run_kills_the_whole_group_at_the_limit(lab):
    lab.queued("a", payload={"do": "sleep"})
    _, told, err = lab.say("run", "--worker", WORKER, "--limit", 1, "--json")
    assert told["failed"] == 3 and "longer than its time limit" in err
    assert not alive(int((lab.folder / "child").read_text()))


def alive(pid):
    """Running, not a zombie that nobody waited for."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


# A driver that is killed leaves a lease; the next one sees that its process is gone, and takes the job up.
def test_a_killed_driver(lab):
    lab.queued("a", payload={"do": "sleep"})
    driver = lab.start("run", "--worker", WORKER)
    until(lambda: (lab.folder / "child").exists() and (lab.folder / "child").read_text())
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    worker = lab.say("status", "--json")[1]["workers"]
    assert len(worker) == 1
    _, told, _ = lab.say("run", "--worker", "echo '{\"metric\": 1}'", "--json")
    assert told["done"] == 1
    assert [x["how"] for x in lab.report()["hypotheses"][0]["leases"]] == ["released", "done"]


# SIGTERM: what runs is given back, its processes are gone, and the driver ends by itself.
def test_a_stopped_driver(lab):
    lab.queued("a", payload={"do": "sleep"})
    driver = lab.start("run", "--worker", WORKER, "--json")
    until(lambda: (lab.folder / "child").exists() and (lab.folder / "child").read_text())
    driver.send_signal(signal.SIGTERM)
    out, _ = driver.communicate(timeout=20)
    assert driver.returncode == 0 and json.loads(out)["failed"] == 0
    job = lab.say("claim", "--worker", "w")[1]
    assert job["attempt"] == 1, "to stop the driver is no attempt of the job"
    assert lab.say("fail", job["job"], "--token", job["token"])[0] == 0
    assert lab.say("status", "--json")[1]["jobs"] == {"queued": 1}
    until(lambda: not alive(int((lab.folder / "child").read_text())))


# A cancelled job's processes are ended by the next heartbeat.
def test_cancel_reaches_what_runs(lab):
    lab.queued("a", payload={"do": "sleep"})
    driver = lab.start("run", "--worker", WORKER, "--lease", 1, "--json")
    until(lambda: (lab.folder / "child").exists() and (lab.folder / "child").read_text())
    assert lab.say("cancel", 1)[0] == 0
    out, _ = driver.communicate(timeout=20)
    assert json.loads(out) == {"schema": 1, "done": 0, "failed": 0, "lost": 1}
    assert lab.state(1) == "cancelled"


def until(true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)
