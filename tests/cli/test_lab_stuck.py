"""Nothing in a lab waits for ever: one bad idea, worker, role or kill is its own end, and the rest goes on."""

import json
import pathlib
import sqlite3
import subprocess
import sys

import pytest
from program import PROGRAM
from tree_lab import SETTINGS, TreeLab

WORKER = """import os, pathlib, json
job = json.load(open(os.environ["KERNMILL_RUN_DIR"] + "/job.json"))
path = pathlib.Path("train.py")
level = 9.0 if job["idea"]["key"] == "good" else 12.0
path.write_text(path.read_text().replace("LEVEL = 10.0", f"LEVEL = {level}"))
if job["idea"]["key"] == "bad":
    BAD
print("{}")
"""


def lab_of(folder, bad="pass", settings=SETTINGS, **roles):
    """A lab whose worker makes a good idea better, and does `bad` in the tree of a bad one."""
    lab = folder / "lab"
    lab.mkdir()
    (folder / "worker.py").write_text(WORKER.replace("BAD", bad))
    roles = {"worker": f"{sys.executable} {folder}/worker.py", **roles}
    text = "".join(f"{role} = {json.dumps(command)}\n" for role, command in roles.items())
    return TreeLab(lab, settings + "[roles]\n" + text)


def propose(lab, key, **fields):
    return lab.say("propose", given={"key": key, "title": key, **fields})[1]["hypothesis"]


def store(lab, sql, *values):
    db = sqlite3.connect(lab.folder / ".lab/lab.db")
    with db:
        return db.execute(sql, values).fetchall()


def states(lab):
    return {h["key"]: h["state"] for h in lab.say("report")[1]["hypotheses"]}


# A job whose tree cannot be made is that job's end; the driver goes on with the others.
def test_an_idea_of_no_parent(tmp_path):
    lab = lab_of(tmp_path)
    store(lab, "UPDATE hypotheses SET parent = 'nowhere' WHERE id = ?", propose(lab, "bad"))
    propose(lab, "good")
    code, _, err = lab.say("run")
    assert code == 0, err
    assert states(lab) == {"bad": "failed", "good": "promoted"}
    assert store(lab, "SELECT count(*) FROM jobs WHERE state = 'queued'") == [(0,)]


TREES = [
    ("a repository without a commit", "import subprocess; subprocess.run(['git', 'init', '-q', 'lib/x'])"),
    ("a file beyond what git says at once", "os.mkdir('lib'); f = open('lib/x', 'wb'); f.truncate(65 << 20)"),
]


# What git does not take, and what is too large, is its worker's fault: the job is given back, the others go on.
@pytest.mark.parametrize("bad", [row[1] for row in TREES], ids=[row[0] for row in TREES])
def test_a_tree_that_cannot_be_taken(tmp_path, bad):
    lab = lab_of(tmp_path, bad)
    propose(lab, "bad", priority=9)
    propose(lab, "good")
    code, _, err = lab.say("run")
    assert code == 0, err
    now = states(lab)
    assert now["good"] == "promoted" and now["bad"] in ("failed", "invalid", "rejected"), err


# The same in the tree of a worker that is gone: the driver begins all the same, says so, and leaves it to a person.
def test_a_tree_that_cannot_be_swept(tmp_path):
    lab = lab_of(tmp_path)
    propose(lab, "odd")
    lab.say("review", 1, given={"verdict": "approve"})
    lab.say("plan", 1, given={})
    job = lab.say("claim", "--worker", "test")[1]
    tree = pathlib.Path(job["workspace"])
    subprocess.run(["git", "init", "-q", tree / "lib/x"], check=True)
    lab.say("cancel", job["job"])
    (lab.folder / ".lab/worktrees/99.9.9").mkdir()
    propose(lab, "good")
    code, _, err = lab.say("run")
    assert code == 0 and "lib/x" in err, err
    assert states(lab)["good"] == "promoted"
    assert tree.exists()


# A measurement that was cancelled is the idea's end, as its work is.
def test_a_cancelled_measurement(tmp_path):
    lab = TreeLab(tmp_path)
    number = lab.work("a", lab.level(9.0))
    job = store(lab, "SELECT id FROM jobs WHERE kind = 'evaluate'")[0][0]
    assert lab.say("cancel", job, "--why", "enough")[0] == 0
    idea = lab.idea(number)
    assert (idea["state"], idea["reason"]) == ("cancelled", "enough")


