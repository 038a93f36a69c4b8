"""kernmill skill: an agent's skills are put where it looks, and what its user did to them is not lost."""

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess

import pytest
from preloaded import build_preload
from program import PROGRAM, ROOT, Answer, stamps

FILES = {
    "SKILL.md": "---\nname: demo\ndescription: Does this. Use it for that.\n---\n\nText.\n",
    "references/a.md": "a\n",
    "scripts/run": "#!/bin/sh\n",
}
MANIFEST = ".kernmill-skill.json"


def write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def read(folder) -> dict[str, str]:
    """The files below it, but for the manifest."""
    found = (p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST)
    return {str(p.relative_to(folder)): p.read_text(errors="replace") for p in found}


class Installation:
    """A program with skills of its own, a project, and a home."""

    def __init__(self, root, environment):
        self.skills = root / "prefix/share/kernmill/skills"
        self.project, self.home = root / "project", root / "home"
        self.environment = {**environment, "HOME": str(self.home)}
        self.environment.pop("XDG_CONFIG_HOME", None)
        write(root, {"prefix/include/kernmill/op.h": ""})
        write(self.skills / "demo", FILES)
        write(self.skills / "other-skill", {"SKILL.md": FILES["SKILL.md"].replace("demo", "other-skill")})
        (self.skills / "demo/scripts/run").chmod(0o755)
        (root / "prefix/bin").mkdir()
        self.program = root / "prefix/bin/kernmill"
        shutil.copy(PROGRAM, self.program)
        self.project.mkdir()
        self.home.mkdir()

    def __call__(self, *words, **environment) -> Answer:
        done = subprocess.run(
            [self.program, "skill", *words], cwd=self.project, env={**self.environment, **environment},
            text=True, capture_output=True, timeout=60,
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr)


@pytest.fixture
def skill(environment, tmp_path) -> Installation:
    return Installation(tmp_path, environment)


@pytest.fixture
def demo(skill):
    """The folder of a skill that was added for Claude Code."""
    assert skill("add", "demo", "--claude").code == 0
    return skill.project / ".claude/skills/demo"


def set_version(folder, version) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": version}))


def has_nothing_half(folder) -> bool:
    return not [p for p in folder.parent.iterdir() if p.name.startswith(".")]


# ---- where it goes ----

PLACES = {
    "--claude": (".claude/skills", ".claude/skills"),
    "--codex": (".agents/skills", ".agents/skills"),
    "--opencode": (".opencode/skills", ".config/opencode/skills"),
}


@pytest.mark.parametrize("agent", PLACES)
def test_each_agent_finds_it_where_it_looks(skill, agent):
    project, home = PLACES[agent]
    answer = skill("add", "demo", agent)
    assert (answer.code, answer.out, answer.err) == (0, f"{project}/demo: installed, 0.1.0, 3 files\n", "")
    assert read(skill.project / project / "demo") == FILES
    assert os.access(skill.project / project / "demo/scripts/run", os.X_OK)
    assert not list(skill.home.iterdir())
    answer = skill("add", "demo", agent, "--user")
    assert (answer.code, answer.out) == (0, f"{skill.home}/{home}/demo: installed, 0.1.0, 3 files\n")
    assert read(skill.home / home / "demo") == FILES


def test_other_folders(skill, tmp_path):
    answer = skill(
        "add", "demo", "--dest", "a/b", "--opencode", "--user", XDG_CONFIG_HOME=str(tmp_path / "x")
    )
    assert answer.out.splitlines() == [
        f"{tmp_path}/x/opencode/skills/demo: installed, 0.1.0, 3 files",
        "a/b/demo: installed, 0.1.0, 3 files",
    ]
    assert read(skill.project / "a/b/demo") == FILES


def test_the_manifest_pins_every_file(demo):
    hashes = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in FILES.items()}
    document = json.loads((demo / MANIFEST).read_text())
    assert document == {"schema": 1, "name": "demo", "version": "0.1.0", "files": hashes}


