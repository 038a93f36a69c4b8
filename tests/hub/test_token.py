"""Where the token shows up: at the hub, in what is asked of it, and nowhere else."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading

import pytest
from clients import PROGRAM, Client
from faults import Redirect, WrongBytes
from server import TOKENS, WRITER

ROOT = pathlib.Path(__file__).resolve().parents[2]
CANARY = "hf_canaryTOKENthatMustNotShowUp"
VARIABLES = ["HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"]
TOOLS = ["gcc", "cc", "g++", "c++", "ld", "ninja", "git", "strip", "objcopy", "nvidia-smi", "hf", "kernels"]
# /proc/$PPID is the program that started it, or one of its children
CHILD = """#!/bin/sh
{{ echo; echo "started: $0 $*"; env; tr '\\0' '\\n' </proc/$PPID/environ; tr '\\0' ' ' </proc/$PPID/cmdline; }} >>{heard}
exec {real} "$@"
"""


class Listener:
    """What children are handed: stand-ins for Python and the tools, and a look at /proc meanwhile."""

    def __init__(self, folder: pathlib.Path):
        self.heard = folder / "heard"
        self.heard.touch()
        self.tools = folder / "tools"
        self.tools.mkdir()
        self.seen: dict[int, str] = {}
        for name in TOOLS:
            if real := shutil.which(name):
                self.stand_in(name, real)
        self.python = self.stand_in("kernmill-python", sys.executable)

    def stand_in(self, name: str, real: str) -> pathlib.Path:
        path = self.tools / name
        path.write_text(CHILD.format(heard=self.heard, real=real))
        path.chmod(0o755)
        return path

    def environment(self) -> dict[str, str]:
        return {"KERNMILL_PYTHON": str(self.python), "PATH": f"{self.tools}:{os.environ['PATH']}"}

    def run(self, client: Client, *words, **environment) -> subprocess.CompletedProcess:
        process = subprocess.Popen(
            [str(word) for word in (PROGRAM, *words)], env={**client.environment, **self.environment(), **environment},
            cwd=client.home, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        ended = threading.Event()
        watching = threading.Thread(target=self.watch, args=(process.pid, ended))
        watching.start()
        try:
            out, err = process.communicate(timeout=120)
        finally:
            process.kill()
            ended.set()
            watching.join()
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def watch(self, root: int, ended: threading.Event) -> None:
        """Command lines of it and of what it started; environments of the latter: its own begins with the token."""
        while not ended.wait(0.005):
            names = [path.name for path in pathlib.Path("/proc").iterdir()]
            parents = {pid: parent for pid, parent in map(parent_of, names) if parent}
            for pid in parents:
                above = pid
                while above in parents and above != root:
                    above = parents[above]
                if above == root:
                    self.seen[pid] = self.seen.get(pid, "") + read(pid, "cmdline")
                    if pid != root:
                        self.seen[pid] += read(pid, "environ")

    def text(self) -> str:
        return self.heard.read_text(errors="replace") + "".join(self.seen.values())


def read(pid: int, what: str) -> str:
    try:
        return pathlib.Path(f"/proc/{pid}/{what}").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def parent_of(name: str) -> tuple[int, int]:
    words = read(int(name), "stat").rpartition(")")[2].split() if name.isdigit() else []
    return (int(name), int(words[1])) if words else (0, 0)


@pytest.fixture
def listener(tmp_path) -> Listener:
    return Listener(tmp_path)


def at_the_hub_alone(hub) -> None:
    for entry in hub.log:
        assert entry.token in ((None, f"Bearer {CANARY}") if entry.origin == "hub" else (None,))
        others = {name: value for name, value in entry.headers.items() if name != "authorization"}
        assert CANARY not in f"{entry.target}{others}{entry.body}"


@pytest.mark.parametrize("name", VARIABLES)
@pytest.mark.parametrize("words", [["explain", "."], ["search"], ["get", "acme/relu"]], ids=" ".join)
def test_no_child_is_handed_the_token(name, words, hub, client_of, listener):
    hub.tokens[CANARY] = TOKENS[WRITER]
    hub.add("acme/relu", {"build/torch-cpu/__init__.py": b""}, "v1")
    listener.run(client_of(hub.url, token=None), *words, **{name: CANARY})
    heard = listener.text()
    assert "started: " in heard and "HF_ENDPOINT=" in heard and CANARY not in heard
    tokens = {entry.token for entry in hub.seen()}
    assert tokens == (set() if words[0] == "explain" else {f"Bearer {CANARY}"})


# ---- every command ----

SCRIPT = """
import os, torch
print(dict(os.environ))
open("environment-of-the-script", "w").write(repr(dict(os.environ)))
for _ in range(3):
    torch.nn.functional.rms_norm(torch.ones(8, 64), (64,))