# What is left of an idea that was cancelled is cancelled, too: nobody works on it, and nobody is told of a dead job.
def test_the_jobs_of_a_cancelled_idea(tmp_path):
    lab = TreeLab(tmp_path)
    number = lab.work("a", lab.level(9.0))
    job = lab.say("claim", "--worker", "test")[1]
    lab.say("decide", number, given={"state": "cancelled", "reason": "enough"})
    assert store(lab, "SELECT state, error FROM jobs WHERE id = ?", job["job"]) == [("cancelled", "enough")]
    assert lab.say("submit", job["job"], "--token", job["token"], given={"pairs": []})[0] == 1
    assert lab.idea(number)["state"] == "cancelled"
    assert store(lab, "SELECT how FROM leases WHERE job = ?", job["job"]) == [("cancelled",)]
    assert store(lab, "SELECT count(*) FROM alerts") == [(0,)]


# Killed between the end of an old measurement and the new one, the idea is measured all the same.
def test_killed_before_the_new_measurement(tmp_path):
    lab = TreeLab(tmp_path)
    lib = lambda f: ((f / "lib").mkdir(), (f / "lib/x.py").write_text("X = 1\n"))  # noqa: E731
    other = lab.work("lib", lib)
    winner = lab.work("win", lab.level(9.0))
    lab.say(
        "cancel", store(lab, "SELECT id FROM jobs WHERE kind = 'evaluate' AND hypothesis = ?", winner)[0][0]
    )
    store(lab, "UPDATE hypotheses SET state = 'accepted' WHERE id = ?", winner)
    assert lab.say("promote", winner)[0] == 0
    # what a kill between the two left
    store(lab, "UPDATE jobs SET state = 'cancelled' WHERE kind = 'evaluate' AND hypothesis = ?", other)
    assert lab.say("run")[0] == 0
    assert lab.idea(other)["state"] in ("rejected", "undecided")
    assert lab.idea(other)["parent"] == lab.git("rev-parse", "main")


# A result without a pair is none: the job is given back, and the idea is not left waiting.
@pytest.mark.parametrize("body", [{}, {"pairs": []}, {"pairs": "none"}])
def test_a_measurement_of_nothing(tmp_path, body):
    lab = TreeLab(tmp_path)
    number = lab.work("a", lab.level(9.0))
    job = lab.say("claim", "--worker", "test")[1]
    commits = {f"{arm}_commit": job["payload"][arm] for arm in ("parent", "candidate")}
    code, _, err = lab.say("submit", job["job"], "--token", job["token"], given={**commits, **body})
    assert code == 4 and "'pairs'" in err
    assert store(lab, "SELECT state FROM jobs WHERE id = ?", job["job"]) == [("leased",)]
    assert lab.idea(number)["state"] == "evaluating"


# A planner that leaves ideas out is not asked for the same again and again: they are put off, until there are others.
def test_a_planner_that_leaves_ideas_out(tmp_path):
    lab = lab_of(tmp_path, planner="echo '{\"order\": []}'")
    propose(lab, "a")
    done = subprocess.run([PROGRAM, "lab", "run"], cwd=lab.folder, capture_output=True, text=True, timeout=10)
    assert done.returncode == 0
    assert store(lab, "SELECT count(*) FROM jobs WHERE kind = 'plan'") == [(1,)]
    assert states(lab) == {"a": "reviewed"}
    propose(lab, "b")
    assert lab.say("run")[0] == 0
    assert store(lab, "SELECT payload FROM jobs WHERE kind = 'plan' ORDER BY id") == [
        ('{"ideas":[1]}',),
        ('{"ideas":[1,2]}',),
    ]


