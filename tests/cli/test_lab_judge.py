"""`kernmill lab judge`: pairs in, a verdict out; and what becomes of an idea by its results."""

import json
import subprocess

import pytest
from program import PROGRAM
from test_lab import Lab

BETTER = [(10.0 + 0.1 * (i % 3), 9.0 + 0.1 * (i % 4)) for i in range(10)]
SAME = [(10.0 + 0.1 * (i % 3), 10.0 + 0.1 * ((i + 1) % 3)) for i in range(10)]


def pairs(values, **fields):
    return [{"parent": p, "candidate": c, "block": "h100 a", **fields} for p, c in values]


def judge(given, *words):
    text = given if isinstance(given, str) else json.dumps(given)
    done = subprocess.run([PROGRAM, "lab", "judge", *words], input=text, capture_output=True, text=True)
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


@pytest.fixture
def lab(tmp_path):
    return Lab(tmp_path)


def evaluated(lab, key, *results):
    """An idea whose jobs gave these results, one job a result."""
    number = lab.queued(key)
    for i, result in enumerate(results):
        if i:
            assert lab.say("judge", number)[1]["verdict"] == "undecided"
            assert lab.say("plan", number, given={})[1]["state"] == "queued"
        job = lab.say("claim", "--worker", "w")[1]
        assert lab.say("submit", job["job"], "--token", job["token"], given=result)[0] == 0
    return number


# ---- without a lab ----


def test_accepted():
    code, d, _ = judge({"direction": "lower", "pairs": pairs(BETTER, amount=[100, 100])})
    assert code == 0 and d["verdict"] == "accepted" and d["n"] == 10 and d["more_pairs"] == 0
    assert 0 < d["interval"][0] < d["gain"] < d["interval"][1] and 0.8 < d["gain"] < 1
    assert "above 0 after 8 pairs" in d["reason"] and d["decided"] == 8
    assert d["parent"]["n"] == 10 and d["parent"]["mean"] == pytest.approx(sum(p for p, _ in BETTER) / 10)


# Which way is better decides; so does the effect that is asked for.
@pytest.mark.parametrize("change", [{"direction": "higher"}, {"effect": 1.5}])
def test_rejected(change):
    code, d, _ = judge({"direction": "lower", "pairs": pairs(BETTER), **change})
    assert code == 1 and d["verdict"] == "rejected" and d["decided"] < 8


def test_undecided_says_what_an_answer_costs():
    code, d, _ = judge({"direction": "lower", "pairs": pairs(BETTER[:4])})
    assert code == 1 and d["verdict"] == "undecided" and d["decided"] is None
    assert d["more_pairs"] == 4 and d["interval"] == [None, None] and "about 4 more" in d["reason"]
    code, d, _ = judge({"direction": "lower", "pairs": []})
    assert code == 1 and d["verdict"] == "undecided" and d["gain"] is None and d["more_pairs"] is None


# A fake line, a failed run, another host, another amount of work: never a win, whatever the other pairs say.
INVALID = {
    "missing": ({"candidate": ...}, "the candidate gave no finite number"),
    "null": ({"candidate": None}, "the candidate gave no finite number"),
    "text": ({"candidate": "nan"}, "the candidate gave no finite number"),
    "parent failed": ({"parent": None}, "the parent gave no finite number"),
    "another block": ({"block": "h200"}, "pair 3 ran in block 'h200', pair 1 in 'h100 a'"),
    "no block": ({"block": ...}, "does not say in which block"),
    "less work": ({"amount": [100, 50]}, "evaluated 100 and 50"),
    "less work by both": ({"amount": [50, 50]}, "evaluated 50 and 50, pair 1 100"),
    "no amount": ({"amount": ...}, "evaluated -1 and -1"),
    "amount of one": ({"amount": [100]}, "evaluated 100 and 0"),
}


@pytest.mark.parametrize("case", INVALID)
def test_invalid(case):
    change, text = INVALID[case]
    given = pairs(BETTER, amount=[100, 100])
    given[2] = {key: value for key, value in {**given[2], **change}.items() if value is not ...}
    code, d, _ = judge({"direction": "lower", "pairs": given})
    assert code == 1 and d["verdict"] == "invalid" and text in d["reason"] and d["gain"] is None


