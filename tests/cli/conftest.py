"""kernmill(...) runs the program in a clean environment; `built` is a kernel that it made and built."""

import pathlib
import shutil
import subprocess

import pytest
from program import PROGRAM, Answer, clean_environment


def pytest_addoption(parser):
    parser.addoption("--update-goldens", action="store_true", help="write what the program says today")


@pytest.fixture(scope="session")
def environment(tmp_path_factory) -> dict[str, str]:
    return {**clean_environment(), "KERNMILL_CACHE": str(tmp_path_factory.mktemp("cache"))}


@pytest.fixture(scope="session")
def kernmill(environment):
    """kernmill("check", "x", cwd=..., env={...}) -> Answer; an env value of None removes the variable."""
    assert PROGRAM.exists(), f"{PROGRAM} is not built; set KERNMILL_BUILD to the build folder"

    def run(*words, cwd=None, env=None, **options) -> Answer:
        merged = {k: v for k, v in {**environment, **(env or {})}.items() if v is not None}
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, **options}
        done = subprocess.run(
            [PROGRAM, *words], cwd=cwd, env=merged, stderr=subprocess.PIPE, timeout=300, **options
        )
        return Answer(done.returncode, (done.stdout or b"").decode(), done.stderr.decode())

    return run


@pytest.fixture(scope="session")
def built(kernmill, tmp_path_factory) -> pathlib.Path:
    """init's kernel, built for CPU. Shared: not to be changed."""
    folder = tmp_path_factory.mktemp("built") / "demo-kernel"
    assert kernmill("init", "demo-kernel", cwd=folder.parent).code == 0
    answer = kernmill("build", "--cpu", "--quiet", folder)
    assert answer.code == 0, answer.err
    return folder


@pytest.fixture
def repository(built, tmp_path) -> pathlib.Path:
    """A copy of init's kernel, not built, to be spoiled."""
    folder = tmp_path / "demo-kernel"
    shutil.copytree(built, folder, ignore=shutil.ignore_patterns("build"))
    return folder
