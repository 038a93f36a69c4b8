"""RMSNorm that a lab works on."""

from ._ops import ops

__all__ = ["rms_norm"]


def rms_norm(x, weight, eps: float = 1e-6):
    """x / sqrt(mean(x**2) + eps) * weight over rows. x: [rows, columns] float32, columns in fours; weight: [columns]."""
    return ops.rms_norm(x, weight, eps)
