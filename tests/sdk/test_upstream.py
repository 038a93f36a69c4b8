"""The declarations of csrc/sdk/kernmill against torch's and NVIDIA's headers; the headers by themselves."""

import platform
import re
from pathlib import Path

import building
import pytest
import torch

CUDA_INCLUDE = Path(torch.__file__).parents[1] / "nvidia/cuda_runtime/include"
HEADERS = sorted(h.relative_to(building.SDK) for h in building.SDK.rglob("*.h"))
WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"]
TORCH = ["-DTORCH_TARGET_VERSION=0x020d000000000000", "-DUSE_CUDA", "-isystem", building.TORCH_INCLUDE]
FUNCTION = re.compile(r"\b(\w+)\(([^()]*(?:\([^()]*\)[^()]*|\(\*\w+\)\([^()]*\)[^()]*)*)\);")


def compile_cc(name: str, sdk: Path, *flags, std: str = "c++17"):
    source = building.HERE / name
    return building.run("g++", f"-std={std}", "-fsyntax-only", "-Wall", "-Wextra", *flags, "-I", sdk, source)


def changed(folder: Path, header: str, change) -> Path:
    """A folder of SDK headers in which `header` went through `change`."""
    out = folder / "sdk/kernmill" / header
    out.parent.mkdir(parents=True)
    text = (building.SDK / "kernmill" / header).read_text()
    out.write_text(change(text))
    assert out.read_text() != text
    return folder / "sdk"


def with_one_more(match: re.Match) -> str:
    parameters = "int more" if match[2] == "void" else match[2] + ", int more"
    return f"{match[1]}({parameters});"


def declared() -> list[str]:
    """The functions of torch.h, but the one of libstdc++."""
    text = (building.SDK / "kernmill/torch.h").read_text()
    return [
        name for name, _ in FUNCTION.findall(re.sub(r"/\*.*?\*/", "", text, flags=re.S)) if name != "_ZdlPv"
    ]


# ---- torch ----


# A call with another argument than torch takes: memory corruption, in one version of torch.
@pytest.mark.parametrize("std", ["c++17", "c++20"])
def test_prototypes_are_those_of_torch(std):
    done = compile_cc("upstream_torch.cc", building.SDK, *TORCH, std=std)
    assert (done.returncode, done.stderr) == (0, "")


# A function that torch does not declare would be compared with nothing.
def test_every_function_is_declared_by_torch():
    headers = ["torch/csrc/stable/c/shim.h", "torch/csrc/inductor/aoti_torch/c/shim.h"]
    text = "".join((building.TORCH_INCLUDE / header).read_text() for header in headers)
    assert len(declared()) > 45
    for name in declared():
        assert re.search(rf"\b{name}\(", text), name


# A check that cannot fail: each prototype with one argument more must be an error.
def test_a_wrong_prototype_is_found(tmp_path):
    sdk = changed(tmp_path, "torch.h", lambda text: FUNCTION.sub(with_one_more, text))
    done = compile_cc("upstream_torch.cc", sdk, *TORCH)
    found = set(re.findall(r"conflicting declaration of C function ‘.*?\b(\w+)\(", done.stderr))
    assert found == set(declared())


@pytest.mark.parametrize("wrong", [
    ("int32_t aoti_torch_get_dim(km_torch_tensor tensor, int64_t *out)", "int64_t", "int32_t"),
    ("int32_t torch_get_const_data_ptr(km_torch_tensor tensor, const void **out)", "const ", ""),
    ("int32_t torch_delete_string(km_torch_string string)", "km_torch_string", "km_torch_list"),
    ("size_t index, km_slot *out", "size_t", "int"),
    ("void aoti_torch_check(bool ok", "bool", "int32_t"),
])  # fmt: skip
def test_a_wrong_type_is_found(tmp_path, wrong):
    text, old, new = wrong
    header = re.sub(r"\s+", " ", (building.SDK / "kernmill/torch.h").read_text())
    assert text in header
    pattern = r"\s+".join(map(re.escape, text.split()))
    sdk = changed(tmp_path, "torch.h", lambda h: re.sub(pattern, text.replace(old, new, 1), h))
    done = compile_cc("upstream_torch.cc", sdk, *TORCH)
    assert "conflicting declaration" in done.stderr or "ambiguating" in done.stderr


# ---- CUDA ----


# A launch with its fields at other offsets, or a code that means another attribute.
@pytest.mark.parametrize("std", ["c++17", "c++20"])
def test_cuda_h_is_that_of_nvidia(std):
    done = compile_cc("upstream_cuda.cc", building.SDK, "-I", CUDA_INCLUDE, std=std)
    assert (done.returncode, done.stderr) == (0, "")


def failed_assertions(folder: Path, change) -> set[str]:
    done = compile_cc("upstream_cuda.cc", changed(folder, "cuda.h", change), "-I", CUDA_INCLUDE)
    return set(re.findall(r"static assertion failed: ([\w.]+)", done.stderr))


