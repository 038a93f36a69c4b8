"""What happens when a library of operators is loaded: registration, refusals, the flags that errors need."""

import ctypes
import random
import shutil
import signal
import sys

import building
import pytest
import torch

TYPE = "expected a type: Tensor, int, SymInt, float, bool, str, ScalarType or Device"
LIST = "lists are of Tensor, int, float or bool"
NAME = "expected a name of at most 63 letters, digits and '_'"
SPACE = "expected a space and the argument's name"
RESULT = 'results are Tensors, or "()"'
# schema, the text in it where it is refused ("" is its end), and why
REFUSED = [
    ("a(Tensor x, Scalar s) -> Tensor", "Scalar s", TYPE),
    ("a(Tensr x) -> Tensor", "Tensr", TYPE),
    ("a(Tensor?[] xs) -> Tensor", "[] xs", SPACE),
    ("a(Tensor x, Dict(str, int) d) -> Tensor", "Dict", TYPE),
    ("a(Tensor x, complex c) -> Tensor", "complex", TYPE),
    ("a(Tensor x, str[] names) -> Tensor", "str[]", LIST),
    ("a(Tensor x, ScalarType[] d) -> Tensor", "ScalarType[]", LIST),
    ("a(Tensor x, Device[] d) -> Tensor", "Device[]", LIST),
    ("a(Tensor x, Layout l) -> Tensor", "Layout", TYPE),
    ("a(Tensor x, MemoryFormat m) -> Tensor", "MemoryFormat", TYPE),
    ("a(Tensor x, Generator? g) -> Tensor", "Generator", TYPE),
    ("a(Tensor x, (int, int) pair) -> Tensor", "(int", TYPE),
    ("a(Tensor x, int[][] n) -> Tensor", "[] n", SPACE),
    ("a(Tensor x, __torch__.torch.classes.a.B b) -> Tensor", "__torch__", TYPE),
    ("a(Tensor x, ...) -> Tensor", "...", TYPE),
    ("a(Tensor) -> Tensor", ") ->", SPACE),
    ("a(Tensor x) -> int", "int", RESULT),
    ("a(Tensor x) -> Tensor[]", "[]", "expected the end"),
    ("a(Tensor x) -> Tensor?", "?", "expected the end"),
    ("a(Tensor x) -> (Tensor, int)", "int", RESULT),
    ("a(Tensor x) -> (Tensor(b!", "", "expected ')'"),
    ("a(Tensor x) -> Tensor(b! x", "", "expected ')'"),
    ("a(Tensor x) -> (Tensor y", "", "expected ')' and the end"),
    ("a(Tensor x)", "", 'expected " -> " and the results'),
    ("a(Tensor x)-> Tensor", "-> Tensor", 'expected " -> " and the results'),
    (
        "a(" + ", ".join(f"int n{i}" for i in range(25)) + ") -> ()",
        "int n24",
        "too many arguments (KM_ARGS_MAX)",
    ),
    (
        "a(Tensor x) -> (" + ", ".join(["Tensor"] * 8) + ", Tensor y)",
        "Tensor y",
        "too many results (KM_RETURNS_MAX)",
    ),
    ("a" * 64 + "(Tensor x) -> Tensor", "a" * 64, NAME),
    ("a(Tensor " + "x" * 64 + ") -> Tensor", "x" * 64, NAME),
    ("a(Tensor x", "", "expected ')'"),
    ("n::a(Tensor x) -> Tensor", "::", "expected '(' after the name, which has no namespace"),
    ("a", "", "expected '(' after the name, which has no namespace"),
    ("", "", NAME),
]


def load(library) -> tuple[int, str]:
    torch.ops.load_library(library)
    return building.status(library)


def row(schema: str, kernel: str = "nothing") -> str:
    quoted = schema.replace("\\", "\\\\").replace('"', '\\"')
    return f'{{ "{quoted}", .cpu = &{kernel}_kernel }},'


# ---- schemas ----


