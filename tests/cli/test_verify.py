"""kernmill verify: every byte of an installed kernel counts, whatever it is installed as.

What would be lost: a file that was changed, added or removed since it was built is loaded as if it were ours.
"""

import base64
import hashlib
import io
import json
import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest


def told(answer) -> set[tuple[str, str]]:
    """(code, last part of the place) of every finding."""
    rows = [row for target in answer.json["targets"] for row in target["findings"]]
    return {(row["code"], row["place"].rsplit("/", 1)[-1]) for row in rows}


def flips(path: pathlib.Path, positions: int = 8):
    """The file with one bit flipped, at its ends and between; afterwards as it was."""
    whole = path.read_bytes()
    size = len(whole)
    for k, at in enumerate(
        sorted({i * (size - 1) // (positions - 1) for i in range(positions)} if size else ())
    ):
        changed = bytearray(whole)
        changed[at] ^= 1 << (k % 8)
        path.write_bytes(changed)
        yield at
    path.write_bytes(whole)


@pytest.fixture(scope="module")
def packed(kernmill, built, tmp_path_factory) -> pathlib.Path:
    """init's kernel as pack writes it for CPUs: a wheel and a Hub folder."""
    folder = tmp_path_factory.mktemp("packed")
    shutil.copytree(built, folder / "demo-kernel")
    answer = kernmill("pack", "--cpu", "-q", "--output", folder / "dist", folder / "demo-kernel")
    assert answer.code == 0, answer.err
    return folder / "dist"


@pytest.fixture
def wheel(packed, tmp_path) -> pathlib.Path:
    (path,) = packed.glob("*.whl")
    return pathlib.Path(shutil.copy(path, tmp_path))


@pytest.fixture
def hub(packed, tmp_path) -> pathlib.Path:
    return pathlib.Path(shutil.copytree(packed / "demo-kernel", tmp_path / "demo-kernel"))


@pytest.fixture
def variant(hub) -> pathlib.Path:
    (path,) = (hub / "build").iterdir()
    return path


def git_id(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(hub, tmp_path) -> pathlib.Path:
    """The kernel in a cache as the Python client writes it: libraries are blobs by SHA-256, texts by git's id."""
    repo = tmp_path / "cache/kernels--acme--demo"
    for path in (p for p in (hub / "build").rglob("*") if p.is_file()):
        data = path.read_bytes()
        name = hashlib.sha256(data).hexdigest() if path.suffix == ".so" else git_id(data)
        link = repo / "snapshots" / COMMIT / path.relative_to(hub)
        blob = repo / "blobs" / name
        for file in (link, blob):
            file.parent.mkdir(parents=True, exist_ok=True)
        blob.write_bytes(data)
        link.symlink_to("../" * (len(path.relative_to(hub).parts) + 1) + f"blobs/{name}")
    (repo / "refs").mkdir()
    (repo / "refs/v1").write_text(COMMIT)
    return repo


@pytest.fixture
def cached(kernmill, cache):
    return lambda *words: kernmill("verify", "--json", *words, env={"HF_HUB_CACHE": str(cache.parent)})


@pytest.fixture
def site(wheel, tmp_path) -> pathlib.Path:
    """The wheel as pip installs it."""
    prefix = tmp_path / "python"
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-qq", "--no-deps", "--no-index", "--prefix", prefix, wheel],
        check=True,
        env={"PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    (prefix / "bin").mkdir(exist_ok=True)
    (prefix / "bin/python3").symlink_to(sys.executable)
    (path,) = prefix.glob("lib/python3*/site-packages")
    return path


@pytest.fixture
def installed(kernmill, site):
    python = str(site.parents[2] / "bin/python3")
    return lambda *words: kernmill("verify", "--json", *words, env={"KERNMILL_PYTHON": python})


# ---- Hub folders ----


def test_what_was_built_is_as_built(kernmill, hub, variant, wheel):
    answer = kernmill("verify", hub, hub / "build", variant, wheel)
    assert (answer.code, answer.err) == (0, "")
    assert [line.rsplit(", ", 1)[-1] for line in answer.out.splitlines()] == ["as built"] * 4
    document = kernmill("verify", "--json", hub).json
    (target,) = document["targets"]
    assert document["verified"] and target["kind"] == "hub folder" and target["findings"] == []
    files = [p for p in variant.rglob("*") if p.is_file()]
    assert target["files"] == len(files) and target["bytes"] == sum(p.stat().st_size for p in files)


def test_a_bit_of_any_file_of_a_variant(kernmill, variant):
    files = sorted(p for p in variant.rglob("*") if p.is_file() and p.name != "metadata.json")
    assert len(files) >= 3
    for path in files:
        for at in flips(path):
            answer = kernmill("verify", "--json", variant)
            assert answer.code == 1, f"bit of byte {at} of {path.name}"
            assert told(answer) == {("changed", path.name)}
    assert kernmill("verify", variant).code == 0


# All of them are named, not the first alone; bytecode is Python's own.
def test_every_fault_is_named(kernmill, variant):
    (library,) = variant.glob("*.so")
    (variant / "_ops.py").write_text("")
    (variant / "more.py").write_text("")
    (variant / "sub").mkdir()
    (variant / "sub/deep.py").write_text("")
    library.unlink()
    (variant / "link.py").symlink_to("/etc/passwd")
    (variant / "__pycache__").mkdir()
    (variant / "__pycache__/x.pyc").write_text("")
    answer = kernmill("verify", "--json", variant)
    assert answer.code == 1
    assert told(answer) == {("changed", "_ops.py"), ("unlisted", "more.py"), ("unlisted", "deep.py"),
                            ("missing", library.name), ("link", "link.py")}  # fmt: skip
    assert answer.json["targets"][0]["bytecode"] == 1
    text = kernmill("verify", variant)
    assert text.code == 1 and text.out.endswith("5 findings\n")
    assert f"{variant}/more.py: is not in metadata.json [unlisted]\n" in text.out


# A digest that is changed, gone, of nothing, or of another algorithm; a document that is none.
def test_changed_metadata(kernmill, variant):
    path = variant / "metadata.json"
    whole = path.read_text()

    def with_files(change):
        document = json.loads(whole)
        change(document)
        path.write_text(json.dumps(document))
        return kernmill("verify", "--json", variant)

    files = lambda document: document["digest"]["files"]  # noqa: E731
    assert told(with_files(lambda d: files(d).update({"_ops.py": "A" * 43 + "="}))) == {
        ("changed", "_ops.py")
    }
    assert told(with_files(lambda d: files(d).update({"_ops.py": 1}))) == {("changed", "_ops.py")}
    assert told(with_files(lambda d: files(d).pop("_ops.py"))) == {("unlisted", "_ops.py")}
    assert told(with_files(lambda d: files(d).update({"../x": "A"}))) == {("missing", "x")}
    for change in (
        lambda d: d.pop("digest"),
        lambda d: d["digest"].update(algorithm="md5"),
        lambda d: d["digest"].update(files=[]),
    ):
        answer = with_files(change)
        assert answer.code == 1 and told(answer) == {("metadata", "metadata.json")}
    path.write_text(whole[:-20])
    answer = kernmill("verify", "--json", variant)
    assert answer.code == 1 and {code for code, _ in told(answer)} == {"metadata"}


def test_a_variant_without_metadata(kernmill, hub, variant):
    (variant / "metadata.json").unlink()
    answer = kernmill("verify", "--json", hub)
    assert answer.code == 1 and told(answer) == {("metadata", "metadata.json")}


# ---- the cache ----


def test_a_kernel_in_the_cache(cached, cache):
    snapshot = cache / "snapshots" / COMMIT
    for target in ("acme/demo", snapshot, *(snapshot / "build").iterdir()):
        answer = cached(target)
        assert answer.code == 0 and answer.json["targets"][0]["files"] >= 4, answer.out
    (variant,) = (snapshot / "build").iterdir()
    for words in (["--version", "1"], ["--revision", COMMIT], ["--variant", variant.name]):
        answer = cached("acme/demo", *words)
        assert answer.code == 0 and answer.json["targets"][0]["commit"] == COMMIT


# There the blob's name says what metadata.json was.
def test_a_bit_of_any_blob(cached, cache):
    (variant,) = (cache / "snapshots" / COMMIT / "build").iterdir()
    names = {path.resolve(): path.name for path in variant.iterdir()}
    assert "metadata.json" in names.values()
    for blob, name in names.items():
        for at in flips(blob):
            answer = cached("acme/demo")
            assert answer.code == 1, f"bit of byte {at} of {name}"
            found = told(answer)
            assert ("changed", name) in found and (name == "metadata.json" or len(found) == 1)
    assert cached("acme/demo").code == 0


def test_links_of_the_cache(cached, cache):
    (variant,) = (cache / "snapshots" / COMMIT / "build").iterdir()
    link = variant / "_ops.py"
    target = str(link.readlink())
    for elsewhere in ("/etc/passwd", "../../../../../blobs/" + "0" * 40, "../../../../refs/v1",
                      "../../../../blobs/x/" + "0" * 40):  # fmt: skip
        link.unlink()
        link.symlink_to(elsewhere)
        answer = cached("acme/demo")
        assert answer.code == 1 and told(answer) == {("link", "_ops.py")}, elsewhere
    link.unlink()
    link.symlink_to("../../../../blobs/" + "0" * 40)
    assert told(cached("acme/demo")) == {("missing", "_ops.py")}
    link.unlink()
    link.symlink_to(target)
    assert cached("acme/demo").code == 0


# Locking downloads the metadata.json of every variant: those are not installed, and nothing is missing.
def test_metadata_alone_is_no_installed_variant(cached, cache):
    build = cache / "snapshots" / COMMIT / "build"
    (variant,) = build.iterdir()
    other = build / "torch-cuda"
    other.mkdir()
    (other / "metadata.json").symlink_to((variant / "metadata.json").readlink())
    for target in ("acme/demo", build, build.parent):
        assert cached(target).code == 0
    assert cached("acme/demo", "--variant", "torch-cuda").code == 1
    for path in variant.iterdir():
        if path.name != "metadata.json":
            path.unlink()
    for target in ("acme/demo", build):
        answer = cached(target)
        assert answer.code == 5 and "only metadata.json" in answer.json["error"]["message"]


# ---- wheels ----


def repacked(wheel: pathlib.Path, change) -> None:
    """The wheel with `change(name, data)` of each member, its archive whole."""
    out = io.BytesIO()
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(out, "w") as new:
        for info in old.infolist():
            data = change(info.filename, old.read(info))
            if data is not None:
                new.writestr(info, data)
    wheel.write_bytes(out.getvalue())


def test_a_bit_of_any_member_of_a_wheel(kernmill, wheel):
    """On the disk, where the archive's own checksum is wrong; and repacked, where only RECORD knows."""
    whole = wheel.read_bytes()
    with zipfile.ZipFile(wheel) as archive:
        members = [(info.filename, archive.read(info)) for info in archive.infolist()]
    assert len(members) >= 5
    for name, data in members:
        at = whole.index(data) if data else None
        for k in sorted({0, len(data) // 2, len(data) - 1}) if data else ():
            changed = bytearray(whole)
            changed[at + k] ^= 4
            wheel.write_bytes(changed)
            assert kernmill("verify", wheel).code == 1, f"byte {k} of {name}"
            flipped = bytes(changed[at : at + len(data)])
            wheel.write_bytes(whole)
            repacked(wheel, lambda n, d, name=name, flipped=flipped: flipped if n == name else d)
            answer = kernmill("verify", "--json", wheel)
            assert answer.code == 1, f"byte {k} of {name}, repacked"
            if not name.endswith("RECORD"):
                (row,) = answer.json["targets"][0]["findings"]
                assert (row["code"], name in row["message"]) == ("record-mismatch", True)
    wheel.write_bytes(whole)
    assert kernmill("verify", wheel).code == 0


def test_a_wheel_with_more_and_less(kernmill, wheel):
    repacked(wheel, lambda name, data: None if name.endswith("_ops.py") else data)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("demo_kernel/more.py", "")
    answer = kernmill("verify", "--json", wheel)
    rows = answer.json["targets"][0]["findings"]
    assert answer.code == 1
    assert {(r["code"], r["message"].split("'")[-2]) for r in rows} == {
        ("record-missing", "demo_kernel/more.py"), ("record-absent", "demo_kernel/_ops.py")}  # fmt: skip


# ---- installed ----


def test_an_installed_distribution(installed, site):
    for name in ("demo-kernel", "demo_kernel", "Demo.Kernel", site / "demo_kernel"):
        answer = installed(name)
        assert answer.code == 0 and answer.json["targets"][0]["kind"] == "distribution", answer.out
    assert answer.json["targets"][0]["bytecode"] > 0, "pip compiles what it installs"


def test_a_bit_of_any_installed_file(installed, site):
    files = [p for p in site.rglob("*") if p.is_file() and p.suffix != ".pyc" and p.name != "RECORD"]
    assert len(files) >= 6
    for path in files:
        for at in flips(path, 4):
            answer = installed("demo-kernel")
            assert answer.code == 1 and told(answer) == {("changed", path.name)}, f"byte {at} of {path.name}"
    (site / "demo_kernel/more.py").write_text("")
    (site / "demo_kernel/_ops.py").unlink()
    assert told(installed("demo-kernel")) == {("unlisted", "more.py"), ("missing", "_ops.py")}


def test_a_line_of_record_without_a_hash(installed, site):
    (record,) = site.glob("*.dist-info/RECORD")
    lines = record.read_text().splitlines()
    record.write_text("\n".join("demo_kernel/_ops.py,," if "_ops.py" in line and "pyc" not in line else line
                                for line in lines) + "\n")  # fmt: skip
    answer = installed("demo-kernel")
    assert answer.code == 1 and told(answer) == {("changed", "_ops.py")}


# What is installed with -e is not what was built.
def test_an_editable_one(installed, site):
    (info,) = site.glob("*.dist-info")
    text = json.dumps({"url": "file:///x", "dir_info": {"editable": True}})
    (info / "direct_url.json").write_text(text)
    digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
    lines = [line for line in (info / "RECORD").read_text().splitlines() if "direct_url" not in line]
    lines.append(f"{info.name}/direct_url.json,sha256={digest},{len(text)}")
    (info / "RECORD").write_text("\n".join(lines) + "\n")
    answer = installed("demo-kernel")
    assert answer.code == 1 and told(answer) == {("editable", "direct_url.json")}


# ---- a lock ----


def lock_of(folder: pathlib.Path, hub: pathlib.Path, repo="acme/demo", commit=COMMIT) -> pathlib.Path:
    files = {str(p.relative_to(hub)): p.read_bytes() for p in (hub / "build").rglob("*") if p.is_file()}
    dependency = {"repo-id": repo, "version": 1}
    rows = {
        name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)} for name, data in files.items()
    }
    (folder / "kernels.lock").write_text(json.dumps([{"dependency": dependency, "lock": {"commit": commit}}]))
    (folder / "kernels.lock.digests.json").write_text(
        json.dumps({"schema": 1, "kernels": [{**dependency, "commit": commit, "files": rows}]})
    )
    return folder / "kernels.lock"


# With a lock also a bit of metadata.json that no digest has.
def test_a_lock_knows_metadata_too(kernmill, hub, variant, cached, tmp_path):
    lock = lock_of(tmp_path, hub)
    for target in (hub, variant):
        assert kernmill("verify", target, "--lock", lock).code == 0
    assert cached("acme/demo", "--lock", str(lock)).code == 0
    path = variant / "metadata.json"
    path.write_text(path.read_text().replace('"license": "', '"license": "not-'))
    assert kernmill("verify", variant).code == 0, "nothing else states what metadata.json is"
    answer = kernmill("verify", "--json", variant, "--lock", lock)
    assert answer.code == 1 and told(answer) == {("lock", "metadata.json")}


def test_what_a_lock_has_not(kernmill, hub, variant, cached, tmp_path):
    lock = lock_of(tmp_path, hub, commit="f" * 40)
    answer = cached("acme/demo", "--lock", str(lock))
    assert answer.code == 5 and "f" * 40 in answer.json["error"]["message"]
    answer = cached("acme/other", "--lock", str(lock))
    assert answer.code == 5 and "acme/other" in answer.json["error"]["message"]
    lock = lock_of(tmp_path, hub)
    (variant / "_ops.py").unlink()
    (variant / "more.py").write_text("")
    found = told(kernmill("verify", "--json", hub, "--lock", lock))
    assert {("lock", "_ops.py"), ("lock", "more.py")} <= found
    (tmp_path / "kernels.lock.digests.json").unlink()
    answer = kernmill("verify", hub, "--lock", lock)
    assert answer.code == 5 and "kernmill lock" in answer.err


# ---- what is none of these ----


def test_no_target(kernmill, tmp_path, wheel, hub):
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("")
    lock = lock_of(tmp_path, hub)
    for words, code in [
        ([], 2),
        (["nothing-of-that-name"], 5),
        (["not/there/at/all"], 5),
        (["acme/never-fetched"], 5),
        ([tmp_path / "empty"], 2),
        ([tmp_path / "file.txt"], 2),
        ([wheel, "--lock", lock], 2),
        ([hub, "--version", "1"], 2),
        (["acme/demo", "--version", "1", "--revision", "main"], 2),
        (["acme/demo", "--variant", "../x"], 2),
    ]:
        answer = kernmill("verify", *words, env={"HF_HUB_CACHE": str(tmp_path / "cache")})
        assert answer.code == code and "error" in answer.err, (words, answer)
    wheel.write_bytes(b"no archive")
    assert kernmill("verify", wheel).code == 1
