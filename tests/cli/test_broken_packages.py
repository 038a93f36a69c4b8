"""Libraries and wheels with one fault each, made here: `kernmill check` must find it, under its own code.

What can be read and is wrong is a finding (exit 1), what cannot be read is an error (exit 4).
"""

import base64
import hashlib
import io
import pathlib
import shutil
import subprocess
import time
import zipfile

import pytest

ELF = pathlib.Path(__file__).parents[1] / "fuzz/corpus/elf"
DIST_INFO = "demo_kernel-1.0.0+cpu.dist-info"
LIBRARY = "demo_kernel/libdemo_kernel.so"
TAG = "py3-none-manylinux_2_28_x86_64"


def codes(answer) -> list[str]:
    return [finding["code"] for finding in answer.json["findings"]]


# ---- libraries ----


class Linker:
    """Shared libraries linked against stubs that are made on demand."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        self.torch = self.stub(
            "libtorch_cpu.so", ["aoti_torch_device_type_cpu", "torch_delete_stable_ivalue",
                                "aoti_torch_no_such_thing", "aoti_torch_get_current_cuda_stream"],
        )  # fmt: skip

    def gcc(self, output: pathlib.Path, source: str, *flags) -> pathlib.Path:
        command = ["gcc", "-shared", "-fPIC", "-w", "-o", output, "-xc", "-", "-xnone", *flags]
        subprocess.run(command, input=source.encode(), check=True)
        return output

    def stub(self, soname: str, functions=("stub",), version: str = "") -> pathlib.Path:
        """A library called `soname` that exports the functions, with a symbol version when one is named."""
        source = "".join(f"void {name}(void) {{}}\n" for name in functions)
        flags = [f"-Wl,-soname,{soname}", "-nostdlib"]
        if version:
            script = self.folder / "map"
            script.write_text(f"{version} {{ global: *; }};\n")
            flags.append(f"-Wl,--version-script={script}")
        return self.gcc(self.folder / f"stub-{soname}", source, *flags)

    def library(self, source: str, *flags, torch: bool = True) -> pathlib.Path:
        path = self.folder / "lib.so"
        path.unlink(missing_ok=True)
        more = ["-Wl,--no-as-needed", self.torch] if torch else []
        return self.gcc(path, source, *more, *flags)


@pytest.fixture
def link(tmp_path):
    return Linker(tmp_path)


CALL = "void {0}(void);\nvoid f(void) {{ {0}(); }}\n"
AS = 'extern char x __asm__("{0}");\nvoid *p = &x;\n'

SYMBOLS = [
    (CALL.format("aoti_torch_device_type_cpu"), None, ""),
    (CALL.format("torch_delete_stable_ivalue"), "torch-symbol-new",
     "imports 'torch_delete_stable_ivalue', which torch has from 2.13 on only"),
    ("#pragma weak torch_delete_stable_ivalue\n" + CALL.format("torch_delete_stable_ivalue"), None, ""),
    (CALL.format("aoti_torch_no_such_thing"), "torch-symbol-unknown",
     "imports 'aoti_torch_no_such_thing', which no known torch exports"),
    (CALL.format("aoti_torch_get_current_cuda_stream"), "torch-symbol-cuda",
     "imports 'aoti_torch_get_current_cuda_stream' from libtorch_cuda, which a CPU torch lacks"),
    (CALL.format("PyLong_FromLong"), "python-symbol",
     "imports 'PyLong_FromLong': it would be tied to a Python"),
    *((AS.format(name), "torch-cpp-symbol",
       f"imports the C++ symbol '{name}', which changes between torch releases")
      for name in ("_ZN2at4_ops10add_Tensor4callERKNS_6TensorES4_RKN3c106ScalarE",
                   "_ZNK3c1010TensorImpl5sizesEv", "_ZTIN3c105ErrorE", "_ZTVN5torch8autograd4NodeE",
                   "_ZNSt6vectorIN2at6TensorESaIS1_EED1Ev")),
    (AS.format("_ZN4kern2atEv"), None, ""),
]  # fmt: skip


# Each way to import what not every torch, or no torch, has.
@pytest.mark.parametrize(
    ("source", "code", "message"), SYMBOLS, ids=lambda v: (v or "good").split("\n")[-1][:40]
)
def test_symbols(source, code, message, link, kernmill):
    answer = kernmill("check", "--json", link.library(source))
    assert codes(answer) == ([code] if code else [])
    assert answer.code == (1 if code else 0)
    if code:
        assert answer.json["findings"][0]["message"] == message


NEEDS = [
    ("libtorch_cuda.so", "needs-cuda-torch", "needs 'libtorch_cuda.so', which a CPU torch lacks"),
    ("libc10_cuda.so", "needs-cuda-torch", "needs 'libc10_cuda.so', which a CPU torch lacks"),
    ("libcudart.so.13", "needs-cudart", "needs 'libcudart.so.13', which ties it to one CUDA major"),
    ("libpython3.12.so.1.0", "needs-python", "needs 'libpython3.12.so.1.0', which ties it to one Python"),
    ("libfancy.so.7", "needs-library", "needs 'libfancy.so.7', which is not on every machine"),
    ("libtorch_python.so", "needs-library", "needs 'libtorch_python.so', which is not on every machine"),
    ("libc10.so", None, ""),
]


# A library that the machine of the next user lacks.
@pytest.mark.parametrize(("needed", "code", "message"), NEEDS, ids=lambda v: v or "none")
def test_needed_libraries(needed, code, message, link, kernmill):
    answer = kernmill("check", "--json", link.library("", "-Wl,--no-as-needed", link.stub(needed)))
    assert codes(answer) == ([code] if code else [])
    if code:
        assert answer.json["findings"][0]["message"] == message


# Without libtorch_cpu among its needs it loads only after someone else has loaded torch.
def test_torch_not_needed(link, kernmill):
    assert codes(kernmill("check", "--json", link.library("", torch=False))) == ["no-torch"]


# Built on a new distribution: does not load on the ones that most machines have.
def test_glibc_floor(link, kernmill):
    stub = link.stub("libm.so.6", ["new_math", "newer_math"], "GLIBC_2.29")
    source = CALL.format("new_math") + "void newer_math(void);\nvoid g(void) { newer_math(); }\n"
    answer = kernmill("check", "--json", link.library(source, stub))
    assert codes(answer) == ["glibc-floor"]
    message = answer.json["findings"][0]["message"]
    assert message.startswith("needs GLIBC_2.29, above the floor of glibc 2.28 (manylinux_2_28), for: ")
    assert sorted(message.split(": ")[1].split(", ")) == ["new_math", "newer_math"]
    at_floor = link.stub("libm.so.6", ["new_math", "newer_math"], "GLIBC_2.28")
    assert codes(kernmill("check", "--json", link.library(source, at_floor))) == []


# The usual way there: a plain call to a function that moved into libc.so.6 in 2.34.
def test_glibc_floor_by_pthread_create(link, kernmill):
    answer = kernmill("check", "--json", link.library(CALL.format("pthread_create"), "-lpthread"))
    if subprocess.run(["getconf", "GNU_LIBC_VERSION"], capture_output=True, text=True).stdout < "glibc 2.34":
        pytest.skip("this glibc still has pthread_create in libpthread")
    assert codes(answer) == ["glibc-floor"]
    assert answer.json["findings"][0]["message"].endswith(", for: pthread_create")


# The floors of libstdc++ that go with manylinux_2_28.
@pytest.mark.parametrize(("version", "good"), [("GLIBCXX_3.4.24", True), ("GLIBCXX_3.4.25", False),
                                               ("CXXABI_1.3.11", True), ("CXXABI_1.3.12", False)])  # fmt: skip
def test_libstdcxx_floor(version, good, link, kernmill):
    stub = link.stub("libstdc++.so.6", ["of_cxx"], version)
    assert codes(kernmill("check", "--json", link.library(CALL.format("of_cxx"), stub))) == (
        [] if good else ["glibc-floor"]
    )


@pytest.mark.parametrize("tag", ["--disable-new-dtags", "--enable-new-dtags"])
def test_search_path(tag, link, kernmill):
    answer = kernmill("check", "--json", link.library("", f"-Wl,{tag},-rpath,/home/me/lib"))
    assert codes(answer) == ["rpath"]
    assert answer.json["findings"][0]["message"] == "carries a library search path: '/home/me/lib'"


# glibc 2.41 refuses to load these.
def test_executable_stack(link, kernmill):
    assert codes(kernmill("check", "--json", link.library("", "-z", "execstack"))) == ["executable-stack"]


# Code that is written to while it is loaded: refused by hardened systems, shared by no two processes.
def test_text_relocations(link, kernmill):
    source = '__asm__(".text\\n.quad aoti_torch_device_type_cpu\\n");'
    assert codes(kernmill("check", "--json", link.library(source, "-Wl,-z,notext"))) == ["text-relocations"]


def with_images(path: pathlib.Path, data: bytes) -> pathlib.Path:
    section = path.with_suffix(".section")
    section.write_bytes(data)
    command = ["objcopy", "--add-section", f".nv_fatbin={section}", "--set-section-flags",
               ".nv_fatbin=alloc,readonly", path]  # fmt: skip
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return path


# Images that the driver would refuse at the first call, on the user's machine.
def test_damaged_images(link, kernmill):
    good = (ELF.parent / "fatbin/release_lz4.bin").read_bytes()
    answer = kernmill("check", "--json", with_images(link.library(""), good))
    assert codes(answer) == []
    for bad in (good[:-8], b"\0" * 8 + good[1:], good[:40] + b"\xff" * 8 + good[48:], b"text", bytes(64)):
        answer = kernmill("check", "--json", with_images(link.library(""), bad))
        assert codes(answer) == ["broken-images"] and answer.code == 1
        assert answer.json["findings"][0]["message"].startswith("its GPU images cannot be read: ")


NOT_READABLE = {
    "text": b"int main(void) { return 0; }\n" * 10,
    "empty": b"",
    "four bytes": b"\x7fELF",
    "zeros": bytes(5000),
    "script": b"#!/bin/sh\nexit 0\n",
    "archive": b"!<arch>\n",
}


@pytest.mark.parametrize("name", NOT_READABLE)
def test_no_library(name, tmp_path, kernmill):
    path = tmp_path / "lib.so"
    path.write_bytes(NOT_READABLE[name])
    answer = kernmill("check", "--json", path)
    assert answer.code == 4 and answer.json["error"]["code"] == "format"
    assert str(path) in answer.json["error"]["message"] + answer.json["error"]["place"]


# A download that broke off: every cut is unreadable, none is half a verdict.
def test_cut_library(link, kernmill):
    path = link.library(CALL.format("aoti_torch_device_type_cpu"))
    whole = path.read_bytes()
    for part in range(1, 16):
        path.write_bytes(whole[: len(whole) * part // 16])
        answer = kernmill("check", "--json", path)
        assert answer.code == 4 and answer.json["error"]["code"] == "format", part


# strip takes .symtab away; a checker that read it would pass what it failed before.
def test_stripped_is_judged_alike(link, kernmill, tmp_path):
    stub = link.stub("libcudart.so.13")
    source = (
        CALL.format("torch_delete_stable_ivalue")
        + 'extern char x __asm__("_ZN2at6TensorC1Ev");\nvoid *p = &x;\n'
        + "int PyLong_FromLong(long);\nint g(void) { return PyLong_FromLong(1); }\n"
    )
    path = link.library(source, "-g", "-Wl,--no-as-needed", stub, "-Wl,-rpath,/x", "-z", "execstack")
    before = kernmill("check", "--json", path)
    size = path.stat().st_size
    subprocess.run(["strip", "--strip-all", path], check=True)
    assert path.stat().st_size < size
    after = kernmill("check", "--json", path)
    assert after == before
    assert set(codes(after)) == {
        "needs-cudart", "rpath", "executable-stack", "torch-symbol-new", "torch-cpp-symbol", "python-symbol",
    }  # fmt: skip


# Text and JSON say the same; the text names the code that scripts look for.
def test_text_of_findings(link, kernmill):
    path = link.library("", "-Wl,-rpath,/x", torch=False)
    answer = kernmill("check", path)
    assert answer.code == 1 and answer.err == ""
    assert answer.out == (
        f"{path}: error: does not name libtorch_cpu.so among the libraries it needs [no-torch]\n"
        "  link against libtorch_cpu.so\n"
        f"{path}: error: carries a library search path: '/x' [rpath]\n"
        "  link without -rpath\n"
        f"{path}: library, 2 errors, 0 warnings\n"
    )


# ---- wheels ----


@pytest.fixture(scope="session")
def packed(built, kernmill, tmp_path_factory) -> dict[str, bytes]:
    """The members of a good wheel."""
    folder = tmp_path_factory.mktemp("packed")
    answer = kernmill("pack", "--cpu", "--quiet", "--wheel-only", "--json", "--output", folder, built)
    assert answer.code == 0, answer.err
    with zipfile.ZipFile(answer.json["wheel"]) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def record_line(name: str, data: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    return f"{name},sha256={digest},{len(data)}\n"


class Wheel:
    """A wheel to be spoiled: change members, then write; RECORD is made anew unless it was changed."""

    def __init__(self, members: dict[str, bytes], folder: pathlib.Path):
        self.members = dict(members)
        self.folder = folder
        self.record: str | None = None
        self.name = f"demo_kernel-1.0.0+cpu-{TAG}.whl"
        self.dist_info = DIST_INFO

    def good_record(self) -> str:
        path = f"{self.dist_info}/RECORD"
        return "".join(record_line(n, d) for n, d in self.members.items() if n != path) + f"{path},,\n"

    def pack(self, more: list[tuple[str, bytes]] = ()) -> bytes:
        self.members[f"{self.dist_info}/RECORD"] = (self.record or self.good_record()).encode()
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in [*self.members.items(), *more]:
                archive.writestr(zipfile.ZipInfo(name), data)
        return out.getvalue()

    def write(self, data: bytes | None = None) -> pathlib.Path:
        path = self.folder / self.name
        path.write_bytes(self.pack() if data is None else data)
        return path

    def edit(self, name: str, old: bytes, new: bytes) -> None:
        assert old in self.members[name]
        self.members[name] = self.members[name].replace(old, new)


@pytest.fixture
def wheel(packed, tmp_path):
    return Wheel(packed, tmp_path)


# The frame of the tests below has no fault of its own.
def test_a_good_wheel(wheel, kernmill):
    answer = kernmill("check", "--json", wheel.write())
    assert answer.code == 0 and answer.json["kind"] == "wheel" and codes(answer) == []


# pip checks RECORD when it installs or uninstalls: what it would stumble over is found here.
def test_record(wheel, kernmill):
    good = wheel.good_record()
    first, *rest = good.splitlines(True)
    name = first.split(",")[0]
    cases = [
        (good.replace("sha256=", "sha256=A", 1), ["record-mismatch"]),
        (first[:-2] + "7\n" + "".join(rest), ["record-mismatch"]),
        ("".join(rest), ["record-missing"]),
        (good + record_line("demo_kernel/none.py", b""), ["record-absent"]),
        (good + first, ["record-twice"]),
        ("just words\n" + good, ["record-line"]),
        (f"{name}\n" + "".join(rest), ["record-line", "record-missing"]),
        (good.replace(f"{DIST_INFO}/RECORD,,\n", ""), ["record-missing"]),
        ("\n", ["record-missing"] * len(wheel.members)),
        (good.replace("\n", "\r\n"), []),
        (good.replace(name, f'"{name}"', 1), []),
        (good.rstrip("\n"), []),
        ("".join(reversed(good.splitlines(True))), []),
        (good + "\n\n", []),
    ]
    for record, expected in cases:
        wheel.record = record
        answer = kernmill("check", "--json", wheel.write())
        assert codes(answer) == expected, record
        assert answer.code == (1 if expected else 0)
    wheel.record = "".join(rest)
    message = kernmill("check", "--json", wheel.write()).json["findings"][0]["message"]
    assert message == f"RECORD does not list '{name}'"


# A name with a comma stands in quotes, and is no mismatch.
def test_record_with_commas(wheel, kernmill):
    wheel.members['demo_kernel/a,"b".py'] = b""
    wheel.record = wheel.good_record().replace('demo_kernel/a,"b".py', '"demo_kernel/a,""b"".py"')
    assert codes(kernmill("check", "--json", wheel.write())) == []


@pytest.mark.parametrize(("member", "code"), [("WHEEL", "wheel-file-missing"), ("METADATA", "metadata-missing"),
                                              ("RECORD", "record-missing")])  # fmt: skip
def test_dist_info_file_missing(member, code, wheel, kernmill):
    path = wheel.write()
    del wheel.members[f"{DIST_INFO}/{member}"]
    if member == "RECORD":
        wheel.dist_info = "other.dist-info"
        wheel.record = "other.dist-info/RECORD,,\n"
    path = wheel.write()
    answer = kernmill("check", "--json", path)
    assert answer.code == 1 and codes(answer) == [code]
    assert answer.json["findings"][0]["message"] == f"there is no '{DIST_INFO}/{member}'"


# pip believes the file name, installers of other kinds the file WHEEL.
def test_tags(wheel, kernmill):
    wheel.edit(f"{DIST_INFO}/WHEEL", b"2_28", b"2_17")
    answer = kernmill("check", "--json", wheel.write())
    assert codes(answer) == ["wheel-tag"] and answer.code == 1
    assert answer.json["findings"][0]["message"] == f"WHEEL does not say the tag of the file name, '{TAG}'"


# Names that other tools write: several tags in one, and a build number.
def test_compressed_tags(wheel, kernmill):
    wheel.name = "demo_kernel-1.0.0+cpu-7-py2.py3-none-manylinux_2_27_x86_64.manylinux_2_28_x86_64.whl"
    tags = [f"Tag: {p}-none-manylinux_2_{g}_x86_64\n" for p in ("py2", "py3") for g in (27, 28)]
    text = wheel.members[f"{DIST_INFO}/WHEEL"]
    wheel.members[f"{DIST_INFO}/WHEEL"] = text.replace(f"Tag: {TAG}\n".encode(), "".join(tags).encode())
    assert codes(kernmill("check", "--json", wheel.write())) == []
    wheel.edit(f"{DIST_INFO}/WHEEL", tags[2].encode(), b"")
    answer = kernmill("check", "--json", wheel.write())
    assert codes(answer) == ["wheel-tag"]
    assert answer.json["findings"][0]["message"].endswith("'py3-none-manylinux_2_27_x86_64'")


# The tag is a promise about glibc and about the processor.
@pytest.mark.parametrize(
    ("tag", "expected"),
    [("manylinux_2_28_x86_64", []), ("manylinux_2_27_x86_64", ["glibc-floor"]),
     ("manylinux_2_34_x86_64", []), ("manylinux2014_x86_64", ["glibc-floor"]), ("linux_x86_64", []),
     ("manylinux_2_28_aarch64", ["machine"])],
)  # fmt: skip
def test_what_the_tag_promises(tag, expected, wheel, kernmill, link):
    library = link.library(CALL.format("of_228"), link.stub("libm.so.6", ["of_228"], "GLIBC_2.28"))
    wheel.members[LIBRARY] = library.read_bytes()
    wheel.name = wheel.name.replace("manylinux_2_28_x86_64", tag)
    wheel.edit(f"{DIST_INFO}/WHEEL", b"manylinux_2_28_x86_64", tag.encode())
    answer = kernmill("check", "--json", wheel.write())
    assert codes(answer) == expected
    if expected == ["machine"]:
        assert answer.json["findings"][0]["message"] == "is made for x86_64, not for aarch64"


# A wheel for torch 2.13 may use what torch has from 2.13 on.
def test_torch_that_the_wheel_asks_for(wheel, kernmill, link):
    wheel.members[LIBRARY] = link.library(CALL.format("torch_delete_stable_ivalue")).read_bytes()
    assert codes(kernmill("check", "--json", wheel.write())) == ["torch-symbol-new"]
    wheel.edit(f"{DIST_INFO}/METADATA", b"Requires-Dist: torch>=2.10", b"Requires-Dist: torch>=2.13")
    assert codes(kernmill("check", "--json", wheel.write())) == []


# A library inside is judged like one outside, and named; one that cannot be read is one finding among others.
def test_libraries_inside(wheel, kernmill, link):
    wheel.members[LIBRARY] = link.library(
        "", "-Wl,--no-as-needed", link.stub("libpython3.12.so.1.0")
    ).read_bytes()
    path = wheel.write()
    answer = kernmill("check", "--json", path)
    assert codes(answer) == ["needs-python"]
    assert answer.json["findings"][0]["place"] == f"{path}:{LIBRARY}"
    for data in (b"no library", wheel.members[LIBRARY][:3000], b""):
        wheel.members["demo_kernel/more.so.1"] = data
        answer = kernmill("check", "--json", wheel.write())
        assert sorted(codes(answer)) == ["library-broken", "needs-python"] and answer.code == 1
        (broken,) = (f for f in answer.json["findings"] if f["code"] == "library-broken")
        assert broken["place"].endswith("more.so.1") and broken["message"]


def flip_a_data_byte(wheel: Wheel) -> bytes:
    data = bytearray(wheel.pack())
    at = data.index(LIBRARY.encode()) + len(LIBRARY) + 100
    data[at] ^= 1
    return bytes(data)


UNREADABLE = {
    "a name that leaves the folder": lambda w: w.pack([("../evil.py", b"")]),
    "an absolute name": lambda w: w.pack([("/etc/evil.py", b"")]),
    "a backslash in a name": lambda w: w.pack([("demo_kernel\\..\\evil.py", b"")]).replace(
        b"/evil", b"\\evil"
    ),
    "a member twice": lambda w: w.pack([(LIBRARY, b"other")]),
    "a member twice but for case": lambda w: w.pack([("demo_kernel/__INIT__.py", b"")]),
    "bytes behind the end": lambda w: w.pack() + b"more",
    "bytes before the start": lambda w: b"#!/bin/sh\n" + w.pack(),
    "cut in the middle": lambda w: w.pack()[: len(w.pack()) // 2],
    "cut at the end": lambda w: w.pack()[:-1],
    "a flipped bit in the data": flip_a_data_byte,
    "empty": lambda w: b"",
    "no zip": lambda w: b"PK no zip" * 100,
}


# Readers of zip files differ in what they make of these: no verdict is given about any of them.
@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("fault", UNREADABLE)
def test_unreadable_wheels(fault, wheel, kernmill):
    answer = kernmill("check", "--json", wheel.write(UNREADABLE[fault](wheel)))
    assert answer.code == 4 and answer.json["error"]["code"] in ("format", "limit")
    assert answer.json["error"]["message"]
    assert answer.err.count("\n") <= 2 and "Traceback" not in answer.err


@pytest.mark.parametrize(
    "name", ["demo.whl", "demo-1.0.whl", "demo-1.0-py3-none.whl", "-.whl", ".whl", "a-b-c-d-e-f-g.whl"]
)
def test_name_that_is_no_wheels(name, wheel, kernmill):
    wheel.name = name
    answer = kernmill("check", "--json", wheel.write())
    assert answer.code == 4
    assert answer.json["error"]["message"] == (f"'{name}' is not named name-version-python-abi-platform.whl")


# Hostile or just large: thousands of members and a RECORD of carriage returns end in seconds.
def test_large_wheels_in_time(wheel, kernmill):
    start = time.monotonic()
    for i in range(20000):
        wheel.members[f"demo_kernel/data/{i:05}.json"] = b"{}"
    path = wheel.write()
    writing = time.monotonic() - start
    answer = kernmill("check", "--json", path)
    assert answer.code == 0 and codes(answer) == []
    wheel.record = "\r" * 5_000_000 + "\n" + wheel.good_record()
    answer = kernmill("check", "--json", wheel.write())
    assert codes(answer) == ["record-line"]
    assert time.monotonic() - start < 20 + 3 * writing


# ---- Hub folders ----


@pytest.fixture
def hub(built, tmp_path) -> pathlib.Path:
    name = "torch-stable-abi210-cpu-x86_64-linux"
    return pathlib.Path(shutil.copytree(built / "build" / name, tmp_path / name))


# What the client would load without looking.
def test_hub_folder_tampered_with(hub, kernmill):
    assert codes(kernmill("check", "--json", hub)) == []
    (hub / "__init__.py").write_text("import os\n")
    assert codes(kernmill("check", "--json", hub)) == ["digest"]
    shutil.copy(ELF / "uses_aarch64.elf", hub / "libdemo_kernel.so")
    found = codes(kernmill("check", "--json", hub))
    assert found[0] == "digest" and "machine" in found


# A folder that promises a GPU and holds nothing for it fails at the first launch.
def test_hub_folder_for_cuda_without_images(hub, kernmill):
    metadata = hub / "metadata.json"
    metadata.write_text(
        metadata.read_text().replace('"type": "cpu"', '"type": "cuda", "archs": ["9.0a", "7.5+PTX"]')
    )
    folder = hub.rename(hub.with_name(hub.name.replace("-cpu-", "-cu126-")))
    assert codes(kernmill("check", "--json", folder)) == ["no-images"]
    with_images(folder / "libdemo_kernel.so", (ELF.parent / "fatbin/sm_90a_lz4.bin").read_bytes())
    answer = kernmill("check", "--json", folder)
    assert codes(answer) == ["digest", "image-missing"]
    message = answer.json["findings"][1]["message"]
    assert message == "is declared to run on 7.5+PTX and holds no image for it"


# What is no Hub folder at all gets no verdict, but a place.
def test_hub_folder_that_cannot_be_read(hub, kernmill):
    (hub / "metadata.json").write_text('{"name": "demo-kernel",')
    answer = kernmill("check", "--json", hub)
    assert answer.code == 4 and answer.json["error"]["place"] == f"{hub}/metadata.json:1:23"
    (hub / "metadata.json").write_text("{}")
    (hub / "link").symlink_to("/etc/passwd")
    answer = kernmill("check", "--json", hub)
    assert answer.code == 4 and "is a symbolic link" in answer.json["error"]["message"]