def test_add_as_json(skill):
    answer = skill("add", "demo", "--claude", "--json")
    place = {"path": ".claude/skills/demo", "state": "installed", "before": None, "edits": []}
    head = {"schema": 1, "name": "demo", "version": "0.1.0", "files": 3}
    assert answer.json == {**head, "places": [place]}
    (skill.project / ".claude/skills/demo/references/a.md").write_text("mine")
    answer = skill("add", "demo", "--claude", "--json")
    edits = [{"path": "references/a.md", "how": "edited"}]
    assert answer.code == 1 and answer.json["places"] == [
        {**place, "state": "kept", "before": "0.1.0", "edits": edits}
    ]


# ---- again ----


def test_the_same_again_touches_nothing(skill, demo):
    before = stamps(demo)
    answer = skill("add", "demo", "--claude")
    assert (answer.code, answer.out) == (0, ".claude/skills/demo: up to date, 0.1.0\n")
    assert stamps(demo) == before


# What a new version dropped goes, what the user put beside it stays.
def test_a_new_version(skill, demo):
    set_version(demo, "0.0.9")
    write(demo, {"references/mine.md": "mine"})
    (skill.skills / "demo/references/a.md").unlink()
    write(skill.skills / "demo", {"SKILL.md": FILES["SKILL.md"] + "More.\n", "references/b.md": "b\n"})
    answer = skill("add", "demo", "--claude")
    assert answer.out == ".claude/skills/demo: updated from 0.0.9 to 0.1.0, 3 files\n"
    assert read(demo) == {**read(skill.skills / "demo"), "references/mine.md": "mine"}
    assert has_nothing_half(demo) and skill("add", "demo", "--claude").out.endswith("up to date, 0.1.0\n")


# An edit is never lost unasked: not one that the new version has no more, not the user's own file either.
def test_edits_are_kept(skill, demo):
    write(demo, {"SKILL.md": "mine", "references/a.md": "mine", "references/new.md": "mine"})
    (demo / "scripts/run").unlink()
    (skill.skills / "demo/references/a.md").unlink()
    write(skill.skills / "demo", {"references/new.md": "new"})
    before = stamps(demo)
    for _ in range(2):
        answer = skill("add", "demo", "--claude")
        assert answer.code == 1 and stamps(demo) == before
        assert answer.out == (
            ".claude/skills/demo: kept: it has files that are not as kernmill wrote them\n"
            "  SKILL.md: edited\n"
            "  references/a.md: edited\n"
            "  scripts/run: removed\n"
            "  references/new.md: not kernmill's\n"
        )
        assert answer.err == "nothing was written; keep a copy of what you need, then add --force\n"
    answer = skill("add", "demo", "--claude", "--force")
    assert answer.code == 0 and "  SKILL.md: edited; as kernmill has it again\n" in answer.out
    assert read(demo) == read(skill.skills / "demo")


# One agent's edited copy keeps the others from being written, so that all have the same version.
def test_all_places_or_none(skill, demo):
    (demo / "SKILL.md").write_text("mine")
    answer = skill("add", "demo", "--opencode", "--claude")
    assert answer.code == 1 and answer.out.startswith(".claude/skills/demo: kept")
    assert not (skill.project / ".opencode").exists()


# An edit that is what the new version says, too, is in nobody's way.
def test_an_edit_that_came_true(skill, demo):
    for folder in (demo, skill.skills / "demo"):
        (folder / "references/a.md").write_text("better")
    assert skill("add", "demo", "--claude").out == ".claude/skills/demo: updated, 0.1.0, 3 files\n"


def test_an_older_program_does_not_take_a_step_back(skill, demo):
    set_version(demo, "10.0.0")
    answer = skill("add", "demo", "--claude")
    assert answer.code == 1
    assert answer.out == (".claude/skills/demo: kept: it is of kernmill 10.0.0, newer than this one, 0.1.0\n")
    assert skill("add", "demo", "--claude", "--force").code == 0


