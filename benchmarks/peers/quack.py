"""QuACK's functions."""

from quack.rmsnorm import rmsnorm_fwd
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return rmsnorm_fwd(x, weight, eps=eps)[0]
