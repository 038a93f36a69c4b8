"""The part of packaging that pyproject.toml cannot say: CMake's install tree goes into the wheel whole.

The wheel holds no Python extension, so it serves every Python 3 (py3-none-...); its platform tag is the
oldest glibc that the program and the libraries installed beside it need.
"""

import os
import pathlib
import re
import shutil
import subprocess

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel

ROOT = pathlib.Path(__file__).resolve().parent
BUILD = ROOT / "build" / "wheel"
PREFIX = BUILD / "prefix"
PURE = bool(os.environ.get("KERNMILL_PURE"))


def build_program() -> None:
    shutil.rmtree(ROOT / "build" / "lib", ignore_errors=True)  # setuptools keeps files that were deleted
    shutil.rmtree(PREFIX, ignore_errors=True)
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DKM_TESTS=OFF", "-DKM_BUNDLE=ON"]
    subprocess.run(["cmake", "-G", "Ninja", "-S", ROOT, "-B", BUILD, *options], check=True)
    subprocess.run(["cmake", "--build", BUILD], check=True)
    subprocess.run(["cmake", "--install", BUILD, "--prefix", PREFIX, "--strip"], check=True)


def data_files() -> list[tuple[str, list[str]]]:
    folders: dict[str, list[str]] = {}
    for path in sorted(PREFIX.rglob("*")):
        if path.is_file():
            folder = str(path.parent.relative_to(PREFIX))
            folders.setdefault(folder, []).append(str(path.relative_to(ROOT)))
    return sorted(folders.items())


def platform_tag() -> str:
    versions = [28]
    for path in PREFIX.rglob("*"):
        if path.is_file() and path.read_bytes()[:4] == b"\x7fELF":
            versions += [int(v) for v in re.findall(rb"GLIBC_2\.(\d+)", path.read_bytes())]
    return f"manylinux_2_{max(versions)}_{os.uname().machine}"


class Wheel(bdist_wheel):
    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = PURE

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", "any" if PURE else platform_tag()


# The Python package alone has a script by the program's name, which says where the program is.
SCRIPTS = {"console_scripts": ["kernmill = kernmill.__main__:main"]}

if not PURE:
    build_program()
setup(
    cmdclass={"bdist_wheel": Wheel},
    data_files=[] if PURE else data_files(),
    entry_points=SCRIPTS if PURE else {},
)
