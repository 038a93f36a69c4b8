"""Whether two functions compute the same: both are run on random values."""

import copy
import math
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

DTYPES = (torch.float32, torch.float16, torch.bfloat16)


def reason_of(weight: Tensor) -> str:
    """Why no kernel takes a weight like this; empty when one does."""
    if weight.device.type not in ("cpu", "cuda"):
        return f"its weight is on {weight.device.type}"
    if weight.dtype not in DTYPES:
        return f"its weight is {str(weight.dtype).removeprefix('torch.')}"
    return ""


def random_like(reference: Tensor, *shape: int, low: float | None = None) -> Tensor:
    """Normal values, or with `low` uniform ones from it to low + 1, on the reference's device, in its dtype."""
    generator = torch.Generator().manual_seed(sum(shape))
    values = torch.randn(shape, generator=generator)
    if low is not None:
        values = torch.rand(shape, generator=generator) + low
    return values.to(reference.device, reference.dtype)


def with_random(module: nn.Module, *names: str, dtype: torch.dtype | None = None) -> nn.Module:
    """The same module with other parameters, in their dtype or another: ones and zeros would hide one that is
    not read. Its buffers are copies, so that a run changes no statistics."""
    probe = copy.copy(module)
    probe._parameters = dict(module._parameters)
    probe._buffers = {name: None if b is None else b.clone() for name, b in module._buffers.items()}
    for name in names:
        values = random_like(getattr(module, name), *getattr(module, name).shape, low=0.5)
        probe._parameters[name] = nn.Parameter(values.to(dtype or values.dtype), requires_grad=False)
    return probe


@torch.no_grad()
def run(function: Callable, *arguments: Any) -> Tensor | None:
    """The result; None when it raises, or gives no tensor: a function with other arguments is another one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a slow path that nobody asked for
            result = function(*arguments)
    except Exception:
        return None
    return result if isinstance(result, Tensor) else None


def error(got: Tensor | None, want: Tensor | None) -> float:
    """The relative error in places of the dtype; infinite for what cannot be compared."""
    if got is None or want is None or got.shape != want.shape or got.dtype != want.dtype:
        return math.inf
    size = want.double().norm()
    value = ((got.double() - want.double()).norm() / size).item() if size > 0 else math.inf
    return value / torch.finfo(want.dtype).eps if math.isfinite(value) else math.inf
