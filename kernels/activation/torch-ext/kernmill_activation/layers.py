"""Layers for ``kernels.kernelize``: each replaces the forward of a module that has the attributes it reads.

All serve inference, training and torch.compile; the gated ones round as Transformers' MLP does.
"""

import torch
from torch import nn

from . import _autograd


class Silu(nn.Module):
    """x * sigmoid(x): Transformers' SiLU."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _autograd.act("Silu", x, None, "silu")


class Gelu(nn.Module):
    """The exact GELU (with erf): Transformers' GeLU."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _autograd.act("Gelu", x, None, "gelu")


class GeluTanh(nn.Module):
    """GELU with tanh: Transformers' GeluTanh."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _autograd.act("GeluTanh", x, None, "gelu_tanh")


class NewGELU(nn.Module):
    """Transformers' NewGELU: GeluTanh, rounded once."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _autograd.act("NewGELU", x, None, "gelu_tanh")


class FastGELU(nn.Module):
    """Transformers' FastGELU: GeluTanh, rounded once."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _autograd.act("FastGELU", x, None, "gelu_tanh")


class QuickGELU(nn.Module):
    """x * sigmoid(1.702 * x): Transformers' QuickGELU."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _autograd.act("QuickGELU", x, None, "quick_gelu")


class SiluAndMul(nn.Module):
    """silu(gate) * up of [gate | up]."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _autograd.act_mul_packed("SiluAndMul", x, None, "silu", "hf", False)


class MulAndSilu(nn.Module):
    """up * silu(gate) of [up | gate]."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _autograd.act_mul_packed("MulAndSilu", x, None, "silu", "hf", True)


class GeluAndMul(nn.Module):
    """gelu(gate) * up of [gate | up]."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _autograd.act_mul_packed("GeluAndMul", x, None, "gelu", "hf", False)


class GeluTanhAndMul(nn.Module):
    """gelu_tanh(gate) * up of [gate | up]."""

    can_torch_compile = True
    has_backward = True

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return _autograd.act_mul_packed("GeluTanhAndMul", x, None, "gelu_tanh", "hf", False)


class SwiGLUMLP(nn.Module):
    """down_proj(act(gate_proj(x)) * up_proj(x)) with silu for act. Reads ``gate_proj``, ``up_proj`` and
    ``down_proj``."""

    can_torch_compile = True
    has_backward = True

    gate_proj: nn.Module
    up_proj: nn.Module
    down_proj: nn.Module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, up = self.gate_proj(x), self.up_proj(x)
        return self.down_proj(_autograd.act_mul("SwiGLUMLP", gate, up, None, "silu", "hf"))


class GeGLUMLP(nn.Module):
    """down_proj(act(gate_proj(x)) * up_proj(x)) with gelu_tanh, as Gemma's, for act. Reads ``gate_proj``,
    ``up_proj`` and ``down_proj``."""

    can_torch_compile = True
    has_backward = True

    gate_proj: nn.Module
    up_proj: nn.Module
    down_proj: nn.Module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, up = self.gate_proj(x), self.up_proj(x)
        return self.down_proj(_autograd.act_mul("GeGLUMLP", gate, up, None, "gelu_tanh", "hf"))
