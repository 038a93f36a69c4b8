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

import hashlib
import importlib
import json
import math
import os
import pathlib
import platform
import shutil
import subprocess
import sys
from collections import Counter
from datetime import datetime, timezone
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


def _sha256(file: pathlib.Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def package_sha256(folder: pathlib.Path) -> str:
    """Of a package's files, names included; csrc/pkg/package_digest.h says what is hashed."""
    digest = hashlib.sha256()
    names = {file.relative_to(folder).as_posix(): file for file in folder.rglob("*") if file.is_file()}
    for name in sorted(names, key=os.fsencode):
        if (
            name in ("metadata.json", "metadata.json.sigstore")
            or "__pycache__" in name
            or name.endswith(".pyc")
        ):
            continue
        digest.update(os.fsencode(name) + b"\0" + hashlib.sha256(names[name].read_bytes()).digest())
    return digest.hexdigest()


def _loaded_libraries(folder: pathlib.Path) -> dict[str, str]:
    """The shared libraries of the package that this process runs, with their digests."""
    try:
        maps = pathlib.Path("/proc/self/maps").read_text()
    except OSError:
        return {}
    lines = (line.split(maxsplit=5) for line in maps.splitlines())
    files = {pathlib.Path(words[5]) for words in lines if len(words) == 6 and words[5].endswith(".so")}
    # one that was replaced since has "(deleted)" after its name: nobody can say what ran
    return {f.relative_to(folder).as_posix(): _sha256(f) for f in sorted(files) if f.is_relative_to(folder)}


def _cpu() -> str:
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def _driver() -> str | None:
    if not torch.cuda.is_available() or not shutil.which("nvidia-smi"):
        return None
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.split("\n")[0].strip() or None


def _runs_everything(config: pytest.Config) -> bool:
    """Whether no option and no argument narrows the kernel's tests; what -k leaves out is counted elsewhere."""
    start = pathlib.Path(config.invocation_params.dir)
    whole = [start, start / "tests"]
    return (
        not config.getoption("ignore")
        and not config.getoption("ignore_glob")
        and any((start / argument).resolve() in whole for argument in config.args)
    )


class _Recorder:
    def __init__(self) -> None:
        self.outcomes = Counter()
        self.failures: list[str] = []
        self.skips: Counter[str] = Counter()
        self.worst: dict[str, float] = {}
        self.deselected = 0
        self.whole = False
        self.package: pathlib.Path | None = None

    def note(self, metric: str, value: float) -> None:
        if not value <= self.worst.get(metric, float("-inf")):  # a NaN is kept
            self.worst[metric] = float(value)

    def document(self) -> dict:
        cuda = torch.cuda.is_available()
        return {
            "schema": 1,
            "date": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "kernel": os.environ.get("KERNMILL_TEST_KERNEL") or (self.package and self.package.name),
            "target": self.package.name if self.package and os.environ.get("KERNMILL_TEST_HUB") else "wheel",
            "package_sha256": package_sha256(self.package) if self.package else None,
            "libraries": _loaded_libraries(self.package) if self.package else {},
            "whole": self.whole and not self.deselected,
            "system": f"{platform.system()} {platform.release()} {platform.machine()}",
            "cpu": _cpu(),
            "driver": _driver(),
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
            # JSON has no numbers for what is not finite
            "worst": {k: v if math.isfinite(v) else str(v) for k, v in sorted(self.worst.items())},
        }


_recorder = _Recorder()


@pytest.fixture(scope="session")
def kernel(request: pytest.FixtureRequest) -> ModuleType:
    """The kernel's package, from the files under test."""
    hub = os.environ.get("KERNMILL_TEST_HUB")
    if hub:
        module = import_folder(pathlib.Path(hub))
    else:
        module = importlib.import_module(_name(pathlib.Path(request.config.rootpath)))
    _recorder.package = pathlib.Path(module.__file__).parent.resolve()
    return module


@pytest.fixture(scope="session")
def worst():
    """worst(metric, value): keeps the largest value of each metric for the record."""
    return _recorder.note


def pytest_configure(config: pytest.Config) -> None:
    # what torch.compile calls in torch itself warns of a name that torch retires: no test can help it
    config.addinivalue_line("filterwarnings", "ignore:.torch.jit:DeprecationWarning")


def pytest_deselected(items: list[pytest.Item]) -> None:
    _recorder.deselected += len(items)


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


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    path = os.environ.get("KERNMILL_TEST_RECORD")
    if path:
        # an end for another reason than that everything ran leaves tests out
        _recorder.whole = int(exitstatus) in (0, 1) and _runs_everything(session.config)
        pathlib.Path(path).write_text(json.dumps(_recorder.document()))
