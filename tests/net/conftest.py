"""Servers on 127.0.0.1 and the programs that ask them; a token that may show up nowhere."""

import dataclasses
import json
import os
import subprocess

import pytest
from faulty_server import BUILD, CANARY, Server

STEERING = ("KERNMILL_", "HF_", "HUGGING", "TRANSFORMERS_", "http", "HTTP", "https", "HTTPS", "all_", "ALL_",
            "no_", "NO_", "SSL_", "CURL_", "REQUESTS_", "XDG_")  # fmt: skip


@dataclasses.dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def server():
    s = Server()
    yield s
    s.close()


@pytest.fixture
def stranger():
    """Another origin."""
    s = Server()
    yield s
    s.close()


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(STEERING)}
    return {**clean, "HOME": str(tmp_path / "home"), "HF_TOKEN": CANARY}


@pytest.fixture
def run(environment):
    """run(program, words...) -> Done; whatever it prints holds no token."""

    def start(program, *words, **env) -> Done:
        merged = {k: v for k, v in {**environment, **env}.items() if v is not None}
        done = subprocess.run(
            [program, *map(str, words)], env=merged, capture_output=True, text=True, timeout=60
        )
        assert CANARY not in done.stdout + done.stderr, "the token is in the output"
        return Done(done.returncode, done.stdout, done.stderr)

    return start


@pytest.fixture
def driver(server, run):
    """driver("get", url): http_driver with the server as its hub."""

    def start(*words, hub=None, **env) -> Done:
        return run(BUILD / "bin" / "http_driver", hub or server.url, *words, **env)

    return start


@pytest.fixture
def kernmill(server, run, tmp_path):
    def start(*words, **env) -> Done:
        places = {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "hf")}
        return run(BUILD / "bin" / "kernmill", *words, **{**places, **env})

    return start
