"""`kernmill lab import` and `lab export`: the ledgers of other labs, in and out."""

import csv
import hashlib
import json
import sqlite3

import pytest
from test_lab import Lab
from test_lab_judge import BETTER, evaluated, pairs

AUTORESEARCH = """\
commit\tval_bpb\tmemory_gb\tstatus\tdescription
baseline\t0.997900\t44.0\tkeep\tbaseline
bea057b\t0.986041\t43.9\tkeep\thalve the batch, "524K" to 262K
187e419\t0.997900\t60.2\tdiscard\tadd 5% warmup
e05a87d\t0.000000\t0.0\tcrash\tbatch 131K (assert: größer)
187e419\t0.997900\t60.2\tdiscard\tadd 5% warmup
"""
MULTI = [
    {"run_id": "legacy_seed", "created_at": "2026-03-18T02:37:20Z", "status": "legacy_seed", "worker_id": "seed",
     "hypothesis": "the seed", "parent_hash": "be362ca", "candidate_hash": "935fdbf", "val_bpb": "0.962777",
     "promoted": "true", "comment": 'it said "hello"'},
    {"run_id": "job-1", "created_at": "2026-03-31T00:00:00.25+02:00", "status": "failed", "job_id": "69cb",
     "hypothesis": "a higher rate", "parent_hash": "935fdbf", "val_bpb": "0.963049", "training_seconds": "300.1",
     "peak_vram_mb": "33609.6", "mfu_percent": "44.82", "promoted": "false", "comment": "worse by 0.0002"},
    {"run_id": "job-2", "created_at": "", "status": "missing_metric", "val_bpb": "", "promoted": "false"},
    {"run_id": "job-3", "created_at": "", "status": "completed", "val_bpb": "0.95", "promoted": "true"},
]  # fmt: skip
MULTI_COLUMNS = [
    "run_id",
    "created_at",
    "status",
    "job_id",
    "campaign",
    "experiment_id",
    "worker_id",
    "hypothesis",
    "parent_hash",
    "candidate_hash",
    "val_bpb",
    "training_seconds",
    "total_seconds",
    "peak_vram_mb",
    "mfu_percent",
    "promoted",
    "comment",
]
DAG = [
    {"hash": "be362ca", "parent_hash": None, "contributor_id": "ada", "message": "first", "val_bpb": 0.9979,
     "platform": "H100", "created_at": "2026-03-01T00:00:00Z", "is_master": False},
    {"hash": "935fdbf", "parent_hash": "be362ca", "contributor_id": "bo", "message": "second", "val_bpb": 0.962777,
     "platform": "H100", "created_at": "2026-03-18T02:37:20Z", "is_master": True, "campaign": "more is kept"},
]  # fmt: skip


@pytest.fixture
def lab(tmp_path):
    (tmp_path / "lab").mkdir()
    return Lab(tmp_path / "lab")


def write_multi(path, rows=MULTI):
    with path.open("w", newline="") as f:
        writer = csv.DictWriter(f, MULTI_COLUMNS, restval="", delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return path


def written(tmp_path, kind):
    path = tmp_path / f"{kind}.in"
    if kind == "multiautoresearch":
        return write_multi(path)
    path.write_text(AUTORESEARCH if kind == "autoresearch" else json.dumps(DAG, indent=2) + "\n")
    return path


def export(lab, path, *words):
    code, _, err = lab.say("export", *words, path)
    assert code == 0, err
    return path.read_text()


def rows_of(text):
    return list(csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE))


# ---- other labs' files ----


# What comes in goes out again, byte by byte: nothing is lost, rounded or sorted, and no row is merged.
@pytest.mark.parametrize("kind", ["autoresearch", "multiautoresearch", "dag"])
def test_round_trip(lab, tmp_path, kind):
    path = written(tmp_path, kind)
    count = len(DAG) if kind == "dag" else len(path.read_text().splitlines()) - 1
    answer = {"schema": 1, "form": kind, "rows": count, "made": count}
    assert lab.say("import", path)[1] == answer
    words = ["--dag"] if kind == "dag" else ["--form", kind, "--tsv"]
    assert export(lab, tmp_path / "out", *words) == path.read_text()
    assert lab.say("import", tmp_path / "out")[1] == {**answer, "made": 0}


def test_states_and_scores(lab, tmp_path):
    lab.say("import", written(tmp_path, "autoresearch"))
    lab.say("import", written(tmp_path, "multiautoresearch"))
    lab.say("import", written(tmp_path, "dag"))
    ideas = lab.report()["hypotheses"]
    assert [h["state"] for h in ideas] == [
        "accepted", "accepted", "rejected", "crashed", "rejected",
        "accepted", "rejected", "failed", "accepted",
        "accepted", "accepted",
    ]  # fmt: skip
    scores = [h["payload"]["score"] for h in ideas]
    assert scores == [
        0.9979,
        0.986041,
        0.9979,
        None,
        0.9979,
        0.962777,
        0.963049,
        None,
        0.95,
        0.9979,
        0.962777,
    ]
    seed, worse = ideas[5:7]
    assert (seed["title"], seed["author"], seed["parent"]) == ("the seed", "seed", "be362ca")
    assert seed["created_us"] == 1773801440_000000 and worse["created_us"] == 1774908000_250000
    assert seed["text"] == 'it said "hello"'


