"""RMSNorm and LayerNorm modules.

Which formula an RMSNorm has is found by running it: its forward and the kernel's, with each convention of
rounding and of the weight, are compared on random values with a random weight.
"""

from collections.abc import Callable, Iterator
from types import ModuleType

import torch
from torch import nn

from . import _probe
from ._report import Found, is_replaced

RMS_PACKAGE, LAYER_PACKAGE = "kernmill_rmsnorm", "kernmill_layernorm"
CONVENTIONS = (("hf", 0.0), ("single", 0.0), ("single", 1.0), ("hf", 1.0))


def find_rms_norms(kernel: ModuleType, model: nn.Module) -> Iterator[Found]:
    for name, module in model.named_modules():
        if "norm" not in type(module).__name__.lower() or isinstance(module, nn.LayerNorm):
            continue
        why = _reason_to_keep_rms_norm(module)
        convention = None if why else _convention_of(kernel, module)
        if convention is None:
            yield Found(name, module, why or "its formula is another one")
            continue
        extra = "" if convention[1] == 0 else f", weight_offset={convention[1]:g}"
        what = f"{kernel.__name__}.rms_norm, rounding={convention[0]!r}{extra}"
        yield Found(name, module, what=what, forward=_rms_norm(kernel, _epsilon(module), *convention))


def _epsilon(module: nn.Module) -> float | None:
    for attribute in ("variance_epsilon", "eps"):
        value = getattr(module, attribute, None)
        if isinstance(value, float):
            return value
    return None


def _reason_to_keep_rms_norm(module: nn.Module) -> str:
    weight = getattr(module, "weight", None)
    if is_replaced(module):
        return "its forward is replaced already"
    if _epsilon(module) is None:
        if hasattr(module, "eps"):
            return f"its eps is {module.eps!r}, no number"
        return "it has no epsilon under a name that is known"
    if not isinstance(weight, torch.Tensor) or weight.dim() != 1:
        return "it has no weight of one dimension"
    if getattr(module, "bias", None) is not None:
        return "it has a bias"
    return _probe.reason_of(weight)


def _convention_of(kernel: ModuleType, module: nn.Module) -> tuple[str, float] | None:
    """The rounding and weight offset with which the kernel gives what the module gives, or None."""
    probe = _probe.with_random(module, "weight")
    x = _probe.random_like(module.weight, 16, module.weight.shape[0])
    want, best = _probe.run(probe.forward, x), None
    for convention in CONVENTIONS:
        got = _probe.run(_rms_norm(kernel, _epsilon(module), *convention), probe, x)
        error = _probe.error(got, want)
        if error <= 1 and (best is None or error < best[0]):
            best = (error, convention)
    return best[1] if best else None


def _rms_norm(kernel: ModuleType, epsilon: float, rounding: str, offset: float) -> Callable:
    rms_norm = kernel.rms_norm

    def forward(self: nn.Module, hidden_states: torch.Tensor) -> torch.Tensor:
        return rms_norm(hidden_states, self.weight, epsilon, rounding=rounding, weight_offset=offset)

    return forward


def find_layer_norms(kernel: ModuleType, model: nn.Module) -> Iterator[Found]:
    for name, module in model.named_modules():
        if not isinstance(module, nn.LayerNorm):
            continue
        why = _reason_to_keep_layer_norm(module)
        if not why and not _is_layer_norm(kernel, module):
            why = "its formula is another one"
        if why:
            yield Found(name, module, why)
        else:
            yield Found(name, module, what=f"{kernel.__name__}.layer_norm", forward=_layer_norm(kernel))


def _reason_to_keep_layer_norm(module: nn.LayerNorm) -> str:
    if is_replaced(module):
        return "its forward is replaced already"
    if len(module.normalized_shape) != 1:
        return "it normalises over several dimensions"
    if module.weight is None:
        return "it has no weight"
    return _probe.reason_of(module.weight)


def _is_layer_norm(kernel: ModuleType, module: nn.LayerNorm) -> bool:
    names = ("weight",) if module.bias is None else ("weight", "bias")
    probe = _probe.with_random(module, *names)
    x = _probe.random_like(module.weight, 16, module.normalized_shape[0])
    return _probe.error(_probe.run(_layer_norm(kernel), probe, x), _probe.run(probe.forward, x)) <= 2


def _layer_norm(kernel: ModuleType) -> Callable:
    layer_norm = kernel.layer_norm

    def forward(self: nn.Module, input: torch.Tensor) -> torch.Tensor:  # the name that nn.LayerNorm has
        return layer_norm(input, self.weight, self.bias, self.eps)

    return forward
