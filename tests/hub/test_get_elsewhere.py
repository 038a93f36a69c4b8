"""`kernmill get` of a packed folder and of an index of wheels: what fits this machine, checked before it is anywhere."""

import functools
import hashlib
import http.server
import json
import pathlib
import shutil
import sys
import threading

import pytest
from clients import Client
from test_kernmill import PROGRAM, kernmill  # noqa: F401

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROJECT = "kernmill-rmsnorm"


@pytest.fixture
def offline(tmp_path):
    """The program where no hub is."""
    home = tmp_path / "home"
    home.mkdir()
    client = Client(home, "http://127.0.0.1:9", None)
    return lambda *words, **options: client.run(PROGRAM, *words, KERNMILL_PYTHON=sys.executable, **options)


# --- a folder ---


@pytest.fixture
def packed(kernel, tmp_path):
    folder = tmp_path / "packed"
    shutil.copytree(kernel, folder, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    return folder


# The variant that the client takes from the same folder.
def test_a_folder_gives_what_the_client_loads(hub, client, packed, offline):
    told = client.python(
        f"import pathlib\nfrom kernels import get_local_kernel\nprint(get_local_kernel(pathlib.Path({str(packed)!r})).__file__)"
    )
    assert offline("get", packed).stdout.strip() == str(pathlib.Path(told.stdout.strip()).parent)


def test_a_folder_is_copied(packed, offline, tmp_path):
    offline("get", packed, "--all", "--output", tmp_path / "copy")
    ours = {p.relative_to(packed): p.read_bytes() for p in (packed / "build").rglob("*") if p.is_file()}
    there = {
        p.relative_to(tmp_path / "copy"): p.read_bytes()
        for p in (tmp_path / "copy/build").rglob("*")
        if p.is_file()
    }
    assert ours and ours == there
    again = offline("get", packed, "--all", "--output", tmp_path / "copy", check=False)
    assert again.returncode == 2 and "exists" in again.stderr


@pytest.mark.parametrize("spoil", ["flip", "extra", "variant", "missing"])
def test_a_folder_that_is_wrong(packed, offline, tmp_path, spoil):
    words = []
    for variant in (packed / "build").iterdir():
        library = next(variant.glob("*.so"))
        if spoil == "flip":
            data = bytearray(library.read_bytes())
            data[len(data) // 3] ^= 4
            library.write_bytes(data)
        elif spoil == "extra":
            (variant / "more.py").write_text("x = 1\n")
    if spoil == "variant":
        words = ["--variant", "torch99-cpu-x"]
    if spoil == "missing":
        packed = tmp_path / "nothing"
    done = offline("get", packed, *words, "--output", tmp_path / "copy", check=False)
    assert done.returncode in (4, 5) and not (tmp_path / "copy").exists(), done.stderr
    assert {"flip": ".so", "extra": "more.py", "variant": "no variant", "missing": "no folder"}[
        spoil
    ] in done.stderr


# --- an index ---


def wheel() -> pathlib.Path:
    found = list((ROOT / "dist").glob("kernmill_rmsnorm-1.0.0-*x86_64.whl"))
    assert found, "scripts/setup --kernels makes it"
    return found[0]


def add(index: pathlib.Path, name: str, data: bytes, sha256: str | None = None) -> None:
    folder = index / PROJECT
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    page = folder / "index.html"
    old = page.read_text() if page.exists() else "<!DOCTYPE html>\n<html><body>\n"
    digest = hashlib.sha256(data).hexdigest() if sha256 is None else sha256
    fragment = f"#sha256={digest}" if digest else ""
    page.write_text(
        old
        + f'<a href="{name.replace("+", "%2B")}{fragment}" data-requires-python="&gt;=3.10">{name}</a><br>\n'
    )


@pytest.fixture
def served(tmp_path):
    """A fat wheel, one for CPUs and one for a GPU that is not here; and newer ones for another processor."""
    data, name = wheel().read_bytes(), wheel().name
    add(tmp_path / "served/simple", name, data)
    add(tmp_path / "served/simple", name.replace("1.0.0", "0.9.0"), data)
    add(tmp_path / "served/simple", name.replace("1.0.0", "2.0.0").replace("x86_64", "aarch64"), data)
    add(tmp_path / "served/cpu", name.replace("1.0.0", "1.0.0+cpu"), data)
    add(tmp_path / "served/sm90", name.replace("1.0.0", "1.0.0+sm90"), data)
    return tmp_path / "served"


@pytest.fixture
def address(served):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=served)
    handler.log_message = lambda *_: None
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize("way", ["folder", "address"])
def test_the_wheel_that_fits(served, offline, tmp_path, way, request):
    place = served if way == "folder" else request.getfixturevalue("address")
    told = json.loads(offline("get", "--index", place, "Kernmill_RMSNorm", "--json").stdout)
    assert told["name"] == wheel().name.replace("1.0.0", "1.0.0+cpu"), "there is no GPU here"
    assert hashlib.sha256((tmp_path / "home" / told["name"]).read_bytes()).hexdigest() == told["sha256"]
    one = offline("get", "--index", f"{place}/simple", PROJECT, "--output", tmp_path).stdout.strip()
    assert one == str(tmp_path / wheel().name)
    assert offline("get", "--index", f"{place}/simple", PROJECT, "--output", tmp_path).stdout.strip() == one
    (tmp_path / wheel().name).write_bytes(b"mine")
    refused = offline("get", "--index", f"{place}/simple", PROJECT, "--output", tmp_path, check=False)
    assert refused.returncode == 2 and (tmp_path / wheel().name).read_bytes() == b"mine"


NAME = "kernmill_rmsnorm-3.0.0-py3-none-any.whl"
WRONG = {
    "digest": ({"data": b"PK", "sha256": "0" * 64}, 4, "has not the SHA-256"),
    "no digest": ({"data": b"PK", "sha256": ""}, 5, "lists no wheel"),
    "no wheel": ({"data": b"PK"}, 1, "is for this machine"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_refused(offline, tmp_path, case):
    fields, code, text = WRONG[case]
    add(tmp_path / "bad", NAME, **fields)
    done = offline("get", "--index", tmp_path / "bad", PROJECT, check=False)
    assert done.returncode == code and text in done.stderr, done.stderr
    assert not list((tmp_path / "home").glob("*.whl*"))


@pytest.mark.parametrize(
    "name", ["../up.whl", "%2e%2e%2fup.whl", "a%2Fb.whl", ".git.whl%2f..%2f.whl", "x%0a.whl"]
)
def test_hostile_links(offline, tmp_path, name):
    folder = tmp_path / "bad" / PROJECT
    folder.mkdir(parents=True)
    (folder / "index.html").write_text(f'<a href="{name}#sha256={"0" * 64}">x</a>')
    (tmp_path / "bad/up.whl").write_bytes(b"PK")
    done = offline("get", "--index", tmp_path / "bad", PROJECT, check=False)
    assert done.returncode in (4, 5), done.stderr
    assert not list((tmp_path / "home").glob("**/*.whl"))
