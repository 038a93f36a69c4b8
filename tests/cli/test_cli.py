"""The command line: what it prints where, its exit codes, and the commands that build nothing."""

import os
import pathlib
import pty
import re
import shutil
import subprocess

import pytest
from program import PROGRAM, ROOT, replace, stamps

ROWS = [
    "init",
    "import",
    "papers",
    "suggest",
    "propose",
    "review",
    "plan",
    "claim",
    "beat",
    "edit",
    "evaluate",
    "submit",
    "fail",
    "cancel",
    "sweep",
    "judge",
    "decide",
    "promote",
    "champion",
    "run",
    "status",
    "watch",
    "alert",
    "notify",
    "report",
    "export",
    "backup",
]
LAB = [f"lab {row}" for row in ROWS]
COMMANDS = [
    "init",
    "check",
    "plan",
    "build",
    "test",
    "bench",
    "compare",
    "report",
    "profile",
    "pack",
    "explain",
    "search",
    "publish",
    "get",
    "lock",
    "verify",
    *LAB,
    "skill",
    "doctor",
    "version",
    "help",
]


# ---- help ----

OVERVIEW = """\
usage: kernmill COMMAND [options] [arguments]

commands:
  init       make a new kernel repository that builds and tests at once
  check      find what is wrong with a kernel repository, library, wheel or Hub folder
  plan       list the variants that a kernel repository means, and what can be built here
  build      compile a kernel repository: libraries, Python packages, Hub folders
  test       build, and run the kernel's own tests on the built files
  bench      measure a suite: every call in turns, and check what was timed
  compare    find what became slower, or wrong, between two records of bench
  report     draw a record of bench: plots, and one HTML file
  profile    run a model's script, and list what a kernel could win of its time
  pack       build, check, and write the wheel and the Hub layout with its card
  explain    say which variant or wheel fits a machine, why, and what is in the way
  search     list the kernels of the Hub, and say which fit a machine
  publish    upload a packed kernel to the Hub: tested files, one commit, read again
  get        fetch a kernel from the Hub, a folder or an index of wheels
  lock       write kernels.lock, with the digests of every file, for a project's kernels
  verify     say whether an installed kernel holds exactly the files that were built
  lab        keep the ideas, the work and the results of experiments, for agents and people
  skill      install what teaches an agent to use kernmill, or list it
  doctor     say what this machine has and lacks, and the line to type
  version    print the versions of the program and of the SDK
  help       list the commands, or describe one

'kernmill help COMMAND' describes one. Exit codes:
  0          done
  1          an honest no: a finding, a failed test, a wrong result, nothing that fits
  2          usage
  3          the environment lacks something
  4          invalid input
  5          I/O or the network
  70         a bug in kernmill
"""

HELP_CHECK = """\
usage: kernmill check [options] [PATH]

  find what is wrong with a kernel repository, library, wheel or Hub folder

PATH is a repository (or its build.toml), a library, a wheel, or a folder in the Hub's
layout; without one, the working folder.

options:
      --json                 print the result as JSON
  -q, --quiet                say nothing while running
  -h, --help                 print this help
"""

HELP_INIT = """\
usage: kernmill init [options] NAME

  make a new kernel repository that builds and tests at once

NAME has 2 to 64 lower-case letters, digits and '-'; the Python package and the
operators' namespace have '_' for '-'.

options:
  -d, --directory DIR        where to make it (default: NAME)
      --json                 print the result as JSON
  -q, --quiet                say nothing while running
  -h, --help                 print this help
"""


# The first thing a new user types, in each of its spellings.
def test_overview(kernmill):
    for words in (["help"], ["--help"], ["-h"]):
        answer = kernmill(*words)
        assert (answer.code, answer.out, answer.err) == (0, OVERVIEW, "")
    answer = kernmill()
    assert (answer.code, answer.out, answer.err) == (2, OVERVIEW, "")


