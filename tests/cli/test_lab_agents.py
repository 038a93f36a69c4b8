"""`lab init --agents`: the roles for coding agents, from one source; and `--from`: labs to start from."""

import json
import re
import subprocess

import pytest
import tomllib
from program import PROGRAM, ROOT
from tree_lab import SETTINGS, TreeLab

ROLES = ("researcher", "planner", "reviewer", "worker", "reporter")
FOLDERS = {
    "claude": ".claude/agents/{}.md",
    "codex": ".codex/agents/{}.toml",
    "opencode": ".opencode/agent/{}.md",
}


def agents(lab, *words):
    return lab.say("init", "--json", *words)


def head(text):
    """The lines before a Markdown file's text, as they stand."""
    return re.match(r"---\n(.*?)\n---\n\n", text, re.DOTALL)


# Each harness gets the same prompt, word for word, in its own form.
def test_one_source(tmp_path):
    lab = TreeLab(tmp_path)
    code, said, err = agents(lab, "--agents", "claude,codex,opencode")
    assert code == 0 and {f["state"] for f in said["files"]} == {"made"}, err
    for role in ROLES:
        prompt = (tmp_path / f"roles/{role}.md").read_text()
        assert (
            prompt.startswith(f"# {role}: ")
            and "`loss_bits`; lower is better" in prompt
            and "{{" not in prompt
        )
        assert "`train.py`, `lib`" in prompt
        for harness in ("claude", "opencode"):
            text = (tmp_path / FOLDERS[harness].format(role)).read_text()
            assert text[head(text).end() :] == prompt
        told = tomllib.loads((tmp_path / FOLDERS["codex"].format(role)).read_text())
        assert told["developer_instructions"] == prompt and told["name"] == role
        assert prompt.splitlines()[0] == f"# {role}: {told['description']}"


# Who only reads has no tool that writes; the worker may write what [workspace] says, and no more.
def test_only_the_worker_writes(tmp_path):
    lab = TreeLab(tmp_path)
    assert agents(lab, "--agents", "claude,codex,opencode")[0] == 0
    for role in ROLES:
        claude = dict(
            line.split(": ", 1)
            for line in head((tmp_path / f".claude/agents/{role}.md").read_text())[1].splitlines()
        )
        tools = set(claude["tools"].split(", "))
        codex = tomllib.loads((tmp_path / f".codex/agents/{role}.toml").read_text())
        opencode = head((tmp_path / f".opencode/agent/{role}.md").read_text())[1]
        writes = role == "worker"
        assert claude["name"] == role and bool(tools & {"Edit", "Write", "Bash"}) == writes
        assert claude["permissionMode"] == ("acceptEdits" if writes else "dontAsk")
        assert codex["sandbox_mode"] == ("workspace-write" if writes else "read-only")
        assert ("edit: deny\n  bash: deny" in opencode) != writes and "task: deny" in opencode
    rules = json.loads((tmp_path / ".claude/settings.json").read_text())["permissions"]
    assert {"Edit(/train.py)", "Edit(/lib/**)"} <= set(rules["allow"])
    assert {"Edit(/evaluate.py)", "Edit(/lab.toml)", "Edit(/roles/**)", "Edit(/.claude/**)"} <= set(
        rules["deny"]
    )
    assert not set(rules["allow"]) & set(rules["deny"])
    edit = json.loads((tmp_path / "opencode.json").read_text())["permission"]["edit"]
    assert list(edit)[0] == "*" and edit["*"] == "deny" and edit["train.py"] == edit["lib/*"] == "allow"
    assert tomllib.loads((tmp_path / ".codex/config.toml").read_text())["sandbox_workspace_write"] == {
        "network_access": False
    }


# A closed folder is one rule, unless something open lies in it.
def test_rules_of_folders(tmp_path):
    (tmp_path / "src/deep").mkdir(parents=True)
    (tmp_path / "docs").mkdir()
    for name in ("src/deep/open.py", "src/deep/closed.py", "src/closed.py", "docs/a.md", "docs/b.md"):
        (tmp_path / name).write_text("")
    lab = TreeLab(tmp_path, SETTINGS.replace('"lib"', '"src/deep/open.py"'))
    assert agents(lab, "--agents", "claude")[0] == 0
    deny = json.loads((tmp_path / ".claude/settings.json").read_text())["permissions"]["deny"]
    assert {"Edit(/docs/**)", "Edit(/src/deep/closed.py)", "Edit(/src/closed.py)"} <= set(deny)
    assert not {"Edit(/src/**)", "Edit(/src/deep/**)", "Edit(/docs/a.md)"} & set(deny)


# What somebody edited is kept, and said; --force takes it back; what is the same is left alone.
def test_edits_are_kept(tmp_path):
    lab = TreeLab(tmp_path)
    assert agents(lab, "--agents", "claude")[0] == 0
    mine = tmp_path / "roles/worker.md"
    mine.write_text("mine\n")
    code, said, _ = agents(lab, "--agents", "claude")
    kept = [f["path"] for f in said["files"] if f["state"] == "kept"]
    assert code == 1 and kept == ["./roles/worker.md"]
    assert mine.read_text() == "mine\n"
    assert "--force" in lab.say("init", "--agents", "claude")[2]
    code, said, _ = agents(lab, "--agents", "claude", "--force")
    assert code == 0 and mine.read_text().startswith("# worker: ")
    assert [f["state"] for f in said["files"]].count("replaced") == 1
    assert lab.say("init", "--force")[0] == 2 and lab.say("init", "--agents", "cluade")[0] == 2


