"""Attention modules whose forward calls the function apply_rotary_pos_emb(q, k, cos, sin, ...).

That function is a global of the model's file, which stays as it is: a replaced module gets a copy of its own
forward that finds another function under the name.
"""

import inspect
import types
from collections.abc import Callable, Iterator
from types import ModuleType

import torch
from torch import Tensor, nn

from . import _probe, _qk_norm
from ._report import Found, is_replaced

PACKAGE = "kernmill_rotary"
NAME = "apply_rotary_pos_emb"


def find(kernel: ModuleType, model: nn.Module) -> Iterator[Found]:
    for name, module in model.named_modules():
        forward = type(module).forward
        theirs = getattr(forward, "__globals__", {}).get(NAME)
        if NAME not in getattr(getattr(forward, "__code__", None), "co_names", ()) or theirs is None:
            continue
        why, interleaved = _look_at(kernel, module, theirs)
        if why:
            yield Found(name, module, why)
            continue
        what = f"{kernel.__name__}.rotary" + (", interleaved" if interleaved else "")
        plain = _with(forward, _rotary(kernel, interleaved))
        ours = _qk_norm.fused(kernel, module, plain, NAME, interleaved)
        if ours is not plain:
            what += ", with q_norm and k_norm in one launch where no gradient is wanted"
        yield Found(name, module, what=what, forward=ours)


def _look_at(kernel: ModuleType, module: nn.Module, theirs: Callable) -> tuple[str, bool]:
    """Why it is kept; whether pairs are interleaved."""
    weight = next((p for p in module.parameters(recurse=True)), None)
    size = getattr(module, "head_dim", None)
    if is_replaced(module):
        return "its forward is replaced already", False
    function = getattr(theirs, "forward", theirs)  # the kernels package makes a module of it
    if list(inspect.signature(function).parameters) != ["q", "k", "cos", "sin", "unsqueeze_dim"]:
        return f"its {NAME} takes other arguments", False
    if weight is None or not isinstance(size, int):
        return "it has no weight, or no head_dim", False
    why = _probe.reason_of(weight)
    if why:
        return why, False
    q, k = _probe.random_like(weight, 2, 3, 5, size), _probe.random_like(weight, 2, 1, 5, size)
    angles = _probe.random_like(torch.zeros(1), 2, 5, size // 2).repeat(1, 1, 2)
    cos, sin = (f(angles).to(weight.device, weight.dtype) for f in (torch.cos, torch.sin))
    for interleaved in (False, True):
        ours = _rotary(kernel, interleaved)
        pairs = [(_probe.run(lambda i=i, f=f: f(q, k, cos, sin)[i]) for f in (ours, theirs)) for i in (0, 1)]
        if all(_probe.error(*pair) <= 1 for pair in pairs):
            return "", interleaved
    return "its formula is another one", False


def _rotary(kernel: ModuleType, interleaved: bool) -> Callable:
    rotary = kernel.rotary

    def apply(
        q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1
    ) -> tuple[Tensor, Tensor]:
        return rotary(q, k, cos, sin, unsqueeze_dim=unsqueeze_dim, interleaved=interleaved)

    return apply


def _with(forward: types.FunctionType, function: Callable) -> types.FunctionType:
    """The same function with another one under NAME."""
    names = {**forward.__globals__, NAME: function}
    del names["__name__"]  # torch.compile would look for NAME in the module of that name
    copy = types.FunctionType(
        forward.__code__, names, forward.__name__, forward.__defaults__, forward.__closure__
    )
    copy.__kwdefaults__ = forward.__kwdefaults__
    copy.__doc__ = forward.__doc__
    copy.__module__ = __name__  # who sees it in a trace knows whose it is
    return copy