# The history says which file, by its digest, and which line a row came from.
def test_where_it_came_from(lab, tmp_path):
    path = written(tmp_path, "autoresearch")
    lab.say("import", path)
    event = next(e for e in lab.report()["events"] if e["subject"] == "hypothesis 2")
    assert event["what"] == "imported"
    assert event["body"] == {
        "key": event["body"]["key"], "file": path.name, "line": 3, "state": "accepted",
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }  # fmt: skip


def test_a_file_that_grew(lab, tmp_path):
    path = written(tmp_path, "autoresearch")
    lab.say("import", path)
    path.write_text(path.read_text() + "1234567\t0.9\t1.0\tkeep\tmore\r\n\n")
    assert lab.say("import", path)[1] == {"schema": 1, "form": "autoresearch", "rows": 6, "made": 1}
    assert lab.report()["hypotheses"][-1]["title"] == "more"


BAD = {
    "status": ("x\t1\t1.0\tgood\tt", ":7: error: the status is keep, discard or crash, not 'good'"),
    "a column more": ("x\t1\t1.0\tkeep\tt\tt", ":7: error: 6 fields; the header names 5"),
    "cut": ("x\t1\t1.0", ":7: error: 3 fields"),
    "no number": ("x\t1,5\t1.0\tkeep\tt", ":7: error: val_bpb is no number: '1,5'"),
    "infinite": ("x\t-inf\t1.0\tkeep\tt", ":7: error: val_bpb is no number: '-inf'"),
    "zero byte": ("x\t1\t1.0\tkeep\tt\0", "zero byte"),
}


# One bad line: it is named, and no row of the file is in the store.
@pytest.mark.parametrize("case", BAD)
def test_a_bad_line(lab, tmp_path, case):
    line, text = BAD[case]
    path = written(tmp_path, "autoresearch")
    path.write_text(path.read_text() + line + "\n")
    code, _, err = lab.say("import", path)
    assert code == 4 and text in err and str(path) in err
    assert not lab.report()["hypotheses"]


BAD_MULTI = {
    "promoted": ({"promoted": "yes"}, "promoted is true or false, not 'yes'"),
    "time": ({"created_at": "yesterday"}, "created_at is no time: 'yesterday'"),
    "hour": ({"created_at": "2026-01-01T99:99:99Z"}, "created_at is no time"),
    "offset": ({"created_at": "2026-01-01T00:00:00+99:00"}, "created_at is no time"),
    "number": ({"mfu_percent": "40%"}, "this is no number: '40%'"),
    "hexadecimal": ({"mfu_percent": "0x10"}, "this is no number: '0x10'"),
    "no run": ({"run_id": ""}, "run_id or status is missing"),
}


@pytest.mark.parametrize("case", BAD_MULTI)
def test_a_bad_row_of_seventeen(lab, tmp_path, case):
    change, text = BAD_MULTI[case]
    code, _, err = lab.say("import", write_multi(tmp_path / "m.tsv", [*MULTI, {**MULTI[1], **change}]))
    assert code == 4 and f"m.tsv:6: error: {text}" in err and not lab.report()["hypotheses"]


NO_LEDGERS = {
    "an object": ("{}", "dag.json is a list"),
    "another header": ("a\tb\n1\t2\n", "neither autoresearch's nor"),
    "no hash": ('[{"hash": "a"}, {"val_bpb": 1}]', "commit 2: its hash is missing"),
    "text score": ('[{"hash": "a", "val_bpb": "0"}]', "commit 1: val_bpb is no number"),
    "open quote": ("\t".join(MULTI_COLUMNS) + '\n"x\ty\n', ":2: error: a quote is never closed"),
    "empty": ("", "neither"),
}


@pytest.mark.parametrize("case", NO_LEDGERS)
def test_what_is_no_ledger(lab, tmp_path, case):
    text, says = NO_LEDGERS[case]
    (tmp_path / "f").write_text(text)
    code, _, err = lab.say("import", tmp_path / "f")
    assert code == 4 and says in err and not lab.report()["hypotheses"]


def test_a_byte_order_mark(lab, tmp_path):
    path = written(tmp_path, "autoresearch")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert lab.say("import", path)[1]["made"] == 5


# What was told is never run, judged or promoted here, not even what failed, which may be queued again when it is ours.
def test_history_stays(lab, tmp_path):
    lab.say("import", written(tmp_path, "multiautoresearch"))
    for number, word, given in [
        (3, "plan", {}),
        (1, "decide", {"state": "promoted"}),
        (1, "decide", {"state": "rejected"}),
        (2, "review", {"verdict": "approve"}),
    ]:
        code, _, err = lab.say(word, number, given=given)
        assert code == 2 and "was imported" in err
    assert lab.say("claim", "--worker", "w")[0] == 1


# ---- what this lab tried ----


