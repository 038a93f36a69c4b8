"""Kernels for another processor: built here for aarch64 by zig, judged by our own readers, and run under emulation.

What runs is the library that is shipped, with the SDK's mock in torch's place (tests/sdk/mock_torch.c). It needs zig
(the Python package ziglang, or PATH), and for what runs Debian's packages qemu-user and libc6-arm64-cross; without
them these tests skip.
"""

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig

import pytest
import torch
from elftools.elf.elffile import ELFFile
from program import ROOT, stamps

BOTH = ["--host", "x86_64,aarch64"]
ARM, X86 = "torch-stable-abi210-cpu-aarch64-linux", "torch-stable-abi210-cpu-x86_64-linux"
SYSROOT = pathlib.Path("/usr/aarch64-linux-gnu")
QEMU = shutil.which("qemu-aarch64")
NVIDIA = list(ROOT.glob(".venv/lib/python3*/site-packages/nvidia/cuda_nvrtc"))


@pytest.fixture(scope="session")
def zig(tmp_path_factory) -> dict[str, str]:
    """The environment in which kernmill finds zig."""
    found = shutil.which("zig") or shutil.which("zig", path=f"{sysconfig.get_path('purelib')}/ziglang")
    if not found:
        pytest.skip("zig is not here: pip install --no-deps ziglang==0.17.1")
    folder = tmp_path_factory.mktemp("zig")
    (folder / "zig").symlink_to(found)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def no_zig() -> dict[str, str]:
    """... and does not, on a machine that has the rest."""
    folders = [f for f in os.environ["PATH"].split(":") if not pathlib.Path(f, "zig").exists()]
    return {"PATH": ":".join(folders)}


def pack(kernmill, zig, kernel, out, *options) -> dict:
    answer = kernmill("pack", "--cpu", "-q", "--json", "-o", out, *options, kernel, env=zig)
    assert answer.code == 0, answer.err
    return answer.json


@pytest.fixture(scope="module")
def packed(kernmill, zig, built, tmp_path_factory):
    """init's kernel for both processors: what pack said, and the repository."""
    folder = tmp_path_factory.mktemp("packed")
    shutil.copytree(built, folder / "kernel", ignore=shutil.ignore_patterns("build"))
    return pack(kernmill, zig, folder / "kernel", folder / "out", *BOTH), folder / "kernel"


# ---- what is made ----


# One layout for both, which our own check has nothing against; its card names every folder and what was not run.
def test_one_layout_for_both(kernmill, packed):
    document, kernel = packed
    names = [pathlib.Path(w).name for w in document["wheels"]]
    assert names == [f"demo_kernel-1.0.0+cpu-py3-none-manylinux_2_28_{c}.whl" for c in ("x86_64", "aarch64")]
    assert document["wheel"] == document["wheels"][0]
    hub = pathlib.Path(document["hub"])
    assert sorted(p.name for p in (hub / "build").iterdir()) == [ARM, X86]
    for path in (*document["wheels"], hub, hub / "build" / ARM, kernel / "build" / ARM / "libdemo_kernel.so"):
        answer = kernmill("check", "--json", path)
        assert (answer.code, answer.json["findings"]) == (0, []), path
    build = document["build"]
    assert (build["host"], [other["host"] for other in build["others"]]) == ("x86_64", ["aarch64"])
    card = (hub / "README.md").read_text()
    assert all(f"| `{name}` |" in card for name in (ARM, X86)) and build["others"][0]["compiler"] in card
    assert "folders for aarch64 were compiled on another processor and not loaded" in card
    assert "for x86_64 were" not in card


