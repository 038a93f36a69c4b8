"""Ideas as commits: what is measured is what was committed, and only the best of them is promoted."""

import concurrent.futures
import functools
import json
import os
import pathlib
import resource
import signal
import sqlite3
import subprocess
import time

import pytest
from program import PROGRAM
from tree_lab import SETTINGS, TRAIN, TreeLab


@pytest.fixture
def lab(tmp_path):
    return TreeLab(tmp_path)


# The whole way of a real gain: a tree of one's own, a commit, pairs, a verdict, the branch.
def test_a_gain_becomes_the_champion(lab):
    start = lab.git("rev-parse", "HEAD")
    number = lab.work("lower", lab.level(9.0))
    assert lab.git("rev-parse", f"refs/lab/{number}^") == start
    assert not list((lab.folder / ".lab/worktrees").iterdir())
    _, code, result = lab.measure()
    assert code == 0 and len(result["pairs"]) == 8 and result["pairs"][0]["amount"] == [1000, 1000]
    assert {pair["first"] for pair in result["pairs"]} == {"parent", "candidate"}
    assert len({pair["seed"] for pair in result["pairs"]}) == 8
    assert lab.idea(number)["state"] == "accepted"
    code, answer, err = lab.say("promote", number, "--json")
    assert code == 0 and answer["state"] == "promoted", err
    assert "LEVEL = 9.0" in (lab.folder / "train.py").read_text()
    assert lab.git("status", "--porcelain") == ""
    master = json.loads((lab.folder / "research/live/master.json").read_text())
    assert master["hash"] == lab.git("rev-parse", f"refs/lab/{number}") and master["runs"]["n"] == 8
    row = (lab.folder / "research/results.tsv").read_text().splitlines()[-1].split("\t")
    assert row[7] == "lower" and row[9] == master["hash"][: len(row[9])] and row[15] == "true"
    champion = lab.say("champion", "--json")[1]
    assert champion["commit"] == lab.git("rev-parse", "main") and champion["hypothesis"] == number
    assert champion["n"] == 8 and abs(champion["mean"] - 9.0) < 0.3
    assert lab.git("merge-base", "--is-ancestor", start, "main") == ""


# A change of nothing is not promoted, however often it is looked at; it costs no more than pairs_max.
def test_a_null_change_is_not_accepted(lab):
    number = lab.work("null", lambda f: (f / "train.py").write_text(TRAIN + "UNUSED = 1\n"))
    while lab.measure():
        pass
    idea = lab.idea(number)
    assert idea["state"] in ("undecided", "rejected")
    assert sum(len(r["body"]["pairs"]) for r in idea["results"] if "pairs" in r["body"]) <= 16
    code, _, err = lab.say("promote", number)
    assert code == 2 and "what is promoted was accepted" in err


def replace(name, old, new):
    def edit(folder):
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return edit


REFUSED = [
    ("invalid", "'evaluate.py', which is protected", replace("evaluate.py", "1000", "1001")),
    ("invalid", "'lab.toml', which is protected", replace("lab.toml", "effect = 0.01", "effect = 0")),
    ("invalid", "'new.py', which is protected", lambda f: (f / "new.py").write_text("")),
    ("invalid", "which is protected", lambda f: (f / "evaluate.py").unlink()),
    ("invalid", "the seed: train.py:2: -random.seed", replace("train.py", 'os.environ["KERNMILL_SEED"]', "137")),
    ("invalid", "the timer: train.py:1: +import time; time.perf_counter", replace("train.py", "import json", "import time; time.perf_counter = None; import json")),
    ("invalid", "the metric: lib/a.py:1: +loss_bits", lambda f: ((f / "lib").mkdir(), (f / "lib/a.py").write_text("loss_bits = 0\n"))),
    ("invalid", "the evaluator: train.py", replace("train.py", "LEVEL = 10.0", "import evaluate; LEVEL = 1.0")),
    ("invalid", "'lib' is a link", lambda f: (f / "lib").symlink_to("/etc")),
    ("duplicate", "nothing was changed", lambda f: None),
    ("duplicate", "only comments or spaces", lambda f: (f / "train.py").write_text("# better\n" + TRAIN.replace("\n", "  \n\n"))),
]  # fmt: skip


# What must not be changed is refused by name before anything runs, and its commit is kept.
@pytest.mark.parametrize("state,reason,edit", REFUSED, ids=[row[1] for row in REFUSED])
def test_refused_before_it_runs(lab, state, reason, edit):
    number = lab.work("odd", edit)
    idea = lab.idea(number)
    assert idea["state"] == state and reason in idea["reason"]
    assert lab.measure() is None
    assert lab.git("rev-parse", "--verify", f"refs/lab/{number}")


