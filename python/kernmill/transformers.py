"""Puts kernmill's layers into a loaded model.

    import kernmill.transformers as kt

    report = kt.use(model)      # or: with kt.use(model): ...
    print(report)               # what was replaced, what not and why
    report.undo()               # or kt.undo(model)

Works with any torch model whose norms are modules; nothing of the model's library is changed, only the
``forward`` of single modules. Needs the kernel packages (``pip install kernmill-rmsnorm``) and torch.
"""

import copy
import importlib
import math
import types
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch import nn

__all__ = ["Report", "undo", "use"]

_MARK = "_kernmill_replaced"  # in a replaced module's __dict__: the token of the call that did it


@dataclass
class Report:
    """What ``use`` did. ``replaced`` and ``kept`` hold (module name, class name, kernel or reason)."""

    model: nn.Module
    replaced: list[tuple[str, str, str]] = field(default_factory=list)
    kept: list[tuple[str, str, str]] = field(default_factory=list)
    _token: object = field(default_factory=object)

    def undo(self) -> None:
        """Gives every module that this call replaced its own forward back."""
        _restore(m for m in self.model.modules() if m.__dict__.get(_MARK) is self._token)

    def __enter__(self) -> "Report":
        return self

    def __exit__(self, *_: object) -> None:
        self.undo()

    def __str__(self) -> str:
        total = len(self.replaced) + len(self.kept)
        lines = [f"replaced {len(self.replaced)} of {total} norms" if total else "the model has no norms"]
        for title, rows in (("replaced", self.replaced), ("kept", self.kept)):
            groups: dict[tuple[str, str], list[str]] = {}
            for name, class_name, why in rows:
                groups.setdefault((class_name, why), []).append(name)
            for (class_name, why), names in groups.items():
                shown = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
                lines.append(f"  {title} {class_name}: {why} ({shown})")
        return "\n".join(lines)

    __repr__ = __str__  # the model's own is a page


def use(model: nn.Module) -> Report:
    """Replaces the forward of every RMSNorm in ``model`` that computes what a kernel computes.

    Which formula a module has is found by running it: its forward and the kernel's, with each convention of
    rounding and of the weight, are compared on random values with a random weight. A module that fits none
    is kept, and the report says why. Weights stay where they are: training, saving and moving the model
    work as before.

    Returns a Report. Raises ImportError when no kernel package is installed, TypeError for what is no module.
    """
    if not isinstance(model, nn.Module):
        what = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"use() takes a loaded model (a torch.nn.Module), not {what}")
    kernel = _load("kernmill_rmsnorm")
    report = Report(model)
    for name, module in model.named_modules():
        class_name = type(module).__name__
        if "norm" not in class_name.lower():
            continue
        reason = _reason_to_keep(module)
        convention = None if reason else _find_convention(kernel, module)
        if convention is None:
            report.kept.append((name, class_name, reason or "its formula is another one"))
            continue
        _replace(kernel, module, report._token, *convention)
        report.replaced.append((name, class_name, _describe(kernel, *convention)))
    return report


def undo(model: nn.Module) -> int:
    """Gives every module that any ``use`` changed its own forward back. Returns how many there were."""
    return _restore(m for m in model.modules() if _MARK in m.__dict__)


def _restore(modules: Iterable[nn.Module]) -> int:
    count = 0
    for module in modules:
        del module.__dict__[_MARK]
        del module.__dict__["forward"]
        count += 1
    return count


def _load(name: str) -> types.ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ImportError(f"{name} is not installed: pip install {name.replace('_', '-')}") from None


def _epsilon(module: nn.Module) -> float | None:
    for attribute in ("variance_epsilon", "eps"):
        value = getattr(module, attribute, None)
        if isinstance(value, float):
            return value
    return None


def _reason_to_keep(module: nn.Module) -> str | None:
    weight = getattr(module, "weight", None)
    if "forward" in module.__dict__:
        return "its forward is replaced already"
    if _epsilon(module) is None:
        if hasattr(module, "eps"):
            return f"its eps is {module.eps!r}, no number"
        return "it has no epsilon under a name that is known"
    if not isinstance(weight, torch.Tensor) or weight.dim() != 1:
        return "it has no weight of one dimension"
    if weight.device.type not in ("cpu", "cuda"):
        return f"its weight is on {weight.device.type}"
    if weight.dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"its weight is {str(weight.dtype).removeprefix('torch.')}"
    if getattr(module, "bias", None) is not None:
        return "it has a bias"
    return None


def _find_convention(kernel: types.ModuleType, module: nn.Module) -> tuple[str, float] | None:
    """The rounding and weight offset with which the kernel gives what the module gives, or None."""
    weight = module.weight
    generator = torch.Generator().manual_seed(0)
    probe = copy.copy(module)  # the same module with another weight
    probe._parameters = dict(module._parameters)
    random = (torch.rand(weight.shape, generator=generator) + 0.5).to(weight.device, weight.dtype)
    probe._parameters["weight"] = nn.Parameter(random, requires_grad=False)
    x = torch.randn(16, weight.shape[0], generator=generator).to(weight.device, weight.dtype)
    try:
        with torch.no_grad():
            want = probe.forward(x)
    except Exception:  # a forward with other arguments is another layer
        return None
    if not isinstance(want, torch.Tensor) or want.shape != x.shape or want.dtype != x.dtype:
        return None
    best = None
    for rounding, offset in (("hf", 0.0), ("single", 0.0), ("single", 1.0), ("hf", 1.0)):
        with torch.no_grad():
            got = kernel.rms_norm(x, random, _epsilon(module), rounding=rounding, weight_offset=offset)
        error = (got.double() - want.double()).norm() / want.double().norm()
        if math.isfinite(error) and error <= torch.finfo(x.dtype).eps and (best is None or error < best[0]):
            best = (error, rounding, offset)
    return best[1:] if best else None


def _describe(kernel: types.ModuleType, rounding: str, offset: float) -> str:
    extra = "" if offset == 0 else f", weight_offset={offset:g}"
    return f"{kernel.__name__}.rms_norm, rounding={rounding!r}{extra}"


def _replace(
    kernel: types.ModuleType, module: nn.Module, token: object, rounding: str, offset: float
) -> None:
    epsilon, rms_norm = _epsilon(module), kernel.rms_norm

    def forward(self: nn.Module, hidden_states: torch.Tensor) -> torch.Tensor:
        return rms_norm(hidden_states, self.weight, epsilon, rounding=rounding, weight_offset=offset)

    module.__dict__[_MARK] = token
    module.forward = types.MethodType(forward, module)
