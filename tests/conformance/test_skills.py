"""Each skill is what agents expect, and each command in it gives what it shows."""

import re
import subprocess

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


@pytest.mark.parametrize("path", SKILLS, ids=lambda p: p.parent.name)
def test_commands(path, tmp_path):
    (tmp_path / "kernels").symlink_to(ROOT / "kernels")
    found = sessions(path.read_text())
    assert len(found) >= 5
    for command, shown in found:
        done = subprocess.run(
            ["bash", "-c", command], cwd=tmp_path, env=ENVIRONMENT, text=True, capture_output=True
        )
        assert done.returncode == 0, done.stderr
        lines = [line for line in shown.splitlines() if line != "..."]
        assert all(any(matches(line, got) for got in done.stdout.splitlines()) for line in lines), done.stdout
    assert (tmp_path / "record/index.html").exists()


# The suite that the reference explains is one.
def test_the_suite_is_read(tmp_path):
    text = (ROOT / "skills/kernel-bench/references/suite.md").read_text()
    (tmp_path / "suite.toml").write_text(re.search(r"```toml\n(.*?)```", text, re.DOTALL).group(1))
    command = ["kernmill", "bench", "--list", tmp_path / "suite.toml"]
    done = subprocess.run(command, env=ENVIRONMENT, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0] == "rms_norm rows=1 columns=4096 bfloat16"
