"""Our client beside the real ones on one hub."""

import json
import pathlib
import re
import sys

import pytest
from clients import PROGRAM  # noqa: F401  others take it from here


@pytest.fixture
def kernmill(client):
    return client.kernmill


# What `get` leaves is what kernels.get_kernel then loads, without the network.
def test_get_chooses_what_the_client_loads(hub, client, kernel, kernmill):
    hub.add_folder("acme/rms", kernel, "v1")
    path = kernmill("get", "acme/rms", "--version", "1").stdout.strip()
    told = client.python(
        "from kernels import get_kernel\nprint(get_kernel('acme/rms', version=1).__file__)",
        HF_HUB_OFFLINE="1",
    )
    assert pathlib.Path(told.stdout.strip()).parent == pathlib.Path(path)
    asked = [entry.target for entry in hub.seen("GET", "/resolve/")]
    others = [p.name for p in (kernel / "build").iterdir() if p.name != pathlib.Path(path).name]
    assert others and not any(
        name in target and target.endswith(".so") for target in asked for name in others
    )


# What the official program uploads, ours gets, byte for byte; and what ours put there is no change for it.
def test_hf_uploads_and_kernmill_gets(hub, client, kernel, kernmill, tmp_path):
    client.python("api = HfApi(); api.create_repo('acme/rms', repo_type='kernel')")
    client.hf("upload", "acme/rms", kernel, "--repo-type", "kernel", "--revision", "main")
    kernmill("get", "acme/rms", "--revision", "main", "--all", "--output", tmp_path / "got")
    files = sorted(p.relative_to(kernel / "build") for p in (kernel / "build").rglob("*") if p.is_file())
    files = [p for p in files if "__pycache__" not in p.parts]
    assert files
    for name in files:
        assert (tmp_path / "got/build" / name).read_bytes() == (kernel / "build" / name).read_bytes()


# What the card prints for the Hub does what it says: the client loads it, kernmill gets it.
def test_the_lines_of_the_card(hub, client, kernel, kernmill):
    card = (kernel / "README.md").read_text().split("## Install")[1].split("\n## ")[0]
    code, *_ = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    line = re.findall(r"```sh\nkernmill (.*?)\n```", card, re.DOTALL)[-1]
    repo_id = re.search(r'get_kernel\("([^"]+)"', code)[1]
    hub.add_folder(repo_id, kernel, "v1")
    path = kernmill(*line.split()).stdout.strip()
    told = client.python(code + "\nprint(kernel.__file__)").stdout.strip().splitlines()[-1]
    assert pathlib.Path(told).parent == pathlib.Path(path)


# The card of a CUDA build, against the names of its folders and the images that NVIDIA's format holds.
def test_the_card_of_a_cuda_build(kernel):
    card = (kernel / "README.md").read_text()
    needs = card.split("## What it needs")[1].split("\n## ")[0]
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in needs.splitlines() if line[:1] == "|"]
    of = {row[0].strip("`"): row for row in rows}
    folders = [p.name for p in (kernel / "build").iterdir()]
    assert {"wheel", *folders} <= set(of)
    driver = {name.split("-")[3]: of[name][3] for name in folders}
    assert driver == {
        "cpu": "none",
        "cu126": "525 or newer for a GPU",
        "cu130": "580 or newer for torch; the images: 525",
    }
    assert all("AVX2 and F16C" in of[name][5] for name in ["wheel", *folders])
    cuda = next(p for p in (kernel / "build").iterdir() if "-cu130-" in p.name)
    archs = json.loads((cuda / "metadata.json").read_text())["backend"]["archs"]
    code = {f"sm_{a.removesuffix('+PTX').replace('.', '')}" for a in archs}
    ptx = {f"sm_{a.removesuffix('+PTX').replace('.', '')}" for a in archs if a.endswith("+PTX")}
    images = [row for row in rows if row[0].startswith("sm_")]
    assert {row[0] for row in images if row[1] == "machine code"} == code
    assert {row[0] for row in images if row[1] == "PTX"} == ptx


# What pack wrote is loaded from the disk in each way that the client has: the folder, its build/, one variant, and in a
# hub's place; the same module file each time.
def test_the_client_reads_a_packed_folder(client, kernel):
    code = """
import os, pathlib, sys
from kernels import get_kernel, get_local_kernel
root = pathlib.Path(sys.argv[1])
whole = get_local_kernel(root).__file__
variant = pathlib.Path(whole).parent
print(whole, get_local_kernel(root / "build").__file__, get_local_kernel(variant).__file__)
os.environ["LOCAL_KERNELS"] = f"acme/rms={root}"
print(get_kernel("acme/rms", version=1, trust_remote_code=True).__file__)
"""
    told = client.run(sys.executable, "-c", code, kernel).stdout.split()
    assert len(told) == 4 and len(set(told)) == 1
    assert pathlib.Path(told[0]).parent.parent == kernel / "build"
