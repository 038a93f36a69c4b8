"""Operators that all claim to be neg; never import this to compute anything."""

from ._ops import ops

__all__ = ["ops"]
