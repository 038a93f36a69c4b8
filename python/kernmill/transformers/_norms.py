"""RMSNorm and LayerNorm modules.

Which formula an RMSNorm has is found by running it: its forward and the kernel's, with each convention of
rounding and of the weight, are compared on random values with a random weight. Modules differ in what they
give for a float32 weight and narrower values, so that is compared, too; a call in dtypes for which the kernel
gives something else, or nothing, runs the module's own formula.
"""

from collections.abc import Callable, Iterator
from types import ModuleType

import torch
from torch import Tensor, nn

from . import _probe
from ._report import Found, is_replaced

RMS_PACKAGE, LAYER_PACKAGE = "kernmill_rmsnorm", "kernmill_layernorm"
CONVENTIONS = (("hf", 0.0), ("single", 0.0), ("single", 1.0), ("hf", 1.0))


def find_rms_norms(kernel: ModuleType, model: nn.Module) -> Iterator[Found]:
    device = _device_of(model)
    for name, module in model.named_modules():
        if "norm" not in type(module).__name__.lower() or isinstance(module, nn.LayerNorm):
            continue
        why = _reason_to_keep_rms_norm(module, device)
        found = None if why else _convention_of(kernel, module, device)
        if found is None:
            yield Found(name, module, why or "its formula is another one")
            continue
        convention, mixed = found
        extra = "" if convention[1] == 0 else f", weight_offset={convention[1]:g}"
        what = f"{kernel.__name__}.rms_norm, rounding={convention[0]!r}{extra}"
        yield Found(name, module, what=what, forward=_rms_norm(kernel, module, *convention, mixed))


def _device_of(model: nn.Module) -> torch.device:
    """Where a module without a weight would be called."""
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def _epsilon(module: nn.Module) -> float | None:
    for attribute in ("variance_epsilon", "eps"):
        value = getattr(module, attribute, None)
        if isinstance(value, float):
            return value
    return None


def _reason_to_keep_rms_norm(module: nn.Module, device: torch.device) -> str:
    weight = getattr(module, "weight", None)
    if is_replaced(module):
        return "its forward is replaced already"
    if _epsilon(module) is None:
        if hasattr(module, "eps"):
            return f"its eps is {module.eps!r}, no number"
        return "it has no epsilon under a name that is known"
    if weight is not None and (not isinstance(weight, Tensor) or weight.dim() != 1):
        return "it has no weight of one dimension"
    if getattr(module, "bias", None) is not None:
        return "it has a bias"
    return _reason_of(weight, device)


def _reason_of(weight: Tensor | None, device: torch.device) -> str:
    if weight is None:
        return _probe.reason_of(torch.empty(0, device=device)).replace("its weight", "the model")
    return _probe.reason_of(weight)


def _weight_of(module: nn.Module, device: torch.device) -> Tensor:
    """A tensor like the weight of the module, also where it has none."""
    weight = getattr(module, "weight", None)
    return torch.zeros(_width(module), device=device) if weight is None else weight


def _convention_of(
    kernel: ModuleType, module: nn.Module, device: torch.device
) -> tuple[tuple[str, float], bool] | None:
    """The rounding and weight offset with which the kernel gives what the module gives, and whether it does so
    for narrower values than the weight, too; or None."""
    weight, fitting = _weight_of(module, device), {}
    for convention in CONVENTIONS:
        ours = _rms_norm(kernel, module, *convention)
        error = _error(ours, module, weight)
        if error <= 1:
            fitting[convention] = (error, _mixed_error(ours, module, weight))
    if not fitting:
        return None
    best = min(fitting, key=fitting.get)  # float32 tells no rounding: then the second error decides
    return best, fitting[best][1] <= 1


def _mixed_error(ours: Callable, module: nn.Module, weight: Tensor) -> float:
    """The error of `ours` for bfloat16 values of the weight's size and float32 weights, if there are any. It is
    infinite for a module that promotes."""
    return _error(ours, module, weight.bfloat16(), torch.float32)


def _error(ours: Callable, module: nn.Module, like: Tensor, parameters: torch.dtype | None = None) -> float:
    """The error of `ours` for values of the size and dtype of `like`; with parameters of another dtype."""
    names = [name for name in ("weight", "bias") if isinstance(getattr(module, name, None), Tensor)]
    probe = _probe.with_random(module, *names, dtype=parameters)
    x = _probe.random_like(like, 16, like.shape[0])
    return _probe.error(_probe.run(ours, probe, x), _probe.run(probe.forward, x))


def _width(module: nn.Module) -> int:
    """The size of the last dimension that a module without a weight may want; any, where it has none."""
    for attribute in ("normalized_shape", "dim", "hidden_size"):
        value = getattr(module, attribute, None)
        if isinstance(value, tuple) and value:  # torch.Size is one
            value = value[-1]
        if isinstance(value, int) and value > 0:
            return value
    return 64


def _fits(x: Tensor, weight: Tensor | None, mixed: bool) -> bool:
    """Whether the kernel takes these dtypes and gives what the module gives; `mixed`: also for values that are
    narrower than a float32 weight, or all where there is no weight."""
    wide = torch.float32 if weight is None else weight.dtype
    return x.dtype in _probe.DTYPES and (x.dtype == wide or (mixed and wide == torch.float32))


def _rms_norm(
    kernel: ModuleType, module: nn.Module, rounding: str, offset: float, mixed: bool = True
) -> Callable:
    rms_norm, epsilon, theirs = kernel.rms_norm, _epsilon(module), type(module).forward

    def forward(self: nn.Module, hidden_states: Tensor) -> Tensor:
        weight = getattr(self, "weight", None)
        if not _fits(hidden_states, weight, mixed):
            return theirs(self, hidden_states)
        return rms_norm(hidden_states, weight, epsilon, rounding=rounding, weight_offset=offset)

    forward.settings = (epsilon, rounding, offset)  # for what takes the norm into its own launch
    return forward


def find_layer_norms(kernel: ModuleType, model: nn.Module) -> Iterator[Found]:
    device = _device_of(model)
    for name, module in model.named_modules():
        if not isinstance(module, nn.LayerNorm):
            continue
        why = _reason_to_keep_layer_norm(module, device)
        if why:
            yield Found(name, module, why)
            continue
        weight, ours = _weight_of(module, device), _layer_norm(kernel, module)
        if _error(ours, module, weight) > 2:
            yield Found(name, module, "its formula is another one")
            continue
        forward = _layer_norm(kernel, module, _mixed_error(ours, module, weight) <= 2)
        yield Found(name, module, what=f"{kernel.__name__}.layer_norm", forward=forward)


def _reason_to_keep_layer_norm(module: nn.LayerNorm, device: torch.device) -> str:
    if is_replaced(module):
        return "its forward is replaced already"
    if len(module.normalized_shape) != 1:
        return "it normalises over several dimensions"
    return _reason_of(module.weight, device)


def _layer_norm(kernel: ModuleType, module: nn.Module, mixed: bool = True) -> Callable:
    layer_norm, theirs = kernel.layer_norm, type(module).forward

    def forward(self: nn.Module, input: Tensor) -> Tensor:  # the name that nn.LayerNorm has
        if not _fits(input, self.weight, mixed):
            return theirs(self, input)
        return layer_norm(input, self.weight, self.bias, self.eps)

    return forward