# lab.toml may allow what the scan knows, by name, and nothing else.
def test_the_scan_can_be_told_what_is_allowed(tmp_path):
    lab = TreeLab(tmp_path, SETTINGS.replace("[evaluate]", 'allow = ["seed"]\n[evaluate]'))
    edit = replace("train.py", "random.seed(os", "random.seed(  os")
    assert lab.idea(lab.work("seed", edit))["state"] == "evaluating"
    (tmp_path / "lab.toml").write_text(SETTINGS.replace("[evaluate]", 'allow = ["seeds"]\n[evaluate]'))
    code, _, err = lab.say("init")
    assert code == 4 and "'seeds' is none of timer, seed, evaluator, metric" in err


# The same change twice is one idea; the same change of another parent is another.
def test_the_same_change_twice(lab):
    first = lab.work("one", lab.level(9.0))
    second = lab.work(
        "two",
        lambda f: (lab.level(9.0)(f), (f / "train.py").write_text("# two\n" + (f / "train.py").read_text())),
    )
    assert lab.idea(second)["state"] == "duplicate" and f"hypothesis {first} " in lab.idea(second)["reason"]


CHEATS = [
    ("invalid", "'evaluate.py' is protected, and was changed by its run", 'open("eval" + "uate.py", "a").write("#")'),
    ("invalid", "wrote no metrics: invalid token near 'NaN'", 'open(os.environ["KERNMILL_OUT"] + "/model.json", "w").write(\'{"level": NaN}\'); raise SystemExit'),
    ("crashed", "its run exited with 3", "raise SystemExit(3)"),
    ("timed_out", "its run took longer than 2 s", "import subprocess; subprocess.run(['sleep', '60'])"),
]  # fmt: skip


# What a run does is seen, and is the idea's end, by name; text that it prints is never a metric.
@pytest.mark.parametrize("state,reason,line", CHEATS, ids=[row[1] for row in CHEATS])
def test_ended_while_it_runs(tmp_path, state, reason, line):
    lab = TreeLab(tmp_path, SETTINGS.replace("limit = 20", "limit = 2"))
    number = lab.work("cheat", lambda f: (f / "train.py").write_text(TRAIN.replace("LEVEL = 10.0", f"{line}\nLEVEL = 10.0")))  # fmt: skip
    _, code, result = lab.measure()
    assert code == 0 and result["ended"]["state"] == state
    assert lab.idea(number)["state"] == state and reason in lab.idea(number)["reason"]


# A file that a run leaves for the evaluator to import, and a metric printed or written beside, change nothing.
def test_what_a_run_leaves_behind_is_gone(lab):
    line = (
        'open("json.py", "w").write("raise SystemExit(9)"); print("loss" "_bits: 0.0"); '
        "print('{\"loss' '_bits\": 0}'); os.makedirs(\"__pycache__\", exist_ok=True)"
    )
    lab.work("mess", lambda f: (f / "train.py").write_text(TRAIN.replace("LEVEL", f"{line}\nLEVEL", 1)))
    _, code, result = lab.measure()
    assert code == 0 and "ended" not in result and all(abs(p["candidate"] - 10) < 1 for p in result["pairs"])


# A parent that fails says nothing of the idea: the job is tried again.
def test_a_parent_that_fails_is_no_verdict(tmp_path):
    lab = TreeLab(
        tmp_path, SETTINGS.replace("[evaluate]", 'allow = ["seed"]\n[evaluate]'), "raise SystemExit(5)\n"
    )
    number = lab.work("fix", lambda f: (f / "train.py").write_text(TRAIN))
    err, code, _ = lab.measure()
    assert code == 4 and "the parent's run: its run exited with 5" in err
    assert lab.idea(number)["state"] == "evaluating"


def accepted(lab, key, level):
    number = lab.work(key, lab.level(level))
    lab.measure()
    assert lab.idea(number)["state"] == "accepted"
    return number


