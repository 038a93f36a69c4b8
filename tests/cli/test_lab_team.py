"""`lab run`: the whole team, from a poor baseline to a champion, by a search or by agents."""

import json
import random
import sqlite3
import subprocess
import sys
import time

from program import PROGRAM
from test_lab_search import SEARCH
from tree_lab import SETTINGS, TRAIN, TreeLab


def search_lab(folder, space="LEVEL = [10.0, 9.0, 8.0]", settings=SETTINGS):
    search = SEARCH.format(method="sweep", count=0).split("LEVEL = ")[0] + space + "\n"
    return TreeLab(folder, settings + search)


# No agent at all: every combination is tried, the best is promoted, what is none is rejected, and the reasons are there.
def test_a_search_finds_the_best(tmp_path):
    lab = search_lab(tmp_path)
    code, out, err = lab.say("run", "--slots", 3)
    assert code == 0, err
    ideas = {h["key"]: h["state"] for h in lab.say("report")[1]["hypotheses"]}
    assert ideas["LEVEL=10.0"] == "duplicate"
    assert ideas["LEVEL=8.0"] == "promoted" and ideas["LEVEL=9.0"] in ("promoted", "rejected")
    assert "LEVEL = 8.0" in (tmp_path / "train.py").read_text()
    champion = lab.say("champion", "--json")[1]
    assert champion["n"] >= 8 and abs(champion["mean"] - 8) < 0.3
    assert lab.git("status", "--porcelain") == ""


# Halving: few pairs for many, many for few; who is behind is out with the reason, and the best is found all the same.
def test_halving(tmp_path):
    settings = SETTINGS.replace("pairs = 8", "pairs = 2")
    search = (
        SEARCH.format(method="halving", count=0).split("LEVEL = ")[0]
        + "LEVEL = [12.0, 11.0, 9.5, 9.0, 8.0, 7.0]\n"
    )
    lab = TreeLab(tmp_path, settings + search)
    code, _, err = lab.say("run", "--slots", 2)
    assert code == 0, err
    ideas = {h["key"]: h for h in lab.say("report")[1]["hypotheses"]}
    after = {key: h["reason"] for key, h in ideas.items() if h["reason"].startswith("halving")}
    assert after == {
        f"LEVEL={x}": f"halving: behind after {n} pairs"
        for x, n in ((12.0, 2), (11.0, 2), (9.5, 2), (9.0, 4))
    }
    assert ideas["LEVEL=7.0"]["state"] == "promoted" and "LEVEL = 7.0" in (tmp_path / "train.py").read_text()
    pairs = sqlite3.connect(tmp_path / ".lab/lab.db").execute(
        "SELECT key, count(*) FROM runs JOIN (SELECT jobs.id, hypotheses.key FROM jobs JOIN hypotheses ON"
        " hypotheses.id = hypothesis) j ON j.id = runs.job WHERE arm = 'candidate' GROUP BY key"
    )
    counts = dict(pairs.fetchall())
    assert [counts[f"LEVEL={x}"] for x in (12.0, 11.0, 9.5, 9.0)] == [2, 2, 2, 4]
    assert counts["LEVEL=7.0"] in (8, 16)  # again, when 8.0 was the champion first


# Who is promoted in the middle of a round changes what the others are measured against: they go on from there.
def test_halving_over_a_promotion(tmp_path):
    settings = SETTINGS.replace("effect = 0.01", "effect = 0.5")
    search = SEARCH.format(method="halving", count=0).split("LEVEL = ")[0] + "LEVEL = [9.0, 8.5, 8.6]\n"
    noise = TRAIN.replace('os.environ["KERNMILL_SEED"]', "").replace("0.1)", "0.1 if LEVEL >= 9 else 2)")
    lab = TreeLab(tmp_path, settings + search, noise)
    code, _, err = lab.say("run", "--slots", 2)
    assert code == 0, err
    store = sqlite3.connect(tmp_path / ".lab/lab.db")
    champions = store.execute("SELECT created_us, commit_id FROM champions ORDER BY id").fetchall()
    assert len(champions) > 1
    for idea in lab.say("report")[1]["hypotheses"]:
        assert idea["state"] in ("promoted", "rejected", "undecided")
        if idea["state"] == "undecided" or idea["reason"].startswith("halving"):
            assert idea["parent"] == [c for at, c in champions if at <= idea["updated_us"]][-1]


# Ideas that nothing tells apart are measured up to pairs_max, no more, and stay undecided: halving ends.
def test_halving_ends(tmp_path):
    settings = SETTINGS.replace("pairs = 8", "pairs = 2").replace("pairs_max = 16", "pairs_max = 3")
    search = SEARCH.format(method="halving", count=0).split("LEVEL = ")[0] + "LEVEL = [10.01, 10.02]\n"
    lab = TreeLab(
        tmp_path, settings + search, TRAIN.replace('os.environ["KERNMILL_SEED"]', "").replace("0.1)", "5.0)")
    )
    code, _, err = lab.say("run", "--slots", 2)
    assert code == 0, err
    ideas = lab.say("report")[1]["hypotheses"]
    assert sorted(h["state"] for h in ideas) == ["rejected", "undecided"]
    pairs = {h["state"]: h["decisions"][-1]["pairs"] for h in ideas}
    assert pairs == {"rejected": 2, "undecided": 3}