def test_a_difference_from_nvidia_is_found(tmp_path):
    text = (building.SDK / "kernmill/cuda.h").read_text()
    codes = set(re.findall(r"(KM_CU_\w+) = \d+", text))
    functions = set(re.findall(r"\(\*(cu\w+)\)\(", text))
    fields = set(re.findall(r"CONFIG\((\w+), \w+\)\n", (building.HERE / "upstream_cuda.cc").read_text()))
    assert len(codes) == 10 and len(functions) == 12 and len(fields) == 10

    def more_code(text):
        return re.sub(r"(KM_CU_\w+ = )(\d+)", r"\g<1>1\2", text)

    def more_arguments(text):
        return re.sub(r"(\(\*cu\w+\)\([^;]*)\);", r"\1, int more);", text)

    def other_types(text):
        return re.sub(r"(\(\*cu\w+\)\()(int|const void|const km_cu_config|km_cu_\w+|void)\b", r"\1char", text)

    def shifted(text):
        return re.sub(
            r"typedef struct \{\s+unsigned grid_x", "typedef struct {\nchar shift[8];\nunsigned grid_x", text
        )

    assert failed_assertions(tmp_path / "1", more_code) == codes
    assert failed_assertions(tmp_path / "2", more_arguments) == functions
    assert failed_assertions(tmp_path / "3", other_types) == functions
    assert failed_assertions(tmp_path / "4", shifted) >= fields


# ---- the headers by themselves ----


# A header that compiles only behind another one, or warns in the project that uses it.
@pytest.mark.parametrize("compiler", building.COMPILERS)
@pytest.mark.parametrize("optimise", ["-O0", "-O3"])
def test_each_header_alone(compiler, optimise, tmp_path):
    for header in HEADERS:
        source = tmp_path / "alone.c"
        source.write_text(f"#include <{header}>\nextern int alone;\n#include <{header}>\n")
        for define in ('-DKM_NAMESPACE="alone"', "-DNOTHING"):
            flags = ["-std=c17", optimise, *WARNINGS, define, "-I", building.SDK]
            building.must(compiler, *flags, "-c", source, "-o", tmp_path / "alone.o")
    assert len(HEADERS) == 14


# Included for each instruction set, in one file.
@pytest.mark.parametrize("compiler", building.COMPILERS)
def test_vectors_without_warnings(compiler, tmp_path):
    sets = [("baseline", "", "")]
    if platform.machine() == "x86_64":
        sets.append(("avx2", "KM_AVX2_TARGET", "#define KM_AVX2"))
    source = tmp_path / "vectors.c"
    source.write_text(
        "#include <kernmill/isa.h>\n"
        + "".join(
            f"#define KM_ISA {name}\n#define KM_TARGET {target}\n{more}\n#include <kernmill/vec.h>\n"
            "#undef KM_ISA\n#undef KM_TARGET\n"
            for name, target, more in sets
        )
    )
    flags = ["-std=c17", "-O3", *WARNINGS, "-I", building.SDK]
    building.must(compiler, *flags, "-c", source, "-o", tmp_path / "vectors.o")


# A warning in a kernel's build that comes from our inline functions.
@pytest.mark.parametrize("compiler", building.COMPILERS)
@pytest.mark.parametrize("optimise", ["-O0", "-O3"])
def test_a_library_without_warnings(compiler, optimise, tmp_path):
    for source in [*building.EVERYTHING, building.HERE / "launches.c"]:
        flags = ["-std=c17", "-fPIC", optimise, *WARNINGS, '-DKM_NAMESPACE="w"', "-I", building.SDK]
        building.must(compiler, *flags, "-c", source, "-o", tmp_path / "w.o")


# ---- the bench's own driver ----

BENCH = ["-I", CUDA_INCLUDE, "-I", building.SDK.parent]


@pytest.mark.parametrize("std", ["c++17", "c++20"])
def test_driver_h_is_that_of_nvidia(std):
    done = compile_cc("upstream_driver.cc", building.SDK, *BENCH, std=std)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_difference_of_driver_h_is_found(tmp_path):
    text = (building.SDK.parent / "bench/driver.h").read_text()
    functions = set(re.findall(r"^int (cu\w+)\(", text, re.M))
    codes = set(re.findall(r"(KM_CU_\w+) = \d+", text))
    assert len(functions) == text.count("    X(cu") and len(codes) == 9
    folder = tmp_path / "bench"
    folder.mkdir()

    def failed(pattern: str, to: str) -> set[str]:
        (folder / "driver.h").write_text(re.sub(pattern, to, text, flags=re.M))
        done = compile_cc("upstream_driver.cc", building.SDK, "-I", tmp_path, *BENCH)
        return set(re.findall(r"static assertion failed: ([\w.]+)", done.stderr))

    without = failed(r"^(int cu\w+)\(void\)", r"\1(char more)")
    assert without | failed(r"^(int cu\w+\()(?!void\))", r"\1char more, ") == functions
    assert failed(r"(KM_CU_\w+ = )(\d+)", r"\g<1>1\2") == codes
    assert failed(r"unsigned grid_x", "char shift[8];\n    unsigned grid_x") >= {"grid_x", "context"}
