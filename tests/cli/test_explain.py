"""`kernmill explain` on a kernel that was built and packed here, for machines that are described: what it says, in
which order, its exit codes and its errors. That it chooses as the real client does: tests/conformance/test_client_choice.py.
"""

import json
import pathlib
import re
import shutil
import stat
import subprocess
import zipfile

import pytest
from packaging import tags
from packaging.utils import parse_wheel_filename
from program import ROOT

CORPUS = ROOT / "tests/fuzz/corpus"
CPU, CUDA = "torch-stable-abi210-cpu-x86_64-linux", "torch-stable-abi210-cu126-x86_64-linux"
BASE = ["--os", "linux", "--cpu", "x86_64", "--glibc", "2.31", "--python", "3.11", "--torch", "2.13"]
ON_CPU = [*BASE, "--backend", "cpu", "--driver", "none", "--arch", "none"]
INDEX, WHERE = "--index-url $URL", "  # URL: of torch's wheels, at pytorch.org/get-started/locally"


@pytest.fixture(scope="module")
def packed(built, kernmill, tmp_path_factory) -> pathlib.Path:
    """What `pack` writes of init's kernel for the CPU. Shared: not to be changed."""
    folder = tmp_path_factory.mktemp("packed")
    source = shutil.copytree(built, folder / "demo-kernel")
    answer = kernmill("pack", "--cpu", "--quiet", source, "--output", folder / "dist")
    assert answer.code == 0, answer.err
    return folder / "dist"


@pytest.fixture
def hub(packed, tmp_path) -> pathlib.Path:
    """The Hub folder, and beside the CPU's variant one for CUDA with images: PTX of 75, code of 80, 90a and 100."""
    root = shutil.copytree(packed / "demo-kernel", tmp_path / "demo-kernel")
    variant = shutil.copytree(root / "build" / CPU, root / "build" / CUDA)
    metadata = json.loads((variant / "metadata.json").read_text())
    metadata["backend"] = {"type": "cuda", "archs": ["10.0", "7.5+PTX", "8.0", "9.0a"]}
    (variant / "metadata.json").write_text(json.dumps(metadata))
    command = ["objcopy", "--add-section", f".nv_fatbin={CORPUS / 'fatbin/release_lz4.bin'}",
               "--set-section-flags", ".nv_fatbin=alloc,readonly", variant / "libdemo_kernel.so"]  # fmt: skip
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return root


def candidate(answer, name: str) -> dict:
    (kernel,) = answer.json["kernels"]
    (found,) = (c for c in kernel["candidates"] if c["name"] == name)
    return found


def against(answer, name: str) -> list[str]:
    return [r["code"] for r in candidate(answer, name)["reasons"] if r["side"] == "against"]


# glibc's own is what the compiler of this machine made it
def say(answer) -> str:
    return re.sub(r"needs glibc 2\.\d+;", "needs glibc 2.N;", answer.out)


# ---- text ----

TEXT_HUB = """\
on linux x86_64, glibc 2.31, Python 3.11, torch 2.13 for cpu, no NVIDIA driver

demo-kernel: torch-stable-abi210-cpu-x86_64-linux: the only one that the client
accepts

* torch-stable-abi210-cpu-x86_64-linux
    chosen, and fits
    + made for x86_64 on linux, as here
    + needs torch 2.10 or newer; here it is 2.13
    + made for cpu, as torch here
    + needs glibc 2.N; here it is 2.31
"""

TEXT_WHEEL = """\
on linux x86_64, glibc 2.31, Python 3.11, torch 2.13 for cpu, no NVIDIA driver

demo-kernel: demo_kernel-1.0.0+cpu-py3-none-manylinux_2_28_x86_64.whl: the only
one that pip accepts

* demo_kernel-1.0.0+cpu-py3-none-manylinux_2_28_x86_64.whl
    chosen, and fits
    + the tag py3-none is for Python 3.11
    + the tag manylinux_2_28_x86_64 is for linux x86_64 with glibc 2.31
    + needs Python >=3.10; here it is 3.11
    + needs torch>=2.10; here it is 2.13
    + needs glibc 2.N; here it is 2.31
"""