def sections(card: str) -> dict[str, str]:
    parts = re.split(r"^## (.+)$", card, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def rows(text: str) -> dict[str, list[str]]:
    lines = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| ")]
    return {cells[0].strip().strip("`"): [cell.strip() for cell in cells[1:]] for cells in lines}


def sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run_of(folder: pathlib.Path, **more) -> dict:
    """A run of all tests on these files, as kernmill.pytest_plugin writes it."""
    whole = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != "metadata.json"):
        if "__pycache__" not in str(path):
            whole.update(str(path.relative_to(folder)).encode() + b"\0" + bytes.fromhex(sha256(path)))
    library = next(folder.glob("*.so"))
    return {"target": folder.name, "date": "2026-11-26T10:00:00Z", "package_sha256": whole.hexdigest(),
            "libraries": {library.name: sha256(library)}, "whole": True, "cpu": "A CPU", "python": "3.12.3",
            "torch": "2.13.0", "passed": 7, "failed": 0, "skipped": 0, **more}  # fmt: skip


# Whatever the order, the card has each file of each processor: what it needs, its digest, its tests, its figures.
@pytest.mark.parametrize("order", ["x86_64,aarch64", "aarch64,x86_64"])
def test_the_card_of_both(kernmill, zig, packed, tmp_path, order):
    kernel, records = packed[1], tmp_path / "records"
    packages = {
        "wheel, x86_64": kernel / "build/wheel/demo_kernel",
        "wheel, aarch64": kernel / "build/wheel-aarch64/demo_kernel",
        X86: kernel / "build" / X86,
        ARM: kernel / "build" / ARM,
    }
    records.mkdir()
    tested = ["wheel, aarch64", ARM]
    (records / "arm.json").write_text(json.dumps({"runs": [run_of(packages[name]) for name in tested]}))
    cells = [
        {
            "op": "scale",
            "shape": {"rows": 8},
            "dtype": "float32",
            "device": "cpu",
            "environment": {
                "cpu": f"a CPU for {name}",
                "libraries": {"libdemo_kernel.so": sha256(packages[name] / "libdemo_kernel.so")},
            },
            "calls": [{"name": "mine", "library": "demo_kernel", "state": "right",
                       "columns": {"cold": {"median_us": 2.0, "samples_us": [2.0] * 12}}}],
        }
        for name in ("wheel, x86_64", "wheel, aarch64")
    ]  # fmt: skip
    for i, cell in enumerate(cells):
        (records / f"{i}.jsonl").write_text(json.dumps(cell) + "\n")
    document = pack(
        kernmill, zig, kernel, tmp_path / "out", "--host", order, "--tests", records, "--records", records
    )
    hub = pathlib.Path(document["hub"])
    card = sections((hub / "README.md").read_text())

    needs = rows(card["What it needs"])
    processors = {name: needs[name][4] for name in packages}
    assert processors == {name: "aarch64" if "aarch64" in name else "x86-64, baseline" for name in packages}
    assert "2.13.0" in needs[ARM][0] and "not tested" in needs[X86][0]
    assert f"Linux on {order.replace(',', ' or ')}." in card["What it needs"]

    verdicts = {name: cells[0] for name, cells in rows(card["Tests"]).items() if name in packages}
    assert verdicts == {n: "passed on these very files" if n in tested else "not tested" for n in packages}
    assert {run["target"] for run in json.loads((hub / "tests.json").read_text())["runs"]} == {
        "demo_kernel",
        ARM,
    }

    assert all(f"### a CPU for wheel, {cpu}\n" in card["Speed"] for cpu in ("x86_64", "aarch64"))
    assert "other builds" not in card["Speed"]

    built = rows(card["How it was built"])
    assert {name: built[name][2] for name in packages} == {
        name: f"`{sha256(folder / 'libdemo_kernel.so')}`" for name, folder in packages.items()
    }
    for wheel in map(pathlib.Path, document["wheels"]):
        assert f"`{wheel.name}` has {wheel.stat().st_size} bytes" in card["How it was built"]
        assert f"pip install --no-deps {wheel.name}\n" in card["Install"]
    for build in (document["build"], *document["build"]["others"]):
        assert built[f"C compiler, {build['host']}"] == [build["compiler"]]
        operators = built[f"operators, Hub folders with CPU alone, {build['host']}"]
        assert operators == [f"`torch.ops.{build['products'][0]['id']}`"]


