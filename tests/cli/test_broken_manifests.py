"""Every file of broken/ is a build.toml (card_*: a card.toml) with one fault, and begins with what kernmill says
about it: lines "#> " hold stderr, a line "#$ " the command when it is not `check build.toml`.

`pytest tests/cli/test_broken_manifests.py --update-goldens` writes what the program says today; read the diff
as the author of the file would.
"""

import pathlib
import re

import pytest

BROKEN = pathlib.Path(__file__).parent / "broken"
FILES = sorted(BROKEN.glob("*.toml"))
GOOD = (BROKEN / "../good.toml").resolve().read_bytes()
SOURCES = ("torch-ext/torch_binding.c", "torch-ext/torch_binding.cpp", "cpu/demo.c", "cuda/demo.cu", "demo.cu",
           "cuda/my-demo.cu", "demo.h", "torch-ext/demo/__init__.py")  # fmt: skip


def body_of(text: bytes) -> bytes:
    return b"".join(line for line in text.splitlines(True) if not line.startswith(b"#> "))


def said_about(text: bytes, is_card: bool, folder: pathlib.Path, kernmill):
    """What the program answers when `text` is the manifest of a repository."""
    for name in SOURCES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "build.toml").write_bytes(GOOD if is_card else text)
    if is_card:
        (folder / "card.toml").write_bytes(text)
    command = re.search(rb"^#\$ (.*)$", text, re.MULTILINE)
    words = command[1].decode().split() if command else ["check", "build.toml"]
    return kernmill(*words, cwd=folder)


def header(answer) -> bytes:
    return "".join(f"#> {line}\n" for line in answer.err.splitlines()).encode()


def update(path: pathlib.Path, folder: pathlib.Path, kernmill) -> None:
    """The header moves the lines that it speaks of, so it is written until it is right."""
    for _ in range(3):
        text = path.read_bytes()
        answer = said_about(text, path.name.startswith("card_"), folder, kernmill)
        path.write_bytes(header(answer) + body_of(text))


# A message that says the wrong thing about a file, at the wrong place, or with the wrong advice.
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_says_what_is_wrong(path, tmp_path, kernmill, request):
    if request.config.getoption("--update-goldens"):
        update(path, tmp_path, kernmill)
    text = path.read_bytes()
    is_card = path.name.startswith("card_")
    answer = said_about(text, is_card, tmp_path, kernmill)
    expected = b"".join(line[3:] for line in text.splitlines(True) if line.startswith(b"#> ")).decode()
    assert answer.err == expected
    assert answer.out == ""
    assert answer.code == 4
    place = re.match(r"(?:\./)?(build|card)\.toml:(\d+):(\d+): error: [a-z'\[0-9]", answer.err)
    assert place and place[1] == ("card" if is_card else "build")
    assert int(place[2]) <= text.count(b"\n") + 1


# The same error for machines: place, message and hint apart.
@pytest.mark.parametrize(
    "name", ["kernel_capability_key", "card_wheel_version_other", "syntax_unclosed_string"]
)
def test_the_same_as_json(name, tmp_path, kernmill):
    path = BROKEN / f"{name}.toml"
    plain = said_about(path.read_bytes(), name.startswith("card_"), tmp_path, kernmill)
    answer = kernmill("check", "--json", "build.toml", cwd=tmp_path)
    error = answer.json["error"]
    assert answer.code == 4 and answer.json["schema"] == 1 and error["code"] == "format"
    assert plain.err.splitlines()[0] == f"{error['place']}: error: {error['message']}"
    assert plain.err.splitlines()[1:] == ([f"  {error['hint']}"] if error["hint"] else [])


# A parametrised test without parameters passes.
def test_there_are_enough():
    assert sum(not path.name.startswith("card_") for path in FILES) >= 30
    assert sum(path.name.startswith("card_") for path in FILES) >= 5


# The faults are the files', not the frame's: with the good manifest the same command has nothing to say.
def test_the_good_one_is_good(tmp_path, kernmill):
    answer = said_about(GOOD, False, tmp_path, kernmill)
    assert answer.code == 0 and "0 errors" in answer.out
