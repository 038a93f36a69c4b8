"""`kernmill plan`: the variants that repositories of every kind mean, by name, and what can be built here."""

import json
import re

import pytest

GENERAL = """\
[general]
name = "demo"
version = 1
edition = 5
license = "MIT"
backends = {backends}
"""
X86, ARM = "x86_64-linux", "aarch64-linux"


def plan(kernmill, folder, backends, rest, *files, code=1):
    (folder / "build.toml").write_text(GENERAL.format(backends=json.dumps(backends)) + rest)
    for file in files:
        (folder / file).touch()
    answer = kernmill("plan", "--json", folder)
    assert answer.code == code, answer.err
    return answer.json


def names(document) -> set[str]:
    return {v["name"] for v in document["variants"]}


# The names are those of the folders that `build` makes, and the wheel's is `pack`'s.
def test_c_binding(built, kernmill):
    document = kernmill("plan", "--json", built).json
    assert document["schema"] == 1 and document["binding"] == "C"
    assert names(document) == {
        f"torch-stable-abi210-{c}-{p}" for c in ("cpu", "cu126", "cu130") for p in (X86, ARM)
    }
    here = {v["name"]: v for v in document["variants"] if v["here"]}
    assert {p.name for p in (built / "build").glob("torch-*")} <= set(here)
    assert document["here"] == len(here)
    cpu = here[f"torch-stable-abi210-cpu-{X86}"]
    assert cpu["wheel"] == f"demo_kernel-1.0.0+cpu-{cpu['wheel_tag']}.whl"
    assert cpu["wheel_tag"] == "py3-none-manylinux_2_28_x86_64" and cpu["why"] is None
    foreign = [v for v in document["variants"] if v["name"].endswith(ARM)]
    assert {v["wheel_tag"] for v in foreign} == {"py3-none-manylinux_2_28_aarch64"}


TEXT = """\
demo-kernel: binding: C; 6 variants, 0 to be built here
  no    torch-stable-abi210-cpu-x86_64-linux
  no    torch-stable-abi210-cu126-x86_64-linux
  no    torch-stable-abi210-cu130-x86_64-linux
        there is no C compiler
        apt install gcc
  no    torch-stable-abi210-cpu-aarch64-linux
  no    torch-stable-abi210-cu126-aarch64-linux
  no    torch-stable-abi210-cu130-aarch64-linux
        is built on linux aarch64, or here (x86_64) by zig, which is not found
        pip install --no-deps ziglang==0.17.1
"""


# A machine without tools: nothing is written, and the line to type is there.
def test_text_without_a_compiler(repository, kernmill, tmp_path):
    before = sorted(repository.rglob("*"))
    answer = kernmill("plan", repository, env={"PATH": str(tmp_path)})
    assert (answer.code, answer.out, answer.err) == (1, TEXT, "")
    assert sorted(repository.rglob("*")) == before


# Without NVRTC the CPU's variant can be built; the CUDA ones say what to install, or that nvcc would do.
def test_without_nvrtc(repository, kernmill, tmp_path):
    (tmp_path / "bin").mkdir()
    for program in ("cc", "ninja"):
        (tmp_path / "bin" / program).write_text("#!/bin/sh\n")
        (tmp_path / "bin" / program).chmod(0o755)
    answer = kernmill("plan", "--json", repository, env={"PATH": str(tmp_path / "bin")})
    cpu, cuda, *_ = answer.json["variants"]
    if cuda["here"]:
        pytest.skip("/usr/local/cuda has an NVRTC")
    assert cpu["here"] and answer.code == 0
    assert cuda["why"] == "the CUDA run-time compiler (libnvrtc.so.12) is not found"
    assert re.match(r"pip install --no-deps nvidia-cuda-nvrtc|kernmill build --compiler nvcc ", cuda["line"])


# C++ over torch's headers, by Hugging Face's table: one for each of two torch, and stable ABI for the newest alone.
def test_cpp_binding(kernmill, tmp_path):
    document = plan(kernmill, tmp_path, ["cpu", "cuda"], '[torch]\nsrc = ["a.cpp"]\n', "a.cpp")
    computes = ("cpu", "cu126", "cu130", "cu132")
    assert names(document) == {
        *(f"torch2{t}-cxx11-{c}-{p}" for t in (12, 13) for c in computes for p in (X86, ARM)),
        "torch212-cpu-aarch64-darwin", "torch213-cpu-aarch64-darwin",
    }  # fmt: skip
    assert document["binding"] == "C++" and document["here"] == 0
    (why,) = {v["why"] for v in document["variants"]}
    assert "'a.cpp' is not built" in why


def test_versions_that_are_asked_for(kernmill, tmp_path):
    rest = '[general.cuda]\nminver = "13.0"\nmaxver = "13.1"\n[torch]\nsrc = ["a.cpp"]\nminver = "2.13"\n'
    document = plan(kernmill, tmp_path, ["cuda"], rest, "a.cpp")
    assert names(document) == {f"torch213-cxx11-cu130-{p}" for p in (X86, ARM)}


def test_stable_abi(kernmill, tmp_path):
    rest = '[torch]\nsrc = ["a.cpp"]\n[torch.stable-abi]\ncuda = "2.11"\n'
    document = plan(kernmill, tmp_path, ["cuda", "rocm", "metal"], rest, "a.cpp")
    assert names(document) == {
        *(f"torch-stable-abi211-{c}-{p}" for c in ("cu126", "cu130", "cu132") for p in (X86, ARM)),
        *(f"torch2{t}-cxx11-rocm7{r}-{X86}" for t in (12, 13) for r in (1, 2)),
        *(f"torch2{t}-metal-aarch64-darwin" for t in (12, 13)),
    }


def test_noarch(kernmill, tmp_path):
    document = plan(kernmill, tmp_path, ["cuda", "rocm", "cann"], "[torch-noarch]\n")
    assert names(document) == {"torch-cuda", "torch-rocm", "torch-npu"}
    assert {v["wheel_tag"] for v in document["variants"]} == {"py3-none-any"}


def test_tvm_ffi(kernmill, tmp_path):
    document = plan(kernmill, tmp_path, ["cpu", "cuda", "xpu"], '[tvm-ffi]\nsrc = ["a.cpp"]\n', "a.cpp")
    assert names(document) == {
        *(f"tvm-ffi01-{c}-{p}" for c in ("cpu", "cu126", "cu130", "cu132") for p in (X86, ARM)),
        f"tvm-ffi01-xpu20253-{X86}",
    }


def test_not_a_repository(kernmill, tmp_path):
    answer = kernmill("plan", tmp_path)
    assert answer.code == 4 or answer.code == 5
    assert answer.out == "" and "kernmill: error: " in answer.err
