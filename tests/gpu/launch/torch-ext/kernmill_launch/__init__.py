"""What needs an attribute of a launch, an operator each; float32 CUDA tensors."""

from torch import Tensor

from ._ops import ops

__all__ = ["cluster_sum", "device", "reversed", "slow_steps"]


def reversed(x: Tensor) -> Tensor:
    """x, a vector, backwards, through the shared memory of one block."""
    return ops.reversed(x)


def cluster_sum(x: Tensor, cluster: int) -> Tensor:
    """For each row of x, [rows, 256]: the sum of all rows of its group of ``cluster`` (0: no groups)."""
    return ops.cluster_sum(x, cluster)


def slow_steps(y: Tensor, steps: int, programmatic: bool) -> None:
    """y += steps, by as many launches, each of which takes about 10 us."""
    ops.slow_steps(y, steps, programmatic)


def device(x: Tensor) -> str:
    """What the launch knows of x's device."""
    try:
        ops.device(x)
    except RuntimeError as e:
        return str(e).removeprefix("kernmill_launch::device: ").splitlines()[0]
    raise AssertionError("the operator always fails")
