"""Where the token shows up: at the hub, and nowhere else."""

import sys

import pytest
from clients import PROGRAM
from server import TOKENS, WRITER

CANARY = "hf_canaryTOKENthatMustNotShowUp"
NAMES = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]
CHILD = """#!/bin/sh
{ env; tr '\\0' '\\n' </proc/$PPID/environ; tr '\\0' ' ' </proc/$PPID/cmdline; } >>"$HEARD"
exec "$REAL" "$@"
"""


@pytest.fixture
def listener(tmp_path):
    """A Python that tells what it was handed, and what can be read of who started it."""
    child = tmp_path / "python"
    child.write_text(CHILD)
    child.chmod(0o755)
    return {"KERNMILL_PYTHON": str(child), "REAL": sys.executable, "HEARD": str(tmp_path / "heard")}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("words", [["explain", "."], ["search"], ["get", "acme/relu"]], ids=" ".join)
def test_no_child_is_handed_the_token(name, words, hub, client_of, listener, tmp_path):
    hub.tokens[CANARY] = TOKENS[WRITER]
    hub.add("acme/relu", {"build/torch-cpu/__init__.py": b""}, "v1")
    client = client_of(hub.url, token=None)
    client.run(PROGRAM, *words, check=False, **listener, **{name: CANARY})
    heard = (tmp_path / "heard").read_text()
    assert "REAL=" in heard and CANARY not in heard
    tokens = {entry.token for entry in hub.seen()}
    assert tokens == (set() if words[0] == "explain" else {f"Bearer {CANARY}"})
