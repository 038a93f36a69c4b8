"""The commands that build: what they make, what they leave alone, and how they fail."""

import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from program import PROGRAM, ROOT, replace, stamps

NVIDIA = list(ROOT.glob(".venv/lib/python3*/site-packages/nvidia/cuda_nvrtc"))


# ---- build ----


# What build makes is fit to ship, by our own check.
def test_products_are_clean(kernmill, built):
    hub = built / "build/torch-stable-abi210-cpu-x86_64-linux"
    library = next(hub.glob("lib*.so"))
    for path, kind in ((hub, "hub folder"), (library, "library"), (built / "build/wheel", None)):
        answer = kernmill("check", "--json", path)
        if kind:
            assert answer.code == 0 and answer.json["kind"] == kind and answer.json["findings"] == []
        else:
            assert answer.code == 4
    assert sorted(p.name for p in hub.iterdir()) == [
        "__init__.py", "_ops.py", "libdemo_kernel.so", "metadata.json",
    ]  # fmt: skip
    text = kernmill("build", "--cpu", built)
    description = kernmill("build", "--cpu", "--json", built).json
    assert text.code == 0 and str(hub) in text.out
    assert description["name"] == "demo-kernel" and description["archs"] == []
    assert [p["flavor"] for p in description["products"]] == ["cpu"]
    assert re.fullmatch(r"demo_kernel_[0-9a-f]{12}", description["products"][0]["id"])


# A second build that touches a file makes everything after it (packing, tests, editors) start over.
def test_second_build_touches_nothing(kernmill, repository):
    assert kernmill("build", "--cpu", "-q", repository).code == 0
    before = stamps(repository)
    answer = kernmill("build", "--cpu", repository)
    assert answer.code == 0 and answer.err == "ninja: no work to do.\n"
    after = stamps(repository)
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed <= {"build/.kernmill/.ninja_log", "build/.kernmill/.ninja_deps"}, changed
    assert set(after) == set(before)


# What is measured is what was built: sources that are younger are named, until they are built.
def test_a_build_that_is_older_than_its_sources(kernmill, repository):
    (repository / "benchmarks").mkdir()
    (repository / "benchmarks/suite.toml").write_text(
        'name = "scale"\n[op.scale]\naxes = { n = [8] }\ndtypes = ["float32"]\nbytes = "8 * n"\n'
        'reference = "ours"\ntolerance = 1\n[op.scale.inputs]\nx = { shape = ["n"] }\n[op.scale.calls.ours]\n'
        'library = "demo_kernel"\nschema = "demo_kernel::no_such(Tensor x) -> Tensor"\narguments = ["x"]\n'
    )
    assert kernmill("build", "--cpu", "-q", repository).code == 0

    def says_so():
        answer = kernmill("bench", "--device", "cpu", repository, env={"KERNMILL_PYTHON": sys.executable})
        return f"is younger than what is measured: kernmill build {repository}" in answer.err

    assert not says_so()
    time.sleep(0.02)
    for name in ("build.toml", "torch-ext/torch_binding.c"):
        (repository / name).touch()
        assert says_so(), name
        assert kernmill("build", "--cpu", "-q", repository).code == 0
        assert not says_so(), name


# A file that is gone from the sources is gone from what is shipped, under its old name too.
def test_what_is_removed_is_not_shipped(kernmill, repository):
    package = repository / "torch-ext/demo_kernel"
    (package / "more.py").write_text("")
    (package / "notes.txt").write_text("")
    assert kernmill("build", "--cpu", "-q", repository).code == 0
    hub = repository / "build/torch-stable-abi210-cpu-x86_64-linux"
    assert (hub / "more.py").exists() and not (hub / "notes.txt").exists()
    (package / "more.py").unlink()
    assert kernmill("build", "--cpu", "-q", repository).code == 0
    assert not (hub / "more.py").exists() and kernmill("check", hub).code == 0
    replace(repository / "build.toml", '"demo-kernel"', '"new-kernel"')
    package.rename(repository / "torch-ext/new_kernel")
    assert kernmill("build", "--cpu", "-q", repository).code == 0
    assert [p.name for p in (repository / "build/wheel").iterdir()] == ["new_kernel"]