# A command's own help, in each of its spellings, laid out for a terminal.
def test_help_of_a_command(kernmill):
    for words in (["help", "check"], ["check", "--help"], ["check", "-h"], ["check", "x", "y", "--help"]):
        answer = kernmill(*words)
        assert (answer.code, answer.out, answer.err) == (0, HELP_CHECK, "")
    assert kernmill("help", "init").out == HELP_INIT
    for command in COMMANDS:
        answer = kernmill("help", *command.split())
        assert answer.code == 0 and answer.out.startswith(f"usage: kernmill {command} [options]")
        assert all(len(line) <= 100 for line in answer.out.splitlines())
        assert not re.search(r"^  [ -].{25}\S", answer.out, re.MULTILINE), "a name reaches into the help"


# Agents read the table instead of the text: every command, with its help and options.
def test_help_as_json(kernmill):
    document = kernmill("help", "--json").json
    assert set(document) == {"schema", "version", "options", "commands", "exit_codes"}
    assert document["schema"] == 1 and re.fullmatch(r"\d+\.\d+\.\d+", document["version"])
    assert [o["name"] for o in document["options"]] == ["json", "quiet", "help"]
    assert [c["name"] for c in document["commands"]] == COMMANDS
    for command in document["commands"]:
        assert set(command) == {"name", "help", "args", "options"} and command["help"]
        text = kernmill("help", *command["name"].split()).out
        for option in command["options"] + document["options"]:
            assert set(option) - {"value"} == {"name", "letter", "help"}
            assert len(option["letter"]) <= 1
            start = f"-{option['letter']}, " if option["letter"] else "    "
            value = f" {option['value']}" if "value" in option else ""
            assert re.search(
                rf"^  {start}--{option['name']}{value} +{re.escape(option['help'])}$", text, re.M
            )


# The same row of the table, alone; and a name that is none is an error there, too.
def test_help_of_a_command_as_json(kernmill):
    whole = kernmill("help", "--json").json
    for command in whole["commands"]:
        one = kernmill("help", *command["name"].split(), "--json").json
        assert one == {**whole, "commands": [command]}
    answer = kernmill("help", "biuld", "--json")
    assert answer.code == 2 and answer.json["error"]["message"] == "unknown command 'biuld'"


# Bug reports begin with this line; it says what CMake says.
def test_version(kernmill):
    answer = kernmill("version")
    number = re.search(r"project\(kernmill VERSION ([\d.]+)", (ROOT / "CMakeLists.txt").read_text())[1]
    assert re.fullmatch(rf"kernmill {number} \(SDK [\d.]+, torch 2\.\d+ to 2\.\d+\)\n", answer.out)
    assert kernmill("--version").out == answer.out
    document = kernmill("version", "--json").json
    assert document["schema"] == 1 and document["kernmill"] == number
    oldest, newest = document["torch"]
    assert f"SDK {document['sdk']}, torch {oldest} to {newest})" in answer.out


# ---- wrong command lines ----

USAGE = [
    (["bild"], "unknown command 'bild'", "did you mean 'build'?"),
    (["chekc"], "unknown command 'chekc'", "did you mean 'check'?"),
    (["frobnicate"], "unknown command 'frobnicate'", "'kernmill help' lists the commands"),
    ([""], "unknown command ''", "'kernmill help' lists the commands"),
    (["--nope"], "the command is missing before '--nope'", "options follow the command: kernmill COMMAND --nope"),
    (["build", "--job", "3"], "unknown option '--job'", "did you mean '--jobs'?"),
    (["build", "--quite"], "unknown option '--quite'", "did you mean '--quiet'?"),
    (["build", "-x"], "unknown option '-x'",
     "usage: kernmill build [options] [PATH]; see 'kernmill help build'"),
    (["build", "--jobs"], "option '--jobs' wants a value N",
     "usage: kernmill build [options] [PATH]; see 'kernmill help build'"),
    (["build", "--jobs", "many"], "option '--jobs' wants a whole number, not 'many'",
     "usage: kernmill build [options] [PATH]; see 'kernmill help build'"),
    (["build", "--jobs", "-1"], "option '--jobs' wants a number of at least 1",
     "usage: kernmill build [options] [PATH]; see 'kernmill help build'"),
    (["build", "--compiler", "icc"], "option '--compiler' wants nvrtc or nvcc, not 'icc'",
     "usage: kernmill build [options] [PATH]; see 'kernmill help build'"),
    (["build", "--cpu=yes"], "option '--cpu' takes no value",
     "usage: kernmill build [options] [PATH]; see 'kernmill help build'"),
    (["check", "a", "b"], "too many arguments",
     "usage: kernmill check [options] [PATH]; see 'kernmill help check'"),
    (["init"], "an argument is missing", "usage: kernmill init [options] NAME; see 'kernmill help init'"),
    (["version", "x"], "too many arguments", "usage: kernmill version [options]; see 'kernmill help version'"),
    (["doctor", "x"], "too many arguments", "usage: kernmill doctor [options]; see 'kernmill help doctor'"),
]  # fmt: skip


