"""A researcher and a worker for numbers: every combination once, written where it stands."""

import itertools
import json
import pathlib
import sqlite3

import pytest
from tree_lab import SETTINGS, TRAIN, TreeLab

SEARCH = """[search]
file = "train.py"
method = "{method}"
count = {count}
seed = 3
[search.space]
LEVEL = [10.0, 9.5, 9.0]
NAME = ["a", "b"]
"""


def lab_of(folder, method="sweep", count=0):
    return TreeLab(
        folder, SETTINGS + SEARCH.format(method=method, count=count), TRAIN + 'NAME = "a"  # who\n'
    )


def suggest(lab, wanted):
    return lab.say("suggest", given={"payload": {"wanted": wanted}})[1]["ideas"]


ALL = [f"LEVEL={level} NAME={name}" for level, name in itertools.product((10.0, 9.5, 9.0), "ab")]


# A sweep is in the order of the file, and goes on where it was, whoever asks.
def test_a_sweep(tmp_path):
    lab = lab_of(tmp_path)
    assert [idea["key"] for idea in suggest(lab, 4)] == ALL[:4]
    for idea in suggest(lab, 4):
        lab.say("propose", given=idea)
    assert [idea["key"] for idea in suggest(lab, 4)] == ALL[4:]
    assert suggest(lab, 4)[0]["payload"]["params"] == {"LEVEL": 9.0, "NAME": "a"}


# Random is another order, the same for the same seed, each once, and no more than asked for in all.
def test_random(tmp_path):
    keys = [idea["key"] for idea in suggest(lab_of(tmp_path, "random"), 99)]
    assert sorted(keys) == sorted(ALL) and keys != ALL
    (tmp_path / "lab.toml").write_text(SETTINGS + SEARCH.format(method="random", count=4))
    again = object.__new__(TreeLab)
    again.folder = tmp_path
    assert [idea["key"] for idea in suggest(again, 99)] == keys[:4]


# The values are written where they stand; the rest of the line, and of the file, stays.
def test_edit(tmp_path):
    lab = lab_of(tmp_path)
    job = {"workspace": str(tmp_path), "payload": {"params": {"LEVEL": 9.25, "NAME": "it's"}}}
    assert lab.say("edit", given=job)[0] == 0
    expected = TRAIN.replace("LEVEL = 10.0", "LEVEL = 9.25") + 'NAME = "it\'s"  # who\n'
    assert (tmp_path / "train.py").read_text() == expected
    code, _, err = lab.say("edit", given={**job, "payload": {"params": {"OTHER": 1}}})
    assert code == 4 and "has no line 'OTHER ='" in err
    assert (tmp_path / "train.py").read_text() == expected


FILES = [
    ("p.h", "#define LEVEL 1 /* one */\n#define LEVELS 2\n#define NAME a\n", "#define LEVEL 9 /* one */\n#define LEVELS 2\n#define NAME b\n"),
    ("p.json", '{"LEVEL": 1, "x": 2, "NAME": "a"}', {"LEVEL": 9, "x": 2, "NAME": "b"}),
]  # fmt: skip


@pytest.mark.parametrize("name,before,after", FILES, ids=[row[0] for row in FILES])
def test_edit_by_language(tmp_path, name, before, after):
    lab = lab_of(tmp_path)
    (tmp_path / "lab.toml").write_text((tmp_path / "lab.toml").read_text().replace('file = "train.py"', f'file = "{name}"'))  # fmt: skip
    (tmp_path / name).write_text(before)
    job = {"workspace": str(tmp_path), "payload": {"params": {"LEVEL": 9, "NAME": "b"}}}
    code, _, err = lab.say("edit", given=job)
    text = pathlib.Path(tmp_path / name).read_text()
    assert code == 0 and (json.loads(text) if name.endswith("json") else text) == after, err


BAD = [
    ('method = "grid"', "there is no method 'grid'", 'method = "sweep"'),
    ("LEVEL = 3", "'LEVEL' is no list of values", "LEVEL = [10.0, 9.5, 9.0]"),
]


@pytest.mark.parametrize("new,message,old", BAD, ids=[row[1] for row in BAD])
def test_a_search_that_makes_no_sense(tmp_path, new, message, old):
    lab = lab_of(tmp_path)
    toml = tmp_path / "lab.toml"
    toml.write_text(toml.read_text().replace(old, new))
    code, _, err = lab.say("suggest", given={"payload": {}})
    assert code == 4 and message in err and "lab.toml" in err