# The compiler knows best what is wrong with a C file: its words, with the file's name, must arrive.
@pytest.mark.parametrize("quiet", [False, True])
def test_compiler_messages_arrive(quiet, kernmill, repository):
    source = repository / "cpu/scale_cpu.c"
    source.write_text(source.read_text() + "\nint broken(void) { return 1 }\n")
    line = len(source.read_text().splitlines())
    answer = kernmill("build", "--cpu", *(["--quiet"] if quiet else []), repository)
    assert answer.code == 4 and answer.out == ""
    assert re.search(rf"^cpu/scale_cpu\.c:{line}:\d+: error: expected", answer.err, re.MULTILINE)


# People and tools make names with spaces, in files and in the folders above.
def test_names_with_spaces_and_signs(kernmill, repository, tmp_path):
    name = "scale it: $x #1.c"
    (repository / "cpu/scale_cpu.c").rename(repository / "cpu" / name)
    replace(repository / "build.toml", "cpu/scale_cpu.c", f"cpu/{name}")
    folder = tmp_path / "a b, $c" / "demo kernel"
    folder.parent.mkdir()
    repository.rename(folder)
    answer = kernmill("build", "--cpu", "-q", folder)
    assert answer.code == 0, answer.err
    assert kernmill("build", "--cpu", folder).err == "ninja: no work to do.\n"
    os.utime(folder / "scale.h")
    assert "[1/" in kernmill("build", "--cpu", folder).err, "the header is not known to Ninja"


# Two files of one name in two folders are two files.
def test_files_of_one_name(kernmill, repository):
    for i, name in enumerate(("cpu/more.c", "cpu_more.c", "cpu/deep/more.c", "more.c")):
        path = repository / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"int number_{i};\n")
    replace(
        repository / "build.toml", '"cpu/scale_cpu.c"',
        '"cpu/scale_cpu.c", "cpu/more.c", "cpu_more.c", "cpu/deep/more.c", "more.c"',
    )  # fmt: skip
    answer = kernmill("build", "--cpu", "-q", repository)
    assert answer.code == 0, answer.err


# A tool named relative to where the user stands is started in the repository, and must be found there.
def test_compiler_named_relatively(kernmill, repository, tmp_path):
    (tmp_path / "mycc").write_text('#!/bin/sh\nexec cc "$@"\n')
    (tmp_path / "mycc").chmod(0o755)
    answer = kernmill("build", "--cpu", "-q", "demo-kernel", cwd=tmp_path, env={"CC": "./mycc"})
    assert answer.code == 0, answer.err


# Exit code 3 and one line to type, before anything is written.
def test_no_compiler(kernmill, repository, tmp_path):
    answer = kernmill("build", "--cpu", repository, env={"PATH": str(tmp_path)})
    assert answer.code == 3
    assert answer.err == "kernmill: error: no C compiler: 'cc' is not found\n  apt install gcc\n"
    assert not (repository / "build").exists()
    answer = kernmill("build", "--cpu", repository, env={"CC": "icc-of-old"})
    assert answer.code == 3 and "no C compiler: 'icc-of-old' is not found" in answer.err


# The same for Ninja.
def test_no_ninja(kernmill, repository, tmp_path):
    (tmp_path / "bin").mkdir()
    for tool in ("cc", "as", "ld", "collect2"):
        if shutil.which(tool):
            (tmp_path / "bin" / tool).symlink_to(shutil.which(tool))
    answer = kernmill("build", "--cpu", repository, env={"PATH": str(tmp_path / "bin")})
    assert answer.code == 3
    assert answer.err == (
        "kernmill: error: program 'ninja' is not found\n  apt install ninja-build, or pip install ninja\n"
    )


# Without CUDA the CPU kernel still builds, and the CUDA one says which packages to install.
def test_no_cuda(kernmill, repository, tmp_path):
    if list(pathlib.Path("/usr/local/cuda").glob("lib64/libnvrtc.so.1[23]")):
        pytest.skip("/usr/local/cuda has an NVRTC: nothing is missing here")
    answer = kernmill("build", repository, env={"KERNMILL_CUDA": str(tmp_path / "nowhere")})
    assert answer.code == 3
    lines = answer.err.splitlines()
    assert lines[0] == "kernmill: error: the CUDA run-time compiler (libnvrtc.so.12) is not found"
    assert lines[1].startswith("  pip install --no-deps nvidia-cuda-nvrtc-cu12==12.9.86 ")
    assert lines[2].startswith(
        "  or name a folder that has it in KERNMILL_CUDA, or build without CUDA: --cpu"
    )
    assert kernmill("build", "--cpu", "-q", repository).code == 0, "the CPU part needs none of it"