# A folder that somebody else made has the right of who came first.
def test_a_folder_that_is_not_ours(skill):
    folder = skill.project / ".claude/skills/demo"
    write(folder, {"SKILL.md": "theirs", "notes.md": "theirs"})
    answer = skill("add", "demo", "--claude")
    assert answer.code == 1 and answer.out.endswith("  SKILL.md: not kernmill's\n")
    assert read(folder) == {"SKILL.md": "theirs", "notes.md": "theirs"}
    assert skill("add", "demo", "--claude", "--force").code == 0
    assert read(folder) == {**FILES, "notes.md": "theirs"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "'}' expected|string or '}' expected"),
        ("[]", "found an array"),
        ('{"schema": 2}', "schema 2; this program knows 1"),
        ('{"schema": 1, "version": "x", "files": {}}', "'x' is no version"),
        ('{"schema": 1, "version": "1.0", "files": {"a": 1}}', "the hash of 'a' is no string"),
        ('{"schema": 1, "version": "1.0"}', "key 'files' is missing"),
    ],
)
def test_a_broken_manifest(skill, demo, text, message):
    (demo / MANIFEST).write_text(text)
    answer = skill("add", "demo", "--claude")
    assert answer.code == 4 and re.search(message, answer.err) and "--force" in answer.err
    assert "unreadable: .claude/skills/demo/" in skill("list").out
    assert skill("add", "demo", "--claude", "--force").code == 0
    assert skill("add", "demo", "--claude").out.endswith("up to date, 0.1.0\n")


# A manifest comes with a project that was cloned: what it names is compared, not opened.
def test_a_hostile_manifest(skill, demo):
    (skill.project / "precious").write_text("x")
    path = demo / MANIFEST
    document = json.loads(path.read_text())
    document["files"]["../../../precious"] = hashlib.sha256(b"x").hexdigest()
    document["files"]["\x1b[2Jevil"] = "0"
    path.write_text(json.dumps(document))
    assert "\x1b" not in skill("list").out
    write(skill.skills / "demo", {"SKILL.md": FILES["SKILL.md"] + "More.\n"})
    assert skill("add", "demo", "--claude").code == 0
    assert (skill.project / "precious").read_text() == "x" and read(demo)["SKILL.md"].endswith("More.\n")


# ---- refusals ----


# What is written below a link lands where a cloned project wants it.
@pytest.mark.parametrize("part", [".claude", ".claude/skills", ".claude/skills/demo"])
@pytest.mark.parametrize("force", [[], ["--force"]])
def test_links_are_refused(skill, tmp_path, part, force):
    (tmp_path / "elsewhere").mkdir()
    (skill.project / part).parent.mkdir(parents=True, exist_ok=True)
    (skill.project / part).symlink_to(tmp_path / "elsewhere")
    answer = skill("add", "demo", "--claude", *force)
    assert answer.code == 4 and answer.err.startswith(f"kernmill: error: '{part}' is a symbolic link\n")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_links_inside_and_named_ones_are_refused(skill, demo, tmp_path):
    (skill.project / "link").symlink_to(tmp_path)
    for name in ("link", "link/"):
        assert skill("add", "demo", "--dest", name).code == 4
    assert (
        skill("add", "demo", "--dest", "link/below").code == 0
    )  # above a folder's name is the user's business
    (demo / "references/a.md").unlink()
    (demo / "references/a.md").symlink_to(skill.project / "precious")
    for force in ([], ["--force"]):
        answer = skill("add", "demo", "--claude", *force)
        assert answer.code == 4 and "a.md' is a symbolic link" in answer.err
    assert not (skill.project / "precious").exists()


# Nor does a project bring back, as what a killed run left, a link to files that are nobody's business.
def test_a_link_among_what_was_left(skill, tmp_path):
    write(tmp_path, {"secret/key": "secret"})
    place = skill.project / ".claude/skills"
    place.mkdir(parents=True)
    for name in (".demo.old", ".demo.new"):
        (place / name).symlink_to(tmp_path / "secret")
    assert skill("add", "demo", "--claude").code == 0
    assert read(place / "demo") == FILES and (tmp_path / "secret/key").read_text() == "secret"
    assert has_nothing_half(place / "demo")


