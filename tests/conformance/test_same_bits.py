"""`scripts/soak invariance` finds what it asks for: an operator with one planted fault is caught by the question
about it, and one without a fault by none."""

import pathlib
import sys

import pytest
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "soak"))
from same_bits import operators, questions, table
from same_bits.libraries import Library

(RMS_NORM,) = (o for o in operators.OPERATORS if o.name == "rms_norm")


class WrongGradient(torch.autograd.Function):
    calls = 0

    @staticmethod
    def forward(ctx, y):
        return y.view_as(y)

    @staticmethod
    def backward(ctx, dy):
        WrongGradient.calls += 1
        return dy * (1 + WrongGradient.calls)


def planted(fault: str):
    """Transformers' formula, one place off in one element where the fault says so."""
    calls = 0

    def call(x, weight):
        nonlocal calls
        calls += 1
        (y,) = operators.rms_norm(x, weight)
        if fault == "gradients" and y.requires_grad:
            y = WrongGradient.apply(y)
        wrong = {
            "batch": len(x) == 16,
            "slices": not torch.compiler.is_compiling() and x.storage_offset() > 0,
            "unaligned": not torch.compiler.is_compiling() and x.data_ptr() % 16 != 0,
            "training": x.requires_grad,
            "again": calls > 1,
            "compiled": torch.compiler.is_compiling(),
        }
        if wrong.get(fault):
            y = y.clone()
            y[-1, 0] = -y[-1, 0]
        return (y,)

    return call


def answers(fault: str, with_compile: bool = False) -> list[dict]:
    library = Library("planted", {"rms_norm": planted(fault)}, ours=True)
    subject = questions.Subject(RMS_NORM, library, torch.bfloat16, 64, 200, "cpu")
    return list(questions.ask(subject, with_compile, quick=True))


def caught(found: list[dict]) -> set[str]:
    return {a["question"] for a in found if a["same"] is not True}


def test_no_fault_is_found_where_there_is_none():
    found = answers("none")
    assert not caught(found)
    asked = {a["question"] for a in found}
    assert asked == {"batch", "slices", "unaligned", "training", "gradients", "again"}


@pytest.mark.parametrize("fault", ["batch", "slices", "unaligned", "training", "gradients", "again"])
def test_a_planted_fault_is_found(fault):
    found = answers(fault)
    assert fault in caught(found)
    if fault in ("batch", "unaligned", "gradients", "training"):
        assert caught(found) <= {fault, "gradients"}  # a wrong element has a wrong gradient
    assert all(a["words_differ"] > 0 for a in found if a["same"] is False)


def test_a_fault_under_compile_is_found():
    assert caught(answers("compiled", with_compile=True)) == {"compiled"}


def test_a_call_that_raises_is_no_answer():
    def call(x, weight):
        if len(x) == 3:
            raise ValueError("three rows")
        return operators.rms_norm(x, weight)

    subject = questions.Subject(RMS_NORM, Library("raises", {"rms_norm": call}), torch.float32, 64, 20, "cpu")
    (found,) = (a for a in questions.ask(subject, False, True) if a["same"] is not True)
    assert found["same"] is None and "three rows" in found["error"]
    assert table.verdict([found]) == "not run"
    assert table.verdict([found, found | {"same": False}]) == "1 of 1 cells differ, 1 not run"


def test_words_are_counted_by_their_bits():
    zero, nan = torch.zeros(2), torch.full((2,), torch.nan)
    assert questions.differing((zero, nan), (-zero, nan)) == (2, 4)