def test_our_own_rows(lab, tmp_path):
    won = evaluated(lab, "won", {"pairs": pairs(BETTER)})
    assert lab.say("judge", won)[1]["verdict"] == "accepted"
    lost = evaluated(lab, "lost\tnot\nhere", {"pairs": pairs([(1, 2)] * 8)})
    assert lab.say("judge", lost)[1]["verdict"] == "rejected"
    dead = lab.queued("dead")
    for _ in range(3):
        job = lab.say("claim", "--worker", "w")[1]
        lab.say("fail", job["job"], "--token", job["token"], "--why", "boom")
    assert lab.state(dead) == "failed"
    refused = lab.idea("refused")
    lab.say("review", refused, given={"verdict": "reject"})
    lab.idea("new")
    rows = rows_of(export(lab, tmp_path / "t", "--tsv"))
    mean = sum(c for _, c in BETTER) / len(BETTER)
    assert [list(r.values()) for r in rows] == [
        ["hypothesis-1", f"{mean:.6f}", "0.0", "keep", "won"],
        ["hypothesis-2", "2.000000", "0.0", "discard", "lost not here"],
        ["hypothesis-3", "0.000000", "0.0", "crash", "dead"],
    ]
    rows = rows_of(export(lab, tmp_path / "t", "--form", "multiautoresearch", "--tsv"))
    assert [(r["status"], r["promoted"], r["val_bpb"], r["job_id"]) for r in rows] == [
        ("completed", "true", f"{mean:.6f}", "1"),
        ("completed", "false", "2.000000", "2"),
        ("missing_metric", "false", "", "3"),
    ]
    assert rows[0]["worker_id"] == "w" and rows[1]["experiment_id"] == "lost-not-here"


# The champions of the store are the dag; runs told one by one give the scores, and the baseline is a row.
def test_champions(lab, tmp_path):
    lab.say("import", written(tmp_path, "dag"))
    number = lab.queued("won", author="ada")
    with sqlite3.connect(lab.folder / ".lab/lab.db") as db:
        db.execute("UPDATE hypotheses SET state = 'promoted', commit_id = 'cccc1234' WHERE id = ?", [number])
        for pair in range(2):
            db.execute("INSERT INTO runs VALUES (1, ?, 'parent', 'bbbb1234', 1, 'h100', ?, 9, 3000)",
                       [pair, 10 + pair])  # fmt: skip
            db.execute("INSERT INTO runs VALUES (1, ?, 'candidate', 'cccc1234', 1, 'h100', ?, 9, 2000)",
                       [pair, 8 + pair])  # fmt: skip
        db.execute("INSERT INTO champions VALUES (1, 1, NULL, NULL, 'bbbb1234', 1700000000000000)")
        db.execute("INSERT INTO champions VALUES (2, 1, 1, ?, 'cccc1234', 1700000001000000)", [number])
    dag = json.loads(export(lab, tmp_path / "d", "--dag"))
    assert [c["is_master"] for c in dag] == [False, False, False, True] and dag[0] == DAG[0]
    assert dag[3] == {
        "hash": "cccc1234", "parent_hash": "bbbb1234", "contributor_id": "ada", "message": "won", "val_bpb": 8.5,
        "platform": "h100", "created_at": "2023-11-14T22:13:21Z", "is_master": True,
    }  # fmt: skip
    rows = rows_of(export(lab, tmp_path / "t", "--tsv"))
    assert [list(r.values()) for r in rows] == [
        ["bbbb123", "10.500000", "0.0", "keep", "baseline"],
        ["cccc123", "8.500000", "0.0", "keep", "won"],
    ]
    rows = rows_of(export(lab, tmp_path / "t", "--form", "multiautoresearch", "--tsv"))
    assert rows[1]["run_id"] == "run-cccc1234" and rows[1]["training_seconds"] == "2.0"


# Who proposes an idea cannot write a row of the ledger: only what was imported is taken from a payload.
def test_a_payload_is_no_row(lab, tmp_path):
    row = {"commit": "x", "val_bpb": "0.1", "memory_gb": "0.0", "status": "keep", "description": "t"}
    lab.idea("fake", payload={"ledger": "autoresearch", "row": row, "score": 0.1})
    assert rows_of(export(lab, tmp_path / "t", "--tsv")) == []
    assert json.loads(export(lab, tmp_path / "d", "--dag")) == []


def test_one_form_as_the_other(lab, tmp_path):
    lab.say("import", written(tmp_path, "autoresearch"))
    rows = rows_of(export(lab, tmp_path / "t", "--form", "multiautoresearch", "--tsv"))
    assert [
        (r["candidate_hash"], r["val_bpb"], r["status"], r["promoted"], r["peak_vram_mb"]) for r in rows[2:4]
    ] == [
        ("187e419", "0.997900", "completed", "false", "61644.8"),
        ("e05a87d", "", "missing_metric", "false", "0.0"),
    ]


def test_nothing_asked(lab):
    code, _, err = lab.say("export")
    assert code == 2 and "say what to write" in err
    code, _, err = lab.say("export", "--tsv", "x", "--form", "csv")
    assert code == 2 and "not 'csv'" in err
