"""The wheels that we write, read by other people's programs: auditwheel, kernel-abi-check, zipfile and pip; and
built twice, in surroundings as different as they get, to the same bytes.

dist/ holds what `kernmill pack kernels/rmsnorm` wrote; without it those tests say so and skip.
"""

import base64
import csv
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import zipfile

import kernel_abi_check
import pytest
from packaging.utils import parse_wheel_filename

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("KERNMILL_BUILD", "build/release"))
PROGRAM = (ROOT / BUILD / "bin" / "kernmill").resolve()
BIN = pathlib.Path(sys.executable).parent
DIST = ROOT / "dist"
HERE = ("-any.whl", f"_{os.uname().machine}.whl")  # pip refuses those of other processors
WHEELS = sorted(path for path in DIST.glob("*.whl") if path.name.endswith(HERE))
KERNELS = [path for path in WHEELS if not path.name.startswith("kernmill-")]
TORCH_LIBRARIES = re.compile(r"lib(torch|c10)[\w]*\.so")


def of_dist(paths):
    """Parameters: the wheels, or one that skips with the reason."""
    if paths:
        return [pytest.param(path, id=path.name) for path in paths]
    reason = f"{DIST.relative_to(ROOT)}/ has no such wheel: kernmill pack kernels/rmsnorm --output dist"
    return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id="none")]


def built_with(kernel: pathlib.Path, output: pathlib.Path, **environment) -> pathlib.Path:
    """The wheel of a kernel, packed for CPU."""
    drop = ("KERNMILL_", "VIRTUAL_ENV", "CC")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(drop)}
    command = [PROGRAM, "pack", "--cpu", "--quiet", "--wheel-only", "--json", "--output", output, kernel]
    done = subprocess.run(command, env={**clean, **environment}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return pathlib.Path(json.loads(done.stdout)["wheel"])


@pytest.fixture(scope="session")
def kernel(tmp_path_factory) -> pathlib.Path:
    """init's kernel."""
    assert PROGRAM.exists(), f"{PROGRAM} is not built; set KERNMILL_BUILD to the build folder"
    folder = tmp_path_factory.mktemp("kernel") / "demo-kernel"
    subprocess.run(
        [PROGRAM, "init", "demo-kernel", "-d", folder, "-q"], check=True, stdout=subprocess.DEVNULL
    )
    return folder


@pytest.fixture(scope="session")
def small(kernel, tmp_path_factory) -> pathlib.Path:
    return built_with(kernel, tmp_path_factory.mktemp("wheel"))


def glibc_of(tag: str) -> tuple[int, int]:
    """(2, 28) of manylinux_2_28_x86_64."""
    return tuple(map(int, re.search(r"manylinux_(\d+)_(\d+)_", tag).groups()))


def audit(wheel: pathlib.Path) -> dict:
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}
    done = subprocess.run(
        [BIN / "auditwheel", "show", "--json", wheel], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_audit(wheel: pathlib.Path) -> None:
    """The symbols are as old as the tag says, and nothing is needed but torch and glibc."""
    report = audit(wheel)
    (platform,) = {tag.platform for tag in parse_wheel_filename(wheel.name)[3]}
    assert glibc_of(report["sym_tag"]) <= glibc_of(platform)
    external = set(report["external_libs"])
    assert external and all(TORCH_LIBRARIES.fullmatch(name) for name in external), external


# A wheel that its tag promises too much for fails on the machine of a user, at import.
@pytest.mark.parametrize("wheel", of_dist(KERNELS))
def test_auditwheel(wheel):
    check_audit(wheel)


# The same for what init makes, on machines without dist/.
def test_auditwheel_on_a_small_wheel(small):
    check_audit(small)


def abi_violations(library: pathlib.Path) -> list:
    checked = kernel_abi_check.ObjectFile(str(library))
    return [*checked.check_manylinux("manylinux_2_28"), *checked.check_python_abi("3.9")]


def libraries_of(wheel: pathlib.Path, folder: pathlib.Path) -> list[pathlib.Path]:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return sorted(folder.rglob("*.so"))


# Hugging Face's own checker: what it refuses cannot be shared there.
@pytest.mark.parametrize("wheel", of_dist(KERNELS))
def test_kernel_abi_check(wheel, tmp_path):
    libraries = libraries_of(wheel, tmp_path)
    assert libraries
    for library in libraries:
        assert abi_violations(library) == []


# The same for what init makes.
def test_kernel_abi_check_on_a_small_wheel(small, tmp_path):
    (library,) = libraries_of(small, tmp_path)
    assert abi_violations(library) == []


# The checker can say no: else the two tests above would prove nothing.
def test_kernel_abi_check_can_fail(tmp_path):
    library = tmp_path / "new.so"
    source = b"int pthread_create(void*, void*, void*, void*);\nint f(void) { return pthread_create(0, 0, 0, 0); }\n"
    subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", library, "-xc", "-"], input=source, check=True)
    if b"GLIBC_2.34" not in library.read_bytes():
        pytest.skip("this machine's glibc is too old to make a library that is too new")
    assert abi_violations(library) != []


def check_record(wheel: pathlib.Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        (record,) = (name for name in names if name.endswith(".dist-info/RECORD"))
        rows = list(csv.reader(io.StringIO(archive.read(record).decode())))
        assert sorted(row[0] for row in rows) == sorted(names)
        for name, digest, size in rows:
            data = archive.read(name)
            want = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            assert (digest, size) == (("", "") if name == record else (f"sha256={want}", str(len(data)))), (
                name
            )


# pip refuses a wheel whose RECORD is wrong, and uninstalls by it.
@pytest.mark.parametrize("wheel", of_dist(WHEELS))
def test_record(wheel):
    check_record(wheel)


# The same for what init makes.
def test_record_of_a_small_wheel(small):
    check_record(small)


def install(wheel: pathlib.Path, folder: pathlib.Path) -> None:
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index",
               "--no-deps", "--target", folder, wheel]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("wheel", of_dist(WHEELS))
def test_pip_installs_it(wheel, tmp_path):
    install(wheel, tmp_path)
    name, version = parse_wheel_filename(wheel.name)[:2]
    dist_info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
    text = (dist_info / "METADATA").read_text()
    assert f"\nName: {name}\n" in text and f"\nVersion: {version}\n" in text


# Installed from the wheel alone, in a process of its own: the operator is there and right.
def test_installed_wheel_works(small, tmp_path):
    install(small, tmp_path)
    script = (
        "import torch, demo_kernel\n"
        "x = torch.arange(6.0).reshape(2, 3)\n"
        "assert torch.equal(demo_kernel.scale(x, 2.0), 2 * x)\n"
        "assert torch.equal(torch.ops.demo_kernel.scale(x, 3.0), 3 * x)\n"
        "print(demo_kernel.__file__)\n"
    )
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "demo_kernel/__init__.py")


def digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# The same sources give the same bytes: who builds it again can see that nothing was put in.
def test_reproducible(kernel, small, tmp_path):
    elsewhere = tmp_path / "another folder" / "with a longer name" / "kernel"
    shutil.copytree(kernel, elsewhere, ignore=shutil.ignore_patterns("build"))
    for path in sorted(elsewhere.rglob("*")):
        os.utime(path, (10**9, 10**9))
    before = os.umask(0o077)
    try:
        surroundings = {"TZ": "Asia/Kathmandu", "LC_ALL": "tr_TR.UTF-8", "LANG": "de_DE", "HOME": str(tmp_path),
                        "USER": "someone", "SOURCE_DATE_EPOCH": "7"}  # fmt: skip
        again = built_with(elsewhere, tmp_path / "out", **surroundings)
    finally:
        os.umask(before)
    assert again.name == small.name
    assert digest(again) == digest(small)


# ... and other sources give others, under another name in the Hub's folders.
def test_another_source_gives_another_wheel(kernel, small, tmp_path):
    other = tmp_path / "kernel"
    shutil.copytree(kernel, other, ignore=shutil.ignore_patterns("build"))
    source = other / "cpu/scale_cpu.c"
    source.write_text(source.read_text().replace("65536", "32768"))
    assert digest(built_with(other, tmp_path / "out")) != digest(small)
    identities = {json.loads((folder / "metadata.json").read_text())["id"]
                  for root in (kernel, other) for folder in (root / "build").glob("torch-*")}  # fmt: skip
    assert len(identities) == 2
