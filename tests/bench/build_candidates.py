"""Compiles candidates.c, operators for kernmill bench on the CPU, against this Python's torch."""

import subprocess
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent


def build(folder: Path) -> Path:
    """The library, whose namespace is `cand`."""
    out, lib = folder / "candidates.so", torch.__path__[0] + "/lib"
    command = ["gcc", "-shared", "-fPIC", "-fexceptions", "-O2", "-pthread", '-DKM_NAMESPACE="cand"']
    command += [f"-I{HERE.parents[1]}/csrc/sdk", HERE / "candidates.c", "-o", out]
    subprocess.run([*command, f"-L{lib}", "-ltorch_cpu", "-lm"], check=True)
    return out