# Who reviews or plans what somebody else settled meanwhile is late, and no more: the rest of what he says counts.
def test_a_role_that_is_late(tmp_path):
    lab = lab_of(tmp_path, planner="true", reviewer="true")
    for key in ("a", "b", "c"):
        propose(lab, key)
    lab.say("run")  # asks for the reviews; `true` says nothing
    store(lab, "UPDATE jobs SET state = 'queued', attempts = 0")
    jobs = [lab.say("claim", "--worker", "test", "--kind", "review")[1] for _ in range(3)]
    lab.say("review", 1, given={"verdict": "approve", "reviewer": "a person"})
    for job in jobs:
        code, _, err = lab.say(
            "submit",
            job["job"],
            "--token",
            job["token"],
            given={"verdict": "reject" if job["hypothesis"] == 1 else "approve"},
        )
        assert code == 0, err
    assert states(lab) == {"a": "reviewed", "b": "reviewed", "c": "reviewed"}
    lab.say("run")
    store(lab, "UPDATE jobs SET state = 'queued', attempts = 0 WHERE kind = 'plan'")
    job = lab.say("claim", "--worker", "test", "--kind", "plan")[1]
    lab.say("decide", 2, given={"state": "cancelled"})
    code, _, err = lab.say("submit", job["job"], "--token", job["token"], given={"order": [2, 3, 99]})
    assert code == 2 and "99" in err  # no idea at all
    code, _, err = lab.say("submit", job["job"], "--token", job["token"], given={"order": [2, 3]})
    assert code == 0, err
    assert states(lab) == {"a": "reviewed", "b": "cancelled", "c": "queued"}


# A role that was given up is asked again by the next `lab run`, when somebody has mended it; once.
@pytest.mark.parametrize("role", ["reviewer", "planner", "researcher"])
def test_a_role_that_was_mended(tmp_path, role):
    answer = {
        "reviewer": {"verdict": "reject"},
        "planner": {"order": [], "drop": [1]},
        "researcher": {"ideas": []},
    }[role]
    kind = {"reviewer": "review", "planner": "plan", "researcher": "research"}[role]
    lab = lab_of(tmp_path, **{role: f"cat {tmp_path}/answer"})
    propose(lab, "a")
    assert lab.say("run", "--worker", "false")[0] == 0
    assert store(lab, "SELECT state FROM jobs WHERE kind = ?", kind) == [("dead",)]
    (tmp_path / "answer").write_text(json.dumps(answer) + "\n")
    assert lab.say("run", "--worker", "false")[0] == 0
    assert store(lab, "SELECT state FROM jobs WHERE kind = ? ORDER BY id", kind)[:2] == [("dead",), ("done",)]


# A holdout that gives no answer is looked at as often as any job, not for ever.
def test_a_holdout_that_fails(tmp_path):
    settings = (
        SETTINGS.replace("amount =", 'holdout = "grep -q 9.0 train.py && python3 evaluate.py"\namount =')
        + "[budget]\nruns = 30\n"
    )
    lab = lab_of(tmp_path, settings=settings)
    propose(lab, "good")
    code, _, err = lab.say("run")
    assert code == 0, err
    jobs = store(lab, "SELECT state FROM jobs WHERE kind = 'holdout'")
    assert jobs == [("dead",)]
    assert states(lab) == {"good": "accepted"}


EDITS = {
    "mode": ("x.sh", b"exit 0\n", None),
    "a zero": ("x.bin", b"a\0b\n\n", b"a b\n\n"),
    "the end": ("x.bin", b"a\0b\n\n", b"a\0b\n"),
    "a text": ("x.py", b'TEXT = """\n# one\n"""\n', b'TEXT = """\n# two\n"""\n'),
    "a document": ("x.sh", b"cat <<E\n# one\nE\n", b"cat <<E\n# two\nE\n"),
    "a macro": ("x.c", b"#define A 1 \\\n\nint x;\n", b"#define A 1 \\\nint x;\n"),
    "the end of a comment": ("x.c", b"/*\n// a */ int y = 3;\n", b"/*\n// a */ int y = 4;\n"),
    "a comment that goes on": ("x.c", b"// a\nint y;\n", b"// a \\\nint y;\n"),
}


# A change of a mode, of what is no text, and of what only looks like a comment or a space, is a change.
def test_what_only_looks_like_nothing(tmp_path):
    lab = TreeLab(tmp_path)
    for key, (name, before, _) in EDITS.items():
        path = tmp_path / "lib" / key / name
        path.parent.mkdir(parents=True)
        path.write_bytes(before)
    lab.git("add", "-A")
    lab.git("commit", "-qm", "lib")
    lab.say("init")
    for key, (name, _, after) in EDITS.items():

        def edit(folder, at=pathlib.Path("lib", key, name), after=after):
            (folder / at).chmod(0o755) if after is None else (folder / at).write_bytes(after)

        assert lab.idea(lab.work(key, edit))["state"] == "evaluating", key


