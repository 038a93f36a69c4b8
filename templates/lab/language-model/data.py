"""Text as bytes: the sources of Python's own library, split by file. Protected: nobody may choose what he is measured on."""

import hashlib
import pathlib
import sysconfig

import torch

CONTEXT = 256


def split(name: str) -> torch.Tensor:
    """ "train" (80 %), "validation" or "holdout" (10 % each), by the hash of a file's name; uint8 [bytes]."""
    root = pathlib.Path(sysconfig.get_paths()["stdlib"])
    parts = []
    for path in sorted(root.rglob("*.py")):
        if "site-packages" in path.parts or "test" in path.parts:
            continue
        share = hashlib.sha256(path.name.encode()).digest()[0] / 256
        if name == ("train" if share < 0.8 else "validation" if share < 0.9 else "holdout"):
            parts.append(path.read_bytes())
    return torch.frombuffer(bytearray(b"\n".join(parts)), dtype=torch.uint8)
