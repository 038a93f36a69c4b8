"""Layers for ``kernels.kernelize``: each replaces the forward of a module that has the attributes it reads."""

import torch
from torch import nn

from . import _autograd
from ._ops import call, ops


class LayerNorm(nn.Module):
    """torch's nn.LayerNorm, for inference, training and torch.compile. Reads ``weight``, ``bias``, ``eps``
    and ``normalized_shape``; more than one normalised dimension is left to torch."""

    can_torch_compile = True
    has_backward = True

    weight: torch.Tensor | None
    bias: torch.Tensor | None
    eps: float
    normalized_shape: tuple[int, ...]

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        if len(self.normalized_shape) != 1:
            return nn.functional.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)
        if input.shape[-1:] != tuple(self.normalized_shape):
            raise ValueError(
                f"expected a last dimension of {self.normalized_shape[0]}, got {list(input.shape)}"
            )
        if _autograd.wanted("LayerNorm", input, self.weight, self.bias):
            return _autograd.layer_norm(input, self.weight, self.bias, self.eps)
        return call(ops._layer_norm_fwd, input, self.weight, self.bias, self.eps)
