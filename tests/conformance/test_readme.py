"""The README is run: its commands give the output it shows, its code compiles, its table is the program's."""

import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
BIN = pathlib.Path(sys.executable).parent
ENVIRONMENT = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "NO_COLOR": "1"}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def sessions() -> list[tuple[str, str]]:
    """(command, output shown) of every console block."""
    result = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            result.append((command, output))
    return result


def matches(shown: str, got: str) -> bool:
    """Whether the output is the one shown, where "..." stands for anything within a line."""
    pattern = "[^\n]*".join(re.escape(piece) for piece in shown.strip().split("..."))
    return re.fullmatch(pattern, got.strip()) is not None


def checkout(folder: pathlib.Path) -> pathlib.Path:
    """The checkout by links, with a dist/ of its own: other tests read the one that is packed over here."""
    for path in ROOT.iterdir():
        if path.name not in ("dist", "relu2.c", "relu2.so"):
            (folder / path.name).symlink_to(path)
    return folder


def test_every_command_gives_what_is_shown(tmp_path):
    folder = checkout(tmp_path)
    card = pathlib.Path("dist/kernmill-rmsnorm/README.md")
    before = (ROOT / card).stat().st_mtime_ns if (ROOT / card).exists() else None
    (folder / "relu2.c").write_text(next(b for b in blocks("c") if "relu2" in b))
    for command, shown in sessions():
        done = subprocess.run(
            ["bash", "-c", command], cwd=folder, env=ENVIRONMENT, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert matches(shown, done.stdout), f"$ {command}\nshown:\n{shown}\ngot:\n{done.stdout}"
    assert len(sessions()) > 8
    assert (folder / card).exists()
    assert before == ((ROOT / card).stat().st_mtime_ns if (ROOT / card).exists() else None)


def test_the_comparison_can_fail():
    assert matches("a ... c\n", "a b c") and not matches("a ... c\n", "a b d")


def test_the_commands_are_the_programs():
    shown = re.findall(r"^\| `([a-z]+)` \| (.+) \|$", README, re.MULTILINE)
    answer = subprocess.run([BIN / "kernmill", "help"], capture_output=True, text=True, check=True)
    listed = answer.stdout.split("commands:\n")[1].split("\n\n")[0]
    assert shown == re.findall(r"^  (\S+) +(.+)$", listed, re.MULTILINE)


def test_paths_that_documents_name_are_there():
    for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGES.md"):
        text = (ROOT / name).read_text()
        for path in re.findall(
            r"`((?:csrc|scripts|tests|kernels|benchmarks|templates|python|skills)/[\w./-]+)`", text
        ):
            assert (ROOT / path).exists(), f"{name} names {path}"
