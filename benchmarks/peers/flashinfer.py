"""FlashInfer's functions."""

import flashinfer
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return flashinfer.norm.rmsnorm(x, weight, eps)
