"""Puts kernmill's kernels into a loaded model.

    import kernmill.transformers as kt

    report = kt.use(model)      # or: with kt.use(model): ...
    print(report)               # what was replaced, what not and why
    report.undo()               # or kt.undo(model)

Works with any torch model whose layers are modules; nothing of the model's library is changed, only the
``forward`` of single modules. Needs torch and the packages of the families that are wanted: kernmill-rmsnorm,
kernmill-layernorm, kernmill-activation, kernmill-rotary.
"""

import importlib
import types
from collections.abc import Iterable

from torch import nn

from . import _gains, _mlp, _norms, _rotary
from ._report import Report, marked, restore

__all__ = ["FAMILIES", "Report", "undo", "use"]

FAMILIES = {  # name: (package, what finds its places)
    "rms_norm": (_norms.RMS_PACKAGE, _norms.find_rms_norms),
    "layer_norm": (_norms.LAYER_PACKAGE, _norms.find_layer_norms),
    "activation": (_mlp.PACKAGE, _mlp.find),
    "rotary": (_rotary.PACKAGE, _rotary.find),
}


def use(model: nn.Module, families: Iterable[str] | None = None, *, compiled: bool | None = None) -> Report:
    """Replaces the forward of every module in ``model`` that computes what a kernel computes: RMSNorm,
    LayerNorm, gated MLPs (SwiGLU, GeGLU), and the rotary embedding in attention.

    Which formula a module has is found by running it and the kernel on random values. A module that fits none
    is kept, and the report says why; a norm whose values and weight have dtypes for which the kernel gives
    something else runs its own formula. Weights stay where they are: training, saving and moving the model
    work as before.

    families: names in FAMILIES; None: those whose packages are installed, less those without a gain in an
    eager model in the record of whole models (_gains.py).
    compiled: whether the kernels also run when the model is compiled or exported, where an operator of ours
    ends a fusion. None: the families that have a gain there in the record; True: all; False: none. A family
    that is left out runs the model's own formula there: compiled results are then those of torch.compile
    without us, with its bits and not with the kernel's.

    Returns a Report. Raises ImportError when a package of `families`, or every package, is missing; TypeError
    for what is no module; ValueError for a family that is none.
    """
    if not isinstance(model, nn.Module):
        what = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
        raise TypeError(f"use() takes a loaded model (a torch.nn.Module), not {what}")
    families = None if families is None else list(families)
    report = Report(model)
    for name, kernel in _load(families).items():
        left = _gains.left_out(name, families is not None, compiled)
        for found in list(FAMILIES[name][1](kernel, model)):
            report.take(name, found, left)
    return report


def undo(model: nn.Module) -> int:
    """Gives every module that any ``use`` changed its own forward back. Returns how many there were."""
    return restore(marked(model))


def _load(families: list[str] | None) -> dict[str, types.ModuleType]:
    """The packages of the families; without a choice, those that are installed."""
    wanted = list(FAMILIES if families is None else families)
    kernels = {}
    for name in wanted:
        if name not in FAMILIES:
            raise ValueError(f"there is no family '{name}': {', '.join(FAMILIES)}")
        package = FAMILIES[name][0]
        try:
            kernels[name] = importlib.import_module(package)
        except ModuleNotFoundError as error:
            if error.name != package:
                raise
            if families is not None:
                raise ImportError(
                    f"{package} is not installed: pip install {package.replace('_', '-')}"
                ) from None
    if not kernels:
        names = " ".join(FAMILIES[name][0].replace("_", "-") for name in wanted)
        raise ImportError(f"no kernel is installed: pip install {names}")
    return kernels
