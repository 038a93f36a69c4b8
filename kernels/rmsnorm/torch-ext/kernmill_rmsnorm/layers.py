"""Layers for ``kernels.kernelize``: each replaces the forward of a module that has the attributes it reads."""

import torch
from torch import nn

from . import _autograd
from ._ops import call, ops


class RMSNorm(nn.Module):
    """The RMSNorm of Transformers' models (LlamaRMSNorm, Qwen3RMSNorm, ...), for inference, training and
    torch.compile. Reads ``weight`` and ``variance_epsilon``; rounds as those do."""

    can_torch_compile = True
    has_backward = True

    weight: torch.Tensor
    variance_epsilon: float

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        if _autograd.wanted("RMSNorm", hidden_states, self.weight):
            return _autograd.rms_norm(hidden_states, self.weight, self.variance_epsilon, "hf", 0.0)
        return call(ops._rms_norm_fwd, hidden_states, self.weight, self.variance_epsilon, "hf", 0.0)