# Files for one processor that ran on a GPU say nothing of those for the other.
@pytest.mark.skipif(not NVIDIA, reason="no NVRTC in .venv")
def test_a_gpu_of_one_processor(kernmill, zig, tmp_path):
    kernel = tmp_path / "launch"
    shutil.copytree(ROOT / "tests/gpu/launch", kernel, ignore=shutil.ignore_patterns("build"))
    environment = {**zig, "KERNMILL_SITE": str(NVIDIA[0].parents[1])}

    def tests() -> str:
        answer = kernmill("pack", "-q", "--json", "--arch", "90a", *BOTH, "-o", tmp_path / "out",
                          "--tests", tmp_path / "r.json", kernel, env=environment)  # fmt: skip
        assert answer.code == 0, answer.err
        return sections(pathlib.Path(answer.json["card"]).read_text())["Tests"]

    (tmp_path / "r.json").write_text('{"passed": 1, "failed": 0}')
    assert "Not tested on these files." in tests()
    x86, arm = (kernel / f"build/torch-stable-abi210-cu126-{cpu}-linux" for cpu in ("x86_64", "aarch64"))
    (tmp_path / "r.json").write_text(json.dumps({"runs": [run_of(x86), run_of(arm)]}))
    assert "\nOn a GPU: not tested.\n" in tests()
    (tmp_path / "r.json").write_text(json.dumps({"runs": [run_of(x86, gpu="A GPU"), run_of(arm)]}))
    text = tests()
    assert f"\nOn a GPU, `{arm.name}`: not tested.\n" in text
    assert (
        "On a GPU: " not in text and f"`{x86.name}`: not" not in text and "`wheel, x86_64`: not" not in text
    )


# A file of one processor under the name of the other would be found by the user, at import.
def test_a_wheel_under_the_other_name(kernmill, packed, tmp_path):
    arm = pathlib.Path(packed[0]["wheels"][1])
    wrong = tmp_path / arm.name.replace("aarch64", "x86_64")
    shutil.copy(arm, wrong)
    findings = kernmill("check", "--json", wrong).json["findings"]
    assert "is made for aarch64, not for x86_64" in {f["message"] for f in findings if f["code"] == "machine"}


# check's floor counts there, too: zig can aim at a newer glibc.
def test_a_library_above_the_floor(kernmill, zig, packed, tmp_path):
    source = tmp_path / "f.c"
    source.write_text(
        "int pthread_create(void*, void*, void*, void*);\nint f(void) { return pthread_create(0, 0, 0, 0); }\n"
    )
    for glibc, codes in (("2.28", set()), ("2.36", {"glibc-floor"})):
        library = tmp_path / f"new{glibc}.so"
        command = [
            "zig",
            "cc",
            "-target",
            f"aarch64-linux-gnu.{glibc}",
            "-shared",
            "-fPIC",
            "-w",
            source,
            "-o",
            library,
        ]
        subprocess.run(command, env={**os.environ, **zig}, check=True, capture_output=True)
        found = {f["code"] for f in kernmill("check", "--json", library).json["findings"]}
        assert found - {"no-torch", "rpath"} == codes


# explain takes what is for the processor, and refuses the other with the reason.
@pytest.mark.parametrize("cpu, mine, other", [("x86_64", X86, ARM), ("aarch64", ARM, X86)])
def test_explain(kernmill, packed, cpu, mine, other):
    system = [
        "--os",
        "linux",
        "--cpu",
        cpu,
        "--glibc",
        "2.28",
        "--python",
        "3.11",
        "--torch",
        "2.13",
        "--backend",
        "cpu",
    ]
    answer = kernmill("explain", packed[0]["hub"], *system)
    assert answer.code == 0, answer.out
    assert f"* {mine}" in answer.out
    refused = answer.out.split(f"\n  {other}\n")[1]
    assert refused.lstrip().startswith("refused")
    assert (
        f"made for {other.split('-')[-2]}; the processor there is {cpu}".replace("there", "here") in refused
    )


