"""`kernmill search` on the test hub: what it lists, and that its verdict is the real client's."""

import dataclasses
import json
import os
import pathlib
import re
import sys

import pytest
from faults import Fault, Status

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = ROOT / os.environ.get("KERNMILL_BUILD", "build/release") / "bin/kernmill"
X86 = "x86_64-linux"
STABLE = [f"torch-stable-abi210-{c}-{X86}" for c in ("cpu", "cu126", "cu130")]
H100 = ["--torch", "2.13", "--cuda", "12.8", "--driver", "570", "--arch", "9.0", "--glibc", "2.36"]


@dataclasses.dataclass
class Says(Fault):
    """Another body."""

    body: bytes

    def change(self, request, answer):
        return dataclasses.replace(answer, body=self.body)


@pytest.fixture
def search(client):
    """search(...): the document of --json; search.text(...): what is printed, without."""
    assert PROGRAM.exists(), f"{PROGRAM} is not built; set KERNMILL_BUILD to the build folder"

    def run(*words, **options):
        return client.run(PROGRAM, "search", *words, KERNMILL_PYTHON=sys.executable, check=False, **options)

    def document(*words, code=0, **options):
        done = run(*words, "--json", **options)
        assert done.returncode == code, done.stdout + done.stderr
        return json.loads(done.stdout)

    document.text = run
    return document


def metadata(**more) -> bytes:
    whole = {"name": "demo", "id": "_demo", "version": 1, "license": "MIT", "python-depends": [],
             "backend": {"type": "cpu"}, **more}  # fmt: skip
    return json.dumps(whole).encode()


def files_of(variants, **more) -> dict[str, bytes]:
    files = {}
    for variant in variants:
        files[f"build/{variant}/__init__.py"] = b""
        files[f"build/{variant}/metadata.json"] = metadata(**more)
    return files


def by_name(document) -> dict[str, dict]:
    return {kernel["repository"]: kernel for kernel in document["kernels"]}


# The part of a name, the author and the newest version decide what is listed; the order is the hub's.
def test_what_is_listed(hub, search):
    for repo_id in ("acme/relu", "acme/Rms-norm", "other/rmsnorm", "other/softmax"):
        hub.add(repo_id, files_of(STABLE), "v1")
    hub.add("acme/relu", files_of(STABLE), "v10")
    hub.add("acme/relu", files_of(STABLE), "v9")
    hub.add("acme/rms-model", {"README.md": b""}, kind="model")
    found = search("rms", *H100)
    assert [k["repository"] for k in found["kernels"]] == ["acme/Rms-norm", "other/rmsnorm"]
    assert found["schema"] == 1 and found["text"] == "rms" and found["more"] is False
    assert found["system"]["backend"] == "cu128"
    assert [k["trusted"] for k in found["kernels"]] == [True, False]
    assert [k["repository"] for k in search("--author", "other")["kernels"]] == [
        "other/rmsnorm",
        "other/softmax",
    ]
    assert [k["repository"] for k in search("rms", "--author", "acme")["kernels"]] == ["acme/Rms-norm"]
    (relu,) = search("relu", *H100)["kernels"]
    assert relu["revision"] == "v10" and len(relu["commit"]) == 40
    assert (relu["verdict"], relu["variant"], relu["variants"]) == ("fits", STABLE[1], 3)
    hub.log.clear()
    assert search("a b&limit=1/%2f", code=1)["kernels"] == []
    assert hub.seen("GET", "/api/kernels")[0].target.endswith("search=a%20b%26limit%3D1%2F%252f")