def name_of(words) -> str:
    return " ".join(words) if isinstance(words, list) else ""


@pytest.mark.parametrize(("words", "message", "hint"), USAGE, ids=name_of)
def test_wrong_usage(words, message, hint, kernmill, tmp_path):
    answer = kernmill(*words, cwd=tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"kernmill: error: {message}\n  {hint}\n"
    assert list(tmp_path.iterdir()) == []


# With --json an error is a document, too, wherever the option stands; stderr says it for people.
@pytest.mark.parametrize("place", ["first", "last"])
def test_errors_as_json(place, kernmill):
    for words, message, hint in USAGE[5:13]:
        line = [*words[:1], "--json", *words[1:]] if place == "first" else [*words, "--json"]
        if words == ["build", "--jobs"]:
            continue  # takes the next word as its value
        answer = kernmill(*line)
        assert answer.code == 2
        assert answer.json == {
            "schema": 1,
            "error": {"code": "usage", "place": "", "message": message, "hint": hint},
        }
        assert answer.err.startswith(f"kernmill: error: {message}\n")


# ---- exit codes: scripts and agents branch on them ----


# 0 to 5, each from the plainest cause.
def test_exit_codes(kernmill, built, tmp_path):
    (tmp_path / "not-elf.so").write_text("no library\n")
    (tmp_path / "build.toml").write_text("[general\n")
    bare = tmp_path / "bare.so"
    subprocess.run(["gcc", "-shared", "-o", bare, "-xc", "/dev/null"], check=True)
    assert kernmill("check", built).code == 0
    assert kernmill("check", bare).code == 1  # does not name libtorch_cpu.so
    assert kernmill("check", "a", "b").code == 2
    assert kernmill("build", "--cpu", built, env={"PATH": "/none"}).code == 3
    assert kernmill("check", tmp_path / "not-elf.so").code == 4
    assert kernmill("check", tmp_path).code == 4
    assert kernmill("check", tmp_path / "none").code == 5
    codes = {"bare.so": None, "not-elf.so": "format", "none": "absent", "build.toml": "format"}
    for name, code in codes.items():
        document = kernmill("check", "--json", tmp_path / name).json
        assert document.get("error", {}).get("code") == code


# A result that was not written is not a success.
def test_result_that_cannot_be_written(kernmill, tmp_path):
    for words in (["version"], ["help"], ["help", "--json"], ["check", "--json", tmp_path / "none"]):
        with pathlib.Path("/dev/full").open("w") as full:
            answer = kernmill(*words, stdout=full)
        assert answer.code == 5
        assert answer.err.endswith("kernmill: error: unable to write the result\n")


# With stdout closed, too; and the number of a closed stream must not become that of a file that we open: then
# what we and the compilers print would go into it.
def test_closed_streams(kernmill, repository):
    answer = kernmill("version", stdout=None, preexec_fn=lambda: os.close(1))
    assert answer.code == 5 and "unable to write the result" in answer.err
    answer = kernmill("build", "--cpu", repository, preexec_fn=lambda: os.close(2))
    assert answer.code == 0 and "torch-stable-abi210-cpu-x86_64-linux" in answer.out
    assert (repository / "build/.kernmill/lock").read_bytes() == b""
    (repository / "scale.h").touch()
    answer = kernmill("build", "--cpu", repository, stdout=None, preexec_fn=lambda: os.closerange(0, 3))
    assert answer.code == 5
    assert (repository / "build/.kernmill/lock").read_bytes() == b""
    assert kernmill("check", repository / "build/torch-stable-abi210-cpu-x86_64-linux").code == 0


# ---- what is printed where ----


def on_a_terminal(words, environment, cwd) -> str:
    """stdout and stderr of the program on a pseudo-terminal."""
    main, side = pty.openpty()
    process = subprocess.Popen(
        [PROGRAM, *words], cwd=cwd, env=environment, stdin=side, stdout=side, stderr=side
    )
    os.close(side)
    text = b""
    while True:
        try:
            piece = os.read(main, 65536)
        except OSError:
            break
        if not piece:
            break
        text += piece
    os.close(main)
    process.wait(60)
    return text.decode()


# Escape codes in a log file are noise; on a terminal without NO_COLOR they are wanted.
def test_colour_is_for_terminals(environment, kernmill, tmp_path):
    words = ["check", str(tmp_path / "none")]
    on = {**environment, "TERM": "xterm-256color"}
    assert "\x1b[31merror:\x1b[0m" in on_a_terminal(words, on, tmp_path)
    assert "\x1b" not in on_a_terminal(words, {**on, "NO_COLOR": "1"}, tmp_path)
    assert "\x1b" in on_a_terminal(words, {**on, "NO_COLOR": ""}, tmp_path)
    assert "\x1b" not in on_a_terminal(words, {**on, "TERM": "dumb"}, tmp_path)
    for answer in (kernmill(*words, env=on), kernmill("help", env=on), kernmill("doctor", env=on)):
        assert "\x1b" not in answer.out + answer.err


# What a stranger's file holds must not steer the terminal it is shown on.
def test_names_cannot_steer_the_terminal(kernmill, repository):
    replace(repository / "build.toml", 'license = "Apache-2.0"', '"lic\\u001b]0;owned\\u0007" = 1')
    answer = kernmill("check", repository)
    assert answer.code == 4 and "unknown key 'lic?]0;owned?'" in answer.err
    (repository / "build.toml").unlink()
    evil = repository / "\x1b[2Jevil.so"
    evil.write_text("x")
    answer = kernmill("check", evil)
    assert answer.code == 4 and "?[2Jevil.so" in answer.err and "\x1b" not in answer.err


# A name that is not UTF-8 is legal on a disk; JSON about it must still come out.
def test_names_that_are_not_utf8(kernmill, tmp_path):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    answer = kernmill("check", folder, "--json")
    assert answer.code == 4 and "caf?" in answer.json["error"]["message"]
    shutil.copy("/bin/true", folder / "x.so")
    answer = kernmill("check", folder / "x.so", "--json")
    assert answer.code == 1 and answer.json["path"].endswith("caf?/x.so")
    assert all(finding["place"].endswith("caf?/x.so") for finding in answer.json["findings"])


# A named pipe where a file is expected would keep a script waiting for ever.
def test_a_pipe_does_not_hang(kernmill, repository):
    os.mkfifo(repository / "pipe.so")
    answer = kernmill("check", repository / "pipe.so")
    assert answer.code == 4 and "is not a regular file" in answer.err
    (repository / "card.toml").unlink()
    os.mkfifo(repository / "card.toml")
    assert kernmill("check", repository).code == 0


# ---- doctor ----


# One answer for people and machines: what is there, what is missing, what to type.
def test_doctor(kernmill, tmp_path):
    document = kernmill("doctor", "--json").json
    assert set(document) == {"schema", "can_build", "items"} and document["schema"] == 1
    items = {item["what"]: item for item in document["items"]}
    assert {
        "C compiler",
        "Ninja",
        "SDK headers",
        "CUDA run-time compiler",
        "Python",
        "torch",
        "libcurl",
        "GPU",
    } <= set(items)
    for item in items.values():
        assert item["need"] in ("build", "cuda", "test", "model", "hub", "gpu")
        assert (item["found"] is None) == ("line" in item)
    assert items["C compiler"]["found"] and items["Ninja"]["found"]
    assert items["SDK headers"]["found"] == str(ROOT / "csrc/sdk")
    text = kernmill("doctor").out
    for name, item in items.items():
        assert re.search(
            rf"^{'ok     ' if item['found'] else '(MISSING|absent )'} +{name}", text, re.MULTILINE
        )


# Exit code 3, and the line to type, when what every build needs is not there.
def test_doctor_without_a_compiler(kernmill, tmp_path):
    answer = kernmill("doctor", "--json", env={"PATH": str(tmp_path)})
    items = {item["what"]: item for item in answer.json["items"]}
    assert answer.code == 3 and answer.json["can_build"] is False
    assert items["C compiler"] == {
        "what": "C compiler", "need": "build", "found": None, "line": "apt install gcc",
    }  # fmt: skip
    assert items["Ninja"]["line"] == "apt install ninja-build"
    text = kernmill("doctor", env={"PATH": str(tmp_path)})
    assert text.code == 3
    assert re.search(r"^MISSING +C compiler *\n +for build: apt install gcc$", text.out, re.MULTILINE)


# ---- init ----


# What is listed is what was written, with no key of a template left in it.
def test_init_lists_what_it_wrote(kernmill, tmp_path):
    answer = kernmill("init", "my-kernel", cwd=tmp_path)
    assert answer.code == 0 and answer.err == (
        "next: kernmill test my-kernel; then write your kernel, CARD.md and card.toml\n"
    )
    written = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file())
    assert sorted(answer.out.splitlines()) == written
    assert "my-kernel/torch-ext/my_kernel/__init__.py" in written
    for name in written:
        assert "{{" not in (tmp_path / name).read_text(), f"{name} has a key that was not filled in"
    answer = kernmill("init", "my-kernel", "-d", "other", "--json", "-q", cwd=tmp_path)
    assert answer.code == 0 and answer.err == ""
    assert answer.json["directory"] == "other" and len(answer.json["files"]) == len(written)


