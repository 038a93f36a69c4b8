"""Runs a kernel's tests on built files, and writes down what came out.

``kernmill test`` sets the environment; without it the installed package is tested:

    KERNMILL_TEST_KERNEL   import name of the kernel (default: from build.toml above the tests)
    KERNMILL_TEST_HUB      a Hub folder to load instead of the package of that name
    KERNMILL_TEST_RECORD   the JSON file to write

Tests take the loaded kernel from the fixture ``kernel`` and report errors they measured through ``worst``:

    def test_forward(kernel, worst):
        ...
        worst("rms_norm bfloat16, ulp", error)
"""

import importlib
import json
import os
import pathlib
import platform
import sys
from collections import Counter
from types import ModuleType

import pytest
import torch

from kernmill._hub_folder import import_folder

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pytest's own dependency there


def _name(start: pathlib.Path) -> str:
    name = os.environ.get("KERNMILL_TEST_KERNEL")
    if name:
        return name
    for folder in (start, *start.parents):
        manifest = folder / "build.toml"
        if manifest.exists():
            return tomllib.loads(manifest.read_text())["general"]["name"].replace("-", "_")
    raise pytest.UsageError(f"no build.toml above {start}: name the kernel in KERNMILL_TEST_KERNEL")


class _Recorder:
    def __init__(self) -> None:
        self.outcomes = Counter()
        self.failures: list[str] = []
        self.skips: Counter[str] = Counter()
        self.worst: dict[str, float] = {}

    def note(self, metric: str, value: float) -> None:
        if not value <= self.worst.get(metric, float("-inf")):  # a NaN is kept
            self.worst[metric] = float(value)

    def document(self) -> dict:
        cuda = torch.cuda.is_available()
        return {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "gpu": torch.cuda.get_device_name() if cuda else None,
            "gpus": torch.cuda.device_count(),
            "passed": self.outcomes["passed"],
            "failed": self.outcomes["failed"],
            "skipped": self.outcomes["skipped"],
            "xfailed": self.outcomes["xfailed"],
            "failures": self.failures,
            "skips": dict(self.skips),
            "worst": dict(sorted(self.worst.items())),
        }


_recorder = _Recorder()


@pytest.fixture(scope="session")
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    """The kernel's package, from the files under test."""
    hub = os.environ.get("KERNMILL_TEST_HUB")
    if hub:
        return import_folder(pathlib.Path(hub))
    return importlib.import_module(_name(pathlib.Path(request.config.rootpath)))


@pytest.fixture(scope="session")
def worst():
    """worst(metric, value): keeps the largest value of each metric for the record."""
    return _recorder.note


def pytest_configure(config: pytest.Config) -> None:
    # what torch.compile calls in torch itself warns of a name that torch retires: no test can help it
    config.addinivalue_line("filterwarnings", "ignore:.torch.jit:DeprecationWarning")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if hasattr(report, "wasxfail"):
        _recorder.outcomes["xfailed"] += 1
        return
    if report.when == "call" or report.outcome != "passed":
        _recorder.outcomes[report.outcome] += 1
    if report.failed:
        _recorder.failures.append(report.nodeid)
    if report.skipped:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        _recorder.skips[reason.removeprefix("Skipped: ")] += 1


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not os.environ.get("KERNMILL_TEST_RECORD"):  # with one, whoever reads it tells
        for metric, value in sorted(_recorder.worst.items()):
            terminalreporter.write_line(f"worst {metric}: {value:.4g}")
    for reason, count in sorted(_recorder.skips.items()):
        terminalreporter.write_line(f"skipped {count}: {reason}")


def pytest_sessionfinish() -> None:
    path = os.environ.get("KERNMILL_TEST_RECORD")
    if path:
        pathlib.Path(path).write_text(json.dumps(_recorder.document()))
