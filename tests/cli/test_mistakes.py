"""Mistakes that a build could let pass and a user would meet: each is named when the kernel is built or tested."""

import subprocess
import sys

import pytest
from program import ROOT, replace

NVIDIA = list(ROOT.glob(".venv/lib/python3*/site-packages/nvidia/cuda_nvrtc"))
needs_nvrtc = pytest.mark.skipif(
    not NVIDIA, reason="no nvidia packages in .venv: device code is not compiled"
)
TOOLS = {"KERNMILL_CUDA": str(NVIDIA[0].parents[1]) if NVIDIA else None, "KERNMILL_PYTHON": sys.executable}
BINDING = "torch-ext/torch_binding.c"


def refused(kernmill, repository, *words) -> str:
    answer = kernmill("build", "-q", *(words or ["--cpu"]), repository, env=TOOLS)
    assert answer.code == 4 and answer.out == ""
    return answer.err


# ---- the table of operators ----


# torch would refuse it when the user imports it, and then only on stderr.
def test_schema(kernmill, repository):
    replace(repository / BINDING, "scale(Tensor x", "scale(Tensr x")
    assert refused(kernmill, repository).startswith(
        "kernmill: error: the operators cannot be registered: demo_kernel: schema 'scale(Tensr x, float factor) -> "
        "Tensor', column 7: expected a type: Tensor, "
    )


def test_no_table(kernmill, repository):
    replace(repository / BINDING, "KM_OPS(ops)\n", "")
    replace(repository / BINDING, "static const km_op ops", "extern const km_op ops[];\nconst km_op ops")
    assert refused(kernmill, repository) == (
        "kernmill: error: the library was built and cannot be used: the library has no table of operators\n"
        "  the binding ends with KM_OPS(table); see kernmill/op.h\n"
    )


def test_a_library_that_ends_its_program(kernmill, repository):
    code = "\n__attribute__((constructor)) static void now(void)\n{\n    *(volatile int *)8 = 0;\n}\n"
    (repository / BINDING).write_text((repository / BINDING).read_text() + code)
    assert "the library ends the program that loads it (signal 11)" in refused(kernmill, repository)


def test_a_card_of_another_operator(kernmill, repository):
    replace(repository / "card.toml", '["scale"]', '["scale", "silu"]')
    assert refused(kernmill, repository) == (
        f"{repository}/card.toml:3:23: error: the library has no operator 'silu'\n  it has: scale\n"
    )


# A misspelt function is a warning in C17, and an undefined symbol two screens later.
def test_a_misspelt_function(kernmill, repository):
    replace(repository / BINDING, "km_contiguous(", "km_contigous(")
    assert "did you mean" in refused(kernmill, repository)


# ---- device code ----


@needs_nvrtc
def test_an_entry_point_that_no_image_has(kernmill, repository):
    replace(repository / "cuda/scale_cuda.c", 'KM_FUNCTION("scale")', 'KM_FUNCTION("scales")')
    assert refused(kernmill, repository, "--arch=90") == (
        'kernmill: error: KM_FUNCTION("scales") names an entry point that no device file has\n'
        '  did you mean "scale"?\n'
    )
    replace(repository / "cuda/scale_cuda.c", 'KM_FUNCTION("scales")', 'KM_FUNCTION("scale")')
    replace(repository / "cuda/scale.cu", 'extern "C" ', "")  # its name is a mangled one then
    assert 'KM_FUNCTION("scale") names an entry point' in refused(kernmill, repository, "--arch=90")


@needs_nvrtc
@pytest.mark.parametrize(
    "code", ["#include <stdio.h>\n", "void launch(float *y)\n{\n    scale<<<1, 1>>>(y, y, 1, 1);\n}\n"]
)
def test_host_code_in_a_device_file(code, kernmill, repository):
    source = repository / "cuda/scale.cu"
    source.write_text(source.read_text() + code)
    assert "a .cu file here holds device code only" in refused(kernmill, repository, "--arch=90")


@needs_nvrtc
def test_an_architecture_that_nobody_has(kernmill, repository):
    answer = kernmill("build", "-q", "--arch=99", repository, env=TOOLS)
    assert answer.code == 2
    assert "compiles nothing for sm_99\n  it knows 50" in answer.err


# ---- tests ----


# A slip in -k that passes is a test that never ran.
def test_no_test_is_selected(kernmill, repository):
    answer = kernmill("test", "--cpu", "--wheel-only", "-q", "-k", "nosuch", repository, env=TOOLS)
    assert (answer.code, answer.err) == (2, "kernmill: error: -k 'nosuch' selects no test\n  usage: kernmill test "
        "[options] [PATH [PYTEST-ARGUMENT...]]; see 'kernmill help test'\n")  # fmt: skip
    assert not (repository / "build/test-record.json").exists()


# Which test failed is said, with --quiet, too.
def test_failures_are_named(kernmill, repository):
    (repository / "tests/test_wrong.py").write_text("def test_wrong():\n    assert False\n")
    answer = kernmill("test", "--cpu", "--wheel-only", "-q", "-k", "wrong", repository, env=TOOLS)
    assert answer.code == 1 and "\n  failed tests/test_wrong.py::test_wrong\n" in answer.out


def test_an_argument_that_is_no_repository(kernmill, repository):
    answer = kernmill("test", "tests/test_scale.py", cwd=repository)
    assert answer.code == 2
    assert answer.err.startswith(
        "kernmill: error: 'tests/test_scale.py' is no kernel repository\n  the first argument is"
    )
    assert kernmill("test", "nosuch", cwd=repository).code == 5


# ---- what init writes ----


# It becomes a kernel of this tree by CONTRIBUTING.md, whose format check holds for it.
def test_init_is_formatted(kernmill, tmp_path):
    bin_folder = ROOT / ".venv/bin"
    if not (bin_folder / "clang-format").exists():
        pytest.skip("no .venv")
    assert kernmill("init", "my-kernel", "-q", cwd=tmp_path).code == 0
    (tmp_path / ".clang-format").write_bytes((ROOT / ".clang-format").read_bytes())
    sources = [p for p in (tmp_path / "my-kernel").rglob("*") if p.suffix in (".c", ".h", ".cu")]
    assert len(sources) == 5
    subprocess.run([bin_folder / "clang-format", "--dry-run", "--Werror", *sources], check=True)
    for command in (["format", "--check"], ["check"]):
        subprocess.run(
            [bin_folder / "ruff", *command, "--config", ROOT / "pyproject.toml", tmp_path], check=True
        )


# ---- an editable installation ----


# After a C edit, every build refreshes the library that Python imports.
def test_builds_refresh_an_editable_installation(kernmill, repository, tmp_path):
    package = repository / "torch-ext/demo_kernel"
    assert kernmill("build", "--cpu", "-q", repository).code == 0
    assert not (package / "libdemo_kernel.so").exists()
    assert kernmill("pack", "--cpu", "-q", "--editable", "-o", tmp_path, repository).code == 0
    before = (package / "libdemo_kernel.so").read_bytes()
    replace(repository / BINDING, "a float32 tensor", "a tensor of float32")
    assert kernmill("build", "--cpu", "-q", repository).code == 0
    after = (package / "libdemo_kernel.so").read_bytes()
    assert after != before and b"a tensor of float32" in after
