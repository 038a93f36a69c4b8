"""Roles as `lab run` gives them: the prompts of `lab init --agents`, closed trees, limits, what they cost."""

import json
import os
import pathlib
import sqlite3
import stat
import sys

import pytest
from tree_lab import SETTINGS, TreeLab

# An agent that knows nothing but its prompt and the files that the prompt names.
AGENT = """import json, os, re, stat, sys, pathlib
text = sys.stdin.read()
role = re.match(r"# (\\w+): ", text)[1]
job = json.loads(re.search(r"```json\\n(.*)\\n```", text, re.S)[1])
assert job == json.loads(pathlib.Path(os.environ["KERNMILL_RUN_DIR"], "job.json").read_text())
tree, report = pathlib.Path(job["workspace"]), json.loads(pathlib.Path(job["report"]).read_text())
assert pathlib.Path.cwd() == tree.resolve() == pathlib.Path(os.environ["KERNMILL_WORKSPACE"]).resolve()
level = float(re.search(r"LEVEL = (.*)", (tree / "train.py").read_text())[1])
closed = [p for p in [tree, *tree.rglob("*")] if stat.S_IMODE(p.lstat().st_mode) & 0o222 == 0]
assert len(closed) == (0 if role == "worker" else len([tree, *tree.rglob("*")])), (role, closed)
known = {h["id"]: h for h in report["hypotheses"]}
answer = {"cost": {"tokens": 100, "money": 0.5}}
if role == "researcher":
    tried = {h["key"] for h in known.values()}
    wanted = [x for x in (level - 1, level + 1) if f"level {x}" not in tried and x > 8]
    answer["ideas"] = [{"key": f"level {x}", "title": f"the level is {x}", "text": f"{level} is too high", "payload": {"level": x}} for x in wanted]
elif role == "reviewer":
    assert known[job["hypothesis"]]["state"] == "proposed" and job["idea"]["text"]
    answer |= {"verdict": "approve", "reviewer": "stub", "text": job["idea"]["title"]}
elif role == "planner":
    assert all(known[i]["reviews"] for i in job["payload"]["ideas"])
    answer["order"] = job["payload"]["ideas"]
elif role == "worker":
    value = re.search(r"the level is (.*)", job["idea"]["title"])[1]
    (tree / "train.py").write_text((tree / "train.py").read_text().replace(f"LEVEL = {level}", f"LEVEL = {value}"))
else:
    best = [h for h in known.values() if h["state"] == "promoted"]
    answer |= {"title": "done", "text": f"{best[0]['title']}: gain {best[0]['decisions'][-1]['gain']:.2f}"}
print(json.dumps(answer))
"""


def store(folder):
    return sqlite3.connect(folder / ".lab/lab.db")


def lab_of(folder, roles, settings=SETTINGS):
    text = "".join(
        f"{name} = {value if isinstance(value, int) else repr(value)}\n" for name, value in roles.items()
    )
    return TreeLab(folder, settings + "[roles]\n" + text)


@pytest.fixture
def agents(tmp_path):
    folder = tmp_path / "lab"
    folder.mkdir()
    (tmp_path / "agent.py").write_text(AGENT)
    command = f"{sys.executable} {tmp_path}/agent.py"
    lab = lab_of(folder, dict.fromkeys(("researcher", "reviewer", "planner", "worker", "reporter"), command))
    assert lab.say("init", "--agents", "claude")[0] == 0
    lab.git("add", "-A")
    lab.git("commit", "-q", "-m", "the roles")
    assert lab.say("init")[0] == 0
    return lab


# The prompts say enough: an agent that does what they say fills every role, and what it says it cost is counted.
def test_the_prompts_are_enough(agents):
    code, _, err = agents.say("run", "--slots", 2)
    assert code == 0 and "tries failed" not in err, err
    ideas = {h["key"]: h for h in agents.say("report")[1]["hypotheses"]}
    assert ideas["level 9.0"]["state"] == "promoted" and ideas["level 11.0"]["state"] == "rejected", (
        ideas,
        err,
    )
    assert ideas["level 9.0"]["reviews"][0]["text"] == "the level is 9.0"
    db = store(agents.folder)
    roles = "kind IN ('research', 'review', 'plan', 'work', 'report')"
    (jobs,) = db.execute(f"SELECT count(*) FROM jobs WHERE {roles} AND state = 'done'").fetchone()
    assert jobs >= 8 and db.execute("SELECT count(*) FROM jobs WHERE state = 'dead'").fetchone() == (0,)
    spent = dict(db.execute("SELECT kind, used FROM budgets").fetchall())
    assert (spent["tokens"], spent["money"]) == (100 * jobs, 0.5 * jobs)
    assert db.execute("SELECT sum(tokens), sum(money) FROM leases").fetchone() == (100 * jobs, 0.5 * jobs)
    (report,) = db.execute(
        "SELECT body FROM results JOIN jobs ON jobs.id = job WHERE kind = 'report'"
    ).fetchone()
    assert json.loads(report)["text"].startswith("the level is 9.0: gain 1.0")


# Trees that nobody reads any more are gone; the champion's stays, closed, and is what the commit is.
def test_old_trees_go(agents):
    first = agents.git("rev-parse", "refs/lab/champion")
    assert agents.say("run", "--slots", 2)[0] == 0
    champion = agents.git("rev-parse", "refs/lab/champion")
    assert champion != first and {p.name for p in (agents.folder / ".lab/read").iterdir()} <= {
        champion,
        f"{champion}.users",
    }
    dirs = [
        json.loads(p.read_text()).get("workspace", "")
        for p in (agents.folder / ".lab/runs").rglob("job.json")
    ]
    assert any(f"/.lab/read/{first}/" in d for d in dirs) and any(
        f"/.lab/read/{champion}/" in d for d in dirs
    )