# A fresh repository has nothing to complain about: the first check must not teach people to ignore it.
def test_init_is_clean(kernmill, built, tmp_path):
    answer = kernmill("check", "--json", built)
    assert answer.code == 0
    assert answer.json == {
        "schema": 1, "path": str(built), "kind": "repository", "errors": 0, "findings": [],
    }  # fmt: skip


LETTERS = "use 2 to 64 lower-case letters, digits and '-', starting with a letter and not ending with '-'"
FOLDER = "NAME is the kernel's; -d DIR says where it is made"
TAKEN = "that is the name of another Python package or module"
BAD_NAMES = {
    "x": LETTERS,
    "Demo": LETTERS,
    "1demo": LETTERS,
    "demo-": LETTERS,
    "my demo": LETTERS,
    "": LETTERS,
    "d" * 65: LETTERS,
    "é": LETTERS,
    "my_demo": "write '-' for '_': the Python package has '_' by itself",
    "-demo/..": FOLDER,
    "../demo": FOLDER,
    "a/b": FOLDER,
    "torch": TAKEN,
    "random": TAKEN,
}


@pytest.mark.parametrize("name", BAD_NAMES)
def test_init_refuses_names(name, kernmill, tmp_path):
    answer = kernmill("init", "--", name, cwd=tmp_path)
    assert answer.code == 2
    assert answer.err == f"kernmill: error: a kernel cannot be called '{name}'\n  {BAD_NAMES[name]}\n"
    assert list(tmp_path.iterdir()) == []


# init never writes into work that is there.
def test_init_refuses_a_folder_with_something_in_it(kernmill, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full/build.toml").write_text("mine")
    (tmp_path / "file").write_text("mine")
    (tmp_path / "empty").mkdir()
    before = stamps(tmp_path)
    for folder in ("full", "file", "file/below", ".", ""):
        answer = kernmill("init", "demo", "--directory", folder, cwd=tmp_path)
        assert answer.code == (2 if not folder else 5), folder
        assert answer.out == ""
        assert stamps(tmp_path) == before
    assert (
        kernmill("init", "full", cwd=tmp_path).err
        == "kernmill: error: the folder 'full' is there and not empty\n"
    )
    assert kernmill("init", "demo", "--directory", "empty", cwd=tmp_path).code == 0
