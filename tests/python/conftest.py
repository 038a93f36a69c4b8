"""The tests here run on a kernel that was built and packed: KERNMILL_HUB names the Hub layout that
`kernmill pack kernels/rmsnorm` wrote (default: dist/kernmill-rmsnorm), and the wheel is installed."""

import os
import pathlib

import pytest
import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]


def pytest_generate_tests(metafunc):
    if "device" in metafunc.fixturenames:
        no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
        metafunc.parametrize("device", ["cpu", pytest.param("cuda", marks=no_gpu)])


@pytest.fixture(scope="session")
def hub() -> pathlib.Path:
    path = pathlib.Path(os.environ.get("KERNMILL_HUB", ROOT / "dist/kernmill-rmsnorm"))
    assert (path / "build").is_dir(), f"{path} is not there: kernmill pack kernels/rmsnorm"
    return path


@pytest.fixture(autouse=True)
def _alone(monkeypatch):
    """No network, and no compiled code of other tests: torch counts recompilations by code object."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    torch._dynamo.reset()