MISTAKES = {
    ("add",): ("an argument is missing", "usage: kernmill skill [options] add NAME | list"),
    (): ("an argument is missing", "usage: kernmill skill"),
    ("add", "demo"): ("for which agent?", "add --claude, --codex or --opencode, or --dest DIR"),
    ("add", "dmeo", "--claude"): ("there is no skill 'dmeo'", "did you mean 'demo'? There are: demo, other-skill"),
    ("add", "pizza", "--claude"): ("there is no skill 'pizza'", "there are: demo, other-skill"),
    ("add", "../demo", "--claude"): ("there is no skill '../demo'", "NAME is a skill's, one of: demo, other-skill"),
    ("add", "..", "--claude"): ("there is no skill '..'", "NAME is a skill's"),
    ("add", "", "--claude"): ("there is no skill ''", "there are: demo"),
    ("add", "demo", "--dest", ""): ("the name of a folder is empty", "usage"),
    ("lsit",): ("'skill' has no 'lsit'", "did you mean 'skill list'?"),
    ("remove",): ("'skill' has no 'remove'", "there are 'skill add NAME' and 'skill list'"),
    ("list", "demo"): ("too many arguments", "usage"),
}  # fmt: skip


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_mistakes(skill, words):
    message, hint = MISTAKES[words]
    answer = skill(*words)
    assert answer.code == 2 and answer.err.startswith(f"kernmill: error: {message}\n  {hint}")
    assert not list(skill.project.iterdir())


def test_no_home_and_no_skills(skill):
    assert skill("add", "demo", "--claude", "--user", HOME="").code == 3
    assert skill("list", HOME="").code == 0
    shutil.rmtree(skill.skills)
    answer = skill("list")
    assert answer.code == 3 and "the installation of kernmill is incomplete" in answer.err


def test_a_folder_that_cannot_be_written(skill):
    (skill.project / ".claude").write_text("a file")
    answer = skill("add", "demo", "--claude")
    assert answer.code == 5 and "'.claude" in answer.err


# ---- list ----


def test_list(skill, demo):
    assert skill("add", "demo", "--opencode", "--user").code == 0
    assert skill("add", "other-skill", "--codex").code == 0
    assert skill("add", "other-skill", "--claude", "--user").code == 0
    (demo / "references/a.md").write_text("mine")
    set_version(skill.project / ".agents/skills/other-skill", "7.0")
    write(skill.skills / "other-skill", {"more.md": ""})
    write(skill.project / ".opencode/skills", {"demo/SKILL.md": "x", "not-ours/SKILL.md": "x"})
    (skill.home / ".agents/skills").mkdir(parents=True)
    (skill.home / ".agents/skills/demo").symlink_to("elsewhere")
    answer = skill("list")
    assert (
        answer.code == 0
        and answer.out
        == f"""\
skills of kernmill 0.1.0:
  demo           Does this
  other-skill    Does this
installed:
  .claude/skills/demo: current, of kernmill 0.1.0
    references/a.md: edited
  .agents/skills/other-skill: newer, of kernmill 7.0
  .opencode/skills/demo: foreign
  {skill.home}/.claude/skills/other-skill: outdated, of kernmill 0.1.0
  {skill.home}/.agents/skills/demo: linked
  {skill.home}/.config/opencode/skills/demo: current, of kernmill 0.1.0
"""
    )
    document = skill("list", "--json").json
    assert [s["name"] for s in document["skills"]] == ["demo", "other-skill"]
    assert document["skills"][0] == {
        "name": "demo", "description": "Does this. Use it for that.", "files": 3,
    }  # fmt: skip
    assert document["installed"][0] == {
        "agent": "claude", "scope": "project", "path": ".claude/skills/demo", "name": "demo",
        "state": "current", "version": "0.1.0", "edits": [{"path": "references/a.md", "how": "edited"}],
    }  # fmt: skip
    states = [(i["agent"], i["scope"], i["state"]) for i in document["installed"]]
    assert states[1:] == [
        ("codex", "project", "newer"), ("opencode", "project", "foreign"), ("claude", "user", "outdated"),
        ("codex", "user", "linked"), ("opencode", "user", "current"),
    ]  # fmt: skip
    only = skill("list", "--claude", "--json").json
    assert only == {**document, "installed": document["installed"][:1]}


