"""The operators that are asked: their inputs, and the formula that Transformers computes for each.

Every input of rows has a row, or a token, in its first dimension, and so has every output: what a row gives can be
compared however many others were beside it. Parameters (weights, biases) are shared by all rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

ALL_COLUMNS = (128, 1000, 1024, 4096, 4097, 5120, 8192, 16384, 65536)
HEAD_SIZES = (64, 80, 128, 256)  # of rotary: H is the size of a head
HEADS = (8, 2)  # of queries and of keys


@dataclass(frozen=True)
class Operator:
    name: str
    family: str
    formula: Callable  # of the rows and then the parameters; a tuple
    row_tensors: int
    parameters: int = 0
    packed: bool = False  # rows of 2 H
    promised: tuple[float, float] = (0, 0)  # of the words, as the formula's: in 16-bit dtypes, in float32
    differentiates: bool = True

    @property
    def columns(self) -> tuple[int, ...]:
        return HEAD_SIZES if self.family == "rotary" else ALL_COLUMNS

    def elements_a_row(self, columns: int) -> int:
        if self.family == "rotary":
            return sum(HEADS) * columns
        return columns * (2 if self.packed else 1)

    def inputs(
        self, rows: int, columns: int, dtype: torch.dtype, device: str
    ) -> tuple[list[Tensor], list[Tensor]]:
        """The rows and the parameters; the same numbers for the same arguments."""
        torch.manual_seed(20260101 + columns)

        def random(*shape):
            return torch.randn(*shape, device=device).to(dtype)

        parameters = [1 + random(columns) for _ in range(self.parameters)]
        if self.family != "rotary":
            width = columns * (2 if self.packed else 1)
            return [random(rows, width) for _ in range(self.row_tensors)], parameters
        result = [random(rows, heads, columns) for heads in HEADS]
        if self.row_tensors > len(HEADS):
            result += [t.to(dtype) for t in tables(rows, columns, device)]
        return result, parameters


def tables(rows: int, columns: int, device: str) -> tuple[Tensor, Tensor]:
    """cos and sin of rows 0, 1, ... as Transformers makes them, in float32."""
    inverse = 1.0 / 10000.0 ** (torch.arange(0, columns, 2, device=device).float() / columns)
    angle = torch.arange(rows, device=device).float()[:, None] * inverse
    angle = torch.cat((angle, angle), -1)
    return angle.cos(), angle.sin()


# ---- Transformers' formulas ----


def rms_norm(x, weight, eps=1e-6):
    h = x if x.dtype == torch.float64 else x.float()
    h = h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + eps)
    return (weight * h.to(x.dtype),)


def fused_add_rms_norm(x, residual, weight):
    total = x + residual
    return *rms_norm(total, weight), total


def layer_norm(x, weight, bias):
    return (F.layer_norm(x, x.shape[-1:], weight, bias),)


def fused_add_layer_norm(x, residual, weight, bias):
    total = x + residual
    return *layer_norm(total, weight, bias), total


def silu(x):
    return (F.silu(x),)


def gelu(x):
    return (F.gelu(x),)


def gelu_tanh(x):
    return (F.gelu(x, approximate="tanh"),)


def gated(activation):
    def formula(x):
        gate, up = x.chunk(2, -1)
        return (activation(gate)[0] * up,)

    return formula


def rotate_half(x):
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), dim=-1)


def rotary(q, k, cos, sin):
    cos, sin = cos[:, None], sin[:, None]
    return q * cos + rotate_half(q) * sin, k * cos + rotate_half(k) * sin


def qk_norm(q, k, q_weight, k_weight):
    return *rms_norm(q, q_weight), *rms_norm(k, k_weight)


def qk_norm_rotary(q, k, cos, sin, q_weight, k_weight):
    return rotary(*qk_norm(q, k, q_weight, k_weight), cos, sin)


NEARLY = (0.999, 0)  # float32's root may differ in its last place, and then so does the row
OPERATORS = (
    Operator("rms_norm", "rmsnorm", rms_norm, 1, 1, promised=NEARLY),
    Operator("fused_add_rms_norm", "rmsnorm", fused_add_rms_norm, 2, 1, promised=NEARLY),
    Operator("layer_norm", "layernorm", layer_norm, 1, 2),
    Operator("fused_add_layer_norm", "layernorm", fused_add_layer_norm, 2, 2),
    Operator("silu", "activation", silu, 1),
    Operator("gelu", "activation", gelu, 1),
    Operator("gelu_tanh", "activation", gelu_tanh, 1),
    Operator("silu_and_mul", "activation", gated(silu), 1, packed=True, promised=NEARLY),
    Operator("gelu_and_mul", "activation", gated(gelu), 1, packed=True, promised=NEARLY),
    Operator("gelu_tanh_and_mul", "activation", gated(gelu_tanh), 1, packed=True, promised=NEARLY),
    Operator("rotary", "rotary", rotary, 4, promised=(1, 1)),
    Operator("qk_norm_rotary", "rotary", qk_norm_rotary, 4, 2, promised=NEARLY, differentiates=False),
    Operator("qk_norm", "rotary", qk_norm, 2, 2, promised=NEARLY, differentiates=False),
)
FAMILIES = ("rmsnorm", "layernorm", "activation", "rotary")
