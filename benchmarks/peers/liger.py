"""Liger-Kernel's functions."""

from liger_kernel.ops.fused_add_rms_norm import LigerFusedAddRMSNormFunction
from liger_kernel.ops.geglu import LigerGELUMulFunction
from liger_kernel.ops.layer_norm import LigerLayerNormFunction
from liger_kernel.ops.rms_norm import LigerRMSNormFunction
from liger_kernel.ops.rms_norm import rms_norm_backward as rms_norm_backward_
from liger_kernel.ops.rope import LigerRopeFunction
from liger_kernel.ops.swiglu import LigerSiLUMulFunction
from liger_kernel.ops.utils import calculate_settings
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return LigerRMSNormFunction.apply(x, weight, eps, 0.0, "gemma", False)


def fused_add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    return LigerFusedAddRMSNormFunction.apply(x, residual, weight, eps, 0.0, "gemma", False)


def rms_norm_backward(dy: Tensor, x: Tensor, weight: Tensor, rstd: Tensor) -> tuple[Tensor, Tensor]:
    block, warps = calculate_settings(x.shape[-1])
    return rms_norm_backward_(
        dy, x, weight, rstd, 0.0, 1, block, warps, False, False
    )  # 1: gemma, rounded once


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return LigerLayerNormFunction.apply(x, weight, bias, eps)


def silu_mul(gate: Tensor, up: Tensor) -> Tensor:
    return LigerSiLUMulFunction.apply(gate, up)


def rotary(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> None:
    """q and k [batch, tokens, heads, D], which it overwrites: it wants heads before tokens, and this order in memory."""
    LigerRopeFunction.apply(q.transpose(1, 2), k.transpose(1, 2), cos, sin)


def gelu_tanh_mul(gate: Tensor, up: Tensor) -> Tensor:
    return LigerGELUMulFunction.apply(gate, up)