def test_a_skill_that_this_program_has_not(skill, demo):
    shutil.rmtree(skill.skills / "demo")
    assert "  .claude/skills/demo: unknown, of kernmill 0.1.0\n" in skill("list").out


def test_nothing_is_installed(skill):
    assert skill("list").out.endswith("none is installed\n") and not list(skill.project.iterdir())


# The program's own skills are such that an agent takes them.
def test_our_own(kernmill, tmp_path):
    for s in kernmill("skill", "list", "--json", cwd=tmp_path).json["skills"]:
        assert kernmill("skill", "add", s["name"], "--dest", "x", cwd=tmp_path).code == 0
        assert (
            read(tmp_path / "x" / s["name"])["SKILL.md"]
            == (ROOT / "skills" / s["name"] / "SKILL.md").read_text()
        )


# The installation has them whole, with scripts that can be run: it is what the wheel carries.
def test_our_own_are_installed(environment, tmp_path):
    build = PROGRAM.parent.parent
    subprocess.run(["cmake", "--install", build, "--prefix", tmp_path], check=True, capture_output=True)
    command = [tmp_path / "bin/kernmill", "skill", "add", "cuda-kernels", "--dest", "x"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    source = ROOT / "skills/cuda-kernels"
    assert read(tmp_path / "x/cuda-kernels") == {
        name: text for name, text in read(source).items() if "__pycache__" not in name
    }
    assert os.access(tmp_path / "x/cuda-kernels/scripts/check-all", os.X_OK)


# ---- killed half-way ----


preload = pytest.fixture(scope="module")(build_preload)


# Ended at each call that changes a folder: the old skill is there or the new one, whole, and the next run
# makes it new. Where folders cannot be exchanged, the old one may stand beside its place, until that run.
@pytest.mark.parametrize("exchange", [True, False])
def test_killed_half_way(skill, demo, preload, exchange):
    new = {**FILES, "SKILL.md": FILES["SKILL.md"] + "More.\n", "references/b.md": "b\n"}
    write(demo, {"mine.md": "mine"})
    old = read(demo)
    shutil.copytree(demo, skill.project / "old")
    write(skill.skills / "demo", new)
    shim = {"LD_PRELOAD": preload, **({} if exchange else {"KERNMILL_FAULT_NO_EXCHANGE": "1"})}
    whole, seen = [old, {**new, "mine.md": "mine"}], []
    for n in range(1, 200):
        shutil.rmtree(demo.parent)
        shutil.copytree(skill.project / "old", demo)
        answer = skill("add", "demo", "--claude", **shim, KERNMILL_FAULT_KILL=str(n))
        aside = demo.with_name(".demo.old")
        assert read(demo if demo.exists() or exchange else aside) in whole
        seen.append("moved" if not demo.exists() else read(demo) == old)
        if answer.code != -signal.SIGKILL:
            break
        assert skill("add", "demo", "--claude").code == 0
        assert read(demo) == whole[1] and has_nothing_half(demo)
    assert answer.code == 0 and read(demo) == whole[1] and has_nothing_half(demo)
    assert True in seen and False in seen and ("moved" in seen) == (not exchange)


# Two at once take turns.
def test_two_at_once(skill):
    words = [skill.program, "skill", "add", "demo", "--claude"]
    both = [subprocess.Popen(words, cwd=skill.project, env=skill.environment) for _ in range(4)]
    assert {p.wait(60) for p in both} <= {0}
    assert read(skill.project / ".claude/skills/demo") == FILES
