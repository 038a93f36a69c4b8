"""Compiles operator libraries as kernmill does: its flags, and a stub of libtorch_cpu.so with the
functions of the oldest torch, so that a call to a newer one does not link.

KERNMILL_SDK names another folder of headers (default: csrc/sdk).
"""

import ctypes
import os
import re
import shutil
import subprocess
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
SDK = Path(os.environ.get("KERNMILL_SDK", ROOT / "csrc" / "sdk"))
TORCH_INCLUDE = Path(torch.__file__).parent / "include"
FLOOR = 10  # the minor version of the oldest torch, 2.10
EVERYTHING = [HERE / "everything.c", HERE / "misuse.c"]
COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]


def quoted(name: str) -> str:
    """The text of a macro of pkg/compile_flags.h."""
    text = (ROOT / "csrc/pkg/compile_flags.h").read_text().replace("\\\n", "")
    return "".join(re.findall(r'"([^"]*)"', re.search(rf"#define {name}\b(.*)", text)[1]))


CFLAGS = (quoted("KM_CFLAGS_COMMON") + quoted("KM_CFLAGS_RELEASE")).split()
LDFLAGS = (quoted("KM_LDFLAGS") + quoted("KM_LDFLAGS_GCC")).split()


def torch_symbols() -> dict[str, int]:
    """Function of libtorch_cpu.so -> first minor version that has it."""
    text = (ROOT / "csrc/pkg/torch_symbols.inc").read_text()
    return {name: int(minor) for name, minor in re.findall(r'"(\w+)", (\d+), false', text)}


def run(*command, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=300, **kwargs)


def must(*command, **kwargs) -> str:
    """Runs it; fails with its output unless it succeeds. Returns what it printed."""
    done = run(*command, **kwargs)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def stub(folder: Path) -> Path:
    """A libtorch_cpu.so to link with."""
    out = folder / "stub" / "libtorch_cpu.so"
    if not out.exists():
        out.parent.mkdir(parents=True)
        names = [name for name, minor in torch_symbols().items() if minor <= FLOOR]
        source = out.with_name("stub.c")
        source.write_text("".join(f"void {name}(void) {{}}\n" for name in names))
        must("gcc", "-shared", "-fPIC", "-w", "-nostdlib", "-Wl,-soname,libtorch_cpu.so", source, "-o", out)
    return out


def library(folder: Path, name: str, sources: list[Path], *flags: str) -> Path:
    """Compiles `sources` into NAME.so, whose namespace is NAME."""
    out = folder / f"{name}.so"
    torch_stub = ["-L", stub(folder).parent, "-Wl,--no-as-needed", "-ltorch_cpu", "-Wl,--as-needed"]
    define = f'-DKM_NAMESPACE="{name}"'
    must(
        "gcc",
        *CFLAGS,
        "-Werror",
        define,
        *flags,
        "-I",
        SDK,
        *sources,
        "-o",
        out,
        *LDFLAGS,
        *torch_stub,
        "-lm",
    )
    return out


def operators(folder: Path, name: str, table: str, kernels: str = "") -> Path:
    """A library of kernels that do nothing, with the rows of `table`."""
    source = folder / f"{name}.c"
    source.write_text(
        "#include <kernmill/op.h>\n"
        "static int nothing(km_call *c)\n{\n    (void)c;\n    return 0;\n}\n"
        f"KM_KERNEL(nothing)\n{kernels}\nstatic const km_op ops[] = {{ {table} }};\nKM_OPS(ops)\n"
    )
    return library(folder, name, [source])


def status(path: Path) -> tuple[int, str]:
    """What a loaded library says about its registration."""
    loaded = ctypes.CDLL(str(path))
    loaded.km_status_text.restype = ctypes.c_char_p
    return loaded.km_status(), loaded.km_status_text().decode()
