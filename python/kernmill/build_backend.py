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

from kernmill._program import error_of, program

__all__ = [
    "build_editable",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_wheel",
]


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
        raise RuntimeError(f"kernmill pack failed: {error_of(answer, 'see above')}")
    return pathlib.Path(answer["wheel"]).name


def get_requires_for_build_wheel(config_settings=None) -> list[str]:
    return []


get_requires_for_build_editable = get_requires_for_build_wheel


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None) -> str:
    return _pack(wheel_directory, "--wheel-only")


def build_editable(wheel_directory, config_settings=None, metadata_directory=None) -> str:
    return _pack(wheel_directory, "--editable")