TEXT_NOTHING = """\
on linux x86_64, glibc 2.31, Python 3.11, torch 2.9 for cu124, driver 525,
   sm_120, sm_75

demo-kernel: the client accepts none

  torch-stable-abi210-cpu-x86_64-linux
    refused
    - needs torch 2.10 or newer; here it is 2.9
    - made for cpu; torch here is for cu124, and the client falls back to no
      other
    + made for x86_64 on linux, as here
    + needs glibc 2.N; here it is 2.31

  torch-stable-abi210-cu126-x86_64-linux
    refused
    - needs torch 2.10 or newer; here it is 2.9
    - needs torch for CUDA 12.6 or a newer 12.x; here it is for 12.4
    - its PTX for sm_120 needs driver 575 or newer; here it is 525
    - its PTX for sm_75 needs driver 575 or newer; here it is 525
    + made for x86_64 on linux, as here
    + needs glibc 2.N; here it is 2.31
    + sm_120 runs its PTX of compute_75, which the driver compiles at first use
    + sm_75 runs its PTX of compute_75, which the driver compiles at first use

to make torch-stable-abi210-cu126-x86_64-linux fit:
    pip install --force-reinstall 'torch>=2.10' --index-url $URL/cu126   # URL: of torch's wheels, at pytorch.org/get-started/locally
    apt install nvidia-driver-575   # and restart
"""


# The Hub's layout and a wheel, as they come out of the mill.
def test_text(packed, kernmill):
    answer = kernmill("explain", packed / "demo-kernel", *ON_CPU)
    assert (answer.code, say(answer), answer.err) == (0, TEXT_HUB, "")
    (wheel,) = packed.glob("*.whl")
    answer = kernmill("explain", wheel, *ON_CPU)
    assert (answer.code, say(answer), answer.err) == (0, TEXT_WHEEL, "")


# Every reason, not the first alone, and the way out; readable in 80 columns but for commands, which are copied.
def test_text_when_nothing_fits(hub, kernmill):
    answer = kernmill("explain", hub, *BASE, "--torch", "2.9", "--cuda", "12.4", "--driver", "525",
                      "--arch", "sm_120,7.5")  # fmt: skip
    assert (answer.code, say(answer), answer.err) == (1, TEXT_NOTHING, "")
    prose = answer.out[: answer.out.index("\nto make")]
    assert max(map(len, prose.splitlines())) <= 80


# The folder, what it holds, and one variant are the same kernel; so is a cache made of links, as the client's is.
def test_places(hub, kernmill, tmp_path):
    cuda = [*BASE, "--cuda", "12.8", "--driver", "570", "--arch", "9.0"]
    for place in (hub, hub / "build", hub / "build" / CUDA):
        answer = kernmill("explain", "--json", place, *cuda)
        assert answer.code == 0 and answer.json["kernels"][0]["chosen"] == CUDA
    linked = tmp_path / "snapshot/build" / CUDA
    linked.mkdir(parents=True)
    for file in (hub / "build" / CUDA).iterdir():
        (linked / file.name).symlink_to(file)
    codes = [
        r["code"]
        for r in candidate(kernmill("explain", "--json", tmp_path / "snapshot", *cuda), CUDA)["reasons"]
    ]
    assert "glibc" in codes and "gpu" in codes
    assert kernmill("explain", *cuda, cwd=hub).code == 0


# ---- what decides after the client has chosen ----