# Of two promotions at once one wins; the other's change is put on the winner and measured again, or made again.
def test_two_promotions_at_once(lab):
    numbers = [accepted(lab, "a", 9.0), accepted(lab, "b", 8.0)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda n: lab.say("promote", n), numbers))
    states = sorted(lab.idea(n)["state"] for n in numbers)
    assert sorted(code == 0 for code, _, _ in answers) == [False, True], answers
    assert "promoted" in states
    loser = numbers[[code for code, _, _ in answers].index(max(code for code, _, _ in answers))]
    lab.say("promote", loser)
    assert lab.idea(loser)["state"] == "queued"  # both change the same line: its work is done again
    store = sqlite3.connect(lab.folder / ".lab/lab.db")
    assert store.execute("SELECT count(*) FROM champions").fetchone() == (2,)


def report_after(lab, trigger, change):
    """What `lab report` says when somebody has changed what stays."""
    store = sqlite3.connect(lab.folder / ".lab/lab.db")
    with store:
        store.execute(f"DROP TRIGGER {trigger}")
        store.execute(change)
    store.close()
    return lab.say("report")


# What a job's result was is in the history.
def test_a_result_that_was_changed(lab):
    accepted(lab, "a", 9.0)
    code, _, err = report_after(lab, "results_stay", "UPDATE results SET body = '{}' WHERE job = 2")
    assert code == 4 and "the result of job 2" in err


# A history that ends before the champion was made, or that somebody wrote anew, is told from his commit.
def test_the_champion_names_the_history(lab):
    promoted = accepted(lab, "a", 9.0)
    assert lab.say("promote", promoted)[0] == 0 and lab.say("report")[0] == 0
    code, _, err = report_after(lab, "events_remain", "DELETE FROM events WHERE id > 5")
    assert code == 4 and "the champion's commit" in err


# Of twelve promotions at once one is the champion, and each other is worked on again, from there.
def test_twelve_promotions_at_once(lab):
    numbers = [lab.work(str(i), lab.level(9.0 - i / 100)) for i in range(12)]
    for number in numbers:
        lab.say("decide", number, given={"state": "accepted", "reason": "for the test"})
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda n: lab.say("promote", n), numbers))
    assert [code for code, _, _ in answers].count(0) == 1, answers
    winner = numbers[[code for code, _, _ in answers].index(0)]
    for number in numbers:
        lab.say("promote", number)
    assert sorted(lab.idea(n)["state"] for n in numbers) == ["promoted"] + ["queued"] * 11
    store = sqlite3.connect(lab.folder / ".lab/lab.db")
    assert store.execute("SELECT hypothesis FROM champions WHERE id > 1").fetchall() == [(winner,)]
    assert lab.git("rev-parse", "main^") == lab.git("rev-parse", f"refs/lab/{winner}")
    assert lab.git("status", "--porcelain", "--untracked-files=no") == ""
    assert len(lab.git("worktree", "list").splitlines()) == 1


# A worker that sleeps through its lease, and wakes: its work is refused, and kept; the other's counts.
def test_a_worker_that_slept(lab):
    number = lab.say("propose", given={"key": "a", "title": "a"})[1]["hypothesis"]
    lab.say("review", number, given={"verdict": "approve"})
    lab.say("plan", number, given={})
    claim = ("claim", "--worker", "t", "--lease", 1)
    job = lab.say(*claim)[1]
    script = f"cd {job['workspace']}; sleep 0.2; sed -i s/10.0/9.5/ train.py; cd {lab.folder}; echo '{{}}' | exec {PROGRAM} lab submit {job['job']} --token {job['token']}"
    worker = subprocess.Popen(["sh", "-c", script], start_new_session=True, stderr=subprocess.PIPE, text=True)
    os.killpg(worker.pid, signal.SIGSTOP)
    time.sleep(1.1)
    other = lab.say(*claim)[1]
    assert other["token"] == job["token"] + 1
    os.killpg(worker.pid, signal.SIGCONT)
    err = worker.communicate(timeout=30)[1]
    assert worker.returncode == 1 and "refused" in err
    lab.level(9.0)(pathlib.Path(other["workspace"]))
    assert lab.say("submit", other["job"], "--token", other["token"], given={})[0] == 0
    assert lab.say("sweep")[1] == "1 kept\n"
    assert "LEVEL = 9.0" in lab.git("show", f"refs/lab/{number}:train.py")
    assert "LEVEL = 9.5" in lab.git("show", f"refs/lab/{number}.{job['job']}.{job['token']}:train.py")