# After a device file was compiled to the same image, the next build has nothing to do.
@pytest.mark.skipif(not NVIDIA, reason="no nvidia packages in .venv: device code is not compiled")
def test_equal_images_are_not_compiled_for_ever(kernmill, repository, tmp_path):
    if b"__asan_init" in PROGRAM.read_bytes():
        pytest.skip("under AddressSanitizer NVRTC does not find its own second library")
    folder = tmp_path / "a b, c"
    repository.rename(folder)
    environment = {"VIRTUAL_ENV": str(ROOT / ".venv")}
    answer = kernmill("build", "-q", "--arch", "80,75ptx", folder, env=environment)
    assert answer.code == 0, answer.err
    os.utime(folder / "cuda/scale.cu")
    assert (
        "compile cuda/scale.cu for 80" in kernmill("build", "--arch", "80,75ptx", folder, env=environment).err
    )
    answer = kernmill("build", "--arch", "80,75ptx", folder, env=environment)
    assert answer.err == "ninja: no work to do.\n"
    for variant in (folder / "build").glob("torch-*"):
        assert kernmill("check", variant).code == 0


# Two builds at once must not mix their files.
def test_two_builds_at_once(kernmill, repository, environment):
    words = [PROGRAM, "build", "--cpu", "-q", repository]
    running = [subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(120) for process in running] == [0, 0, 0]
    assert kernmill("check", repository / "build/torch-stable-abi210-cpu-x86_64-linux").code == 0


# After Ctrl-C or a scheduler's SIGTERM no compiler may go on: the next build would meet it.
@pytest.mark.parametrize("words", [[], ["--quiet"]])
def test_interrupted(words, environment, repository, tmp_path):
    compiler = tmp_path / "slow-cc"
    compiler.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exec cc --version\necho $$ >"$PID_FILE"\nexec sleep 60\n'
    )
    compiler.chmod(0o755)
    pid_file = tmp_path / "pid"
    merged = {**environment, "CC": str(compiler), "PID_FILE": str(pid_file)}
    command = [PROGRAM, "build", "--cpu", "--jobs", "1", *words, repository]
    process = subprocess.Popen(command, env=merged, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.02)
    started = pathlib.Path("/proc") / pid_file.read_text().strip()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 128 + signal.SIGTERM
    while started.exists() and "sleep" in (started / "cmdline").read_text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not started.exists() or "sleep" not in (started / "cmdline").read_text()


# ---- pack ----


# What is packed is checked, listed, and complete; a Hub folder that grew is replaced.
def test_pack(kernmill, built, tmp_path):
    stale = tmp_path / "out/demo-kernel/build/torch-old"
    stale.mkdir(parents=True)
    answer = kernmill("pack", "--cpu", "--json", "-q", "-o", "out", built, cwd=tmp_path)
    assert answer.code == 0, answer.err
    document = answer.json
    wheel = tmp_path / document["wheel"]
    assert wheel.name == "demo_kernel-1.0.0+cpu-py3-none-manylinux_2_28_x86_64.whl"
    assert not stale.exists()
    for path in (wheel, tmp_path / document["hub"]):
        assert kernmill("check", "--json", path).json["findings"] == []
    card = (tmp_path / document["card"]).read_text()
    assert "torch-stable-abi210-cpu-x86_64-linux" in card and "{{" not in card
    before = stamps(tmp_path)
    assert kernmill("pack", "--cpu", "-q", "-o", "out", built, cwd=tmp_path).code == 0
    assert stamps(tmp_path)[document["wheel"]] == before[document["wheel"]]


