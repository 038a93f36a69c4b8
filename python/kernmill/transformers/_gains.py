"""In which mode a family of kernels is worth it.

torch.compile fuses what it knows across modules, and an operator of ours ends such a fusion: what wins in an
eager model may lose in a compiled one. Whether a model will be compiled is not known when it is changed, so a
replaced forward asks when it runs; torch.compile folds the question into the graph.
"""

import functools
from collections.abc import Callable

import torch

MODES = ("eager", "compiled")
RECORD = "H100, benchmarks/results/h100/models.json"

# Time of a whole model with the family alone over that of the unchanged model, the upper end of its 95 %
# interval: `python benchmarks/tools/model_speed.py --each`, the highest of all models and tasks. Below 1 is a
# gain. None: not measured; such a family runs in an eager model, and not in a compiled one.
# Eager models were measured with all families together, but BERT, which has layer_norm alone: the highest is
# Gemma-2-9B's training step, 0.848 [0.834, 0.863], and BERT-large's, 1.135 [1.116, 1.164]: torch has one
# operator for a LayerNorm, too, and its gradient is not called through Python. Compiled the highest are decode of
# Llama-3.1-8B (rms_norm, rotary) and Gemma-2-9B (activation), and BERT-large's training step.
TIMES = {
    #             (eager, compiled)
    "rms_norm": (0.863, 1.120),
    "layer_norm": (1.164, 1.117),
    "activation": (0.863, 1.085),
    "rotary": (0.863, 1.055),
}


def left_out(family: str, named: bool, compiled: bool | None) -> dict[str, str]:
    """The modes in which the model's own formula runs, and why. A family that the user named runs in an eager
    model whatever the record says; `compiled` is that of ``use``."""
    reasons = {mode: _without_gain(family, mode) for mode in MODES}
    if named:
        reasons["eager"] = ""
    if compiled is not None:
        reasons["compiled"] = "" if compiled else "compiled=False"
    return {mode: why for mode, why in reasons.items() if why}


def _without_gain(family: str, mode: str) -> str:
    """Why the record speaks against the family in this mode; empty when it does not."""
    time = TIMES[family][MODES.index(mode)]
    if time is None:
        return f"not in the record ({RECORD})" if mode == "compiled" else ""
    how = f"families=[{family!r}]" if mode == "eager" else "compiled=True"
    return "" if time < 1 else f"no gain in the record ({RECORD}: up to {time:.2f} of the time); {how} has it"


def by_mode(ours: Callable, theirs: Callable, left: dict[str, str]) -> Callable:
    """A forward that is `theirs` in the modes of `left`, and `ours` in the other."""
    if not left:
        return ours
    eager, compiled = (theirs if mode in left else ours for mode in MODES)

    @functools.wraps(ours)
    def forward(self, *args, **kwargs):
        return (compiled if torch.compiler.is_compiling() else eager)(self, *args, **kwargs)

    return forward