# Machines with pages of 64 KiB load a library only if its segments are as far apart.
def test_pages_of_64_kib(packed):
    with (packed[1] / "build" / ARM / "libdemo_kernel.so").open("rb") as file:
        elf = ELFFile(file)
        assert elf["e_machine"] == "EM_AARCH64"
        aligned = [s["p_align"] for s in elf.iter_segments("PT_LOAD")]
    assert aligned and min(aligned) >= 65536


# The same sources give the same bytes, as on this machine's own processor.
def test_reproducible(kernmill, zig, packed, tmp_path):
    elsewhere = tmp_path / "another folder" / "kernel"
    shutil.copytree(packed[1], elsewhere, ignore=shutil.ignore_patterns("build"))
    again = pack(kernmill, zig, elsewhere, tmp_path / "out", "--host", "aarch64")
    assert [p.name for p in (pathlib.Path(again["hub"]) / "build").iterdir()] == [ARM]
    assert pathlib.Path(again["wheel"]).read_bytes() == pathlib.Path(packed[0]["wheels"][1]).read_bytes()


# What was built for this machine stays as it was, and what tests and bench load is never the other's.
def test_this_machines_build_is_left_alone(kernmill, zig, repository):
    assert kernmill("build", "--cpu", "-q", repository).code == 0
    here = {k: v for k, v in stamps(repository).items() if "/torch-" not in k}
    assert kernmill("build", "--cpu", "-q", "--host", "aarch64", repository, env=zig).code == 0
    after = stamps(repository)
    assert {k: after.get(k) for k in here} == here
    assert (repository / "build/wheel-aarch64/demo_kernel/libdemo_kernel.so").exists()
    assert not (repository / "build" / X86).exists()
    again = kernmill("build", "--cpu", "--host", "aarch64", repository, env=zig)
    assert (again.code, again.err) == (0, "ninja: no work to do.\n")


# Debug builds of zig check for undefined behaviour, by a run-time library that nobody has.
def test_debug(kernmill, zig, repository):
    answer = kernmill("build", "--cpu", "-q", "--debug", "--host", "aarch64", repository, env=zig)
    assert answer.code == 0, answer.err
    library = repository / "build" / ARM / "libdemo_kernel.so"
    assert kernmill("check", library).code == 0 and library.stat().st_size < 1_000_000


# Code for a GPU does not know the processor beside it.
@pytest.mark.skipif(not NVIDIA, reason="no NVRTC in .venv")
def test_the_same_images(kernmill, zig, tmp_path):
    shutil.copytree(ROOT / "tests/gpu/launch", tmp_path / "launch", ignore=shutil.ignore_patterns("build"))
    site = {**zig, "KERNMILL_SITE": str(NVIDIA[0].parents[1])}
    answer = kernmill("build", "-q", "--arch", "80,90a", *BOTH, tmp_path / "launch", env=site)
    assert answer.code == 0, answer.err
    images = []
    for cpu in ("x86_64", "aarch64"):
        folder = tmp_path / f"launch/build/torch-stable-abi210-cu126-{cpu}-linux"
        assert json.loads((folder / "metadata.json").read_text())["backend"]["archs"] == ["8.0", "9.0a"]
        with next(folder.glob("*.so")).open("rb") as file:
            images.append(ELFFile(file).get_section_by_name(".nv_fatbin").data())
        assert kernmill("check", folder).code == 0
    assert images[0] == images[1] and len(images[0]) > 1000