def record_of(library: pathlib.Path) -> str:
    """A record of one cell, in which the second round does not count."""

    def call(name, samples, **more):
        column = {"median_us": sorted(samples)[len(samples) // 2], "samples_us": samples}
        return {"name": name, "state": "right", "columns": {"cold": column}, **more}

    samples = [1.0, 9.0] + [2.0] * 10
    cell = {
        "op": "scale",
        "shape": {"rows": 8},
        "dtype": "float32",
        "device": "cuda",
        "gpu": {"name": "A GPU | of ours", "driver_cuda": "13.0"},
        "discarded_rounds": [1],
        "environment": {
            "date": "2026-11-25T23:42:48Z",
            "kernmill": "0.1.0",
            "libraries": {library.name: hashlib.sha256(library.read_bytes()).hexdigest()},
        },
        "calls": [
            call("torch", [4 * s for s in samples[:1]] + [1.0] + [4 * s for s in samples[2:]]),
            call("mine", samples, library="demo_kernel", share_of_light=0.87),
            {"name": "broken", "state": "wrong", "columns": {}},
        ],
    }
    return json.dumps(cell) + "\n"


# The card has figures of the very bytes that are packed: of another build, of a file that is no record, none.
def test_card_states_what_was_measured(kernmill, built, tmp_path):
    def speed(*words):
        answer = kernmill("pack", "--cpu", "--json", "-q", "-o", "out", *words, built, cwd=tmp_path)
        assert answer.code == 0, answer.err
        assert kernmill("check", "--json", tmp_path / answer.json["hub"]).json["findings"] == []
        return (tmp_path / answer.json["card"]).read_text().split("## Speed")[1].split("\n## ")[0]

    assert speed() == "\n\nNot measured on these files.\n"
    records, library = tmp_path / "records", built / "build/wheel/demo_kernel/libdemo_kernel.so"
    (records / "card/one").mkdir(parents=True)
    (records / "card/one.jsonl").write_text(record_of(library))
    (records / "card/one/scale-ratio.svg").write_text("<svg/>")
    (records / "log.jsonl").write_text('{"what": "else"}\n')
    text = speed("--records", records)
    assert "### A GPU &#124; of ours" in text and "Driver CUDA 13.0" in text and "2026-11-25" in text
    assert "| rows=8 | 2 [2, 2] | 0.87 | 4.00 [4.00, 4.00] | not right |" in text
    assert "(speed/one-scale-ratio.svg)" in text
    assert (tmp_path / "out/demo-kernel/speed/one-scale-ratio.svg").read_text() == "<svg/>"
    (tmp_path / "r").write_text(record_of(library))  # no name that says what it is
    assert "| rows=8 | 2 [2, 2] | 0.87 |" in speed("--records", "r")
    other = record_of(library).replace(hashlib.sha256(library.read_bytes()).hexdigest(), "0" * 64)
    (records / "card/one.jsonl").write_text(other)
    assert "Not measured" in (text := speed("--records", records)) and "1 more cells" in text
    assert not (tmp_path / "out/demo-kernel/speed").exists()
    answer = kernmill("pack", "--cpu", "-o", "out", "--records", records, built, cwd=tmp_path)
    assert answer.code == 0 and "nothing was measured" in answer.err and "has 1 cells of other" in answer.err
    answer = kernmill("pack", "--cpu", "-q", "-o", "out", "--records", "nowhere.jsonl", built, cwd=tmp_path)
    assert answer.code == 5, answer.err
    assert "nowhere.jsonl" in answer.err


# A wheel needs a version and a folder: what to write, and where.
def test_pack_says_what_is_missing(kernmill, repository, tmp_path):
    (repository / "card.toml").unlink()
    answer = kernmill("pack", "--cpu", "-q", repository, cwd=tmp_path)
    assert answer.code == 4
    assert answer.err == (
        f"{repository}/build.toml:1:1: error: the wheel has no version\n"
        '  add card.toml with [wheel] and version = "1.0.0"\n'
    )
    answer = kernmill("pack", "--cpu", "-q", "-o", "", repository, cwd=tmp_path)
    assert answer.code == 2 and "the name of a folder is empty" in answer.err


# A kernel for torch 2.12 and newer may use what torch has from 2.12 on, in its wheel as in its folders.
def test_pack_for_a_newer_torch(kernmill, repository, tmp_path):
    replace(repository / "build.toml", 'stable-abi = "2.10"', 'stable-abi = "2.12"')
    more = "int aoti_torch_dtype_float8_e8m0fnu(void);\nint f(void);\nint f(void)\n{\n    return aoti_torch_dtype_float8_e8m0fnu();\n}\n"
    source = repository / "cpu/scale_cpu.c"
    source.write_text(source.read_text() + more)
    answer = kernmill("pack", "--cpu", "-q", "--json", repository, cwd=tmp_path)
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["build"]["products"][0]["variants"] == [
        "torch-stable-abi212-cpu-x86_64-linux"
    ]
