"""Puts what a run left into one JSON document, with the machine and the versions it is about.

python3 record.py COMMAND FOLDER >RECORD     FOLDER/NAME.json, or else FOLDER/NAME.log, become the parts
"""

import hashlib
import importlib.metadata
import importlib.util
import json
import pathlib
import platform
import shutil
import subprocess
import sys
from datetime import datetime, timezone

KERNELS = ["kernmill-rmsnorm", "kernmill-layernorm", "kernmill-activation", "kernmill-rotary"]
PACKAGES = ["kernmill", *KERNELS, "torch", "transformers", "kernels", "huggingface_hub"]


def nvidia_smi(field: str) -> list[str]:
    if not shutil.which("nvidia-smi"):
        return []
    command = ["nvidia-smi", f"--query-gpu={field}", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]


def cpu() -> str:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def library_digest(package: str) -> str:
    """Of the file that ran: which sources it came from is its kernel's digest, in the card."""
    folder = pathlib.Path(importlib.util.find_spec(package.replace("-", "_")).origin).parent
    return hashlib.sha256(next(folder.glob("*.so")).read_bytes()).hexdigest()


def part(file: pathlib.Path) -> object:
    if file.suffix == ".json":
        return json.loads(file.read_text())
    return file.read_text().strip().splitlines()[-1]  # a tool's verdict


def main() -> None:
    command, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    files = [*sorted(folder.glob("*.log")), *sorted(folder.glob("*.json"))]  # of one name the JSON stays
    document = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "machine": {
            "cpu": cpu(),
            "gpus": nvidia_smi("name"),
            "driver": next(iter(nvidia_smi("driver_version")), None),
            "system": platform.platform(),
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
        "library_sha256": {name: library_digest(name) for name in KERNELS},
        "parts": {file.stem: part(file) for file in files},
    }
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
