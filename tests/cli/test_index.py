"""pack --index: what pip takes from a static index, from a folder and from a server, and what it refuses."""

import functools
import hashlib
import http.server
import importlib.metadata
import os
import pathlib
import subprocess
import sys
import threading
import zipfile

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
NVIDIA = list(ROOT.glob(".venv/lib/python3*/site-packages/nvidia"))
PROJECT = "demo-kernel"
pytestmark = pytest.mark.skipif(not NVIDIA, reason="no nvidia packages in .venv: device code is not compiled")


@pytest.fixture(scope="module")
def index(kernmill, tmp_path_factory) -> pathlib.Path:
    """The fat wheel, one for sm_80 and one for CPUs alone, each in its index."""
    folder = tmp_path_factory.mktemp("index")
    assert kernmill("init", PROJECT, cwd=folder).code == 0
    (folder / PROJECT / "LICENSE").write_text("Do what is right.\n")
    for slim in ([], ["--arch", "80"], ["--cpu"]):
        answer = pack(kernmill, folder, *slim)
        assert answer.code == 0, answer.err
    return folder / "served"


def pack(kernmill, folder, *words):
    where = ["--output", folder / "dist", "--index", folder / "served"]
    return kernmill(
        "pack",
        "-q",
        "--wheel-only",
        *where,
        *words,
        folder / PROJECT,
        env={"VIRTUAL_ENV": str(ROOT / ".venv")},
    )


def pip_download(folder: pathlib.Path, url: str, *words: str) -> tuple[list[str], str]:
    """The names that pip downloads, and what it says."""
    environment = {
        k: v for k, v in os.environ.items() if not k.startswith("PIP_") and "proxy" not in k.lower()
    }
    environment["PIP_CONFIG_FILE"] = os.devnull
    line = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-cache-dir", "--retries", "0"]
    done = subprocess.run(
        [*line, "--dest", folder, "--index-url", url, *words, PROJECT],
        env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
    )  # fmt: skip
    return sorted(path.name for path in folder.glob("*.whl")), done.stdout


def wheel(version: str) -> str:
    return f"demo_kernel-{version}-py3-none-manylinux_2_28_x86_64.whl"


def test_pip_takes_the_fat_wheel_unless_told(index, tmp_path):
    assert {path.name for path in index.iterdir()} == {"simple", "sm80", "cpu"}
    urls = {path.name: path.as_uri() for path in index.iterdir()}
    got, said = pip_download(tmp_path / "fat", urls["simple"])
    assert got == [wheel("1.0.0")], said
    for slim in ("sm80", "cpu"):
        got, said = pip_download(tmp_path / slim, urls["simple"], "--extra-index-url", urls[slim])
        assert got == [wheel(f"1.0.0+{slim}")], said


def test_a_web_server_serves_it_as_it_is(index, tmp_path):
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=index))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        got, said = pip_download(tmp_path, f"http://127.0.0.1:{server.server_port}/sm80")
    finally:
        server.shutdown()
        server.server_close()
    assert got == [wheel("1.0.0+sm80")], said
    read_apart = any(path.endswith(".whl.metadata") for path in asked)
    reads_apart = tuple(map(int, importlib.metadata.version("pip").split(".")[:2])) >= (23, 2)
    assert read_apart == reads_apart, "the metadata was read without the wheel"


def test_every_wheel_has_its_hash(index, tmp_path):
    folder = index / "simple" / PROJECT
    digest = hashlib.sha256((folder / wheel("1.0.0")).read_bytes()).hexdigest()
    assert f"#sha256={digest}" in (folder / "index.html").read_text()
    spoiled = tmp_path / "simple" / PROJECT
    spoiled.mkdir(parents=True)
    for path in folder.iterdir():
        (spoiled / path.name).write_bytes(path.read_bytes())
    data = bytearray((spoiled / wheel("1.0.0")).read_bytes())
    data[len(data) // 2] ^= 1
    (spoiled / wheel("1.0.0")).write_bytes(data)
    got, said = pip_download(tmp_path / "got", spoiled.parent.as_uri())
    assert not got and "DO NOT MATCH THE HASHES" in said


def test_the_licence_is_in_the_wheel(index):
    path = index / "simple" / PROJECT / wheel("1.0.0")
    metadata = path.with_name(path.name + ".metadata").read_text()
    assert "\nLicense-Expression: Apache-2.0\nLicense-File: LICENSE\n" in metadata
    with zipfile.ZipFile(path) as archive:
        text = archive.read("demo_kernel-1.0.0.dist-info/licenses/LICENSE")
    assert text == b"Do what is right.\n"


# A licence above is the kernel's in one git checkout, and a stranger's elsewhere.
@pytest.mark.parametrize("checkout", [True, False])
def test_a_licence_above(kernmill, tmp_path, checkout):
    assert kernmill("init", PROJECT, cwd=tmp_path).code == 0
    (tmp_path / "COPYING").write_text("Of all below.\n")
    if checkout:
        (tmp_path / ".git").mkdir()
    answer = pack(kernmill, tmp_path, "--cpu")
    assert answer.code == 0, answer.err
    with zipfile.ZipFile(tmp_path / "dist" / wheel("1.0.0+cpu")) as archive:
        assert ("demo_kernel-1.0.0+cpu.dist-info/licenses/COPYING" in archive.namelist()) == checkout


# The same wheel again changes nothing; another of the same version is refused, and the first stays.
def test_a_name_is_given_once(kernmill, index):
    folder = index.parent
    page = index / "cpu" / PROJECT / "index.html"
    before = (page.stat().st_mtime_ns, (page.parent / wheel("1.0.0+cpu")).read_bytes())
    assert pack(kernmill, folder, "--cpu").code == 0
    assert (page.stat().st_mtime_ns, (page.parent / wheel("1.0.0+cpu")).read_bytes()) == before
    source = folder / PROJECT / "torch-ext/demo_kernel/__init__.py"
    source.write_text(source.read_text() + "\n# changed\n")
    answer = pack(kernmill, folder, "--cpu")
    lines = answer.err.splitlines()
    assert answer.code == 2 and lines[0].endswith(f"{wheel('1.0.0+cpu')}' is there, with other bytes")
    assert lines[1] == "  raise the version in card.toml, or remove the wheel and its .metadata"
    assert (page.parent / wheel("1.0.0+cpu")).read_bytes() == before[1]