# A schema whose slots nobody decodes: torch takes it, and the first call would crash.
def test_refused_schemas(tmp_path):
    source = "\n".join(
        f"KM_KERNEL_AS(k{i}, nothing)\nstatic const km_op t{i}[] = {{ {row(schema, f'k{i}')} }};\n"
        f"static struct km_signature s{i}[1];"
        for i, (schema, _, _) in enumerate(REFUSED)
    )
    cases = "\n".join(f"case {i}: km_register(t{i}, s{i}, 1); break;" for i in range(len(REFUSED)))
    source += (
        '\n__attribute__((visibility("default"))) const char *refuse(int i);\n'
        "const char *refuse(int i)\n{\nkm_load_state = (struct km_load_state){ 0 };\n"
        f"switch (i) {{ {cases} }}\nreturn km_load_state.failed_step == 2 ? km_load_state.text : 0;\n}}\n"
    )
    library = building.operators(tmp_path, "km_refused", row("fine(Tensor x) -> ()"), source)
    assert load(library) == (0, "")
    refuse = ctypes.CDLL(str(library)).refuse
    refuse.restype = ctypes.c_char_p
    for i, (schema, at, why) in enumerate(REFUSED):
        column = (schema.index(at) if at else len(schema)) + 1
        assert refuse(i).decode() == f"km_refused: schema '{schema}', column {column}: {why}"


# What a library says that was refused, and that its other operators are not half there.
def test_status_names_the_schema(tmp_path):
    scalar = "second(Tensor x, Scalar s) -> ()"
    library = building.operators(tmp_path, "km_scalar", row("first(Tensor x) -> ()") + row(scalar))
    assert load(library) == (3, f"km_scalar: schema '{scalar}', column 18: {TYPE}")
    with pytest.raises(AttributeError):
        _ = torch.ops.km_scalar.second
    with pytest.raises(NotImplementedError):
        torch.ops.km_scalar.first(torch.ones(1))


# A schema that we read and torch does not: torch's own reason.
def test_status_has_the_reason_of_torch(tmp_path):
    library = building.operators(tmp_path, "km_default", row("f(Tensor x, int n=) -> ()"))
    step, text = load(library)
    assert step == 2
    assert text.startswith("km_default: defining 'f(Tensor x, int n=) -> ()' failed: expected ")


# Two operators that decode their slots by one signature.
def test_one_kernel_for_two_operators(tmp_path):
    with pytest.raises(RuntimeError):  # whose text, the last that torch has, is not the reason
        torch.library.Library("km_shared", "FRAGMENT").define("f(")
    table = row("f(Tensor x) -> ()") + row("g(Tensor x, int n) -> ()")
    text = "km_shared: 'f' and 'g' have one kernel: give each its own (KM_KERNEL_AS)"
    assert load(building.operators(tmp_path, "km_shared", table)) == (6, text)
    table = row("f(Tensor x) -> ()") + row("g(Tensor x, int n) -> ()", "other")
    library = building.operators(tmp_path, "km_apart", table, "KM_KERNEL_AS(other, nothing)")
    assert load(library) == (0, "")
    assert torch.ops.km_apart.g(torch.ones(1), 2) is None


# A second version of a library that takes over half of the operators of the first.
def test_a_copy_is_refused_and_the_first_serves(built, ops, tmp_path):
    copy = tmp_path / "copy.so"
    shutil.copy(built, copy)
    step, text = load(copy)
    assert step == 2 and text.startswith("km_sdk: defining 'types(Tensor x, Tensor? maybe_x, ")
    assert building.status(built) == (0, "") and load(built) == (0, "")
    assert torch.equal(ops.zeros(torch.ones(2)), torch.zeros(2))
    assert str(ops.zeros.default._schema) == "km_sdk::zeros(Tensor x) -> Tensor"


# Two libraries whose status, codes or kernels are one.
def test_two_libraries(ops, built, tmp_path):
    second = building.library(tmp_path, "km_second", building.EVERYTHING)
    assert load(second) == (0, "")
    assert torch.ops.km_second.copied(torch.ones(2), torch.int32).dtype == torch.int32
    with pytest.raises(RuntimeError, match="^km_second::misuse: the kernel failed"):
        torch.ops.km_second.misuse(torch.ones(1), None, [], "silent")
    with pytest.raises(RuntimeError, match="^km_sdk::misuse: the kernel failed"):
        ops.misuse(torch.ones(1), None, [], "silent")


