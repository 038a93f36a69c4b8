"""The real Python clients and ours, each run a process of its own: nothing of them is replaced."""

import json
import os
import pathlib
import subprocess
import sys
import textwrap

from server import WRITER

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = (ROOT / os.environ.get("KERNMILL_BUILD", "build/release") / "bin/kernmill").resolve()
PRELUDE = """
import json, os, pathlib
from huggingface_hub import *
from huggingface_hub.errors import *
api = HfApi()
"""


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

    def kernmill(self, *words, **options) -> subprocess.CompletedProcess:
        """Which Python is asked about torch is the tests' own. Whatever is printed holds no token."""
        assert PROGRAM.exists(), f"{PROGRAM} is not built; set KERNMILL_BUILD to the build folder"
        done = self.run(PROGRAM, *words, **{"KERNMILL_PYTHON": sys.executable, **options})
        token = {**self.environment, **options}.get("HF_TOKEN")
        assert not token or token not in done.stdout + done.stderr, "the token is in the output"
        return done

    def errors(self, *codes: str, **options) -> list[str]:
        """The exception that each piece of code must raise, as `Name: text`; all in one process."""
        tried = "raised = []\n"
        for code in codes:
            tried += f"try:\n{textwrap.indent(code, '    ')}\n    raised.append('none')\n"
            tried += "except Exception as error:\n    raised.append(f'{type(error).__name__}: {error}')\n"
        return json.loads(self.python(tried + "print(json.dumps(raised))", **options).stdout.splitlines()[-1])