# A driver in a container has process ids of its own: what runs outside is not taken for a process that is gone.
def test_a_driver_of_another_pid_namespace(tmp_path):
    words = ["unshare", "--pid", "--fork", "--mount-proc", "--user", "--map-root-user"]
    if subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("no namespaces here")
    lab = TreeLab(tmp_path, SETTINGS + '[roles]\nworker = "sleep 1.5; echo {}"\n')
    propose(lab, "a")
    driver = subprocess.Popen(
        [PROGRAM, "lab", "run", "--lease", "3"], cwd=tmp_path, stderr=subprocess.DEVNULL
    )
    while not store(lab, "SELECT 1 FROM jobs WHERE state = 'leased'"):
        assert driver.poll() is None
    assert subprocess.run([*words, PROGRAM, "lab", "run"], cwd=tmp_path, capture_output=True).returncode == 0
    assert driver.wait() == 0
    assert store(lab, "SELECT token FROM jobs WHERE kind = 'work'") == [(1,)]


# A container that is gone leaves a lease that nobody sees the end of: the next driver waits for it, and does the job.
def test_a_container_that_is_gone(tmp_path):
    lab = TreeLab(tmp_path, SETTINGS + '[roles]\nworker = "echo {}"\n')
    propose(lab, "a")
    lab.say("review", 1, given={"verdict": "approve"})
    lab.say("plan", 1, given={})
    assert lab.say("claim", "--worker", "local/1@4026539999", "--lease", 2)[0] == 0
    code, _, err = lab.say("run")
    assert code == 0 and "not seen from here" in err
    assert store(lab, "SELECT state, token FROM jobs WHERE kind = 'work'") == [("done", 2)]


# What is accepted by the last run that the budget pays for is promoted: that costs nothing.
def test_the_last_of_the_budget(tmp_path):
    lab = lab_of(tmp_path, settings=SETTINGS + "[budget]\nruns = 2\n")
    propose(lab, "good", priority=9)
    lab.say("review", 1, given={"verdict": "approve"})
    lab.say("plan", 1, given={})
    propose(lab, "other")
    code, _, err = lab.say("run")
    assert code == 0 and "the budget of runs is spent" in err
    assert states(lab) == {"good": "promoted", "other": "queued"}


# Who had nothing new is asked again by the next `lab run`: what can be tried is more by now.
def test_a_search_that_goes_on(tmp_path):
    search = '[search]\nfile = "train.py"\nmethod = "sweep"\n[search.space]\nLEVEL = [12.0]\n'
    lab = TreeLab(tmp_path, SETTINGS + search)
    assert lab.say("run")[0] == 0
    assert lab.say("run")[0] == 0
    (tmp_path / "lab.toml").write_text(SETTINGS + search.replace("[12.0]", "[12.0, 9.0]"))
    code, _, err = lab.say("run")
    assert code == 0 and states(lab)["LEVEL=9.0"] in ("accepted", "promoted"), err


# A limit that is given on the command line holds for measurements, too.
def test_the_limit_of_a_measurement(tmp_path):
    lab = TreeLab(tmp_path, SETTINGS.replace(f'run = "{sys.executable} train.py"', 'run = "sleep 60"'))
    lab.work("a", lab.level(9.0))
    code, _, err = lab.say("run", "--limit", 1)
    assert code == 0 and err.count("longer than its time limit") == 3
    assert lab.git("worktree", "list").count("\n") == 0


# Drivers beside each other take turns: none ends because another was faster, all ideas come to an end, and no more
# measurements run beside each other than may.
def test_three_drivers(tmp_path):
    worker = 'n=$(grep -o "good [0-9]" | head -c 6 | tail -c 1); sed -i "s/^LEVEL = .*/LEVEL = $n.0/" train.py; echo {}'
    lab = lab_of(tmp_path, settings=SETTINGS.replace("pairs = 8", "at_once = 1\npairs = 8"), worker=worker)
    for i in range(6):
        propose(lab, f"good {i}")
    drivers = [
        subprocess.Popen([PROGRAM, "lab", "run", "--slots", "2"], cwd=lab.folder, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]  # fmt: skip
    said = [driver.communicate(timeout=120)[1] for driver in drivers]
    assert [driver.returncode for driver in drivers] == [0, 0, 0], said
    assert set(states(lab).values()) <= {"promoted", "rejected", "undecided", "duplicate", "stale"}
    times = store(lab, "SELECT began_us, ended_us FROM leases WHERE job IN (SELECT id FROM jobs WHERE kind = 'evaluate')"
                       " ORDER BY began_us")  # fmt: skip
    assert len(times) > 3
    assert all(before[1] <= after[0] for before, after in zip(times, times[1:], strict=False)), times