# The command lines wait as comments, once, and are TOML when they are taken.
def test_commands_are_left_in_lab_toml(tmp_path):
    lab = TreeLab(tmp_path)
    for _ in range(2):
        assert agents(lab, "--agents", "claude,codex,opencode")[0] == 0
    text = (tmp_path / "lab.toml").read_text()
    assert text.startswith(SETTINGS) and text.count("[roles]") == 1 and "roles" not in tomllib.loads(text)
    for program in ("claude", "codex", "opencode"):
        taken = [
            line[2:]
            for line in text.splitlines()
            if re.match(rf"# (\[roles\]|limit|output_mb|\w+ = '{program} )", line)
        ]
        roles = tomllib.loads("\n".join(taken))["roles"]
        assert set(roles) == {*ROLES, "limit", "output_mb"}
        (tmp_path / "lab.toml").write_text(SETTINGS + "\n".join(taken) + "\n")
        assert lab.say("init")[0] == 0
        assert all(roles[r].startswith(program) for r in ROLES)


# A lab to start from is one command: a repository with one commit, a champion, and nothing left to do.
@pytest.mark.parametrize("name", ["rmsnorm", "rmsnorm-cuda", "language-model", "post-training"])
def test_from(tmp_path, name):
    folder, source = tmp_path / "new", ROOT / "templates/lab" / name.removesuffix("-cuda")
    toml = "lab-cuda.toml" if name.endswith("-cuda") else "lab.toml"
    done = subprocess.run([PROGRAM, "lab", "init", "--from", name, folder], text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    git = lambda *words: subprocess.run(["git", *words], cwd=folder, text=True, capture_output=True).stdout  # noqa: E731
    there = {str(p.relative_to(source)) for p in source.rglob("*") if p.is_file()} - {"lab-cuda.toml"}
    assert set(git("ls-files").split()) == there and git("status", "--porcelain") == ""
    assert (folder / "lab.toml").read_text() == (source / toml).read_text()
    assert git("rev-parse", "HEAD") == git("rev-parse", "refs/lab/champion")
    again = subprocess.run([PROGRAM, "lab", "init", "--from", name, folder], text=True, capture_output=True)
    assert again.returncode == 5 and "not empty" in again.stderr


def test_from_what_is_not_there(tmp_path):
    for name in ("roles", "../kernel", "nothing", "rmsnorm-", "rmsnorm-x"):
        done = subprocess.run(
            [PROGRAM, "lab", "init", "--from", name, tmp_path / "x"], text=True, capture_output=True
        )
        assert done.returncode == 2 and "language-model, post-training, rmsnorm, rmsnorm-cuda" in done.stderr
        assert not (tmp_path / "x").exists()


# A lab below the top of its repository: the rules are those of its folder, OpenCode's from the top.
def test_a_lab_in_a_subfolder(tmp_path):
    top = TreeLab(tmp_path)
    folder = tmp_path / "labs/one"
    folder.mkdir(parents=True)
    for name in ("train.py", "evaluate.py", "lab.toml"):
        (folder / name).write_text((tmp_path / name).read_text())
    top.git("add", "-A")
    top.git("commit", "-q", "-m", "another")
    lab = object.__new__(TreeLab)
    lab.folder = folder
    assert agents(lab, "--agents", "claude,opencode")[0] == 0
    rules = json.loads((folder / ".claude/settings.json").read_text())["permissions"]
    assert "Edit(/train.py)" in rules["allow"] and "Edit(/evaluate.py)" in rules["deny"]
    edit = json.loads((folder / "opencode.json").read_text())["permission"]["edit"]
    assert edit["labs/one/train.py"] == "allow" and "train.py" not in edit


# Without a [workspace] there is nothing that an agent may change, and the prompts say so as well as they can.
def test_a_lab_without_a_repository(tmp_path):
    lab = object.__new__(TreeLab)
    lab.folder = tmp_path
    assert agents(lab, "--agents", "opencode")[0] == 0
    assert json.loads((tmp_path / "opencode.json").read_text())["permission"]["edit"] == {"*": "deny"}
    assert "what its text names" in (tmp_path / "roles/worker.md").read_text()


# Nothing is written through a link that a repository brought.
def test_links_lead_nowhere(tmp_path):
    folder = tmp_path / "lab"
    folder.mkdir()
    lab = TreeLab(folder)
    (tmp_path / "elsewhere").mkdir()
    (folder / ".claude").symlink_to(tmp_path / "elsewhere")
    code, _, err = agents(lab, "--agents", "claude")
    assert code == 4 and "is a link" in err and not list((tmp_path / "elsewhere").iterdir())
