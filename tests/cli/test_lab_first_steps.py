"""What a newcomer does to a lab, in the wrong order, with a slip of the pen, in an odd place."""

import json
import subprocess

import pytest
from program import PROGRAM
from tree_lab import EVALUATE, SETTINGS, TRAIN, TreeLab


def lab_command(folder, *words, given=None):
    done = subprocess.run([PROGRAM, "lab", *map(str, words)], cwd=folder, text=True, capture_output=True,
                          input=json.dumps(given) if given is not None else "", timeout=60)  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def lab(tmp_path):
    return TreeLab(tmp_path)


@pytest.fixture
def repository(tmp_path):
    """Before `lab init`, with nothing committed."""
    subprocess.run(["git", "init", "-q", "-b", "main"], cwd=tmp_path, check=True)
    (tmp_path / "train.py").write_text(TRAIN)
    (tmp_path / "evaluate.py").write_text(EVALUATE)
    (tmp_path / "lab.toml").write_text(SETTINGS)
    return tmp_path


def commit(folder):
    who = ("-c", "user.name=a", "-c", "user.email=a@b")
    subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
    subprocess.run(["git", *who, "commit", "-q", "-m", "start"], cwd=folder, check=True)


# No commit yet: it is said what to do, `lab run` burns nothing, and then all is well.
def test_init_before_the_first_commit(repository):
    code, _, err = lab_command(repository, "init")
    assert code == 2 and "has no commit yet" in err and "git commit" in err
    code, _, err = lab_command(repository, "run", "--worker", "echo {}")
    assert code == 2 and "`kernmill lab init`" in err
    commit(repository)
    code, out, _ = lab_command(repository, "init")
    assert code == 0 and "ideas start from commit" in out


# The lab.toml that is written names every table, and reads; what is behind the number signs does, too.
@pytest.mark.parametrize("name", ["plain", 'a"b', "it's", "ü b", "back\\slash"])
def test_the_first_lab_toml(tmp_path, name):
    code, _, err = lab_command(tmp_path, "init", name)
    assert code == 0, err
    text = (tmp_path / name / "lab.toml").read_text()
    tables = text.split("\n\n", 3)
    shown = [
        line.removeprefix("# ") for line in tables[-1].splitlines() if "=" in line or line.startswith("# [")
    ]
    whole = "\n".join([*tables[:-1], *(line for line in shown if not line.startswith("Ideas"))])
    folder = tmp_path / "whole"
    folder.mkdir()
    (folder / "train.py").write_text("RATE = 0.2\n")
    (folder / "lab.toml").write_text(whole)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    commit(folder)
    code, _, err = lab_command(folder, "init")
    assert code == 0, (err, whole)


# Each is refused when the lab is made, not when every idea has failed by it.
@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("pairs = 8", "pairs = 64", "pairs is 1 to pairs_max"),
        ("limit = 20", "limit = 3000000", "limit is 1 to"),
        ('change = ["train.py", "lib"]', 'change = ["."]', "is everything"),
        ("[evaluate]", '[search]\nfile = "trian.py"\n[search.space]\nLEVEL = [1]\n[evaluate]', "trian.py"),
        ("[evaluate]", '[search]\nfile = "train.py"\n[search.space]\nLEVLE = [1]\n[evaluate]', "has no line 'LEVLE ='"),
    ],
)  # fmt: skip
def test_a_slip_in_lab_toml(repository, old, new, says):
    assert old in SETTINGS
    (repository / "lab.toml").write_text(SETTINGS.replace(old, new))
    commit(repository)
    code, _, err = lab_command(repository, "init")
    assert code != 0 and says in err


def test_a_file_that_is_not_there_yet(repository):
    (repository / "lab.toml").write_text(SETTINGS.replace('"train.py", "lib"', '"trian.py"'))
    commit(repository)
    code, _, err = lab_command(repository, "init")
    assert code == 0 and "there is no 'trian.py' yet" in err


@pytest.mark.parametrize(
    ("words", "given", "says"),
    [
        (["propose"], {"kee": "a", "title": "a"}, "did you mean 'key'?"),
        (["propose"], {"key": "a", "title": "a", "priorty": 3}, "did you mean 'priority'?"),
        (["propose"], {"key": "a", "title": "a", "parent": "deadbeef"}, "no commit 'deadbeef'"),
        (["review", 1], {"verdict": "approve", "reviwer": "me"}, "did you mean 'reviewer'?"),
        (["plan", 1], {"knid": "work"}, "did you mean 'kind'?"),
        (["decide", 1], {"sate": "rejected"}, "did you mean 'state'?"),
        (["cancel", 99], None, "there is no job 99"),
    ],
)
def test_a_slip_in_what_is_handed_in(lab, words, given, says):
    lab.say("propose", given={"key": "first", "title": "first"})
    code, _, err = lab_command(lab.folder, *words, given=given)
    assert code != 0 and says in err


# A folder whose name the shell would take apart: every command that the lab runs itself is quoted.
def test_an_odd_folder(tmp_path):
    folder = tmp_path / 'it\'s a "lab"'
    folder.mkdir()
    lab = TreeLab(folder)
    lab.work("a", lab.level(9.0))
    code, out, err = lab_command(folder, "run")
    assert code == 0 and lab.idea(1)["state"] == "promoted", err


# What Python compiles while a worker tries his change is no part of it.
def test_compiled_files_are_no_change(tmp_path):
    lab = TreeLab(tmp_path)

    def edit(folder):
        lab.level(9.0)(folder)
        for name in ("__pycache__", "x/__pycache__"):
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / "train.pyc").write_text("compiled")

    number = lab.work("a", edit)
    assert lab.idea(number)["state"] == "evaluating"
    assert "train.pyc" not in lab.git("ls-tree", "-r", "--name-only", f"refs/lab/{number}")


# The branch is the one that the lab was made on, whatever is checked out later.
def test_another_branch_is_checked_out(lab):
    start = lab.git("rev-parse", "main")
    lab.git("checkout", "-q", "-b", "notes")
    (lab.folder / "notes.txt").write_text("a thought\n")
    lab.git("add", "-A")
    lab.git("commit", "-q", "-m", "notes")
    assert lab.say("init")[0] == 0
    lab.work("a", lab.level(9.0))
    lab.measure()
    assert lab.say("promote", 1)[0] == 0
    assert lab.git("log", "-1", "--format=%s", "main") == "Champion: a"
    assert lab.git("log", "-1", "--format=%s", "notes") == "notes"
    assert lab.git("merge-base", "main", "notes") == start


# Scores take no file's place that somebody wrote.
@pytest.mark.parametrize("path", ["research", "research/results.tsv"])
def test_a_folder_of_ones_own(repository, path):
    (repository / path).parent.mkdir(exist_ok=True)
    (repository / path).write_text("mine\n")
    commit(repository)
    code, _, err = lab_command(repository, "init")
    assert code == 2 and f"'{path}' is somebody's" in err and "scores =" in err
    (repository / "lab.toml").write_text(SETTINGS.replace("[workspace]", '[workspace]\nscores = "scores"'))
    commit(repository)
    assert lab_command(repository, "init")[0] == 0
