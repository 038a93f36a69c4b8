"""The skill publish-kernel, followed: its commands give what it shows, its refusals are the program's.

What would be lost: an agent that does what the skill says stops at a command that no longer works, or meets a
refusal whose remedy the skill has wrong.
"""

import os
import pathlib
import re
import shutil
import sys

import pytest
from faults import Meanwhile
from server import READER
from small_kernels import CPU, files_of, swap
from test_publish import write_tests

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / os.environ.get("KERNMILL_BUILD", "build/release") / "bin/kernmill"
SKILL = ROOT / "skills/publish-kernel"
OWNER = "acme"
ELSEWHERE = "## 5."  # from here on it is another machine


def sessions(text: str) -> list[tuple[str, str]]:
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output.replace("$OWNER", OWNER)))
    return found


def matches(shown: str, got: str) -> bool:
    pattern = ".*".join(re.escape(piece) for piece in shown.strip().split("..."))
    return re.fullmatch(pattern, got.strip()) is not None


def follow(client, folder, command: str, shown: str) -> None:
    place = folder / "site"
    told = client.run(
        "bash", "-c", f"cd {folder}; {command}", check=False, timeout=240, OWNER=OWNER,
        PATH=f"{PROGRAM.parent}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}",
        KERNMILL_PYTHON=sys.executable, KERNMILL_PROGRAM=str(PROGRAM), PYTHONPATH=f"{place}:{ROOT / 'python'}",
        PIP_TARGET=str(place), NO_COLOR="1",
    )  # fmt: skip
    assert told.returncode == 0, f"$ {command}\n{told.stdout}{told.stderr}"
    for line in shown.splitlines():
        assert line == "..." or any(matches(line, got) for got in told.stdout.splitlines()), (
            f"$ {command}\nshown: {line}\ngot:\n{told.stdout}{told.stderr}"
        )


def test_its_commands_from_source_to_another_machine(hub, client, client_of, tmp_path):
    here, there = (SKILL / "SKILL.md").read_text().split(ELSEWHERE)
    for command, shown in sessions(here):
        follow(client, tmp_path, command, shown)
    other = client_of(hub.url, READER, name="elsewhere")
    for command, shown in sessions(there):
        follow(other, tmp_path, command, shown)
    assert len(sessions(here)) > 7 and len(sessions(there)) > 9
    assert (other.cache / "kernels--acme--demo-scale").is_dir()


# ---- what is refused ----


@pytest.fixture
def kernmill(client, tmp_path):
    def run(*words, **options):
        return client.run(PROGRAM, *words, check=False, **{"KERNMILL_PYTHON": sys.executable, **options})

    return run


@pytest.fixture
def packed(kernel, tmp_path) -> pathlib.Path:
    folder = tmp_path / "packed"
    shutil.copytree(kernel, folder, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    write_tests(folder)
    return folder


def untested(hub, kernmill, packed, folder):
    (packed / "tests.json").unlink()
    return kernmill("publish", packed, "acme/rms")


def untested_on_gpu(hub, kernmill, packed, folder):
    write_tests(packed, gpu="")
    return kernmill("publish", packed, "acme/rms")


def failed(hub, kernmill, packed, folder):
    write_tests(packed, failed=1, failures=["test_x"])
    return kernmill("publish", packed, "acme/rms", "--allow-untested")


def no_licence(hub, kernmill, packed, folder):
    card = (packed / "README.md").read_text()
    (packed / "README.md").write_text(re.sub(r"(?m)^license:.*\n", "", card, count=1))
    return kernmill("publish", packed, "acme/rms")


def secret(hub, kernmill, packed, folder):
    (packed / "LICENSE").write_text("token = hf_" + "Q" * 34)
    return kernmill("publish", packed, "acme/rms")


def no_token(hub, kernmill, packed, folder):
    return kernmill("publish", packed, "acme/rms", HF_TOKEN="")


def no_rights(hub, kernmill, packed, folder):
    return kernmill("publish", packed, "acme/rms", HF_TOKEN=READER)


def older(hub, kernmill, packed, folder):
    hub.add("acme/rms", {"build/x/metadata.json": b"{}"}, "v2")
    return kernmill("publish", packed, "acme/rms")


def moved(hub, kernmill, packed, folder):
    kernmill("publish", packed, "acme/rms")
    (packed / "LICENSE").write_text("mine\n")
    theirs = Meanwhile(lambda: hub.add("acme/rms", {"LICENSE": b"theirs\n"}, "v1"))
    hub.fault(theirs, method="POST", path="/commit/v1")
    return kernmill("publish", packed, "acme/rms")


def stray(hub, kernmill, packed, folder):
    (packed / "notes.txt").write_text("x\n")
    return kernmill("publish", packed, "acme/rms")


def no_variant(hub, kernmill, packed, folder):
    hub.add("acme/relu", files_of("relu", variants=["torch-cuda"]), "v1")
    return kernmill("get", "acme/relu")


def offline(hub, kernmill, packed, folder):
    return kernmill("get", "acme/relu", "--version", "1", HF_HUB_OFFLINE="1")


def locked(hub, kernmill, folder):
    commit = hub.add("acme/relu", files_of("relu"), "v1")
    (folder / "pyproject.toml").write_text('[tool.kernels.dependencies]\n"acme/relu" = 1\n')
    assert kernmill("lock", folder).returncode == 0
    return commit.oid


def out_of_date(hub, kernmill, packed, folder):
    locked(hub, kernmill, folder)
    hub.add("acme/relu", {"a.txt": b"moves the branch"}, "v1")
    return kernmill("lock", folder, "--check")


def not_the_locks(hub, kernmill, packed, folder):
    oid = locked(hub, kernmill, folder)
    swap(hub, "acme/relu", oid, f"build/{CPU}/layers.py", b"ANSWER = 43\n")
    return kernmill("get", "acme/relu", "--lock", folder / "kernels.lock", "--variant", CPU)


PROVOKED = [untested, untested_on_gpu, failed, no_licence, secret, no_token, no_rights, older, moved, stray,
            no_variant, offline, out_of_date, not_the_locks]  # fmt: skip


def rows() -> list[tuple[str, int]]:
    text = (SKILL / "references/refusals.md").read_text()
    return [
        (says, int(code)) for says, code in re.findall(r"^\| `([^`]+)`.*? \| (\d) \|", text, re.MULTILINE)
    ]


@pytest.mark.parametrize("provoke", PROVOKED, ids=lambda f: f.__name__)
def test_its_refusals_are_the_programs(hub, kernmill, packed, tmp_path, provoke):
    says, code = rows()[PROVOKED.index(provoke)]
    done = provoke(hub, kernmill, packed, tmp_path)
    assert says in done.stdout + done.stderr and done.returncode == code, (
        done.returncode,
        done.stdout,
        done.stderr,
    )


def test_every_refusal_is_provoked():
    assert len(rows()) == len(PROVOKED)
