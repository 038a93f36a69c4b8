"""The wheel of the Python package alone, py3-none-any: what is in it, that it is the same bytes wherever it is built,
and what a user without the program is told. The wheel with the program takes minutes: scripts/release makes and
proves both."""

import email
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import pytest
from packaging.utils import parse_wheel_filename
from test_wheels import check_record, digest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ("python", "setup.py", "pyproject.toml", "README.md", "LICENSE")
VERSION = (ROOT / "python/kernmill/__init__.py").read_text().split('__version__ = "')[1].split('"')[0]
PACKAGE = {str(p.relative_to(ROOT / "python")) for p in (ROOT / "python").rglob("*.py")}
DIST_INFO = f"kernmill-{VERSION}.dist-info"


def build(folder: pathlib.Path, **environment) -> pathlib.Path:
    """The pure wheel, from a copy of its sources in `folder`."""
    tree = folder / "tree"
    tree.mkdir(parents=True)
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        else:
            shutil.copy(ROOT / name, tree / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-deps",
               "--no-build-isolation", "--no-index", "--wheel-dir", folder / "out", tree]  # fmt: skip
    base = {"KERNMILL_PURE": "1", "SOURCE_DATE_EPOCH": "1800000000"}
    done = subprocess.run(command, env={**os.environ, **base, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = (folder / "out").iterdir()
    return wheel


@pytest.fixture(scope="module")
def pure(tmp_path_factory) -> pathlib.Path:
    return build(tmp_path_factory.mktemp("pure"))


@pytest.fixture(scope="module")
def python(pure, tmp_path_factory) -> pathlib.Path:
    """The interpreter of a fresh environment that has this wheel and nothing else."""
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    command = [folder / "bin/python", "-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-index",
               "--find-links", pure.parent, "kernmill"]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "bin/python"


def run(*command) -> subprocess.CompletedProcess:
    drop = ("KERNMILL_", "PYTHONPATH", "VIRTUAL_ENV")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(drop)}
    return subprocess.run(command, capture_output=True, text=True, env=clean, cwd="/")


# A module that is forgotten in pyproject.toml's list is missing for every user, and here alone it is seen.
def test_it_holds_the_package_and_nothing_else(pure):
    with zipfile.ZipFile(pure) as archive:
        names = {name for name in archive.namelist() if not name.startswith(f"{DIST_INFO}/")}
        modes = {entry.external_attr >> 16 & 0o777 for entry in archive.infolist()}
    assert names == PACKAGE
    assert modes <= {0o644, 0o664}


# pip refuses a wheel whose RECORD is wrong, and uninstalls by it.
def test_record(pure):
    check_record(pure)


def test_names_and_metadata(pure):
    name, version, _, tags = parse_wheel_filename(pure.name)
    assert (name, str(version), [str(t) for t in tags]) == ("kernmill", VERSION, ["py3-none-any"])
    with zipfile.ZipFile(pure) as archive:
        metadata = email.message_from_bytes(archive.read(f"{DIST_INFO}/METADATA"))
        wheel = email.message_from_bytes(archive.read(f"{DIST_INFO}/WHEEL"))
        licence = archive.read(f"{DIST_INFO}/licenses/LICENSE")
    assert (wheel["Root-Is-Purelib"], wheel["Tag"]) == ("true", "py3-none-any")
    project = dict(re.findall(r'^([a-z-]+) = "(.*)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE))
    said = {"Name": "kernmill", "Version": VERSION, "Summary": project["description"],
            "License-Expression": "Apache-2.0", "Requires-Python": project["requires-python"]}  # fmt: skip
    assert {key: metadata[key] for key in said} == said
    assert metadata.get_all("Requires-Dist") is None  # torch is asked for by the kernels
    assert metadata.get_payload().strip() == (ROOT / "README.md").read_text().strip()
    assert licence == (ROOT / "LICENSE").read_bytes()


# The same sources give the same bytes: who builds it again can see that nothing was put in.
def test_reproducible(pure, tmp_path):
    again = build(tmp_path / "another folder" / "with a longer name", TZ="Asia/Kathmandu", LANG="de_DE")
    assert digest(again) == digest(pure)


# ... and the date of the commit is what its members have: by another the bytes are others.
def test_the_bytes_can_differ(pure, tmp_path):
    assert digest(build(tmp_path, SOURCE_DATE_EPOCH="1700000000")) != digest(pure)


def test_import(python):
    done = run(python, "-c", "import kernmill, kernmill.build_backend; print(kernmill.__version__)")
    assert (done.returncode, done.stdout.strip()) == (0, VERSION), done.stderr


# Who has the package without the program is told what to install, whichever way the program was wanted.
@pytest.mark.parametrize(
    "command", [["bin/kernmill", "version"], ["bin/python", "-m", "kernmill", "version"]]
)
def test_the_command_says_what_to_install(python, command):
    done = run(python.parent.parent / command[0], *command[1:])
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("kernmill: error: the kernmill program is not installed")
    assert "pip install --force-reinstall kernmill" in done.stderr and "Traceback" not in done.stderr


def test_the_build_backend_says_what_to_install(python):
    done = run(python, "-c", "import kernmill.build_backend as b; b.build_wheel('/nowhere')")
    assert done.returncode == 1
    assert "KernelError: the kernmill program is not installed" in done.stderr
    assert "pip install --force-reinstall kernmill" in done.stderr


# The program that is named is taken, and no script that has its name.
def test_a_program_that_is_named_is_run(python):
    done = run("/usr/bin/env", "KERNMILL_PROGRAM=/bin/echo", python, "-m", "kernmill", "version", "--json")
    assert (done.returncode, done.stdout) == (0, "version --json\n")