# A library loaded by two threads at once, which registers twice or half.
def test_loaded_by_many_threads(tmp_path):
    library = building.library(tmp_path, "km_threads", building.EVERYTHING)
    code = f"""
import threading, torch, building
found = []
def work():
    torch.ops.load_library({str(library)!r})
    found.append(building.status({str(library)!r}))
    assert torch.ops.km_threads.zeros(torch.ones(3)).sum() == 0
threads = [threading.Thread(target=work) for _ in range(8)]
[t.start() for t in threads]
[t.join() for t in threads]
assert found == [(0, "")] * 8, found
"""
    building.must(sys.executable, "-c", code, cwd=building.HERE)


# ---- our reader of schemas against torch's ----

PARSER = r"""
#include <stdio.h>
#include <kernmill/op.h>

int parse(const char *schema, char *out, size_t size);
int parse(const char *schema, char *out, size_t size)
{
    struct km_signature s;
    struct km_schema_error e;
    size_t n;

    if (!km_parse_schema(schema, &s, &e))
        return 0;
    n = (size_t)snprintf(out, size, "%s -> %d", s.name, s.result_count);
    for (int i = 0; i < s.parameter_count; i++)
        n += (size_t)snprintf(out + n, size - n, "|%s %d %d%d%d", s.parameters[i].name, s.parameters[i].type,
                              s.parameters[i].optional, s.parameters[i].list, s.parameters[i].written);
    return 1;
}
"""
TYPES = {"Tensor": 1, "int": 2, "SymInt": 2, "float": 3, "bool": 4, "str": 5, "ScalarType": 6, "Device": 7}
DEFAULTS = {
    "int": ["0", "-3"],
    "float": ["1e-6", "2."],
    "bool": ["True", "False"],
    "str": ['"a"', "'b,c)'", '"(["', r'"\", int q=\""', r"'\\'", '"it\'s"'],
    "int[]": ["[]", "[1, 2]", "[1,2]"],
    "int[2]": ["0", "[1, 2]"],
    "float[]": ["[1.5, 2]"],
    "bool[]": ["[True, False]"],
    "ScalarType": ["float32"],
    "Device": ['"cpu"'],
}


def random_parameter(rng: random.Random, i: int) -> str:
    base = rng.choice([*TYPES, *TYPES, "Scalar", "Layout"])
    kind = base
    if base == "Tensor" and rng.random() < 0.3:
        kind += rng.choice(["(a!)", "(b)", "(a! -> b)", "(c|d!)"]).replace("a", f"a{i}")
    if rng.random() < 0.3:
        kind += rng.choice(["[]", "[]", "[2]", "[][]"] if base == "int" else ["[]"])
    if rng.random() < 0.3:
        kind += "?"
    text = f"{kind} {rng.choice(['x', 'maybe_y', 'N2'])}{i}"
    plain = kind.rstrip("?")
    if plain in DEFAULTS and rng.random() < 0.5:
        text += "=" + rng.choice(DEFAULTS[plain])
    elif kind.endswith("?") and rng.random() < 0.5:
        text += "=None"
    return text


def random_schema(rng: random.Random, wrong: float = 0.0) -> str:
    parameters = [random_parameter(rng, i) for i in range(rng.randrange(1, 6))]
    if rng.random() < 0.3:
        parameters.insert(rng.randrange(len(parameters)), "*")
    results = rng.choice(["()", "Tensor", "Tensor y", "(Tensor, Tensor)", "(Tensor a, Tensor(z!) b)"])
    if rng.random() < 0.2:
        results = rng.choice(["int", "Tensor?", "Tensor ?y", "(Tensor, Tensor ?y)", "(Tensor, int)"])
    name = rng.choice(["f", "f.over", "_g2"])
    text = f"{name}({', '.join(parameters)}) -> {results}"
    if rng.random() < wrong:
        at = rng.randrange(len(text))
        text = (
            text[:at]
            + rng.choice(["", ",", " ", "?", "[]", "(", ")", '"', "'", "\\", "=1", "*"])
            + text[at + 1 :]
        )
    return text


def of_torch(schema: str) -> str | None:
    """What torch reads, in the words of PARSER; None when it refuses."""
    try:
        s = torch._C.parse_schema(schema)
    except RuntimeError:
        return None
    name = s.name + ("." + s.overload_name if s.overload_name else "")
    plain = all(str(r.real_type) == "Tensor" for r in s.returns)
    parts = [f"{name} -> {len(s.returns) if plain else 'other things'}"]
    for a in s.arguments:
        kind = str(a.real_type)
        optional = kind.startswith("Optional[")
        kind = kind.removeprefix("Optional[").removesuffix("]") if optional else kind
        is_list = kind.startswith("List[")
        kind = kind.removeprefix("List[").removesuffix("]")
        written = int(a.alias_info is not None and a.alias_info.is_write)
        parts.append(f"{a.name} {TYPES.get(kind)} {int(optional)}{int(is_list)}{written}")
    return "|".join(parts)