CUDA_CASES = [
    (["--cuda", "12.8", "--driver", "570", "--arch", "sm_90"], 0, []),
    (["--cuda", "12.8", "--driver", "525", "--arch", "8.6"], 0, []),
    (["--cuda", "12.8", "--driver", "525", "--arch", "10.0"], 1, ["driver"]),
    (["--cuda", "12.8", "--driver", "570", "--arch", "12.0"], 1, ["driver"]),
    (["--cuda", "12.8", "--driver", "575", "--arch", "12.0"], 0, []),
    (["--cuda", "12.8", "--driver", "575", "--arch", "7.0"], 1, ["gpu", "declared-archs"]),
    (["--cuda", "12.8"], 0, []),
    (["--cuda", "12.8", "--driver", "570", "--arch", "9.0", "--glibc", "2.2"], 1, ["glibc"]),
    (["--cuda", "12.4", "--driver", "470"], 1, ["cuda", "driver"]),
    (["--cuda", "12.8", "--driver", "510", "--arch", "9.0"], 1, ["driver", "driver"]),
    (["--cuda", "12.4"], 1, ["cuda"]),
    (["--cuda", "13.0"], 1, ["cuda"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "code", "codes"), CUDA_CASES, ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_reasons(options, code, codes, hub, kernmill):
    answer = kernmill("explain", "--json", hub, *BASE, *options)
    assert answer.code == code and against(answer, CUDA) == codes
    document = answer.json
    assert document["fits"] == (code == 0)
    assert (document["kernels"][0]["fixes"] == []) == (code == 0 or codes == ["glibc"])


# The files decide, not the names: here the CPU variant's library is for another processor, and one is no library.
def test_library_that_is_not_what_the_folder_says(hub, kernmill):
    library = hub / "build" / CPU / "libdemo_kernel.so"
    shutil.copy(CORPUS / "elf/uses_aarch64.elf", library)
    assert against(kernmill("explain", "--json", hub, *ON_CPU), CPU) == ["machine"]
    library.write_text("no library\n")
    answer = kernmill("explain", "--json", hub, *ON_CPU)
    assert against(answer, CPU) == ["library"] and answer.code == 1
    assert answer.json["kernels"][0]["chosen"] == CPU, "the client would take it all the same"


def link(folder: pathlib.Path, name: str, source: str, *flags) -> pathlib.Path:
    path = folder / name
    command = ["gcc", "-shared", "-fPIC", "-w", "-nostdlib", "-o", path, "-xc", "-", "-xnone", *flags]
    subprocess.run(command, input=source.encode(), check=True)
    return path


# Read from the library: a function that torch has only later, another CUDA's run time, a better processor.
def test_what_a_library_needs(hub, kernmill, tmp_path):
    library = hub / "build" / CPU / "libdemo_kernel.so"
    options = [*ON_CPU, "--x86-level", "v2"]
    cudart = link(tmp_path, "cudart.so", "void c(void) {}", "-Wl,-soname,libcudart.so.12")
    cases = [
        ("void torch_delete_stable_ivalue(void); void f(void) { torch_delete_stable_ivalue(); }", [], []),
        ("void c(void); void f(void) { c(); }", [cudart], ["cudart"]),
        ("void f(void) {}", ["-Wl,-z,x86-64-v3"], ["x86-level"]),
        ("void f(void) {}", ["-Wl,-z,x86-64-v2"], []),
    ]
    for source, flags, codes in cases:
        link(library.parent, library.name, source, *flags)
        assert against(kernmill("explain", "--json", hub, *options), CPU) == codes, flags
        later = kernmill("explain", "--json", hub, *options, "--torch", "2.12")
        assert against(later, CPU) == [*(["torch-symbol"] if "torch_" in source else []), *codes]


# When the one that is chosen does not work and another would, the other can be loaded by its own folder.
def test_second_choice(hub, kernmill):
    newer = shutil.copytree(hub / "build" / CPU, hub / "build" / CPU.replace("210", "213"))
    shutil.copy(CORPUS / "elf/uses_aarch64.elf", newer / "libdemo_kernel.so")
    answer = kernmill("explain", "--json", hub, *ON_CPU)
    (kernel,) = answer.json["kernels"]
    assert answer.code == 1 and (kernel["chosen"], kernel["fix_of"]) == (newer.name, CPU)
    assert kernel["why"] == f"the newest stable ABI that torch has comes first; next would be {CPU}"
    path = hub / "build" / CPU
    assert kernel["fixes"] == [
        f"python3 -c \"import kernels, pathlib; kernels.get_local_kernel(pathlib.Path('{path}'))\""
    ]


FIXES = [
    (["--torch", "2.9", "--backend", "cpu"], CPU, [f"pip install 'torch>=2.10' {INDEX}/cpu {WHERE}"]),
    (["--cuda", "13.0", "--driver", "580", "--arch", "9.0"], CUDA,
     [f"pip install --force-reinstall 'torch==2.13.*' {INDEX}/cu126 {WHERE}"]),
    (["--cuda", "12.8", "--driver", "470", "--arch", "12.0"], CUDA, ["apt install nvidia-driver-575   # and restart"]),
    (["--cuda", "12.8", "--driver", "580", "--arch", "7.0"], CUDA, ["kernmill pack SOURCE --arch 70"]),
    (["--backend", "rocm71"], CPU,
     ["python3 -c \"import kernels, pathlib; kernels.get_local_kernel(pathlib.Path('HUB'), backend='cpu')\""]),
    (["--backend", "cpu", "--python", "3.14t"], CPU, ["python3.14 -m venv .venv   # one with the GIL"]),
    (["--os", "windows", "--backend", "cpu"], None, []),
    (["--cpu", "aarch64", "--backend", "cpu"], None, []),
]  # fmt: skip


# The nearest of all ways, as a line to type; none where there is none.
@pytest.mark.parametrize(
    ("options", "name", "fixes"), FIXES, ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_fixes(options, name, fixes, hub, kernmill):
    answer = kernmill("explain", "--json", hub, *BASE, *options)
    (kernel,) = answer.json["kernels"]
    assert (answer.code, kernel["fix_of"]) == (1, name)
    assert kernel["fixes"] == [line.replace("HUB", str(hub)) for line in fixes]


# ---- wheels ----


# The fix is of the build that it is for, however many others were read after it.
def test_fix_among_many(kernmill, tmp_path):
    for compute in ("cu126", "rocm71", "rocm72", "xpu20253"):
        folder = tmp_path / f"build/torch212-cxx11-{compute}-x86_64-linux"
        folder.mkdir(parents=True)
        (folder / "__init__.py").touch()
        metadata = {"name": "demo", "id": "_demo", "version": 1, "license": "MIT", "python-depends": []}
        (folder / "metadata.json").write_text(json.dumps({**metadata, "backend": {"type": "cuda"}}))
    on = ["--torch", "2.13", "--backend", "cu126", "--driver", "570", "--arch", "9.0"]
    (kernel,) = kernmill("explain", "--json", *BASE[:8], *on, tmp_path).json["kernels"]
    assert kernel["fix_of"] == "torch212-cxx11-cu126-x86_64-linux"
    assert kernel["fixes"] == [f"pip install 'torch==2.12.*' {INDEX}/cu126 {WHERE}"]


def make_wheel(folder: pathlib.Path, name: str, metadata: str = "", files=()) -> pathlib.Path:
    path = folder / name
    project, version = name.split("-")[:2]
    with zipfile.ZipFile(path, "w") as archive:
        head = f"Metadata-Version: 2.4\nName: {project}\nVersion: {version}\n{metadata}\n"
        for member, data in (*files, (f"{project}-{version}.dist-info/METADATA", head.encode())):
            info = zipfile.ZipInfo(member)
            info.create_system, info.external_attr = 3, (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, data)
    return path


CHOICES = [
    ["x-1.0-py3-none-any.whl", "x-1.10-py3-none-any.whl", "x-1.9-py3-none-any.whl"],
    ["x-1.0-py3-none-any.whl", "x-1.0+cpu-py3-none-any.whl"],
    ["x-1.0+cpu-py3-none-any.whl", "x-1.0+sm90-py3-none-any.whl"],
    ["x-1.1rc1-py3-none-any.whl", "x-1.0-py3-none-any.whl", "x-1.0.post1-py3-none-any.whl", "x-2.dev3-py3-none-any.whl"],
    ["x-1.0-py3-none-any.whl", "x-1.0-py3-none-manylinux_2_28_x86_64.whl", "x-1.0-py3-none-linux_x86_64.whl"],
    ["x-1.0-py3-none-manylinux_2_17_x86_64.whl", "x-1.0-py3-none-manylinux_2_31_x86_64.whl",
     "x-1.0-py3-none-manylinux_2_34_x86_64.whl"],
    ["x-1.0-cp311-abi3-any.whl", "x-1.0-cp311-cp311-any.whl", "x-1.0-cp312-cp312-any.whl"],
    ["x-1.0-cp39-abi3-any.whl", "x-1.0-cp312-abi3-any.whl", "x-1.0-py2.py3-none-any.whl"],
    ["x-1.0-cp39-abi3-any.whl", "x-1.0-cp310-abi3-any.whl"],
    ["x-1.0-cp39-abi3-linux_x86_64.whl", "x-1.0-cp310-abi3-linux_x86_64.whl"],
    ["x-1.0-cp310-none-any.whl", "x-1.0-cp311-none-any.whl", "x-1.0-py311-none-any.whl"],
    ["x-1.0-py3-none-any.whl", "x-1.0-py310-none-any.whl", "x-1.0-py311-none-any.whl", "x-1.0-py312-none-any.whl"],
    ["x-1.0-py310-none-linux_x86_64.whl", "x-1.0-py3-none-linux_x86_64.whl", "x-1.0-py311-none-linux_x86_64.whl"],
    ["x-1.0-py3-none-manylinux2014_x86_64.manylinux_2_17_x86_64.whl", "x-1.0-py3-none-manylinux_2_28_aarch64.whl",
     "x-1.0-py3-none-win_amd64.whl", "x-1.0-py3-none-macosx_11_0_x86_64.whl"],
    ["x-1.0-py2-none-any.whl", "x-1.0-py3-none-musllinux_1_2_x86_64.whl", "y.whl"],
]  # fmt: skip


def choice_of_packaging(names) -> str | None:
    """pip's own rule by the library that it uses: the highest version, then the most specific tag."""
    platforms = [*(f"manylinux_2_{n}_x86_64" for n in range(31, 4, -1)), "linux_x86_64"]
    order = [
        *tags.cpython_tags((3, 11), ["cp311"], platforms),
        *tags.compatible_tags((3, 11), "cp311", platforms),
    ]
    found = []
    for name in names:
        if "-" not in name:
            continue
        _, version, _, its = parse_wheel_filename(name)
        ranks = [order.index(tag) for tag in its if tag in order]
        if ranks and not version.is_prerelease:
            found.append((version, -min(ranks), name))
    return max(found)[2] if found else None


# A wheel that pip would not take explains nothing.
@pytest.mark.parametrize("names", CHOICES, ids=lambda v: v[0])
def test_wheel_that_is_chosen(names, kernmill, tmp_path):
    for name in names:
        make_wheel(tmp_path, name) if "-" in name else (tmp_path / name).touch()
    answer = kernmill("explain", "--json", tmp_path, *ON_CPU)
    (found,) = [kernel["chosen"] for kernel in answer.json["kernels"] if kernel["name"] == "x"]
    assert found == choice_of_packaging(names)
    assert answer.code == (1 if found is None else 0)


# A static index has a folder for each project; each has a choice of its own.
def test_index_of_several_projects(kernmill, tmp_path):
    for name in ("a-1.0-py3-none-any.whl", "b-1.0-py3-none-any.whl", "b-2.0-py3-none-win_amd64.whl"):
        (tmp_path / name[0]).mkdir(exist_ok=True)
        make_wheel(tmp_path / name[0], name)
    answer = kernmill("explain", "--json", tmp_path, *ON_CPU)
    assert [k["chosen"] for k in answer.json["kernels"]] == [
        "a-1.0-py3-none-any.whl",
        "b-1.0-py3-none-any.whl",
    ]
    assert answer.code == 0 and answer.json["kind"] == "wheels"
    make_wheel(tmp_path / "a", "a-1.1-py3-none-any.whl", "Requires-Dist: torch>=2.14\n")
    assert kernmill("explain", tmp_path, *ON_CPU).code == 1


WHEEL_METADATA = [
    ("Requires-Python: >=3.11", None), ("Requires-Python: >=3.12", "requires-python"),
    ("Requires-Python: >=3.9,<3.11", "requires-python"), ("Requires-Python: !=3.11.*", "requires-python"),
    ("Requires-Dist: torch>=2.10", None), ("Requires-Dist: torch (>=2.14)", "torch"),
    ("Requires-Dist: torch==2.12.*", "torch"), ("Requires-Dist: torch==2.13.*", None),
    ("Requires-Dist: torch<2.13", "torch"), ("Requires-Dist: torch>=2.10,<2.14; python_version > '3'", None),
    ("Requires-Dist: torchvision>=99", None),
]  # fmt: skip


@pytest.mark.parametrize(("line", "code"), WHEEL_METADATA)
def test_wheel_metadata(line, code, kernmill, tmp_path):
    wheel = make_wheel(tmp_path, "x-1.0-py3-none-any.whl", line + "\n")
    answer = kernmill("explain", "--json", wheel, *ON_CPU)
    assert against(answer, wheel.name) == ([code] if code else [])


# A wheel's library is read where it lies in the archive.
def test_library_in_a_wheel(hub, kernmill, tmp_path):
    library = (hub / "build" / CUDA / "libdemo_kernel.so").read_bytes()
    wheel = make_wheel(tmp_path, "x-1.0-py3-none-any.whl", files=[("x/libx.so", library)])
    for gpu, codes in (("9.0", []), ("7.0", ["gpu"])):
        answer = kernmill(
            "explain", "--json", wheel, *BASE, "--cuda", "13.0", "--driver", "580", "--arch", gpu
        )
        assert against(answer, wheel.name) == codes
    wheel.write_bytes(b"PK")
    assert against(kernmill("explain", "--json", wheel, *ON_CPU), wheel.name) == ["wheel"]


# What comes out of an archive becomes neither a command nor an escape sequence.
def test_hostile_wheels(kernmill, tmp_path):
    make_wheel(tmp_path, "x-1.0-py3-none-any.whl", "Requires-Dist: torch>=99'$(touch y)'\n")
    answer = kernmill("explain", tmp_path, *ON_CPU)
    assert answer.code == 1 and "no command makes one of them fit" in answer.out
    (tmp_path / "x-1.0-py3-none-any.whl").unlink()
    make_wheel(tmp_path, "x-1.1rc1'$(touch y)'-py3-none-any.whl")
    (line,) = kernmill("explain", "--json", tmp_path, *ON_CPU).json["kernels"][0]["fixes"]
    subprocess.run(["sh", "-c", "pip() { :; }; " + line], cwd=tmp_path, check=True)
    assert not (tmp_path / "y").exists()
    make_wheel(tmp_path, "z-1-py3-none-any.whl", "Name: \x1b[31mred\n")
    make_wheel(tmp_path, "w-99999999999.99999999999-cp399999999999-abi3-manylinux_2_99999999999_x86_64.whl")
    make_wheel(tmp_path, "v\x1b[31m-1-py3-none-any.whl")
    answer = kernmill("explain", tmp_path, *ON_CPU)
    assert answer.code == 1 and "\x1b" not in answer.out
    assert kernmill("explain", "--json", tmp_path, *ON_CPU).json["fits"] is False


# ---- this machine ----


# Without options it is the machine at hand, with the Python that is asked for.
def test_this_machine(packed, kernmill):
    python = ROOT / ".venv/bin/python"
    script = "import json, platform, torch; print(json.dumps([platform.machine(), torch.__version__, torch.version.cuda]))"
    done = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True)
    machine, torch, cuda = json.loads(done.stdout)
    answer = kernmill("explain", "--json", packed / "demo-kernel", env={"KERNMILL_PYTHON": str(python)})
    system = answer.json["system"]
    assert (system["os"], system["cpu"]) == ("linux", machine)
    assert torch.startswith(system["torch"] + ".")
    assert system["backend"] == ("cu" + cuda.replace(".", "") if cuda else "cpu")
    assert re.fullmatch(r"2\.\d+", system["glibc"])


# Without Python it is judged by what is left; a Python that fails is told.
def test_python_that_is_not_there(packed, kernmill, tmp_path):
    answer = kernmill("explain", "--json", packed / "demo-kernel", env={"PATH": str(tmp_path)})
    assert answer.code == 1 and answer.json["system"]["python"] is None
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'no torch today' >&2\nexit 1\n")
    broken.chmod(0o755)
    answer = kernmill("explain", packed / "demo-kernel", env={"KERNMILL_PYTHON": str(broken)})
    assert answer.code == 3
    assert answer.err.startswith(f"kernmill: error: '{broken}' cannot say what it has: ")
    assert "no torch today" in answer.err


NVIDIA = list(ROOT.glob(".venv/lib/python3*/site-packages/nvidia/cuda_nvrtc"))


# The real thing: a CUDA kernel as the mill makes it, wheel and Hub folder, judged by its own images.
@pytest.mark.skipif(not NVIDIA, reason="no NVRTC in .venv: scripts/setup")
def test_kernel_that_was_built_for_cuda(repository, kernmill, tmp_path):
    out = tmp_path / "dist"
    answer = kernmill("pack", "--quiet", "--arch", "75+PTX,90a", repository, "--output", out,
                      env={"VIRTUAL_ENV": str(ROOT / ".venv")})  # fmt: skip
    assert answer.code == 0, answer.err
    (wheel,) = out.glob("*.whl")
    for gpu, driver, code, text in (
        ("9.0", "525", 0, "sm_90 runs its machine code for sm_90a"),
        ("7.5", "525", 0, "sm_75 runs its machine code for sm_75"),
        ("8.0", "575", 0, "sm_80 runs its PTX of compute_75"),
        ("8.0", "570", 1, "its PTX for sm_80 needs driver 575 or newer; here it is 570"),
        ("7.0", "580", 1, "holds no image that runs on sm_70; it has"),
    ):
        for place in (out / "demo-kernel", wheel):
            answer = kernmill("explain", place, *BASE, "--cuda", "12.8", "--driver", driver, "--arch", gpu)
            assert answer.code == code and text in answer.out, answer.out
        cuda = kernmill("explain", "--json", out / "demo-kernel", *BASE, "--cuda", "13.0", "--arch", gpu)
        assert cuda.json["kernels"][0]["chosen"] == CUDA.replace("cu126", "cu130")


# ---- errors ----

WRONG = [
    (["--arch", "hopper"], "option '--arch' does not know 'hopper'",
     "a GPU is like sm_75, 7.5 or 75; several have commas; or none"),
    (["--os", "lunix"], "option '--os' does not know 'lunix'", "did you mean 'linux'?"),
    (["--cpu", "ppc64le"], "option '--cpu' does not know 'ppc64le'", "it knows x86_64, aarch64"),
    (["--cuda", "12.6", "--backend", "cpu"], "options '--cuda' and '--backend' say the same thing",
     "usage: kernmill explain [options] [PATH]; see 'kernmill help explain'"),
    (["--backend", "cuda"], "option '--backend' wants what torch computes with, as variants write it, not 'cuda'",
     "like cpu, cu126, rocm71, xpu20253, metal"),
    (["--torch", "new"], "option '--torch' wants a version like 2.9, not 'new'",
     "usage: kernmill explain [options] [PATH]; see 'kernmill help explain'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("options", "message", "hint"), WRONG, ids=lambda v: " ".join(v) if isinstance(v, list) else ""
)
def test_wrong_descriptions(options, message, hint, packed, kernmill):
    answer = kernmill("explain", packed, *options)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == f"kernmill: error: {message}\n  {hint}\n"


# What is no kernel is told from a kernel that does not fit.
def test_not_a_kernel(repository, kernmill, tmp_path):
    (tmp_path / "empty").mkdir()
    answer = kernmill("explain", tmp_path / "empty")
    assert answer.code == 4
    assert answer.err.startswith(f"kernmill: error: '{tmp_path}/empty' holds neither variants nor wheels\n")
    answer = kernmill("explain", repository)
    assert answer.code == 4 and f"'kernmill build {repository}' makes its variants" in answer.err
    assert kernmill("explain", repository / "build.toml").code == 4
    answer = kernmill("explain", tmp_path / "none")
    assert answer.code == 5 and answer.err == f"kernmill: error: '{tmp_path}/none' is not there\n"
