"""Fixtures: `hub` is a running test hub, `client` a real Python client in a fresh HF_HOME. For example

    def test_a_cut_file_is_fetched_again(hub, client):
        hub.add("acme/relu", {"a.txt": b"text"}, branch="v1")
        hub.fault(Cut(after_bytes=2), path="/resolve/")
        told = client.python("print(hf_hub_download('acme/relu', 'a.txt', repo_type='kernel', revision='v1'))")
        assert pathlib.Path(told.stdout.strip()).read_bytes() == b"text"
        assert len(hub.seen("GET", "/resolve/")) == 2

More of a client is in clients.py, of the hub in server.py, of what can go wrong in faults.py.
"""

import contextlib
import os
import pathlib

import fault_cases
import pytest
import tls
from clients import Client
from server import WRITER, Hub

ROOT = pathlib.Path(__file__).resolve().parents[2]


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


@pytest.fixture(scope="session")
def results(tmp_path_factory):
    with fault_cases.playing(tmp_path_factory.mktemp("faults")) as begun:
        yield begun


@pytest.fixture(scope="session", autouse=True)
def _faults_begin_first(request):
    """Beside all other tests, for most of their time is the clients' own pauses."""
    if any("results" in item.fixturenames for item in request.session.items):
        request.getfixturevalue("results")
