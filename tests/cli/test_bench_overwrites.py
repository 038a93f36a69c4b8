"""kernmill bench and calls that write into their inputs: which are measured, and who is caught."""

import pytest
from test_bench import bench, candidates, states, suite  # noqa: F401

PEERS = """
import torch

def returns_it(x):
    return x.neg_()

def returns_more(x):
    y = torch.neg(x)
    x.zero_()
    return y

def scribbles(x):
    y = torch.neg(x)
    x.neg_()
    return y
"""


@pytest.fixture
def calls(suite):  # noqa: F811
    """calls(*texts) -> a suite with these calls beside torch's neg, honest and an in-place one of torch's own."""

    def write(*texts):
        path = suite("honest")
        own = ('schema = "aten::neg_(Tensor(a!) self) -> Tensor(a!)"', 'overwrites = ["x"]')
        lines = ["[op.neg.calls.torch_]", own[0], 'arguments = ["x"]', own[1], *texts]
        path.write_text(path.read_text() + "\n".join(lines) + "\n")
        (path.parent / "peers.py").write_text(PEERS)
        return path

    return write


def in_place(library, name, schema="(Tensor(a!) x) -> ()", arguments='["x"]'):
    return (
        f'[op.neg.calls.{name}]\nlibrary = "{library}"\nschema = "cand::{name}{schema}"\n'
        f'arguments = {arguments}\noverwrites = ["x"]'
    )


# They stand in one table with calls that leave the same inputs as they are, and neither spoils the other.
def test_calls_that_overwrite(kernmill, calls, candidates):  # noqa: F811
    python = '[op.neg.calls.{0}]\npython = "peers.py:{0}"\narguments = ["x"]\noverwrites = ["x"]'
    path = calls(
        in_place(candidates, "negates"),
        python.format("returns_it"),
        python.format("returns_more") + "\nresults = []",
    )
    answer = bench(kernmill, "--json", path)
    assert answer.code == 0, answer.err
    for cell in answer.json["cells"]:
        assert cell["audit"] is None
        for call in cell["calls"]:
            assert (call["state"], call["why"], call["error_ulp"]) == ("right", None, 0)
            assert call["audit_error_ulp"] == 0
            assert len(call["columns"]["call"]["samples_us"]) == cell["rounds"]
        said = {call["name"]: call.get("overwrites") for call in cell["calls"]}
        assert (said["honest"], said["negates"]) == (None, ["x"])


# The reference, too, may be one: its float64 inputs are its own.
def test_a_reference_that_overwrites(kernmill, calls, candidates):  # noqa: F811
    path = calls(in_place(candidates, "negates"), in_place(candidates, "keeps"))
    path.write_text(path.read_text().replace('reference = "torch"', 'reference = "torch_"'))
    said = states(bench(kernmill, "--json", "--filter", "rows=7 ", path))
    assert said.pop("keeps") == {"wrong"}
    assert all(state == {"right"} for state in said.values())


# An answer of an earlier call is none: what is overwritten is new before each sample, and of other values at the end.
@pytest.mark.parametrize("cheat", ["keeps", "repeats"])
def test_answers_of_earlier_calls(cheat, kernmill, calls, candidates):  # noqa: F811
    said = states(
        bench(kernmill, "--json", calls(in_place(candidates, "negates"), in_place(candidates, cheat)))
    )
    assert said.pop(cheat) == {"wrong"}
    assert all(state == {"right"} for state in said.values())


# What is not declared stays refused, whatever else is.
def test_what_is_not_declared(kernmill, calls, candidates):  # noqa: F811
    peer = '[op.neg.calls.scribbles]\npython = "peers.py:scribbles"\narguments = ["x"]'
    strays = in_place(candidates, "strays", "(Tensor(a!) x, Tensor w) -> ()", '["x", "w"]')
    path = calls(in_place(candidates, "negates"), in_place(candidates, "overruns"), strays, peer)
    text = path.read_text().replace("[op.neg.inputs]\n", '[op.neg.inputs]\nw = { shape = ["rows"] }\n')
    path.write_text(text)
    answer = bench(kernmill, "--json", path)
    assert answer.code == 1, answer.err
    for cell in answer.json["cells"]:
        said = {call["name"]: (call["state"], call["why"]) for call in cell["calls"]}
        assert said.pop("overruns") == ("changed its inputs", "memory beside an input")
        assert said.pop("strays") == ("changed its inputs", "w")
        assert said.pop("scribbles") == ("changed its inputs", "x")
        assert set(said.values()) == {("right", None)}


# Results behind what is returned, and only those that are named.
def test_the_number_of_results(kernmill, calls):
    peer = '[op.neg.calls.peer]\npython = "peers.py:returns_more"\narguments = ["x"]\noverwrites = ["x"]'
    answer = bench(kernmill, "--json", "--filter", "rows=7 ", calls(peer))
    call = answer.json["cells"][0]["calls"][-1]
    assert (call["state"], call["why"]) == ("wrong", "it returns another number of results")


# An input with gaps has no copy that a result could be compared in.
def test_strides(kernmill, calls):
    path = calls()
    path.write_text(
        path.read_text().replace(
            '["rows", "columns"] }', '["rows", "columns"], strides = ["2 * columns", "1"] }'
        )
    )
    answer = bench(kernmill, "--list", path)
    assert answer.code == 4 and "'torch_' overwrites 'x', which has strides" in answer.err