WRONG = {
    "no direction": ({"pairs": []}, 4, "direction"),
    "another direction": ({"direction": "up", "pairs": []}, 4, "'direction' is"),
    "no pairs": ({"direction": "lower"}, 4, "pairs"),
    "effect is text": ({"direction": "lower", "effect": "1", "pairs": []}, 4, "'effect' must be a number"),
    "effect below 0": ({"direction": "lower", "effect": -1, "pairs": []}, 2, "effect is 0 or more"),
    "alpha": ({"direction": "lower", "alpha": 1, "pairs": []}, 2, "alpha and beta"),
    "too many": ({"direction": "lower", "pairs": pairs(BETTER * 26)}, 4, "the limit is 256"),
    "infinite": ('{"direction": "lower", "pairs": [{"parent": 1e999}]}', 4, "standard input:1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_no_question(case):
    given, expected, text = WRONG[case]
    code, d, err = judge(given)
    assert code == expected and text in err and not d


# ---- with one ----


def test_its_verdict_is_the_state(lab):
    good = evaluated(lab, "good", {"pairs": pairs(BETTER)})
    same = evaluated(lab, "same", {"pairs": pairs(SAME)})
    cheat = evaluated(
        lab, "cheat", {"pairs": pairs(BETTER[:9])[:8] + [{"candidate": 0.0, "block": "h100 a"}]}
    )
    assert lab.say("judge", good)[:2] == (0, {**lab_answer(BETTER), "hypothesis": good})
    assert lab.say("judge", same)[0] == 1
    assert lab.say("judge", cheat)[0] == 1
    ideas = {h["id"]: h for h in lab.report()["hypotheses"]}
    assert [ideas[i]["state"] for i in (good, same, cheat)] == ["accepted", "rejected", "invalid"]
    assert "above 0 after 8 pairs" in ideas[good]["reason"] and "no gain of" in ideas[same]["reason"]
    assert "pair 9: the parent gave no finite number" in ideas[cheat]["reason"]
    events = [e for e in lab.report()["events"] if e["subject"] == f"hypothesis {good}"]
    assert events[-1]["what"] == "accepted" and events[-1]["body"]["reason"] == ideas[good]["reason"]
    code, _, err = lab.say("judge", good)  # what is decided is not decided again
    assert code == 2 and "cannot become" in err


def lab_answer(values):
    return judge({"direction": "lower", "pairs": pairs(values)})[1]


# A pair a job, and an answer when there are enough; results without pairs are none of the judge's.
def test_pairs_of_several_jobs(lab):
    single = pairs(BETTER[:8])
    number = evaluated(lab, "slow", {"commit": "abc", "pairs": single[:3]}, *single[3:])
    code, d, _ = lab.say("judge", number)
    assert code == 0 and d["n"] == 8 and lab.state(number) == "accepted"
    lone = evaluated(lab, "lone", {"val_bpb": 0.0})
    code, _, err = lab.say("judge", lone)
    assert code == 2 and "no result of hypothesis 2 holds pairs" in err and lab.state(lone) == "evaluating"


# A new kernel, driver or card between two measurements is no cheat: what has most pairs counts.
def test_results_of_two_blocks(lab):
    number = evaluated(lab, "b", {"pairs": pairs(BETTER[:4])}, {"pairs": pairs(BETTER, block="h200")})
    code, d, _ = lab.say("judge", number)
    assert code == 0 and d["verdict"] == "accepted" and d["n"] == len(BETTER)


def test_undecided_stays_so(lab):
    number = evaluated(lab, "few", {"pairs": pairs(BETTER[:3])})
    for _ in range(2):
        assert lab.say("judge", number)[0] == 1 and lab.state(number) == "undecided"
    events = [e["what"] for e in lab.report()["events"] if e["subject"] == f"hypothesis {number}"]
    assert events.count("undecided") == 1


# Direction and effect are lab.toml's, as it was read last.
def test_the_settings_of_the_lab(lab, tmp_path):
    toml = (tmp_path / "lab.toml").read_text()
    (tmp_path / "lab.toml").write_text(toml.replace("effect = 0.0 ", "effect = 1.5 "))
    assert lab.say("init")[0] == 0
    number = evaluated(lab, "small", {"pairs": pairs(BETTER)})
    assert lab.say("judge", number)[1]["verdict"] == "rejected"
    (tmp_path / "lab.toml").write_text(toml.replace('"lower"', '"higher"', 1))
    assert lab.say("init")[0] == 0
    number = evaluated(lab, "more", {"pairs": pairs([(c, p) for p, c in BETTER])})
    assert lab.say("judge", number)[1]["verdict"] == "accepted"


@pytest.mark.parametrize("value", ["-0.1", "nan", "inf", '"0.1"', "true"])
def test_no_effect(lab, tmp_path, value):
    toml = (tmp_path / "lab.toml").read_text()
    (tmp_path / "lab.toml").write_text(toml.replace("effect = 0.0", f"effect = {value}"))
    code, _, err = lab.say("init")
    assert code == 4 and "lab.toml:7:10" in err and "'effect' must be" in err
    (tmp_path / "lab.toml").write_text(toml.replace("effect = 0.0", "effect = 1"))
    assert lab.say("init")[0] == 0


def test_no_such_hypothesis(lab):
    assert lab.say("judge", 9)[0] == 2
    assert lab.say("judge", "x")[0] == 2
    assert lab.say("judge", 1, "--in", "x.json")[0] == 2
