"""`hub`: a running test hub. `client`: real Python clients in processes of their own, in a fresh HF_HOME.

def test_it(hub, client):
    hub.add("acme/relu", {"build/x/a.bin": b"..."}, branch="v1")
    hub.fault(Cut(after_bytes=10), path="/objects/")
    path = client.python("print(hf_hub_download('acme/relu', 'a', repo_type='kernel'))").stdout
    assert hub.seen("GET", origin="stranger") == []
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import textwrap

import pytest
import tls
from server import WRITER, Hub

ROOT = pathlib.Path(__file__).resolve().parents[2]
PRELUDE = """
import json, os, pathlib
from huggingface_hub import *
from huggingface_hub.errors import *
api = HfApi()
"""


@pytest.fixture
def hub(tmp_path):
    with Hub(tmp_path / "hub") as running:
        yield running
    assert running.broken == []


@pytest.fixture
def tls_hub(tmp_path):
    """tls_hub(kind) starts a hub with such a certificate; its file is hub.certificate."""
    with contextlib.ExitStack() as stack:

        def start(kind: str) -> Hub:
            made = tls.make(tmp_path, kind)
            running = stack.enter_context(Hub(tmp_path / f"hub-{kind}", tls=made.context()))
            running.certificate = made.certificate
            return running

        yield start


class Client:
    """The clients' environment: the hub, a token, a fresh home, no proxy, nothing of the caller's."""

    def __init__(self, home: pathlib.Path, endpoint: str, token: str | None = WRITER):
        self.home = home
        kept = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "TMPDIR")}
        self.environment = {
            **kept,
            "HOME": str(home),
            "HF_HOME": str(home / "hf"),
            "HF_ENDPOINT": endpoint,
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "NO_PROXY": "127.0.0.1,localhost",
            **({"HF_TOKEN": token} if token else {}),
        }

    @property
    def cache(self) -> pathlib.Path:
        return self.home / "hf" / "hub"

    def run(
        self, *command, timeout: float = 50, check: bool = True, **environment
    ) -> subprocess.CompletedProcess:
        done = subprocess.run(
            [str(word) for word in command],
            env={**self.environment, **environment},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def start(self, code: str, **environment) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, "-c", PRELUDE + code],
            env={**self.environment, **environment},
            cwd=self.home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def python(self, code: str, **options) -> subprocess.CompletedProcess:
        return self.run(sys.executable, "-c", PRELUDE + code, **options)

    def hf(self, *words, **options) -> subprocess.CompletedProcess:
        return self.run(pathlib.Path(sys.executable).with_name("hf"), *words, **options)

    def kernels(self, *words, **options) -> subprocess.CompletedProcess:
        return self.run(pathlib.Path(sys.executable).with_name("kernels"), *words, **options)

    def errors(self, *codes: str, **options) -> list[str]:
        """The exception that each piece of code must raise, as `Name: text`; all in one process."""
        tried = "raised = []\n"
        for code in codes:
            tried += f"try:\n{textwrap.indent(code, '    ')}\n    raised.append('none')\n"
            tried += "except Exception as error:\n    raised.append(f'{type(error).__name__}: {error}')\n"
        return json.loads(self.python(tried + "print(json.dumps(raised))", **options).stdout.splitlines()[-1])


@pytest.fixture
def client_of(tmp_path):
    """client_of(endpoint, token=..., name=...) is another client, with a home of its own."""

    def make(endpoint: str, token: str | None = WRITER, name: str = "other") -> Client:
        home = tmp_path / f"client-{name}"
        home.mkdir()
        return Client(home, endpoint, token)

    return make


@pytest.fixture
def client(hub, client_of) -> Client:
    return client_of(hub.url, name="first")


@pytest.fixture(scope="session")
def kernel() -> pathlib.Path:
    """The Hub layout that `kernmill pack kernels/rmsnorm` wrote."""
    path = pathlib.Path(os.environ.get("KERNMILL_HUB", ROOT / "dist/kernmill-rmsnorm"))
    assert (path / "build").is_dir(), f"{path} is not there: kernmill pack kernels/rmsnorm"
    return path