# A review of an idea that has a commit looks at that commit; a tree that was cut short is made anew.
def test_a_review_reads_the_commit(tmp_path):
    lab = TreeLab(tmp_path)
    number = lab.work("nine", lab.level(9.0))
    commit = lab.idea(number)["commit_id"]
    db = store(tmp_path)
    db.execute(
        "INSERT INTO jobs (campaign, hypothesis, key, kind, payload, priority, state, attempts_max, created_us)"
        " VALUES (1, ?, 'look', 'review', '{}', 9, 'queued', 3, 0)",
        (number,),
    )
    db.commit()
    half = tmp_path / ".lab/read" / commit
    half.mkdir(parents=True)
    (half / "rubbish").write_text("")
    code, job, err = lab.say("claim", "--worker", "a", "--kind", "review")
    assert code == 0 and commit in job["workspace"] and job["idea"]["commit"] == commit, err
    assert "LEVEL = 9.0" in pathlib.Path(job["workspace"], "train.py").read_text()
    assert not (half / "rubbish").exists()
    for p in [half, *half.rglob("*")]:
        assert stat.S_IMODE(p.lstat().st_mode) & 0o222 == 0, p
    if os.getuid():
        with pytest.raises(PermissionError):
            (half / "train.py").write_text("")
    assert lab.say("fail", job["job"], "--token", job["token"], "--why", "seen")[0] == 0
    lab.say("run", "--slots", 1)
    assert commit not in {p.name for p in (tmp_path / ".lab/read").iterdir()}


# More output than [roles] allows ends a job, group and all; the next try starts anew.
def test_output_has_a_limit(tmp_path):
    lab = lab_of(tmp_path, {"researcher": "yes", "output_mb": 1})
    code, _, err = lab.say("run")
    assert code == 0 and err.count("more than its output limit") == 3, err
    sizes = [p.stat().st_size for p in (tmp_path / ".lab/runs").rglob("output.log")]
    assert len(sizes) == 3 and min(sizes) > 1 << 20


# What a refused result cost is spent all the same; a cost that is none refuses the result.
@pytest.mark.parametrize("cost,spent", [('{"tokens": 7}', 21), ('{"tokens": -7}', 0), ('"much"', 0)])
def test_what_nonsense_costs(tmp_path, cost, spent):
    lab = lab_of(tmp_path, {"researcher": "cat $KERNMILL_LAB/said"})
    (tmp_path / "said").write_text(f'{{"ideas": 3, "cost": {cost}}}')
    code, _, err = lab.say("run")
    assert code == 0 and ("'ideas'" if spent else "cost") in err, err
    tokens = store(tmp_path).execute("SELECT used FROM budgets WHERE kind = 'tokens'").fetchone()
    assert (tokens or (0,))[0] == spent


# Tokens are a budget as runs are: when they are spent, nothing more is handed out.
def test_tokens_are_a_hard_stop(tmp_path):
    lab = lab_of(
        tmp_path,
        {"researcher": "cat $KERNMILL_LAB/said", "reviewer": "cat $KERNMILL_LAB/said"},
        SETTINGS + "[budget]\ntokens = 10\n",
    )
    (tmp_path / "said").write_text(
        '{"ideas": [{"key": "a", "title": "a"}], "verdict": "approve", "cost": {"tokens": 12}}'
    )
    code, _, err = lab.say("run")
    assert code == 0 and "the budget of tokens is spent: 12 of 10" in err, err
    jobs = set(store(tmp_path).execute("SELECT kind, state FROM jobs").fetchall())
    assert jobs == {("research", "done"), ("review", "queued"), ("research", "queued")}


# Our own worker reads its job where a prompt for agents stands before it.
def test_our_worker_beside_a_prompt(tmp_path):
    lab = lab_of(tmp_path, {"researcher": "cat $KERNMILL_LAB/ideas.json", "worker": "kernmill lab edit"})
    assert lab.say("init", "--agents", "codex")[0] == 0
    change = [{"file": "train.py", "old": "LEVEL = 10.0", "new": "LEVEL = 8.0"}]
    (tmp_path / "ideas.json").write_text(
        json.dumps({"ideas": [{"key": "eight", "title": "eight", "payload": {"replace": change}}]})
    )
    code, _, err = lab.say("run", "--slots", 2)
    assert code == 0 and lab.idea(1)["state"] == "promoted", err
    assert "LEVEL = 8.0" in (tmp_path / "train.py").read_text()


# An agent's program says what it has cost: that is spent, also when the try gave nothing, or was ended.
@pytest.mark.parametrize(
    "end,tries", [("", 1), ("exit 3", 3), ("sleep 60", 3)], ids=["done", "failed", "too long"]
)
def test_what_an_agent_costs(tmp_path, end, tries):
    said = {
        "type": "result",
        "is_error": False,
        "result": 'Well.\n{"ideas": []}',
        "total_cost_usd": 0.5,
        "usage": {"input_tokens": 7, "output_tokens": 3},
    }
    lab = lab_of(tmp_path, {"researcher": f"cat $KERNMILL_LAB/said; {end or 'true'}", "limit": 1})
    (tmp_path / "said").write_text(json.dumps(said) + "\n")
    assert lab.say("run")[0] == 0
    research = store(tmp_path).execute("SELECT sum(tokens), sum(money), count(*) FROM leases").fetchone()
    assert research[2] >= tries and research[:2] == (10 * research[2], 0.5 * research[2])
    assert dict(store(tmp_path).execute("SELECT kind, used FROM budgets"))["tokens"] == 10 * research[2]
