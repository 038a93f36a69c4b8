"""A build backend (PEP 517, PEP 660) for kernel repositories:

    [build-system]
    requires = ["kernmill==0.1.0"]
    build-backend = "kernmill.build_backend"

pip calls this in the repository's folder; the work is done by the program of the same installation, found by
path and never through PATH. The CUDA compiler's packages are looked up as ``kernmill doctor`` says, among
them in this interpreter's own site-packages; where there is none, ``KERNMILL_CPU=1`` builds a CPU wheel.
"""

import json
import os
import pathlib
import site
import subprocess
import sysconfig
import tempfile
from importlib import metadata

__all__ = [
    "build_editable",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_wheel",
]


def program() -> pathlib.Path:
    """The kernmill program of this installation. Raises RuntimeError when only the pure package is there."""
    named = os.environ.get("KERNMILL_PROGRAM")
    if named:
        return pathlib.Path(named)
    try:
        files = metadata.files("kernmill") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = pathlib.Path(file.locate()).resolve()
        if file.parts[-2:] == ("bin", "kernmill") and _is_program(path):
            return path
    raise RuntimeError(
        "the kernmill program is not installed, only its Python package\n"
        "  on Linux x86-64 with glibc 2.34 or newer: pip install --force-reinstall kernmill\n"
        "  elsewhere, from its sources: pip install --no-binary kernmill kernmill\n"
        "  or name a program in KERNMILL_PROGRAM"
    )


def _is_program(path: pathlib.Path) -> bool:
    """Whether it is the program itself, and not the script that the pure wheel has under its name."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def _environment() -> dict[str, str]:
    """Where the compiler may find its packages: this environment, and the one pip was started from."""
    places = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    known = os.environ.get("KERNMILL_SITE")
    if known:
        places.insert(0, known)
    return {**os.environ, "KERNMILL_SITE": ":".join(dict.fromkeys(places))}


def _pack(directory: str, *options: str) -> str:
    """Runs `kernmill pack` on the working folder and returns the wheel's file name."""
    command = [str(program()), "pack", ".", "--json", "--output", directory, *options]
    if os.environ.get("KERNMILL_CPU"):
        command.append("--cpu")
    with tempfile.TemporaryDirectory() as build:
        if "--editable" not in options:
            command += ["--build-dir", build]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=_environment())
    answer = json.loads(done.stdout or "{}")
    if done.returncode != 0:
        error = answer.get("error", {})
        hint = f"\n  {error['hint']}" if error.get("hint") else ""
        raise RuntimeError(f"kernmill pack failed: {error.get('message', 'see above')}{hint}")
    return pathlib.Path(answer["wheel"]).name


def get_requires_for_build_wheel(config_settings=None) -> list[str]:
    return []


get_requires_for_build_editable = get_requires_for_build_wheel


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None) -> str:
    return _pack(wheel_directory, "--wheel-only")


def build_editable(wheel_directory, config_settings=None, metadata_directory=None) -> str:
    return _pack(wheel_directory, "--editable")
