"""What the tests of `kernmill get` share: a kernel, its cache, and the command."""

import hashlib
import json
import pathlib
import random
import subprocess

from clients import PROGRAM, Client
from store import git_blob_id

VARIANT = "torch-stable-abi210-cu126-x86_64-linux"
LIBRARY = f"build/{VARIANT}/_relu.abi3.so"
METADATA = f"build/{VARIANT}/metadata.json"
CONTENT = random.Random(3).randbytes(200_000)
FILES = {
    "README.md": b"# relu\n",
    "build/torch-cpu/__init__.py": b"",
    "build/torch-cpu/ops.py": b"cpu = True\n",
    f"build/{VARIANT}/__init__.py": b"",
    METADATA: b"{}",
    f"build/{VARIANT}/sub folder/\u00e9 a+b#%.py": b"x = 1\n",
    f"build/{VARIANT}/__pycache__/x.pyc": b"stale",
    LIBRARY: CONTENT,
}
WANTED = sorted(p for p in FILES if p.startswith(f"build/{VARIANT}/") and not p.endswith(".pyc"))


def where(path: str, content: bytes | None = None) -> str:
    """What the address of a file's bytes ends with: a library lies on the origin `objects`."""
    content = FILES[path] if content is None else content
    return f"/objects/{hashlib.sha256(content).hexdigest()}" if path.endswith(".so") else path.split("/")[-1]


def blob_of(path: str) -> str:
    large = path.endswith(".so")
    return hashlib.sha256(FILES[path]).hexdigest() if large else git_blob_id(FILES[path])


def layout(cache: pathlib.Path, *parts: str) -> dict[str, bytes | str]:
    """Every file by its content, every link by where it points, of these folders of the repository."""
    found = {}
    for part in parts:
        for path in sorted((cache / "kernels--acme--relu" / part).rglob("*")):
            name = str(path.relative_to(cache))
            if path.is_symlink():
                found[name] = str(path.readlink())
            elif path.is_file():
                found[name] = path.read_bytes()
    return found


def visible(cache: pathlib.Path) -> list[str]:
    return [p for p in layout(cache, "blobs", "snapshots", "refs") if not p.endswith(".kernmill.incomplete")]


class Getter:
    """get("--all"): kernmill get acme/relu --all, by a client, which must end with `code`."""

    def __init__(self, client: Client):
        self.client = client
        self.cache = client.cache

    def __call__(self, *words, code: int = 0, **options) -> subprocess.CompletedProcess:
        done = self.client.kernmill("get", "acme/relu", *words, check=False, **options)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def json(self, *words, **options) -> dict:
        return json.loads(self(*words, "--json", **options).stdout)

    def start(self, *words) -> subprocess.Popen:
        return subprocess.Popen(
            [PROGRAM, "get", "acme/relu", *words, "-q"],
            env=self.client.environment, cwd=self.client.home,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
