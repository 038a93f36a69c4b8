"""The dependency law of csrc/ and the sizes of its files and functions, as CONTRIBUTING.md has them.

A folder may include its own headers and those of the folders below it:
core <- formats <- {net, record} <- {pkg, bench, profile, lab, skill} <- hub (pkg, net) <- cli. The headers of sdk/ are a
published interface, included as <kernmill/...>: they know nothing of ours, and of them the program may only
know the version; bench, which calls torch by the same C interface, may know them all.
"""

import json
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
CSRC = ROOT / "csrc"

BELOW = {
    "core": set(),
    "formats": {"core"},
    "net": {"core", "formats"},
    "record": {"core", "formats"},
    "pkg": {"core", "formats", "record"},
    "bench": {"core", "formats", "record"},
    "profile": {"core", "formats", "record"},
    "lab": {"core", "formats", "record"},
    "skill": {"core", "formats", "record"},
    "hub": {"core", "formats", "record", "net", "pkg"},
    "cli": {"core", "formats", "record", "net", "pkg", "bench", "profile", "lab", "skill", "hub"},
    "python": {"bench"},
}
FILE_LINES_MAX = 600
FUNCTION_LINES_MAX = 70

INCLUDE = re.compile(r'^\s*#\s*include\s*(["<])([^">]+)[">]')


def sources(root: pathlib.Path) -> list[pathlib.Path]:
    return sorted(p for p in root.rglob("*") if p.suffix in {".c", ".h", ".inc", ".cc", ".cpp", ".cu"})


def violation(root: pathlib.Path, path: pathlib.Path, mark: str, name: str) -> str | None:
    """What is wrong with one #include of a file, or None."""
    folder = path.relative_to(root).parts[0]
    top, slash, _ = name.partition("/")
    if folder == "sdk":
        if slash and top in BELOW:
            return "a published header includes the program"
        known = (root / "sdk" / name).exists() or (mark == '"' and (path.parent / name).exists())
        if (mark == '"' or top == "kernmill") and not known:
            return "there is no such published header"
        return None
    if top == "kernmill":
        known = folder == "bench" or name == "kernmill/version.h"
        return None if known else "the program knows more of the SDK than its version"
    if mark == "<":
        return f"{top}/ is ours and stands in quotes" if slash and top in BELOW else None
    if not slash:
        return 'name the folder: "folder/header.h"'
    if top not in BELOW:
        return f"no folder '{top}' is known to the law"
    if top != folder and top not in BELOW.get(folder, set()):
        return f"{folder} may not include {top}"
    return None if (root / name).exists() else "there is no such file"


def violations(root: pathlib.Path) -> list[str]:
    found = []
    for path in sources(root):
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            include = INCLUDE.match(line)
            reason = violation(root, path, include[1], include[2]) if include else None
            if reason:
                found.append(f"{path.relative_to(root.parent)}:{number}: {line.strip()}: {reason}")
    return found


# Layers that know each other cannot be understood, tested or replaced one by one.
def test_the_law_is_kept():
    assert violations(CSRC) == []
    assert len(sources(CSRC)) > 80, "the test looks at the tree"


# A new folder must be placed before anything can include it.
def test_every_folder_has_a_place_in_the_law():
    folders = {p.name for p in CSRC.iterdir() if p.is_dir()}
    assert folders <= set(BELOW) | {"sdk"}
    order = [folder for folder in BELOW if folder != "python"]
    for i, folder in enumerate(order):
        assert BELOW[folder] <= set(order[:i]), f"{folder} would include what stands above it"


FAKES = [
    ("core/x.c", '#include "formats/zip.h"', "core may not include formats"),
    ("formats/x.c", '  #  include "pkg/plan.h"', "formats may not include pkg"),
    ("pkg/x.c", '#include "cli/command.h"', "pkg may not include cli"),
    ("pkg/x.c", '#include "lab/queue.h"', "pkg may not include lab"),
    ("bench/x.c", '#include "pkg/plan.h"', "bench may not include pkg"),
    ("net/x.c", '#include "record/environment.h"', "net may not include record"),
    ("pkg/x.c", '#include "net/http.h"', "pkg may not include net"),
    ("hub/x.c", '#include "bench/timer.h"', "hub may not include bench"),
    ("pkg/x.c", "#include <kernmill/op.h>", "the program knows more of the SDK than its version"),
    ("cli/x.c", '#include "kernmill/op.h"', "the program knows more of the SDK than its version"),
    ("pkg/x.c", "#include <core/err.h>", "core/ is ours and stands in quotes"),
    ("pkg/x.c", '#include "plan.h"', 'name the folder: "folder/header.h"'),
    ("pkg/x.c", '#include "misc/plan.h"', "no folder 'misc' is known to the law"),
    ("pkg/x.c", '#include "core/none.h"', "there is no such file"),
    ("sdk/kernmill/x.h", '#include "core/err.h"', "a published header includes the program"),
    ("sdk/kernmill/x.h", '#include "none.h"', "there is no such published header"),
    ("sdk/kernmill/x.h", "#include <kernmill/none.h>", "there is no such published header"),
    ("sdk/kernmill/x.h", "#include <core/err.h>", "a published header includes the program"),
]

