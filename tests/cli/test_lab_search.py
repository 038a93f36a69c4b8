"""A researcher and a worker for numbers: every combination once, written where it stands."""

import itertools
import json
import pathlib

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
