"""Each skill is what agents expect, and each command in it gives what it shows."""

import json
import os
import re
import subprocess
import sys

import pytest
from test_readme import ENVIRONMENT, ROOT, matches

SKILLS = sorted((ROOT / "skills").glob("*/SKILL.md"))


def front_matter(text: str) -> dict[str, str]:
    head = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL).group(1)
    return dict(line.split(": ", 1) for line in head.splitlines())


def sessions(text: str) -> list[tuple[str, str]]:
    found = []
    for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


@pytest.mark.parametrize("path", SKILLS, ids=lambda p: p.parent.name)
def test_form(path):
    text = path.read_text()
    head = front_matter(text)
    assert head["name"] == path.parent.name and re.fullmatch(r"[a-z0-9-]{1,64}", head["name"])
    assert 50 < len(head["description"]) <= 1024 and len(text.splitlines()) < 200
    linked = set(re.findall(r"\]\((references/[\w.-]+)\)", text))
    assert linked == {f"references/{p.name}" for p in (path.parent / "references").iterdir()}


# A script that no text names is never run; one that is named and not there, or cannot be run, stops whoever tries.
@pytest.mark.parametrize("path", SKILLS, ids=lambda p: p.parent.name)
def test_scripts(path):
    there = {p for p in (path.parent / "scripts").glob("*") if p.is_file()}
    texts = [p.read_text() for p in there | {path}]
    named = {name for text in texts for name in re.findall(r"(?:scripts|\$0\"\))/(\w[\w.-]*)", text)}
    assert named == {p.name for p in there}
    assert all(os.access(p, os.X_OK) for p in there if p.suffix != ".py")


# Paths of the repository that a skill names are there, as are the options of the program.
@pytest.mark.parametrize("path", SKILLS, ids=lambda p: p.parent.name)
def test_what_it_names_is_there(path):
    helps = subprocess.run(["kernmill", "help", "--json"], env=ENVIRONMENT, text=True, capture_output=True)
    commands = {c["name"]: {o["name"] for o in c["options"]} for c in json.loads(helps.stdout)["commands"]}
    for file in path.parent.rglob("*.md"):
        text = file.read_text()
        for name in re.findall(r"`((?:csrc|kernels|benchmarks/\w|skills|tests)[\w./-]*/[\w./-]*)", text):
            assert (ROOT / name).exists() or name == "benchmarks/suite.toml", f"{file.name} names {name}"
        for shown in re.findall(r"`kernmill ([a-z][^`]*)`", text):
            words = shown.split()
            command = next((c for c in (" ".join(words[:2]), words[0]) if c in commands), None)
            group = len(words) == 1 and any(c.startswith(f"{words[0]} ") for c in commands)
            assert command or group, f"{file.name}: kernmill {shown}"
            options = set(re.findall(r"--([a-z-]+)", shown)) - {"json", "quiet"}
            assert options <= commands.get(command, set()), f"{file.name}: kernmill {shown}"


# A figure is a record's, word for word.
def test_the_tables_are_the_records():
    text = (ROOT / "skills/cuda-kernels/references/h100.md").read_text()
    rows = set(re.findall(r"^\| \d+ x \d+ \|.*$", text, re.MULTILINE))
    printed = set()
    for record in set(re.findall(r"benchmarks/results/h100/\w+\.jsonl", text)):
        for column in ("cold", "chained"):
            command = [sys.executable, ROOT / "benchmarks/tools/table.py", ROOT / record, column]
            done = subprocess.run(command, text=True, capture_output=True)
            printed |= set(done.stdout.splitlines())
    assert len(rows) > 15 and rows <= printed, rows - printed


# What publish-kernel shows needs a hub: tests/hub/test_publish_skill.py runs it.
HERE = [path for path in SKILLS if path.parent.name != "publish-kernel"]


@pytest.mark.parametrize("path", HERE, ids=lambda p: p.parent.name)
def test_commands(path, tmp_path):
    (tmp_path / "kernels").symlink_to(ROOT / "kernels")
    found = sessions(path.read_text())
    environment = {**ENVIRONMENT, "SKILL": str(path.parent)}
    assert len(found) >= 5
    for command, shown in found:
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=environment, text=True, capture_output=True
        )
        assert done.returncode == 0, done.stderr
        lines = [line for line in shown.splitlines() if line != "..."]
        assert all(any(matches(line, got) for got in done.stdout.splitlines()) for line in lines), done.stdout
    if path.parent.name == "kernel-bench":
        assert (tmp_path / "record/index.html").exists()


# The suite that the reference explains is one.
def test_the_suite_is_read(tmp_path):
    text = (ROOT / "skills/kernel-bench/references/suite.md").read_text()
    (tmp_path / "suite.toml").write_text(re.search(r"```toml\n(.*?)```", text, re.DOTALL).group(1))
    command = ["kernmill", "bench", "--list", tmp_path / "suite.toml"]
    done = subprocess.run(command, env=ENVIRONMENT, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "rms_norm rows=1 columns=4096 bfloat16"