# Nothing is downloaded but lists and the metadata.json of the variant that is chosen; nothing is left.
def test_what_is_asked(hub, client, search):
    for name in ("a", "b"):
        hub.add(f"acme/{name}", {**files_of(STABLE), f"build/{STABLE[1]}/lib.so": bytes(1 << 16)}, "v1")
    search(*H100)
    kinds = [re.sub(r"/[0-9a-f]{40}", "", e.target.split("?")[0]) for e in hub.log]
    assert sorted(kinds) == sorted(
        [
            "/api/kernels",
            *(f"/api/kernels/acme/{n}/refs" for n in "ab"),
            *(f"/api/kernels/acme/{n}/tree/build" for n in "ab"),
            *(f"/kernels/acme/{n}/resolve/build/{STABLE[1]}/metadata.json" for n in "ab"),
        ]
    )
    assert not client.cache.exists()


# Pages are followed to the limit and not beyond; what a page shows is printed before the next is asked for.
def test_pages(hub, client, search):
    hub.page_items = 7
    for i in range(40):
        hub.add(f"acme/k{i:02}", files_of(STABLE[:1]), "v1")
    found = search("--limit", "30", "--backend", "cpu")
    assert [k["repository"] for k in found["kernels"]] == [f"acme/k{i:02}" for i in range(30)]
    assert found["more"] is True and all(k["verdict"] == "fits" for k in found["kernels"])
    assert len(hub.seen("GET", r"/api/kernels\?")) == 5
    assert search("--limit", "40")["more"] is False
    assert len(search()["kernels"]) == 20
    hub.log.clear()
    hub.fault(Status(501), path=r"/api/kernels\?.*cursor=14", times=99)
    done = search.text("--limit", "40")
    assert done.returncode == 5 and re.findall(r"^acme/k\d\d", done.stdout, re.MULTILINE) == [
        f"acme/k{i:02}" for i in range(14)
    ]


# What is in the way is said, kernel by kernel; one that cannot be read does not end the list.
def test_reasons(hub, search):
    hub.add("acme/a-fits", files_of(STABLE), "v1")
    hub.add("acme/b-old", files_of([f"torch25-cxx11-cu124-{X86}", f"torch26-cxx11-cu124-{X86}"]), "v1")
    hub.add("acme/c-none", {"README.md": b"", "build/notes.txt": b""}, "v1")
    hub.add("acme/d-empty", {"README.md": b""}, "v1")
    archs = {"type": "cuda", "archs": ["8.0", "10.0"]}
    hub.add("acme/e-archs", files_of(["torch-cuda"], backend=archs), "v1")
    hub.add("acme/f-broken", {"build/torch-cuda/metadata.json": b"{"}, "v1")
    hub.add("acme/g-without", {"build/torch-cuda/__init__.py": b""}, "v1")
    hub.add("acme/h-gated", files_of(STABLE), "v1", gated=True)
    hub.add("acme/i-silent", files_of(STABLE), "v1")
    hub.add("acme/j-fits", files_of(STABLE), "v1")
    hub.fault(Status(501), path="i-silent/refs", times=99)
    hub.fault(Status(403), path="h-gated/resolve", times=99)
    done = search.text("--json", *H100)
    assert done.returncode == 5 and "did not say what 1 of 10 kernels are" in done.stderr
    found = by_name(json.loads(done.stdout))
    assert list(found) == sorted(found) and len(found) == 10
    verdicts = {k.split("/")[1][0]: v["verdict"] for k, v in found.items()}
    assert verdicts == {**dict.fromkeys("bcdefgh", "does not fit"), "a": "fits", "j": "fits", "i": "unknown"}
    reason = {k.split("/")[1][0]: v["reason"] for k, v in found.items()}
    assert reason["a"] is None
    assert re.match(r"none of 2 variants; torch2\d-cxx11-cu124-x86_64-linux: .*torch 2\.\d", reason["b"])
    assert reason["c"] == reason["d"] == "it has no built variants"
    assert found["acme/e-archs"]["variant"] == "torch-cuda" and "declares 8.0, 10.0" in reason["e"]
    assert "metadata.json" in reason["f"] and "no metadata.json" in reason["g"]
    assert "403" in reason["h"] or "access" in reason["h"].lower()


