"""QuACK's functions."""

from quack.rmsnorm import layernorm_fwd, rmsnorm_bwd, rmsnorm_fwd
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return rmsnorm_fwd(x, weight, eps=eps)[0]


def fused_add_rms_norm(x: Tensor, residual: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    return rmsnorm_fwd(x, weight, residual=residual, eps=eps)[:2]


def rms_norm_backward(dy: Tensor, x: Tensor, weight: Tensor, rstd: Tensor) -> tuple[Tensor, Tensor]:
    return rmsnorm_bwd(x, weight, dy, rstd)[:2]


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float) -> Tensor:
    return layernorm_fwd(x, weight, bias, eps=eps)  # the weight and the bias in float32
