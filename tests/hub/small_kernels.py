"""Kernels of Python alone, for tests of what is fetched, locked and loaded; and what a lock says of them."""

import base64
import hashlib
import json
import pathlib

CPU = "torch-cpu"


def files_of(name: str, variants=(CPU, "torch-cuda"), depends=(), digest=True, **extra) -> dict[str, bytes]:
    """A kernel of Python alone, as the builder lays it out."""
    files = {"README.md": b"# " + name.encode()}
    for variant in variants:
        here = {
            "__init__.py": f"NAME = {name!r}\nfrom . import layers\n".encode(),
            "layers.py": b"ANSWER = 42\n",
            "lib.so": b"\x7fELF" + name.encode() * 50 + variant.encode(),
            **extra,
        }
        hashes = {n: base64.b64encode(hashlib.sha256(d).digest()).decode() for n, d in sorted(here.items())}
        metadata = {
            "name": name,
            "id": f"_{name}_{variant.replace('-', '_')}_1234567",
            "version": 1,
            "license": "mit",
            "python-depends": [],
            "kernel-depends": list(depends),
            "backend": {"type": variant.split("-")[-1]},
            **({"digest": {"algorithm": "sha256", "files": hashes}} if digest else {}),
        }
        here["metadata.json"] = json.dumps(metadata, indent=2).encode()
        files |= {f"build/{variant}/{n}": data for n, data in here.items()}
    return files


def locked(folder: pathlib.Path) -> dict[str, dict]:
    document = json.loads((folder / "kernels.lock.digests.json").read_text())
    assert document["schema"] == 1
    return {kernel["repo-id"]: kernel for kernel in document["kernels"]}


def swap(hub, repo: str, oid: str, name: str, data: bytes | None, large=False) -> None:
    """The hub's commit, of the same id, has another file from now on."""
    commit = hub.store.repos["kernel", repo].commits[oid]
    if data is None:
        del commit.files[name]
    else:
        commit.files[name] = hub.store.blob(hub.store.put(data), len(data), large)