AGENT = '''"""A stub of an agent: reads a prompt and a job, and says its role's JSON."""
import json, os, re, sys, pathlib
text = sys.stdin.read()
assert text.startswith(f"You are the {sys.argv[1]}"), text[:80]
job = json.loads(re.search(r"```json\\n(.*)\\n```", text, re.S)[1])
role = sys.argv[1]
if role == "researcher":
    tries = json.loads(pathlib.Path(os.environ["KERNMILL_LAB"], "../tries.json").read_text())
    ideas = [{"key": f"try {x}", "title": f"level {x}", "payload": {"level": x}} for x in tries]
    print("thinking ..."); print(json.dumps({"ideas": ideas}))
elif role == "reviewer":
    print(json.dumps({"verdict": "reject" if "0.5" in job["key"] else "approve", "reviewer": "stub", "text": "ok"}))
elif role == "planner":
    print(json.dumps({"order": sorted(job["payload"]["ideas"], reverse=True)}))
elif role == "worker":
    path = pathlib.Path(os.environ["KERNMILL_WORKSPACE"]) / "train.py"
    path.write_text(re.sub("LEVEL = .*", f"LEVEL = {job['payload']['level']}", path.read_text()))
    print(json.dumps({"cost": {"tokens": 5}}))
'''


def agent_lab(folder, tries):
    (folder.parent / "tries.json").write_text(json.dumps(tries))
    (folder.parent / "agent.py").write_text(AGENT)
    (folder / "roles").mkdir()
    roles = "[roles]\n"
    for role in ("researcher", "planner", "reviewer", "worker"):
        (folder / "roles" / f"{role}.md").write_text(f"You are the {role}.\n")
        roles += f'{role} = "{sys.executable} {folder.parent}/agent.py {role}"\n'
    return TreeLab(folder, SETTINGS + roles)


# Agents fill the roles by their JSON, each with its prompt; a review is recorded, a plan is an order.
def test_agents_fill_the_roles(tmp_path):
    folder = tmp_path / "lab"
    folder.mkdir()
    lab = agent_lab(folder, [9.0, 12.0])
    code, _, err = lab.say("run", "--slots", 2)
    assert code == 0, err
    ideas = {h["key"]: h for h in lab.say("report")[1]["hypotheses"]}
    assert ideas["try 9.0"]["state"] == "promoted" and ideas["try 12.0"]["state"] == "rejected", err
    assert ideas["try 9.0"]["reviews"][0]["reviewer"] == "stub"
    assert "thinking ..." in (folder / ".lab/runs/1/1/output.log").read_text()


# Killed at any point and started again, it ends where it would have ended: nothing is lost, nothing done twice.
def test_killed_and_started_again(tmp_path):
    folder = tmp_path / "lab"
    folder.mkdir()
    lab = agent_lab(folder, [9.0, 11.0, 12.0, 8.0])
    draw = random.Random(5)
    for _ in range(8):
        run = subprocess.Popen([PROGRAM, "lab", "run", "--slots", "3"], cwd=folder, stderr=subprocess.DEVNULL)
        try:
            run.wait(draw.uniform(0.2, 2.0))
        except subprocess.TimeoutExpired:
            run.kill()
            run.wait()
    assert lab.say("run", "--slots", 3)[0] == 0
    store = sqlite3.connect(folder / ".lab/lab.db")
    ideas = {h["key"]: h["state"] for h in lab.say("report")[1]["hypotheses"]}
    assert "promoted" in ideas.values() and {ideas["try 11.0"], ideas["try 12.0"]} == {"rejected"}, ideas
    assert store.execute(
        "SELECT count(*) FROM jobs WHERE state IN ('queued', 'leased', 'dead')"
    ).fetchone() == (0,)
    done = "jobs WHERE state <> 'cancelled'"  # evaluations of a champion of the past are
    jobs, results = (store.execute(f"SELECT count(*) FROM {t}").fetchone()[0] for t in (done, "results"))
    assert jobs == results
    assert not list((folder / ".lab/worktrees").iterdir())
    assert lab.say("status", "--check")[0] in (0, 2)


# A role that says nonsense is tried again and given up, by name; the rest goes on.
def test_a_role_that_says_nonsense(tmp_path):
    lab = search_lab(tmp_path, settings=SETTINGS + "[roles]\nreviewer = \"echo '{}'\"\n")
    code, _, err = lab.say("run", "--slots", 2)
    assert code == 0 and "'verdict'" in err
    jobs = sqlite3.connect(tmp_path / ".lab/lab.db").execute("SELECT state, error FROM jobs WHERE kind = 'review'").fetchall()  # fmt: skip
    assert jobs and all(state == "dead" and "'verdict'" in error for state, error in jobs)


# The budget is a hard stop for the team, too.
def test_the_team_stops_at_the_budget(tmp_path):
    lab = search_lab(tmp_path, settings=SETTINGS + "[budget]\nruns = 4\n")
    start = time.monotonic()
    code, _, err = lab.say("run", "--slots", 2)
    assert code == 0 and "runs" in err and time.monotonic() - start < 60
    assert lab.say("status", "--json")[1]["budget"]["runs"]["used"] == 4