# One index for both: pip takes the file whose tag is its own, as on any index.
def test_index(kernmill, zig, packed, tmp_path):
    document = pack(kernmill, zig, packed[1], tmp_path / "out", "--index", tmp_path / "served", *BOTH)
    page = pathlib.Path(document["index"]).read_text()
    assert all(f">{pathlib.Path(wheel).name}</a>" in page for wheel in document["wheels"])
    for platform, name in (("manylinux_2_28_aarch64", "aarch64"), ("manylinux_2_28_x86_64", "x86_64")):
        command = [sys.executable, "-m", "pip", "download", "-qq", "--disable-pip-version-check", "--no-deps",
                   "--index-url", f"file://{tmp_path}/served/cpu", "--only-binary=:all:", "--platform", platform,
                   "--dest", tmp_path / name, "demo-kernel"]  # fmt: skip
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
        done = subprocess.run(
            command, env={**environment, "PIP_CONFIG_FILE": os.devnull}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert [p.name.split("_")[-1] for p in (tmp_path / name).iterdir()] == [f"{name.split('_')[-1]}.whl"]


# ---- what is said ----


# doctor names it where it is, and misses nothing where it is not.
def test_doctor(kernmill, zig, no_zig):
    def names(environment):
        return [s["what"] for s in kernmill("doctor", "--json", env=environment).json["items"]]

    assert "zig" in names(zig) and "zig" not in names(no_zig)


@pytest.mark.parametrize(
    "command, options, message",
    [
        ("build", ["--host", "riscv64"], "option '--host' wants x86_64 or aarch64, not 'riscv64'"),
        ("build", ["--host", ""], "option '--host' wants x86_64 or aarch64, not ''"),
        ("build", ["--host", "aarch64,"], "option '--host' wants x86_64 or aarch64, not ''"),
        ("pack", ["--host", "aarch64,x86_64,aarch64"], "option '--host' names aarch64 twice"),
        ("pack", ["--host", "aarch64", "--editable"], "--editable is for this machine: leave --host out"),
        ("test", ["--host", "aarch64"], "unknown option '--host'"),
    ],
)
def test_usage(kernmill, repository, command, options, message):
    answer = kernmill(command, *options, repository)
    assert answer.code == 2 and message in answer.err
    assert not (repository / "build").exists()


def test_without_zig(kernmill, repository, no_zig):
    answer = kernmill("build", "--cpu", "--host", "aarch64", repository, env=no_zig)
    assert answer.code == 3
    assert "zig is not found, which compiles C for aarch64" in answer.err
    assert "pip install --no-deps ziglang==0.17.1" in answer.err
    assert kernmill("build", "--cpu", "-q", "--host", "x86_64", repository, env=no_zig).code == 0


# plan names the folders, and the line that makes them or what is missing.
def test_plan(kernmill, repository, zig, no_zig):
    arm = [v for v in kernmill("plan", "--json", repository, env=zig).json["variants"] if v["name"] == ARM]
    assert [(v["here"], v["why"], v["line"]) for v in arm] == [
        (True, None, f"kernmill pack --host aarch64 {repository}")
    ]
    arm = [v for v in kernmill("plan", "--json", repository, env=no_zig).json["variants"] if v["name"] == ARM]
    assert [(v["here"], v["line"]) for v in arm] == [(False, "pip install --no-deps ziglang==0.17.1")]


# ---- what runs ----


@pytest.fixture(scope="module")
def emulated(kernmill, zig, tmp_path_factory):
    """call(cpu, dtype, rows, columns, rounding, bytes) -> bytes: rmsnorm's own library, here or under emulation."""
    if not QEMU or not (SYSROOT / "lib/ld-linux-aarch64.so.1").exists():
        pytest.skip("apt install qemu-user libc6-arm64-cross")
    folder = tmp_path_factory.mktemp("emulated")
    kernel = folder / "rmsnorm"
    shutil.copytree(ROOT / "kernels/rmsnorm", kernel, ignore=shutil.ignore_patterns("build"))
    answer = kernmill("build", "--cpu", "-q", *BOTH, kernel, env=zig)
    assert answer.code == 0, answer.err
    sources = [ROOT / "tests/sdk" / name for name in ("drive_host.c", "mock_torch.c")]
    flags = ["-std=c17", "-D_GNU_SOURCE", "-DMOCK_NEWER", "-O1", "-fexceptions", "-rdynamic", "-Wall", "-Wextra",
             "-Werror", "-I", ROOT / "csrc/sdk", *sources, "-ldl", "-o"]  # fmt: skip
    compilers = {"x86_64": ["gcc"],
                 "aarch64": ["zig", "cc", "-target", "aarch64-linux-gnu.2.28", "-fno-sanitize=undefined"]}  # fmt: skip
    for cpu, compiler in compilers.items():
        subprocess.run([*compiler, *flags, folder / cpu], env={**os.environ, **zig}, check=True)

    def call(cpu, *arguments, data, isa="") -> bytes:
        tail = "" if cpu == "x86_64" else "-aarch64"
        library = kernel / f"build/wheel{tail}/kernmill_rmsnorm/libkernmill_rmsnorm.so"
        stub = f"LD_LIBRARY_PATH={kernel}/build/.kernmill{tail}/stub"
        start = ["env", stub] if cpu == "x86_64" else [QEMU, "-L", SYSROOT, "-E", stub]
        done = subprocess.run([*start, folder / cpu, library, *map(str, arguments)], input=data, capture_output=True,
                              env={**os.environ, "KERNMILL_CPU_ISA": isa}, timeout=120)  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    return call


DTYPES = {"float32": 1, "float16": 2, "bfloat16": 3}


def as_bytes(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().view(torch.uint8).numpy().tobytes()


def check_row_norm(emulated, name, rows, columns, rounding) -> None:
    """Half a last place from float64, and the bits of this machine's baseline and of its AVX2."""
    dtype = getattr(torch, name)
    generator = torch.Generator().manual_seed(rows * columns)
    x, weight = (torch.randn(n, columns, generator=generator).to(dtype) for n in (rows, 1))
    data = as_bytes(x) + as_bytes(weight)
    got = emulated("aarch64", DTYPES[name], rows, columns, rounding, data=data)
    for isa in ("", "x86-64"):
        assert emulated("x86_64", DTYPES[name], rows, columns, rounding, data=data, isa=isa) == got
    y = torch.frombuffer(bytearray(got), dtype=dtype).reshape(rows, columns)
    normalized = x.double() * torch.rsqrt(x.double().pow(2).mean(-1, keepdim=True) + 1e-6)
    if rounding == "hf":
        normalized = normalized.to(dtype).double()
    want = normalized * weight.double()
    ulp = (
        torch.exp2(torch.floor(torch.log2(want.abs().clamp(min=torch.finfo(dtype).tiny))))
        * torch.finfo(dtype).eps
    )
    # float32 has float32 sums between; with hf a normalised value may round to the other neighbour, and times weight
    assert ((y.double() - want).abs() / ulp).max() <= (
        4 if name == "float32" else 2.5 if rounding == "hf" else 0.51
    )


# The CPU operator of the file that is shipped, on another processor: right, and the same bits as here.
@pytest.mark.parametrize("rounding", ["hf", "single"])
@pytest.mark.parametrize("rows, columns", [(1, 1), (3, 7), (5, 129), (64, 576), (2, 4096), (3, 8191)])
@pytest.mark.parametrize("name", DTYPES)
def test_rms_norm_on_aarch64(emulated, name, rows, columns, rounding):
    check_row_norm(emulated, name, rows, columns, rounding)


# An error unwinds through C there, too, and leaves nothing behind.
def test_errors_on_aarch64(emulated):
    said = emulated("aarch64", 1, 1, 0, "hf", data=bytes(28))
    assert said.decode() == (
        "kernmill_rmsnorm::_rms_norm_fwd: argument 'weight': expected [3] in float32, or None, "
        "got float32[4] on cpu\n"
    )