CODE = "A = 1\nB = 2  # B = 3\nC = 1\n"
SPELLED = [
    ([{"file": "a.py", "old": "A = 1", "new": "A = 5"}], "A = 5\nB = 2  # B = 3\nC = 1\n"),
    ([{"file": "a.py", "old": "A = 1\nB", "new": "A = 5\nB"}, {"file": "a.py", "old": "A = 5", "new": "AA"}], "AA\nB = 2  # B = 3\nC = 1\n"),
    ([{"file": "a.py", "old": "# B = 3", "new": ""}], "A = 1\nB = 2  \nC = 1\n"),
]  # fmt: skip


# A change that its idea spells out is made as it stands there, one after the other, and the mode of the file stays.
@pytest.mark.parametrize("changes,after", SPELLED, ids=["one", "two of a file", "to nothing"])
def test_edit_spelled_out(tmp_path, changes, after):
    lab = TreeLab(tmp_path)
    (tmp_path / "a.py").write_text(CODE)
    (tmp_path / "a.py").chmod(0o755)
    code, said, err = lab.say("edit", given={"workspace": str(tmp_path), "payload": {"replace": changes}})
    assert code == 0 and said == {"replace": changes}, err
    assert (tmp_path / "a.py").read_text() == after and (tmp_path / "a.py").stat().st_mode & 0o777 == 0o755


REFUSED = [
    ({"file": "a.py", "old": "A = 2", "new": ""}, "nowhere"),
    ({"file": "a.py", "old": " = ", "new": ""}, "more than once"),
    ({"file": "a.py", "old": "", "new": "x"}, "nowhere"),
    ({"file": "b.py", "old": "A", "new": ""}, "there is no 'b.py'"),
    ({"file": "../outside.py", "old": "A", "new": ""}, ".."),
    ({"file": "/etc/passwd", "old": "root", "new": ""}, "/etc/passwd"),
    ({"file": ".git/config", "old": "core", "new": ""}, ".git"),
    ({"file": "link.py", "old": "A", "new": ""}, "leaves the tree"),
    ({"file": "a.py", "old": "A = 1"}, "'new'"),
]


# What does not fit changes nothing, not even what came before it and fitted.
@pytest.mark.parametrize("change,words", REFUSED, ids=[words for _, words in REFUSED])
def test_edit_that_does_not_fit(tmp_path, change, words):
    folder = tmp_path / "lab"
    folder.mkdir()
    lab = TreeLab(folder)
    (folder / "a.py").write_text(CODE)
    (tmp_path / "outside.py").write_text(CODE)
    (folder / "link.py").symlink_to("../outside.py")
    first = {"file": "a.py", "old": "C = 1", "new": "C = 2"}
    code, _, err = lab.say("edit", given={"workspace": str(folder), "payload": {"replace": [first, change]}})
    assert code == 4 and words in err, err
    assert (folder / "a.py").read_text() == (tmp_path / "outside.py").read_text() == CODE


# What a result makes the champion is so before the next idea is measured, also where the holdout is looked at between:
# each is measured once, and nothing beside it.
@pytest.mark.parametrize("more", ["", 'holdout = "python3 evaluate.py --holdout"\n'], ids=["", "holdout"])
def test_none_is_measured_for_the_past(tmp_path, more):
    text = SETTINGS.replace("pairs = 8", f"{more}at_once = 1\npairs = 8") + SEARCH.format(
        method="sweep", count=0
    )
    lab = TreeLab(tmp_path, text.replace('"a", "b"', '"a"'), TRAIN + 'NAME = "a"\n')
    code, _, err = lab.say("run", "--slots", 3)
    assert code == 0 and "hypothesis 1 (LEVEL=10.0 NAME=a): duplicate: nothing was changed\n" in err
    assert err.count("hypothesis 2 (LEVEL=9.5 NAME=a): accepted: the gain is above") == 1
    db = sqlite3.connect(tmp_path / ".lab/lab.db")
    chain = db.execute("SELECT payload FROM champions JOIN hypotheses h ON h.id = hypothesis").fetchall()
    assert [json.loads(payload)["params"]["LEVEL"] for (payload,) in chain] == [9.5, 9.0]
    bodies = db.execute(
        "SELECT body FROM results JOIN jobs ON jobs.id = job WHERE kind = 'evaluate'"
    ).fetchall()
    assert sum("pairs" in json.loads(body) for (body,) in bodies) == 2
    times = db.execute("SELECT began_us, l.ended_us FROM leases l JOIN jobs ON jobs.id = job"
                       " WHERE kind IN ('evaluate', 'holdout') ORDER BY began_us").fetchall()  # fmt: skip
    assert len(times) == (4 if more else 2)
    assert all(before[1] <= after[0] for before, after in zip(times, times[1:], strict=False)), times
