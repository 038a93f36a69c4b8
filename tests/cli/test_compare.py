"""kernmill compare, and bench --baseline and --candidate: what they say of records whose truth is known."""

import json

import pytest
from program import ROOT
from test_bench import bench, candidates, suite  # noqa: F401

RECORD = ROOT / "benchmarks/results/h100/rmsnorm.jsonl"


def changed(folder, call: str, factor: float, rows: int | None = None, state: str | None = None):
    """The record with one call's cold samples times `factor`, in all cells or those with so many rows."""
    lines = []
    for line in RECORD.read_text().splitlines():
        cell = json.loads(line)
        for c in cell["calls"]:
            if c["name"] == call and rows in (None, cell["shape"]["rows"]):
                cold = c["columns"]["cold"]
                cold["samples_us"] = [s * factor for s in cold["samples_us"]]
                cold["median_us"] *= factor
                c["state"] = state or c["state"]
        lines.append(json.dumps(cell))
    path = folder / "changed.jsonl"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_record_beside_itself(kernmill):
    answer = kernmill("compare", RECORD, RECORD)
    assert answer.code == 0 and answer.out.splitlines()[-1].startswith("0 of 98 are slower by more than 2 %")
    assert all(len(line) <= 100 for line in answer.out.splitlines())


def test_a_regression_is_named(kernmill, tmp_path):
    answer = kernmill("compare", RECORD, changed(tmp_path, "quack", 1.05, rows=32768))
    assert answer.code == 1
    *_, count, first, second = answer.out.splitlines()
    assert count.startswith("2 of 98 are slower")
    assert first == "  rms_norm rows=32768 columns=4096 bfloat16 cuda: quack"
    assert second == "  rms_norm rows=32768 columns=512 bfloat16 cuda: quack"


# What is within the gate, or faster, is no regression; a wider gate lets more pass.
@pytest.mark.parametrize("case", [(1.01, "2%", 0), (0.9, "2", 0), (1.05, "10%", 0), (1.12, "10%", 1)])
def test_gate(kernmill, tmp_path, case):
    factor, gate, code = case
    answer = kernmill(
        "compare", "--json", "--gate", gate, RECORD, changed(tmp_path, "kernmill", factor, rows=8192)
    )
    assert answer.code == code
    row = next(c for c in answer.json["changes"] if c["call"] == "kernmill" and "rows=8192 " in c["cell"])
    assert row["change"]["low"] <= factor <= row["change"]["high"]
    assert row["verdict"] == {0.9: "faster", 1.12: "slower"}.get(factor, "same")


def test_no_longer_right(kernmill, tmp_path):
    answer = kernmill("compare", RECORD, changed(tmp_path, "liger", 1, rows=1, state="wrong"))
    assert answer.code == 1 and "no longer right" in answer.out and "1 of 98" in answer.out


# A yardstick that became three times as fast makes everything slower beside it: no verdict on what became faster itself.
def test_a_yardstick_that_moved(kernmill, tmp_path):
    lines = [json.loads(line) for line in changed(tmp_path, "quack", 0.9).read_text().splitlines()]
    for cell in lines:
        yard = cell["yardsticks"]["copy_plain"]
        yard["samples_us"] = [s / 3 for s in yard["samples_us"]]
    (tmp_path / "changed.jsonl").write_text("\n".join(map(json.dumps, lines)))
    answer = kernmill("compare", "--json", RECORD, tmp_path / "changed.jsonl")
    verdicts = {c["verdict"] for c in answer.json["changes"] if c["call"] == "quack"}
    assert verdicts == {"undecided"}
    others = {c["verdict"] for c in answer.json["changes"] if c["call"] == "liger"}
    assert others == {"slower"}


def test_nothing_in_common(kernmill, tmp_path):
    other = tmp_path / "other.jsonl"
    first = json.loads(RECORD.read_text().splitlines()[0])
    other.write_text('{"cut": \n' + json.dumps({**first, "op": "another"}) + "\n")
    answer = kernmill("compare", RECORD, other)
    assert answer.code == 4 and "have no call of a cell in common" in answer.err
    assert f"'{other}': left out 1 lines that are no measured cells" in answer.err


def test_a_file_that_is_no_record(kernmill):
    answer = kernmill("compare", RECORD, ROOT / "README.md")
    assert (answer.code, answer.out) == (4, "") and "holds no measured cell" in answer.err


# ---- bench --baseline ----


# Against a record in which the call took a hundred times as long, or as short: what a test may ask of a clock.
def test_baseline(kernmill, suite, tmp_path):  # noqa: F811
    record, path = tmp_path / "before.jsonl", suite("honest")
    assert bench(kernmill, "--output", record, path).code == 0
    lines = [json.loads(line) for line in record.read_text().splitlines()]

    def taking(factor: float):
        cells = json.loads(json.dumps(lines))
        for cell in cells:
            (honest,) = (c for c in cell["calls"] if c["name"] == "honest")
            column = honest["columns"]["call"]
            column["samples_us"] = [s * factor for s in column["samples_us"]]
            column["median_us"] *= factor
        record.write_text("\n".join(map(json.dumps, cells)))
        return bench(kernmill, "--json", "--baseline", record, "--gate", "50%", path)

    answer = taking(100)
    assert answer.code == 0 and len(answer.json["comparison"]["changes"]) == 2
    assert {c["verdict"] for c in answer.json["comparison"]["changes"]} == {"faster"}
    answer = taking(0.01)
    assert answer.code == 1 and answer.json["comparison"]["regressions"] == 2


# ---- bench --candidate ----


def judged(kernmill, path, *words):
    answer = bench(kernmill, *words, path)
    (line,) = answer.out.splitlines()
    return answer.code, json.loads(line)


def test_candidate(kernmill, suite):  # noqa: F811
    path = suite("honest", "small")
    with path.open("a") as f:
        for name, turns in (("short", 1), ("long", 400)):
            library = next(line for line in path.read_text().splitlines() if line.startswith("library"))
            f.write(
                f'[op.neg.calls.{name}]\n{library}\nschema = "cand::turns(Tensor x, int count) -> Tensor"\n'
            )
            f.write(f'arguments = ["x", {turns}]\n')
    code, answer = judged(kernmill, path, "--candidate", "short", "--incumbent", "long")
    assert (code, answer["verdict"], len(answer["cells"])) == (0, "faster", 2)
    assert answer["cells"][0]["ratio"]["high"] < 1 and answer["seconds"] >= 0
    code, answer = judged(kernmill, path, "--candidate", "long", "--incumbent", "short")
    assert (code, answer["verdict"]) == (1, "slower")
    code, answer = judged(kernmill, path, "--candidate", "small")
    assert (code, answer["verdict"], answer["incumbent"]) == (1, "wrong", "torch")
    assert answer["reason"].startswith("wrong: ")
    for words in (("absent",), ("torch", "--incumbent", "torch")):
        answer = bench(kernmill, "--candidate", *words, path)
        assert (answer.code, answer.out) == (2, "")
