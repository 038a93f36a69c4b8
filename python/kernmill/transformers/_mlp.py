"""Gated MLPs: down_proj(act(gate_proj(x)) * up_proj(x)), the product in one pass.

An activation that stands alone is one launch of torch's own already, and is left as it is.
"""

from collections.abc import Callable, Iterator
from types import ModuleType

import torch
from torch import Tensor, nn

from . import _probe
from ._report import Found, is_replaced

PACKAGE = "kernmill_activation"
KINDS = {  # the kernel's function, and what it computes of the gate
    "silu_mul": torch.nn.functional.silu,
    "gelu_mul": torch.nn.functional.gelu,
    "gelu_tanh_mul": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
}


def find(kernel: ModuleType, model: nn.Module) -> Iterator[Found]:
    for name, module in model.named_modules():
        parts = [getattr(module, part, None) for part in ("gate_proj", "up_proj", "down_proj")]
        if not all(isinstance(part, nn.Module) for part in parts):
            continue
        why, kind = _look_at(kernel, module)
        if why:
            yield Found(name, module, why)
        else:
            yield Found(name, module, what=f"{kernel.__name__}.{kind}", forward=_gated(kernel, kind))


def _look_at(kernel: ModuleType, module: nn.Module) -> tuple[str, str]:
    """Why it is kept, or the kernel's function."""
    act, weight = getattr(module, "act_fn", None), getattr(module.gate_proj, "weight", None)
    if is_replaced(module):
        return "its forward is replaced already", ""
    if not callable(act):
        return "it has no act_fn", ""
    if not isinstance(weight, Tensor) or weight.dim() != 2:
        return "its gate_proj has no weight of two dimensions", ""
    why = _probe.reason_of(weight)
    kind = "" if why else _kind_of(act)
    if why or not kind:
        return why or "its activation is another one", ""
    x = _probe.random_like(weight, 3, weight.shape[1])
    got, want = _probe.run(_gated(kernel, kind), module, x), _probe.run(module.forward, x)
    return ("", kind) if _probe.error(got, want) <= 2 else ("its formula is another one", "")


def _kind_of(act: Callable) -> str:
    x = _probe.random_like(torch.zeros(1), 1000)
    want = _probe.run(act, x)
    for kind, formula in KINDS.items():
        if _probe.error(formula(x), want) <= 4:  # formulas that are written out round at every step
            return kind
    return ""


def _gated(kernel: ModuleType, kind: str) -> Callable:
    function = getattr(kernel, kind)

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        return self.down_proj(function(self.gate_proj(x), self.up_proj(x)))

    return forward
