"""Names that a stranger made up, in a hub's list of files and in a wheel: refused with the reason, nothing written."""

import io
import json
import re
import zipfile

import pytest
from faults import Listing

HERE = "build/v/mod.py"  # what the repository and the wheel have, too
NAMES = [
    # out of the folder
    "", ".", "..", "../x", "../../x", "../../../../../../tmp/x", "/x", "/etc/x", "//x", "build/../../../x",
    "build/v/../../x", "build/v/..", "build/v/.", "build/./v/x", "build//x", "build/v//x", "build/v/", "build/v/x/",
    "build/v/x//",
    # out of it where other rules hold
    "build/v/a\\b", "build\\v\\x", "..\\x", "build/v/..\\..\\x", "C:\\x", "C:/x", "c:x", "\\\\host\\share\\x",
    # not what they read as
    "build/v/a\0b", "build/v/x\0.so", "\0", "build/v/a\nb", "build/v/a\rb", "build/v/a\tb", "build/v/\x01",
    "build/v/\x1b[31mred", "build/v/\x7f", "build/v/a\x9b31m", "build/v/a\x85b", "build/v/\u202egnp.so",
    "build/v/a\u2066b", "build/v/a\u2028b", "build/v/\ufeffa",
    # too long for a disk
    "build/v/" + "x" * 256, "build/" + "x" * 256 + "/a", "build/v/" + "a/" * 2500 + "a", "build/v/" + "\u00e9" * 128,
    # what programs take for their own
    "build/v/.git/hooks/x", "build/v/.git", "build/v/.GIT/config", "build/.Git/x",
    # one file on some disks
    "build/v/a.", "build/v/a./b", "build/v/...", "build/v/a ", "build/v/a /b",
    # no UTF-8
    b"build/v/\xff", b"build/v/\xc3", b"build/v/\xc0\xae\xc0\xae/x", b"build/v/\xed\xa0\x80", b"build/v/\xf4\x90\x80\x80",
    "build/v/\ud800", "build/v/\udc80x",
]  # fmt: skip
TWICE = [HERE, "build/v/MOD.py", "build/V/mod.py", "build/v/mod.py/x", "build/v/Mod.py/x", "build/v"]
ELSEWHERE = ["other/x", "build", "builder/x", "README.md"]  # of a list that was asked for build/
assert len(NAMES) >= 60


def name_of(name) -> str:
    return re.sub(r"\W", "_", ascii(name))[:40] or "empty"


def says_why(text: str) -> None:
    """Two lines at most, for people: what was quoted could not write to their terminal."""
    assert re.search("error: .{10}", text) and text.count("\n") <= 2, text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]", text), ascii(text)


def everything_in(folder) -> dict:
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}


@pytest.mark.parametrize("name", [*NAMES, *TWICE, *ELSEWHERE], ids=name_of)
def test_in_a_list_of_files(name, hub, client, tmp_path):
    hub.add("acme/names", {HERE: b"", "build/v/__init__.py": b""}, "v1")
    before = everything_in(tmp_path)
    for kind in ["file"] if name in TWICE or name == "build" else ["file", "directory"]:
        hub.rules.clear()
        hub.fault(Listing([name], kind), path="/tree/", times=None)
        for words in (["--all"], ["--variant", "v", "--output", tmp_path / "out"]):
            done = client.kernmill("get", "acme/names", *words, check=False)
            assert done.returncode == 4, done.stdout + done.stderr
            says_why(done.stderr)
            assert everything_in(tmp_path) == before
    assert hub.seen(path="/resolve/") == []
    hub.rules.clear()
    client.kernmill("get", "acme/names", "--all")


METADATA = "Metadata-Version: 2.1\nName: names\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


class Member(zipfile.ZipInfo):
    """Whose name is these bytes, marked as UTF-8."""

    def __init__(self, name: bytes):
        super().__init__("x")
        self.bytes = name

    def _encodeFilenameFlags(self):  # noqa: N802
        return self.bytes, self.flag_bits | 0x800


def wheel_with(folder, name: str | bytes | None):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(HERE, b"")
        archive.writestr("names-1.0.dist-info/METADATA", METADATA)
        archive.writestr("names-1.0.dist-info/WHEEL", WHEEL)
        archive.writestr("names-1.0.dist-info/RECORD", "")
        if name is not None:
            raw = name if isinstance(name, bytes) else name.encode("utf-8", "surrogatepass")
            archive.writestr(Member(raw), b"x")
    path = folder / "names-1.0-py3-none-any.whl"
    path.write_bytes(out.getvalue())
    return path


@pytest.mark.parametrize("name", [*NAMES, *TWICE], ids=name_of)
def test_in_a_wheel(name, client_of, tmp_path):
    client = client_of("http://127.0.0.1:9", token=None)
    wheel = wheel_with(tmp_path, name)
    before = everything_in(tmp_path)
    done = client.kernmill("check", wheel, check=False)
    assert done.returncode == 4, done.stdout + done.stderr
    says_why(done.stderr)
    done = client.kernmill("verify", wheel, "--json", check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    (verdict,) = json.loads(done.stdout)["targets"]
    (finding,) = verdict["findings"]
    assert verdict["files"] == 0
    says_why(f"error: {finding['message']}\n")
    done = client.kernmill("explain", wheel, "--json", check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    (found,) = json.loads(done.stdout)["kernels"][0]["candidates"]
    (reason,) = [reason for reason in found["reasons"] if reason["side"] == "against"]
    assert reason["code"] == "wheel"
    says_why(f"error: {reason['text']}\n")
    assert everything_in(tmp_path) == before


# The wheel itself is not what they refuse.
def test_the_wheel_without_such_a_name(client_of, tmp_path):
    client = client_of("http://127.0.0.1:9", token=None)
    wheel = wheel_with(tmp_path, "build/v/other.py")
    assert client.kernmill("check", wheel, check=False).returncode == 1
    assert (
        json.loads(client.kernmill("verify", wheel, "--json", check=False).stdout)["targets"][0]["files"] == 5
    )
    assert "zip" not in client.kernmill("explain", wheel, check=False).stdout