# A schema that torch reads in another way, so that arguments are decoded as something that they are not.
def test_schemas_are_read_as_torch_reads_them(tmp_path):
    source = tmp_path / "parser.c"
    source.write_text(PARSER)
    parse = ctypes.CDLL(str(building.library(tmp_path, "parser", [source], "-fvisibility=default"))).parse
    rng, out, both, taken = random.Random(20260101), ctypes.create_string_buffer(8192), 0, 0
    for _ in range(20_000):
        schema = random_schema(rng, wrong=0.5)
        theirs = of_torch(schema)
        ours = out.value.decode() if parse(schema.encode(), out, ctypes.sizeof(out)) else None
        if theirs and ours:
            assert ours == theirs, schema
        both += theirs is not None and ours is not None
        taken += theirs is not None
    assert both > 2000 and taken > both


# Schemas of the types that op.h promises which are refused.
def test_promised_schemas_are_taken(tmp_path):
    source = tmp_path / "parser.c"
    source.write_text(PARSER)
    parse = ctypes.CDLL(str(building.library(tmp_path, "promised", [source], "-fvisibility=default"))).parse
    rng, out, count = random.Random(7), ctypes.create_string_buffer(8192), 0
    kinds = ["Scalar ", "Scalar[", "Scalar?", "Layout", "[][]", "str[]", "ScalarType[]", "Device[]"]
    while count < 3000:
        schema = random_schema(rng)
        parameters, results = schema.split(") -> ")
        if any(kind in parameters for kind in kinds) or "int" in results or "?" in results:
            continue
        if of_torch(schema) is None:
            continue
        count += 1
        assert parse(schema.encode(), out, ctypes.sizeof(out)), schema


# ---- the flags that errors need ----


# An error that ends the process: torch throws it through our frames, which need unwind tables. Without
# -fexceptions gcc still writes them on x86-64, unless it is told not to.
def test_errors_need_unwind_tables(ops, tmp_path):
    with pytest.raises(RuntimeError):
        ops.misuse(torch.ones(1), None, [], "silent")
    no_tables = ["-fno-exceptions", "-fno-asynchronous-unwind-tables"]
    library = building.library(tmp_path, "km_bare", building.EVERYTHING, *no_tables)
    code = f"""
import torch
torch.ops.load_library({str(library)!r})
try:
    torch.ops.km_bare.misuse(torch.ones(1), None, [], "silent")
except RuntimeError:
    print("caught")
"""
    done = building.run(sys.executable, "-c", code)
    assert done.returncode == -signal.SIGABRT and "terminate called" in done.stderr
    assert "-fexceptions" in building.CFLAGS


# A library that is loaded on a torch without the newer functions: torch 2.10 to 2.12.
def test_newer_functions_are_weak(built):
    lines = building.must("nm", "-D", "--undefined-only", built).splitlines()
    kinds = {line.split()[-1].split("@")[0]: line.split()[-2] for line in lines}
    known = building.torch_symbols()
    for name, kind in kinds.items():
        if name.startswith(("torch_", "aoti_")):
            assert name in known and (known[name] <= building.FLOOR or kind == "w"), f"{name} {kind}"
        assert not name.startswith("_Z") or kind == "w", name
    assert kinds["torch_delete_stable_ivalue"] == kinds["_ZdlPv"] == "w"
    assert sum(name.startswith(("torch_", "aoti_")) for name in kinds) > 40


# A library that grew a new dependency: a C++ runtime, or the CUDA half of torch.
def test_what_a_library_needs(built):
    lines = building.must("readelf", "-d", built).splitlines()
    assert sum("(NEEDED)" in line for line in lines) <= 3
    assert not any("RPATH" in line or "RUNPATH" in line for line in lines)
    exported = building.must("nm", "-D", "--defined-only", built).split()[2::3]
    assert sorted(exported) == ["km_status", "km_status_text"]
