"""`kernmill publish`: what it refuses, what it changes, and that what others then get is what was here."""

import hashlib
import json
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from clients import PROGRAM
from faults import Meanwhile, Reset, Slow, Status, WrongBytes
from server import READER
from test_kernmill import kernmill  # noqa: F401

TESTED = {"passed": 9, "failed": 0, "skipped": 0, "xfailed": 0, "whole": True, "gpu": "NVIDIA H100", "cpu": "a CPU",
          "torch": "2.13.0", "python": "3.11", "date": "2026-11-26T10:00:00Z"}  # fmt: skip


def package_sha256(folder: pathlib.Path) -> str:
    """pkg/package_digest.h, once more."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*"), key=lambda p: str(p.relative_to(folder)).encode()):
        name = str(path.relative_to(folder))
        if path.is_file() and name != "metadata.json" and "__pycache__" not in name:
            whole.update(name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def run_of(folder: pathlib.Path, **fields) -> dict:
    libraries = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.glob("*.so")}
    return {
        "target": folder.name,
        **TESTED,
        "package_sha256": package_sha256(folder),
        "libraries": libraries,
        **fields,
    }


def write_tests(packed: pathlib.Path, **fields) -> None:
    runs = [run_of(variant, **fields) for variant in sorted((packed / "build").iterdir())]
    (packed / "tests.json").write_text(json.dumps({"schema": 1, "runs": runs}))


@pytest.fixture
def packed(kernel, tmp_path) -> pathlib.Path:
    """A packed kernel that was tested, as far as its record says."""
    folder = tmp_path / "packed"
    shutil.copytree(kernel, folder, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    write_tests(folder)
    return folder


def files_of(folder: pathlib.Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def published(hub, branch="v1", repo="acme/rms") -> dict[str, bytes]:
    commit = hub.store.repos["kernel", repo].commit_of(branch)
    return {path: hub.store.read(blob) for path, blob in commit.files.items() if path != ".gitattributes"}


def commits(hub, branch="v1", repo="acme/rms") -> int:
    return len(hub.seen("POST", f"/api/kernels/{repo}/commit/{branch}"))


# --- what others get ---


# All variants in one commit; the real clients then load it, download it, and find nothing else to upload.
@pytest.mark.parametrize("uploads", ["regular", "lfs"])
def test_real_clients_get_exactly_these_files(hub, client, kernmill, packed, uploads):  # noqa: F811
    hub.uploads = uploads
    told = json.loads(kernmill("publish", packed, "acme/rms", "--json").stdout)
    assert told["status"] == "uploaded" and told["branch"] == "v1" and told["new_repository"]
    assert published(hub) == files_of(packed)
    assert told["verified_bytes"] == sum(
        map(len, {hashlib.sha1(d).digest(): d for d in files_of(packed).values()}.values())
    )
    assert commits(hub) == 1 and commits(hub, "main") == 1
    assert published(hub, "main")["README.md"] == (packed / "README.md").read_bytes()
    assert not any(path.startswith("build/") for path in published(hub, "main"))
    if uploads == "lfs":
        assert hub.seen("PUT", "/upload/", "objects")

    ours = client.python("from kernels import get_kernel\nprint(get_kernel('acme/rms', version=1).__file__)")
    variant = pathlib.Path(ours.stdout.strip()).parent
    assert (packed / "build" / variant.name).is_dir()
    got = client.python(
        "print(snapshot_download('acme/rms', repo_type='kernel', revision='v1', local_dir='got'))"
    )
    folder = pathlib.Path(got.stdout.strip())
    downloaded = {
        name: data for name, data in files_of(folder).items() if not name.startswith((".cache", ".git"))
    }
    assert downloaded == files_of(packed)
    client.hf(
        "download",
        "acme/rms",
        "README.md",
        "--repo-type",
        "kernel",
        "--revision",
        "main",
        "--local-dir",
        "card",
    )
    assert (client.home / "card/README.md").read_bytes() == (packed / "README.md").read_bytes()


# A second run changes nothing, and says so; it reads everything again all the same.
def test_a_repeat_makes_no_commit(hub, kernmill, packed):  # noqa: F811
    kernmill("publish", packed, "acme/rms")
    again = json.loads(kernmill("publish", packed, "acme/rms", "--json").stdout)
    assert again["status"] == "no_changes" and not again["changes"] and commits(hub) == 1
    assert again["verified_bytes"] > 0
    assert not hub.seen("POST", "/preupload/")[2:]


# By the official program, which reads the token by itself; and by it again nothing changes.
def test_the_official_program_publishes(hub, client, kernmill, packed):  # noqa: F811
    told = json.loads(kernmill("publish", packed, "acme/rms", "--transport", "hf", "--json").stdout)
    assert told["status"] == "uploaded" and told["commit"]
    assert published(hub) == files_of(packed)
    assert published(hub, "main")["README.md"] == (packed / "README.md").read_bytes()
    agents = {entry.headers.get("user-agent", "") for entry in hub.seen("POST", "/commit/")}
    assert agents and all("hf_hub" in agent for agent in agents)
    assert json.loads(kernmill("publish", packed, "acme/rms", "--json").stdout)["status"] == "no_changes"


# --- the difference ---


# A dry run says what would change, sends nothing, and needs no token.
def test_a_dry_run_changes_nothing(hub, kernmill, packed):  # noqa: F811
    kernmill("publish", packed, "acme/rms")
    variant = next((packed / "build").iterdir())
    (packed / "speed").mkdir()
    (packed / "speed/plot.svg").write_text("<svg/>")
    hub.add(
        "acme/rms",
        {f"build/{variant.name}/old.py": b"x = 1\n", "build/torch99-cpu-x/metadata.json": b"{}"},
        "v1",
    )
    before, seen = published(hub), len(hub.log)
    told = json.loads(kernmill("publish", packed, "acme/rms", "--dry-run", "--json", HF_TOKEN="").stdout)
    changes = {(c["change"], c["path"]) for c in told["changes"]}
    assert changes == {("delete", f"build/{variant.name}/old.py"), ("add", "speed/plot.svg")}
    assert {c["path"] for c in told["main"]} == {"speed/plot.svg"}
    assert told["status"] == "would_upload" and told["kept_variants"] == ["torch99-cpu-x"]
    assert published(hub) == before
    assert {entry.method for entry in hub.log[seen:]} == {"GET"}
    text = kernmill("publish", packed, "acme/rms", "--dry-run").stdout
    assert f"- v1: build/{variant.name}/old.py" in text and "nothing was sent" in text


# What is stale in our variants goes, another machine's variant stays; a new branch begins without main's build/.
def test_stale_files_go_and_others_stay(hub, kernmill, packed):  # noqa: F811
    variant = next((packed / "build").iterdir()).name
    hub.add("acme/rms", {"build/old-cpu/metadata.json": b"{}"}, "main")
    kernmill("publish", packed, "acme/rms")
    assert published(hub) == files_of(packed)
    hub.add("acme/rms", {f"build/{variant}/old.py": b"x\n", "build/torch99-cpu-x/metadata.json": b"{}"}, "v1")
    kernmill("publish", packed, "acme/rms")
    assert published(hub) == files_of(packed) | {"build/torch99-cpu-x/metadata.json": b"{}"}


# Only the owner's page of the newest version changes; an older version is refused.
def test_versions_do_not_go_backwards(hub, kernmill, packed):  # noqa: F811
    hub.add("acme/rms", {"build/x/metadata.json": b"{}"}, "v2")
    done = kernmill("publish", packed, "acme/rms", check=False)
    assert done.returncode == 2 and "is at version 2" in done.stderr and "raise `version`" in done.stderr
    assert not hub.seen("POST")


def test_a_private_repository(hub, kernmill, packed):  # noqa: F811
    kernmill("publish", packed, "acme/rms", "--private")
    assert hub.store.repos["kernel", "acme/rms"].private


def test_a_proposal(hub, kernmill, packed):  # noqa: F811
    kernmill("publish", packed, "acme/rms")
    before = published(hub)
    (packed / "LICENSE").write_text("more\n")
    told = json.loads(kernmill("publish", packed, "acme/rms", "--create-pr", "--json").stdout)
    assert told["status"] == "pull_request_created" and told["pull_request"].startswith(hub.url)
    assert published(hub) == before
    number = told["pull_request"].rsplit("/", 1)[1]
    assert published(hub, f"refs/pr/{number}") == files_of(packed)


def test_a_proposal_needs_its_branch(hub, kernmill, packed):  # noqa: F811
    done = kernmill("publish", packed, "acme/rms", "--create-pr", check=False)
    assert done.returncode == 2 and "needs the branch" in done.stderr


# --- what is refused before anything is sent ---

TOKEN = "hf_" + "Q" * 34


def no_card(packed):
    (packed / "README.md").unlink()


def no_licence(packed):
    card = (packed / "README.md").read_text()
    (packed / "README.md").write_text(re.sub(r"(?m)^license:.*\n", "", card, count=1))


def flipped_bit(packed):
    library = next((packed / "build").glob("*/*.so"))
    data = bytearray(library.read_bytes())
    data[len(data) // 2] ^= 1
    library.write_bytes(data)


def other_version(packed):
    metadata = sorted((packed / "build").glob("*/metadata.json"))[-1]
    metadata.write_text(metadata.read_text().replace('"version": 1', '"version": 2'))


def secret(packed):
    (packed / "LICENSE").write_text(f"licence\ntoken = {TOKEN}\n")


def key(packed):
    (packed / "LICENSE").write_text("-----BEGIN OPENSSH " + "PRIVATE KEY-----\nabc\n")


def stray(packed):
    (packed / "notes.txt").write_text("a stray file\n")


def link(packed):
    (packed / "LICENSE").symlink_to("/etc/hostname")


def untested(packed):
    (packed / "tests.json").unlink()


def untested_gpu(packed):
    write_tests(packed, gpu="")


def failed(packed):
    write_tests(packed, failed=1, failures=["test_x"])


def of_other_files(packed):
    write_tests(packed, package_sha256="0" * 64)


REFUSED = {
    no_card: (1, "there is no card"),
    no_licence: (1, "names no licence"),
    flipped_bit: (1, "digest"),
    other_version: (4, "do not agree on the version"),
    secret: (1, "LICENSE:2: error: this looks like a Hugging Face token"),
    key: (1, "this looks like a private key"),
    stray: (4, "has no place"),
    link: (4, "symbolic link"),
    untested: (1, "no record says that these files were tested"),
    untested_gpu: (1, "tested on a GPU"),
    failed: (1, "the tests failed"),
    of_other_files: (1, "no record says that these files were tested"),
}


@pytest.mark.parametrize("spoil", REFUSED, ids=lambda f: f.__name__)
def test_what_is_refused(hub, kernmill, packed, spoil):  # noqa: F811
    spoil(packed)
    done = kernmill("publish", packed, "acme/rms", check=False)
    code, text = REFUSED[spoil]
    assert done.returncode == code and text in done.stdout + done.stderr, done.stdout + done.stderr
    assert TOKEN not in done.stdout + done.stderr
    assert not hub.log


# The card that pack wrote says that nothing was tested: with that said, it may be published.
def test_untested_files_with_a_card_that_says_so(hub, kernmill, packed):  # noqa: F811
    (packed / "tests.json").unlink()
    card = packed / "README.md"
    before = card.read_text()
    card.write_text(re.sub(r"(?s)## Tests\n.*?\n## ", "## Tests\n\nAll is well.\n\n## ", before, count=1))
    done = kernmill("publish", packed, "acme/rms", "--allow-untested", check=False)
    assert done.returncode == 1 and "the card does not say so" in done.stdout and not hub.log
    card.write_text(
        re.sub(r"(?s)## Tests\n.*?\n## ", "## Tests\n\nNot tested on these files.\n\n## ", before, count=1)
    )
    kernmill("publish", packed, "acme/rms", "--allow-untested")
    assert published(hub) == files_of(packed)


# Where other folders did run on a GPU, the card names those that did not: with each of them named it may be published.
def test_a_card_that_says_which_had_no_gpu(hub, kernmill, packed):  # noqa: F811
    write_tests(packed, gpu="")
    card, before = packed / "README.md", (packed / "README.md").read_text()
    cuda = sorted(p.name for p in (packed / "build").iterdir() if "-cu" in p.name)
    assert len(cuda) > 1
    for names, code in ((cuda[:-1], 1), (cuda, 0)):
        lines = "".join(f"On a GPU, `{name}`: not tested.\n\n" for name in names)
        card.write_text(re.sub(r"(?s)## Tests\n.*?\n## ", f"## Tests\n\n{lines}\n## ", before, count=1))
        done = kernmill("publish", packed, "acme/rms", "--allow-untested", check=False)
        assert done.returncode == code, done.stdout + done.stderr
        if code:
            assert (
                f"{cuda[-1]}: error: no record says that they were tested on a GPU, and the card"
                in done.stdout
            )
            assert not hub.log
    assert published(hub) == files_of(packed)


def test_who_may_not(hub, client_of, packed):
    for token, text in ((READER, "rights"), (None, "there is no token")):
        other = client_of(hub.url, token, name=str(token))
        done = other.run(PROGRAM, "publish", packed, "acme/rms", check=False)
        assert done.returncode == 3 and text in done.stderr
    assert ("kernel", "acme/rms") not in hub.store.repos


# --- what goes wrong on the way ---


# Killed at each request in turn: the branch is as before or as published, and the repeat makes one commit in all.
def test_killed_at_every_request(hub, client, packed, tmp_path):
    hub.uploads = "lfs"
    for nth in range(1, 60):
        repo = f"acme/kill{nth}"
        rule = hub.fault(Slow(delay_s=60), nth=nth)
        process = subprocess.Popen(
            [PROGRAM, "publish", packed, repo, "--quiet"],
            env=client.environment | {"KERNMILL_PYTHON": sys.executable}, cwd=tmp_path,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip
        while process.poll() is None and not rule.hits:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
        hub.rules.clear()
        if not rule.hits:
            break
        there = hub.store.repos.get(("kernel", repo))
        commit = there and there.commit_of("v1")
        builds = [p for p in commit.files if p.startswith("build/")] if commit else []
        assert not builds or published(hub, "v1", repo) == files_of(packed)
        client.run(PROGRAM, "publish", packed, repo, "--quiet", KERNMILL_PYTHON=sys.executable)
        assert published(hub, "v1", repo) == files_of(packed)
        stored = hub.store.repos["kernel", repo]
        titles = [c.title for c in stored.history(stored.commit_of("v1"))]
        assert len([t for t in titles if t.startswith("kernmill-rmsnorm version 1")]) == 1, (nth, titles)
    assert nth > 10, "the run was shorter than any that publishes"


# The commit is made and its answer is lost: it is found, and not made twice.
def test_the_answer_to_the_commit_is_lost(hub, kernmill, packed):  # noqa: F811
    hub.fault(Reset(), method="POST", path="/commit/v1")
    told = json.loads(kernmill("publish", packed, "acme/rms", "--json").stdout)
    assert told["status"] == "uploaded" and commits(hub) == 1 and published(hub) == files_of(packed)


# The hub answers 500 and has done nothing: an error, and the repeat publishes.
def test_the_commit_fails(hub, kernmill, packed):  # noqa: F811
    hub.fault(Status(500), method="POST", path="/commit/v1")
    done = kernmill("publish", packed, "acme/rms", check=False)
    assert done.returncode == 5 and commits(hub) == 1
    kernmill("publish", packed, "acme/rms")
    assert published(hub) == files_of(packed)


# Somebody else publishes between our look and our commit: theirs stays, and we say so.
def test_the_branch_moves(hub, kernmill, packed):  # noqa: F811
    kernmill("publish", packed, "acme/rms")
    (packed / "LICENSE").write_text("mine\n")
    hub.fault(
        Meanwhile(lambda: hub.add("acme/rms", {"LICENSE": b"theirs\n"}, "v1")),
        method="POST",
        path="/commit/v1",
    )
    done = kernmill("publish", packed, "acme/rms", check=False)
    assert done.returncode == 4 and "has moved" in done.stderr
    assert published(hub)["LICENSE"] == b"theirs\n"


# What the hub hands out afterwards is not what was sent: never a success.
def test_what_is_read_again_is_another_file(hub, kernmill, packed):  # noqa: F811
    kernmill("publish", packed, "acme/rms")
    hub.fault(WrongBytes(), method="GET", path="/resolve/.*__init__", times=9)
    done = kernmill("publish", packed, "acme/rms", check=False)
    assert done.returncode == 4 and "digest" in done.stderr, done.stderr