# A change that still applies is measured against the new champion; what was measured before does not count.
def test_a_stale_parent_is_measured_again(lab):
    other = lab.work("lib", lambda f: ((f / "lib").mkdir(), (f / "lib/x.py").write_text("X = 1\n"), (f / "train.py").write_text(TRAIN + "LEVEL\n")))  # fmt: skip
    winner = lab.work("win", lab.level(9.0))
    while lab.measure():
        pass
    assert lab.say("promote", winner)[0] == 0
    before = lab.git("rev-parse", f"refs/lab/{other}")
    store = sqlite3.connect(lab.folder / ".lab/lab.db")
    with store:
        store.execute("UPDATE hypotheses SET state = 'accepted' WHERE id = ?", (other,))
    store.close()
    code, answer, _ = lab.say("promote", other)
    assert code == 1 and "measured again" in answer
    idea = lab.idea(other)
    assert idea["state"] == "evaluating" and idea["parent"] == lab.git("rev-parse", "main")
    assert lab.git("rev-parse", f"refs/lab/{other}") != before
    assert "LEVEL = 9.0" in lab.git("show", f"refs/lab/{other}:train.py")
    assert before in lab.git("for-each-ref", "--format=%(objectname)", f"refs/lab/{other}.*")
    assert lab.measure()[1] == 0


# The holdout is asked once, at promotion, is counted, and stops who is good only where everybody looks.
def test_the_holdout(tmp_path):
    holdout = SETTINGS.replace("amount =", 'holdout = "python3 evaluate.py --holdout"\namount =')
    lab = TreeLab(tmp_path, holdout)
    fit = accepted(lab, "overfitted", 1.0)
    assert lab.say("promote", fit)[0] == 1
    lab.measure("holdout")
    assert lab.idea(fit)["state"] == "rejected" and "holdout" in lab.idea(fit)["reason"]
    good = accepted(lab, "good", 9.0)
    assert lab.say("promote", good)[0] == 1
    lab.measure("holdout")
    assert lab.say("promote", good)[0] == 0
    store = sqlite3.connect(tmp_path / ".lab/lab.db")
    assert store.execute("SELECT hypothesis, passed FROM holdouts").fetchall() == [(fit, 0), (good, 1)]


# People's own commits on the branch are the new baseline when they say so; until then nothing overtakes them.
def test_the_branch_moves_by_people(lab):
    number = accepted(lab, "a", 9.0)
    (lab.folder / "evaluate.py").write_text((lab.folder / "evaluate.py").read_text() + "# new\n")
    lab.git("commit", "-qam", "a new evaluator")
    code, _, err = lab.say("promote", number)
    assert code == 0 and "`kernmill lab init` makes it the baseline" in err
    assert "# new" in (lab.folder / "evaluate.py").read_text()
    assert lab.say("init")[0] == 0
    assert lab.say("champion", "--json")[1]["hypothesis"] is None


# What is not committed in the folder is never overwritten: the branch waits, the store goes on.
def test_a_dirty_folder_is_left_alone(lab):
    number = accepted(lab, "a", 9.0)
    (lab.folder / "train.py").write_text("mine\n")
    code, _, err = lab.say("promote", number)
    assert code == 0 and "stays behind the champion" in err
    assert (lab.folder / "train.py").read_text() == "mine\n"
    lab.git("checkout", "-q", "train.py")
    lab.say("champion")
    assert "LEVEL = 9.0" in (lab.folder / "train.py").read_text()


# No repository, a branch without commits, a lab without [workspace]: each says what to do.
def test_what_is_missing_is_said(tmp_path):
    (tmp_path / "lab.toml").write_text(SETTINGS)
    run = TreeLab.say
    self = object.__new__(TreeLab)
    self.folder = tmp_path
    code, _, err = run(self, "init")
    assert code == 2 and "is no git repository" in err and "git init" in err
    self.git("init", "-q", "-b", "main")
    code, _, err = run(self, "init")
    assert code == 2 and "'main' has no commit yet" in err
    (tmp_path / "lab.toml").write_text(SETTINGS.split("[workspace]")[0])
    run(self, "init")
    code, _, err = run(self, "champion")
    assert code == 2 and "no [workspace]" in err


PAIR = """import json, os
names = [os.environ["KERNMILL_" + name] for name in ("PARENT", "CANDIDATE")]
levels = [float(open(name + "/level").read()) for name in names]
noise = (int(os.environ["KERNMILL_SEED"]) % 1000) / 1e5
document = {"parent": levels[0] + noise, "candidate": levels[1] - noise, "bytes": [7, 7]}
if levels[1] == 5.0:
    document = {"refused": "it computes something else"}
json.dump(document, open(os.environ["KERNMILL_METRICS"], "w"))
"""


