"""Layers for ``kernels.kernelize``: what replaces the function behind the name ``rotary_pos_emb``."""

import torch
from torch import nn

from . import _autograd
from ._ops import call, ops


def rotate_as_transformers(
    q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, unsqueeze_dim: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """What Transformers' apply_rotary_pos_emb computes, with its rounding. Its models have tables of R values
    in a row, for R rotated dimensions, or, as gpt-oss, of D / 2 for all D."""
    rotary_dim = q.shape[-1] if 2 * cos.shape[-1] == q.shape[-1] else None
    arguments = (q, k, cos, sin, rotary_dim, False, unsqueeze_dim, "hf", False)
    if _autograd.wanted("apply_rotary_transformers", (q, k), (cos, sin)):
        return _autograd.rotary(*arguments)
    return call(ops._rotary_fwd, *arguments)


class apply_rotary_transformers(nn.Module):
    """Transformers' apply_rotary_pos_emb, for inference, training and torch.compile."""

    can_torch_compile = True
    has_backward = True

    def forward(
        self, q: torch.Tensor, k: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, unsqueeze_dim: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return rotate_as_transformers(q, k, cos, sin, unsqueeze_dim)