"""
PROJECT = '[project]\nname = "p"\nversion = "1"\n[tool.kernels.dependencies]\n"acme/demo" = 1\n'
ANY = None
DEMO_PACKED = "dist/demo"
# the command line and the code that it ends with; STRANGER is another origin
COMMANDS = [
    (["init", "demo"], 0), (["init", "demo"], ANY), (["init", "../x/\x1b", "--json"], ANY),
    (["check", "demo"], ANY), (["check", "demo", "--json"], ANY), (["check", "nothing"], ANY),
    (["plan", "demo"], 0), (["plan", "demo", "--json", "--cpu"], ANY), (["plan", "nothing", "--json"], ANY),
    (["build", "demo", "--cpu", "--verbose"], 0), (["build", "nothing", "--json"], ANY),
    (["test", "demo", "--cpu", "--verbose", "--json"], 0), (["test", "nothing"], ANY),
    (["bench", "demo"], ANY), (["bench", ROOT / "kernels/rmsnorm", "--list", "--json"], ANY),
    (["compare", "a.jsonl", "b.jsonl"], ANY), (["compare", "a.jsonl", "b.jsonl", "--json"], ANY),
    (["report", "a.jsonl"], ANY), (["report", "a.jsonl", "--json"], ANY),
    (["profile", "script.py", "--json"], 0), (["profile", "nothing.py"], ANY),
    (["pack", "demo", "--cpu", "--output", "dist", "--verbose"], 0), (["pack", "nothing", "--json"], ANY),
    (["explain", DEMO_PACKED], 0), (["explain", DEMO_PACKED, "--json"], 0), (["explain", "nothing"], ANY),
    (["publish", DEMO_PACKED, "acme/demo", "--transport", "http", "--dry-run"], ANY),
    (["publish", DEMO_PACKED, "acme/demo", "--transport", "http", "--json"], ANY),
    (["publish", DEMO_PACKED, "other/demo", "--transport", "http"], ANY),
    (["search"], 0), (["search", "demo", "--json"], ANY), (["search", "--limit", "0"], ANY),
    (["get", "acme/relu"], 0), (["get", "acme/relu", "--all", "--json"], 0), (["get", "acme/absent"], 5),
    (["get", "acme/relu", "--variant", "torch-cpu", "--output", "copy"], 0), (["get", "acme/broken", "--all"], 4),
    (["get", "acme/elsewhere", "--all", "--json"], ANY),
    (["get", "demo", "--index", "STRANGER"], ANY), (["get", "demo", "--index", "dist", "--json"], ANY),
    *[(["lab", word, "--json"], ANY) for word in ("init", "propose", "review", "plan", "claim", "beat", "submit", "fail", "judge",
                                                  "cancel", "decide", "run", "status", "report", "backup", "import", "export", "suggest",
                                                  "watch", "alert", "notify", "edit", "evaluate", "promote", "champion", "sweep")],
    (["lab", "papers", "norm", "--json"], ANY), (["lab", "papers", "2401.12345"], ANY),
    (["lock", "project"], ANY), (["lock", "project", "--check", "--json"], ANY), (["lock", "nothing"], ANY),
    (["verify", "acme/relu"], ANY), (["verify", DEMO_PACKED, "--json"], ANY), (["verify", "nothing"], ANY),
    (["skill", "list", "--json"], 0), (["skill", "add", "kernel-bench", "--dest", "skills"], 0), (["skill", "add", "x"], ANY),
    (["doctor"], ANY), (["doctor", "--json"], ANY), (["version"], 0), (["version", "--json"], 0),
    (["help"], 0), (["help", "--json"], 0), (["help", "get"], 0), (["net-version", "--json"], 0),
    (["no-such-command", "--json"], 2),
]  # fmt: skip
OVER_THE_NETWORK = {"publish", "search", "get", "lock"}


def prepare(hub, client: Client) -> None:
    hub.tokens[CANARY] = TOKENS[WRITER]
    for name in ("relu", "broken", "elsewhere"):
        hub.add(
            f"acme/{name}", {"build/torch-cpu/__init__.py": b"", "build/torch-cpu/m.py": name.encode()}, "v1"
        )
    hub.fault(WrongBytes(), path="acme/broken/resolve/.*/m.py", times=None)
    hub.fault(Redirect(hub.stranger_url), path="acme/elsewhere/resolve/.*/m.py", times=None)
    (client.home / "script.py").write_text(SCRIPT)
    (client.home / "project").mkdir()
    (client.home / "project/pyproject.toml").write_text(PROJECT)


def files_with_it(*folders: pathlib.Path) -> list[str]:
    needle = CANARY.encode()
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if needle in path.read_bytes() or needle in bytes(path)]


def commands_of(source: str) -> list:
    """All of them with the variable that people set; with the others those that read it at all."""
    if source == "HF_TOKEN":
        return COMMANDS
    return [
        row
        for row in COMMANDS
        if row[0][0] in OVER_THE_NETWORK | {"init", "build", "pack", "explain", "doctor"}
    ]


@pytest.mark.parametrize("source", [*VARIABLES, "file"])
def test_no_command_shows_the_token(source, hub, client_of, listener, tmp_path):
    client = client_of(hub.url, token=None)
    prepare(hub, client)
    token_file, environment = client.home / "hf/token", {}
    if source == "file":
        token_file.parent.mkdir(parents=True)
        token_file.write_text(CANARY + "\n")
    else:
        environment = {source: CANARY}
    for words, code in commands_of(source):
        words = [hub.stranger_url if word == "STRANGER" else word for word in words]
        done = listener.run(client, *words, **environment)
        assert CANARY not in done.stdout and CANARY not in done.stderr, words
        assert CANARY not in listener.text(), words
        assert code in (ANY, done.returncode), (words, done.returncode, done.stdout, done.stderr)
        assert 0 <= done.returncode < 70, (words, done.stderr)
    token_file.unlink(missing_ok=True)
    assert files_with_it(client.home, listener.tools, hub.store.root) == []
    at_the_hub_alone(hub)
    assert hub.seen(origin="stranger") and f"Bearer {CANARY}" in {entry.token for entry in hub.log}
    if source == "HF_TOKEN":
        started = {line.split()[1].rsplit("/", 1)[1] for line in listener.heard.read_text().splitlines()
                   if line.startswith("started: /")}  # fmt: skip
        assert {"kernmill-python", "ninja"} <= started and (
            client.home / "environment-of-the-script"
        ).exists()


# A command that is added is looked at, too.
def test_every_command_is_tried(client_of):
    told = json.loads(client_of("http://127.0.0.1:9", token=None).kernmill("help", "--json").stdout)
    names = {row["name"] for row in told["commands"]}
    tried = {" ".join(map(str, words[:n])) for words, _ in COMMANDS for n in (1, 2)}
    assert names <= tried and names >= OVER_THE_NETWORK