# What is slow to make is made once for a commit, and one process may measure both; it may refuse the candidate.
def test_a_build_and_a_pair(tmp_path):
    build = "python3 -c \\\"import os, re; text = open('train.py').read(); open(os.environ['KERNMILL_BUILD'] + '/level', 'w').write(re.search('LEVEL = (.*)', text)[1])\\\""
    settings = SETTINGS.split("[evaluate]")[0] + f'[evaluate]\nbuild = "{build}"\npair = "python3 pair.py"\namount = "bytes"\n'  # fmt: skip
    (tmp_path / "pair.py").write_text(PAIR)
    lab = TreeLab(tmp_path, settings)
    number = lab.work("lower", lab.level(9.0))
    _, code, result = lab.measure()
    assert code == 0 and lab.idea(number)["state"] == "accepted"
    assert all(9.9 < p["parent"] < 10.1 and 8.9 < p["candidate"] < 9.1 for p in result["pairs"])
    odd = lab.work("odd", lab.level(5.0))
    lab.measure()
    assert (
        lab.idea(odd)["state"] == "invalid"
        and "refuses it: it computes something else" in lab.idea(odd)["reason"]
    )
    broken = lab.work("broken", lambda f: (f / "train.py").write_text("\n"))
    lab.measure()
    assert lab.idea(broken)["state"] == "invalid" and "touches the seed" in lab.idea(broken)["reason"]


# A worker that is lost loses nothing: what lay in its tree is a commit, and the next has a tree of its own.
def test_a_lost_worker_loses_nothing(lab):
    number = lab.say("propose", given={"key": "a", "title": "a"})[1]["hypothesis"]
    lab.say("review", number, given={"verdict": "approve"})
    lab.say("plan", number, given={})
    first = lab.say("claim", "--worker", "a", "--lease", 1)[1]
    lab.level(9.0)(pathlib.Path(first["workspace"]))
    time.sleep(1.1)
    second = lab.say("claim", "--worker", "b")[1]
    assert second["workspace"] != first["workspace"]
    assert lab.say("submit", first["job"], "--token", first["token"], given={})[0] == 1
    assert lab.say("sweep")[1] == "1 kept\n"
    assert "LEVEL = 9.0" in lab.git("show", f"refs/lab/{number}.{first['job']}.{first['token']}:train.py")
    assert pathlib.Path(second["workspace"]).exists() and not pathlib.Path(first["workspace"]).exists()


def with_files_of(size):
    return functools.partial(resource.setrlimit, resource.RLIMIT_FSIZE, (size, size))


# A disk that is full at any point of handing in work, of a result, of a promotion: nothing half, and the next try is whole.
@pytest.mark.parametrize("step", ["work", "result", "promote"])
def test_a_full_disk(lab, step):
    number = lab.say("propose", given={"key": "a", "title": "a", "text": "x" * 20000})[1]["hypothesis"]
    lab.say("review", number, given={"verdict": "approve"})
    lab.say("plan", number, given={})
    job = lab.say("claim", "--worker", "t")[1]
    lab.level(9.0)(pathlib.Path(job["workspace"]))
    words, given = ["submit", job["job"], "--token", job["token"]], {"note": "n" * 5000}
    if step != "work":
        assert lab.say(*words, given=given)[0] == 0
        job = lab.say("claim", "--worker", "t")[1]
        given = lab.say("evaluate", given=job)[1]
        words = ["submit", job["job"], "--token", job["token"]]
    if step == "promote":
        assert lab.say(*words, given=given)[0] == 0
        words, given = ["promote", number], None
    main, before = lab.git("rev-parse", "main"), lab.idea(number)
    sizes = range(0, (lab.folder / ".lab/lab.db").stat().st_size + 4096, 8192)
    refused = 0
    for size in sizes:
        code, _, err = lab.say(*words, given=given, preexec_fn=with_files_of(size))
        if code == 0:
            break
        refused += 1
        assert code in (3, 4, 5) and "error:" in err, (size, code, err)
        assert lab.git("rev-parse", "main") == main
        now = lab.idea(number)
        assert {k: now[k] for k in ("state", "results", "jobs")} == {
            k: before[k] for k in ("state", "results", "jobs")
        }
    assert refused
    assert code == 0 or lab.say(*words, given=given)[0] == 0
    assert (
        lab.idea(number)["state"] == {"work": "evaluating", "result": "accepted", "promote": "promoted"}[step]
    )
    lab.say("champion")
    assert step != "promote" or "LEVEL = 9.0" in (lab.folder / "train.py").read_text()
