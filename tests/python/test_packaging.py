"""pip installs a kernel from its source: in the same environment, editable, and isolated."""

import os
import pathlib
import subprocess
import sys
import sysconfig

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
KERNEL = ROOT / "kernels/rmsnorm"
USE = (
    "import torch, kernmill_rmsnorm as k; print(k.__file__); print(k.rms_norm(torch.ones(2, 8)).sum().item())"
)


@pytest.fixture
def venv(tmp_path):
    """A fresh environment that sees this one's packages, but not its kernel."""
    folder = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    site = next(folder.glob("lib/python3*/site-packages"))
    (site / "zz_base.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


def pip(venv, *arguments, **environment):
    command = [
        venv / "bin/python",
        "-m",
        "pip",
        "install",
        "-qq",
        "--no-deps",
        "--force-reinstall",
        *arguments,
    ]
    command.append("--disable-pip-version-check")
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    assert done.returncode == 0, done.stderr
    return done


def use(venv) -> pathlib.Path:
    done = subprocess.run([venv / "bin/python", "-c", USE], capture_output=True, text=True, cwd=venv)
    assert done.returncode == 0, done.stderr
    path, total = done.stdout.splitlines()
    assert float(total) == pytest.approx(16.0, abs=1e-4)
    return pathlib.Path(path)


def test_same_environment(venv):
    pip(venv, "--no-build-isolation", KERNEL)
    assert venv in use(venv).parents


def test_isolated(venv):
    """pip makes an environment of its own from the wheel in dist; a CPU wheel says so in its version."""
    pip(venv, KERNEL, PIP_FIND_LINKS=str(ROOT / "dist"), KERNMILL_CPU="1")
    assert venv in use(venv).parents
    assert list(venv.glob("lib/python3*/site-packages/kernmill_rmsnorm-1.0.0+cpu.dist-info"))


def test_editable(venv):
    """Python files are used where they are edited; every build refreshes the library."""
    package = KERNEL / "torch-ext/kernmill_rmsnorm"
    try:
        pip(venv, "--no-build-isolation", "-e", KERNEL)
        assert use(venv).parent == package
        library = package / "libkernmill_rmsnorm.so"
        whole = library.read_bytes()
        library.write_bytes(b"old")
        program = pathlib.Path(sys.executable).parent / "kernmill"
        subprocess.run([program, "build", "--quiet", KERNEL], check=True, capture_output=True)
        assert use(venv).parent == package and library.read_bytes() == whole
    finally:
        for name in ("_ops.py", "libkernmill_rmsnorm.so"):
            (package / name).unlink(missing_ok=True)


def test_without_a_cuda_compiler_the_error_names_the_line(venv, tmp_path):
    """KERNMILL_CUDA and the site folders lead nowhere: pip shows what to type."""
    (next(venv.glob("lib/python3*/site-packages")) / "zz_base.pth").unlink()
    wheel = next((ROOT / "dist").glob("kernmill-*.whl"))
    pip(venv, wheel)
    if pathlib.Path("/usr/local/cuda/lib64/libnvrtc.so.12").exists():
        pytest.skip("a CUDA toolkit is installed here")
    command = [venv / "bin/kernmill", "build", KERNEL, "--build-dir", tmp_path / "b"]
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "KERNMILL_SITE")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if "libnvrtc.so.13" in done.stderr or done.returncode == 0:
        pytest.skip("a CUDA toolkit is installed here")
    assert done.returncode == 3
    assert "pip install --no-deps nvidia-cuda-nvrtc-cu12==12.9.86" in done.stderr
