"""Attention that normalises the heads of q and k before the rotary embedding, as Qwen3's does.

Where no gradient is wanted, both norms and the rotation are one launch. The copy of the module's forward then
calls, for q_norm and k_norm, a function that gives back what it gets, and what stands for apply_rotary_pos_emb
does all three; a norm of each head's last dimension does not mind the transposition in between.
"""

import functools
import types
from collections.abc import Callable
from types import ModuleType

import torch
from torch import Tensor, nn

from . import _probe
from ._report import AS_IS

NORMS = ("q_norm", "k_norm")


def fused(kernel: ModuleType, module: nn.Module, plain: Callable, name: str, interleaved: bool) -> Callable:
    """`plain`, the attention's forward with our rotary under `name`, with the norms in the same launch; or
    `plain` itself where the module has no such norms, or another formula."""
    norms = [getattr(module, norm, None) for norm in NORMS]
    if _settings(*norms) is None or not set(NORMS) <= set(plain.__code__.co_names):
        return plain
    if any(getattr(norm.weight, "shape", None) != (module.head_dim,) for norm in norms):
        return plain
    forward = _one_launch(kernel, plain, name, interleaved)
    return forward if _is_the_same(module, forward, plain) else plain


def _settings(*norms: nn.Module | None) -> tuple[float, str, float] | None:
    """(epsilon, rounding, weight offset) of norms that are replaced, and alike; None where a launch of all three
    would give other values, or pass over somebody's hook."""
    found = set()
    for norm in norms:
        forward = None if norm is None else norm.__dict__.get("forward")
        hooked = norm is not None and (norm._forward_hooks or norm._forward_pre_hooks)
        if forward is None or hooked or getattr(norm, "weight", None) is None:
            return None
        found.add(getattr(forward, "settings", None))
    settings = found.pop() if len(found) == 1 else None
    return settings if settings is not None and settings[1] == "hf" else None


def _one_launch(kernel: ModuleType, plain: types.FunctionType, name: str, interleaved: bool) -> Callable:
    code = plain.__code__
    code = code.replace(co_names=tuple(AS_IS if n in NORMS else n for n in code.co_names))
    rotary = plain.__globals__[name]

    def apply(
        self: nn.Module, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, unsqueeze_dim: int = 1
    ) -> tuple[Tensor, Tensor]:
        a, b = self.q_norm, self.k_norm
        settings = _settings(a, b)
        if settings is None or not (q.dtype == k.dtype == a.weight.dtype == b.weight.dtype):
            return rotary(a(q), b(k), cos, sin, unsqueeze_dim)
        epsilon, rounding, offset = settings
        how = {"rounding": rounding, "weight_offset": offset, "interleaved": interleaved}
        return kernel.qk_norm_rotary(
            q, k, a.weight, b.weight, cos, sin, epsilon, unsqueeze_dim=unsqueeze_dim, **how
        )

    @functools.wraps(plain)
    def forward(self: nn.Module, *args, **kwargs):
        if torch.is_grad_enabled() or torch.compiler.is_compiling():
            return plain(self, *args, **kwargs)
        self.__dict__[AS_IS] = _as_is
        # made anew for each call: a copy of the model has the same function and norms of its own
        names = {**plain.__globals__, name: functools.partial(apply, self)}
        call = types.FunctionType(code, names, code.co_name, plain.__defaults__, plain.__closure__)
        call.__kwdefaults__ = plain.__kwdefaults__
        return call(self, *args, **kwargs)

    return forward


def _as_is(x: Tensor) -> Tensor:
    return x


def _is_the_same(module: nn.Module, ours: Callable, theirs: Callable) -> bool:
    """Whether attention over random values is the same: names alone do not say in which order things are done."""
    weight = getattr(getattr(module, "q_proj", None), "weight", None)
    if not isinstance(weight, Tensor) or weight.dim() != 2:
        return False
    x = _probe.random_like(weight, 2, 3, weight.shape[1])
    angles = _probe.random_like(torch.zeros(1), 2, 3, module.head_dim // 2).repeat(1, 1, 2)
    tables = tuple(f(angles).to(weight.device, weight.dtype) for f in (torch.cos, torch.sin))
    got, want = (_probe.run(lambda f=f: f(module, x, tables, None)[0]) for f in (ours, theirs))
    module.__dict__.pop(AS_IS, None)
    return _probe.error(got, want) <= 2