HONEST = [
    ("core/x.c", '#include "core/err.h"\n#include <stdio.h>\n#include <sys/stat.h>\n'),
    ("hub/x.c", '#include "pkg/plan.h"\n#include "net/http.h"\n#include "core/err.h"\n'),
    ("cli/x.c", '#include "lab/queue.h"\n#include <kernmill/version.h>\n#include <openssl/evp.h>\n'),
    (
        "sdk/kernmill/x.h",
        '#include <kernmill/version.h>\n#include "version.h"\n#include "kernmill/version.h"\n',
    ),
    ("sdk/kernmill/y.h", "#include <stdint.h>\n#include <sys/types.h>\n"),
    ("pkg/x.c", '/* #include "cli/command.h" */\n// #include "cli/command.h"\n'),
]


@pytest.fixture
def fake(tmp_path) -> pathlib.Path:
    """A tree with the headers that the cases below include."""
    root = tmp_path / "csrc"
    for name in ("core/err.h", "formats/zip.h", "pkg/plan.h", "cli/command.h", "lab/queue.h", "net/http.h",
                 "record/environment.h", "bench/timer.h", "sdk/kernmill/version.h"):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


# A law that catches nothing is kept by everybody.
@pytest.mark.parametrize(("name", "line", "reason"), FAKES, ids=lambda v: v[:40])
def test_a_fake_violation_is_caught(name, line, reason, fake):
    (fake / name).parent.mkdir(parents=True, exist_ok=True)
    (fake / name).write_text(f"/* a file */\n{line}\n")
    assert violations(fake) == [f"csrc/{name}:2: {line.strip()}: {reason}"]


@pytest.mark.parametrize(("name", "text"), HONEST, ids=lambda v: v[:20])
def test_honest_files_are_not_accused(name, text, fake):
    (fake / name).parent.mkdir(parents=True, exist_ok=True)
    (fake / name).write_text(text)
    assert violations(fake) == []


def long_files(root: pathlib.Path) -> list[str]:
    counted = [(len(p.read_text(errors="replace").splitlines()), p) for p in sources(root)]
    return [f"{p.relative_to(root.parent)}: {n} lines" for n, p in counted
            if n > FILE_LINES_MAX and p.suffix != ".inc"]  # fmt: skip


# A file that does not fit in a head. (.inc files are generated tables.)
def test_files_are_short(tmp_path):
    assert long_files(CSRC) == []
    (tmp_path / "csrc").mkdir()
    (tmp_path / "csrc/x.c").write_text("\n" * (FILE_LINES_MAX + 1))
    assert long_files(tmp_path / "csrc") == [f"csrc/x.c: {FILE_LINES_MAX + 1} lines"]


def long_functions(root: pathlib.Path) -> tuple[list[str], int]:
    """Those beyond the limit, and how many functions there are."""
    command = ["ctags", "--output-format=json", "--fields=+ne", "--languages=C,C++", "--kinds-C=f",
               "--kinds-C++=f", "--langmap=C++:+.cu", "-f", "-", *sources(root)]  # fmt: skip
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    tags = [tag for tag in map(json.loads, lines) if tag.get("kind") == "function" and "end" in tag]
    found = [f"{pathlib.Path(t['path']).relative_to(root.parent)}:{t['line']}: {t['name']} has "
             f"{t['end'] - t['line'] + 1} lines" for t in tags if t["end"] - t["line"] + 1 > FUNCTION_LINES_MAX]  # fmt: skip
    return found, len(tags)


def has_universal_ctags() -> bool:
    program = shutil.which("ctags")
    return (
        bool(program)
        and "json" in subprocess.run([program, "--list-features"], capture_output=True, text=True).stdout
    )


# A function that does not fit on a screen.
@pytest.mark.skipif(not has_universal_ctags(), reason="universal-ctags with JSON is not installed")
def test_functions_are_short(tmp_path):
    found, count = long_functions(CSRC)
    assert found == [] and count > 500
    (tmp_path / "csrc").mkdir()
    (tmp_path / "csrc/x.c").write_text(
        "static int f(void)\n{\n" + "\n" * FUNCTION_LINES_MAX + "    return 0;\n}\n"
    )
    (problem,), count = long_functions(tmp_path / "csrc")
    assert problem == f"csrc/x.c:1: f has {FUNCTION_LINES_MAX + 4} lines" and count == 1