# Made to be read: 80 columns, a name that is too long on a line of its own, the mark before the verdict.
def test_text(hub, search):
    long = "acme/" + "a-name-that-is-rather-long-for-a-column" * 2
    hub.add("acme/relu", files_of(STABLE), "v1")
    hub.add(long, files_of([f"torch25-cxx11-cu124-{X86}"]), "v2")
    lines = search.text(*H100).stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("acme/"))
    assert lines[0].startswith("on linux x86_64, glibc 2.36") and "torch 2.13 for cu128" in " ".join(
        lines[:start]
    )
    assert all(len(line) <= 80 or line == long for line in lines)
    assert f"{'acme/relu':28}  v1    + {STABLE[1]}" in lines
    at = lines.index(long)
    assert lines[at + 1].startswith(f"{'':28}  v2    - none of 1 variants;")
    done = search.text("nothing-like-it", *H100)
    assert done.returncode == 1 and "no kernel of that name" in done.stderr
    done = search.text("--limit", "1", *H100)
    assert done.returncode == 0 and "there are more: --limit 5" in done.stderr


# What makes no sense, and what cannot be, is said.
def test_what_is_wrong(hub, search):
    hub.add("acme/relu", files_of(STABLE), "v1")
    assert search.text("--limit", "0x").returncode == 2
    assert search.text("--limit", "99999").returncode == 2
    assert search.text("--torch", "x").returncode == 2
    assert search.text("a", "b").returncode == 2
    done = search.text(HF_HUB_OFFLINE="1")
    assert done.returncode == 3 and "HF_HUB_OFFLINE" in done.stderr and not done.stdout
    for body in (b"{}", b"[1]", b'[{"id": "../x"}]', b'[{"name": "x"}]', b"<html>"):
        hub.fault(Says(body), path=r"/api/kernels\?")
        done = search.text()
        assert done.returncode == 4, body


CLIENT = f"""
import sys
sys.path.insert(0, {str(ROOT / "tests/conformance")!r})
from test_client_choice import FOLDERS, SYSTEMS, pretending
import kernels
from kernels import get_kernel_variants, has_kernel
from kernels.variants import VariantAccepted

told = []
for s in SYSTEMS[int(os.environ["FROM"])::7]:
    row = {{}}
    with pretending(s):
        for name in FOLDERS:
            decisions = get_kernel_variants(f"acme/{{name}}", version=1)
            first = decisions[0] if decisions else None
            chosen = first.variant.variant_str if isinstance(first, VariantAccepted) else None
            row[name] = [has_kernel(f"acme/{{name}}", version=1, trust_remote_code=True), chosen]
    told.append([s, row])
print(json.dumps(told))
"""


# The same hub, the same machines, the real client: what it would load is what the list says.
def test_the_verdict_is_the_clients(hub, client, search):
    sys.path.insert(0, str(ROOT / "tests/conformance"))
    from test_client_choice import FOLDERS, options_of

    for name, variants in FOLDERS.items():
        hub.add(f"acme/{name}", files_of(variants), "v1")
    told = json.loads(client.python(CLIENT, FROM="0").stdout.splitlines()[-1])
    assert len(told) >= 8
    chosen = set()
    for system, row in told:
        found = by_name(search(*options_of(system)))
        for name, (there, variant) in row.items():
            kernel = found[f"acme/{name}"]
            assert kernel["variant"] == variant, (system, name)
            assert (kernel["verdict"] == "fits") == there, (system, name)
            chosen.add(variant)
    assert len(chosen) > 10 and None in chosen


# This machine as it is, and the files that pack made.
def test_on_this_machine(hub, client, kernel, search):
    hub.add_folder("acme/rms", kernel, "v1")
    told = client.python(
        "from kernels import get_kernel_variants, has_kernel\n"
        "print(get_kernel_variants('acme/rms', version=1)[0].variant.variant_str)\n"
        "print(has_kernel('acme/rms', version=1))"
    ).stdout.split()
    (found,) = search("rms")["kernels"]
    assert [found["variant"], str(found["verdict"] == "fits")] == told
