"""Liger-Kernel's functions."""

from liger_kernel.ops.rms_norm import LigerRMSNormFunction
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return LigerRMSNormFunction.apply(x, weight, eps, 0.0, "gemma", False)
