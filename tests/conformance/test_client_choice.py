"""`kernmill explain` chooses what the real `kernels` client chooses: on described systems, over Hub folders of every
kind of variant. The client is told the same systems through what it reads (torch, platform, sysconfig, tvm_ffi); its
own resolution is left as it is.
"""

import contextlib
import itertools
import json
import os
import pathlib
import subprocess
import sys
import types
from unittest import mock

import pytest
from packaging.version import Version

from kernels import archs, backends, resolver, validate, variants

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = (ROOT / os.environ.get("KERNMILL_BUILD", "build/release") / "bin/kernmill").resolve()

X86, ARM = "x86_64-linux", "aarch64-linux"
FOLDERS = {
    "kernmill": [f"torch-stable-abi210-{c}-{X86}" for c in ("cpu", "cu126", "cu130")],
    "builder": [
        *(f"torch2{t}-cxx11-{c}-{p}" for t, c, p in
          itertools.product((12, 13), ("cpu", "cu126", "cu130", "cu132"), (X86, ARM))),
        *(f"torch2{t}-cxx11-{c}-{X86}" for t in (12, 13) for c in ("rocm71", "rocm72")),
        f"torch212-cxx11-xpu20253-{X86}", f"torch213-cxx11-xpu20260-{X86}",
        "torch213-cpu-aarch64-darwin", "torch213-metal-aarch64-darwin", "torch210-cu128-x86_64-windows",
    ],
    "mixed": [
        *(f"torch-stable-abi2{t}-{c}-{X86}" for t in (9, 10, 13, 14) for c in ("cpu", "cu126", "cu128", "cu130")),
        f"torch-stable-abi210-cu130-{ARM}",
        *(f"torch213{abi}-{c}-{X86}" for abi in ("", "-cxx11", "-cxx98") for c in ("cpu", "cu126", "cu128")),
        f"torch25-cxx98-cu124-{X86}", f"torch25-cxx11-cu124-{X86}", f"tvm-ffi01-cu126-{X86}",
        "torch-cuda", "torch-universal",
        # no variants: left out by both
        "torch-stable-abi2-cpu-x86_64-linux", "cpu-x86_64-linux", "notes",
    ],
    "noarch": [f"torch-{b}" for b in ("cuda", "metal", "neuron", "npu", "rocm", "tpu", "xpu", "universal")],
    "tvm-ffi": [*(f"tvm-ffi01-{c}-{p}" for c in ("cpu", "cu126", "cu130", "cu132") for p in (X86, ARM)),
                f"tvm-ffi02-cu130-{X86}", "torch-universal"],
    "stable-arm": [f"torch-stable-abi210-cu130-{ARM}", f"torch-stable-abi210-cpu-{ARM}"],
}  # fmt: skip


def system(torch="2.13", backend="cpu", os="linux", cpu="x86_64", abi="cxx11", python="3.12", tvm_ffi="none",
           macos=None):  # fmt: skip
    return dict(locals())


SYSTEMS = [
    *(system(t, b) for t in ("2.9", "2.10", "2.12", "2.13", "2.15") for b in
      ("cpu", "cu124", "cu126", "cu128", "cu130", "cu132")),
    *(system(t, b, cpu="aarch64") for t in ("2.12", "2.13") for b in ("cpu", "cu126", "cu130", "cu132")),
    *(system("2.13", b) for b in ("rocm71", "rocm72", "rocm63", "xpu20253", "xpu20260", "cann80", "neuron", "tpu")),
    *(system("2.13", b, os="darwin", cpu="aarch64", macos=m) for b, m in
      (("cpu", "26.0"), ("metal", "26.1"), ("metal", "15.5"))),
    system("2.10", "cu128", os="windows"), system("2.13", "cu130", os="windows", cpu="aarch64"),
    system("2.5", "cu124", abi="cxx98"), system("2.5", "cu124"), system("2.13", "cu128", abi="cxx98"),
    system("2.13", "cu130", python="3.14t"), system("2.13", "cu130", python="3.15t"),
    *(system("2.13", b, tvm_ffi=v) for b in ("cpu", "cu130", "cu132") for v in ("0.1", "0.2")),
    *(system("none", b, tvm_ffi=v) for b in ("cpu", "cu126") for v in ("none", "0.1")),
    system("2.13", "cu132", python="3.13t", tvm_ffi="0.1"),
]  # fmt: skip


def name_of(value) -> str:
    return value if isinstance(value, str) else "-".join(str(v) for v in value.values() if v)


def version_of(backend: str, family: str) -> str | None:
    digits = backend.removeprefix(family)
    return f"{digits[:-1]}.{digits[-1]}" if backend.startswith(family) and digits.isdigit() else None


def torch_of(s: dict) -> types.SimpleNamespace:
    """A torch as far as the client looks at one."""
    backend, space = s["backend"], types.SimpleNamespace
    xpu = version_of(backend, "xpu")
    torch = space(
        __version__=f"{s['torch']}.1+{backend}",
        version=space(cuda=version_of(backend, "cu"), hip=version_of(backend, "rocm"),
                      xpu=xpu and f"{xpu[:4]}0{xpu[5]}01"),
        backends=space(mps=space(is_available=lambda: backend == "metal")),
        compiled_with_cxx11_abi=lambda: s["abi"] == "cxx11",
        _C=space(_get_privateuse1_backend_name=lambda: "npu" if backend.startswith("cann") else "privateuseone"),
    )  # fmt: skip
    if backend == "neuron":
        torch.neuron = space()
    if backend == "tpu":
        torch.backends.tpu = space()
    return torch


@contextlib.contextmanager
def pretending(s: dict):
    """The client on that system."""
    space = types.SimpleNamespace
    cann = version_of(s["backend"], "cann") or "0.0"
    modules = {
        "torch": torch_of(s),
        "tvm_ffi": space(__version__=f"{s['tvm_ffi']}.3"),
        "torch_npu": space(),
        "torch_npu.utils": space(),
        "torch_npu.utils.collect_env": space(get_cann_version=lambda: cann),
    }
    machine = {"darwin": "arm64", "windows": "AMD64"}.get(s["os"], s["cpu"]) if s["cpu"] != "aarch64" else (
        "arm64" if s["os"] == "darwin" else "aarch64"
    )  # fmt: skip
    platform = space(machine=lambda: machine, system=s["os"].capitalize, mac_ver=lambda: (s["macos"] or "",))
    cudart = version_of(s["backend"], "cu")
    python = tuple(map(int, s["python"].removesuffix("t").split(".")))
    with contextlib.ExitStack() as stack:
        for patch in (
            mock.patch.dict(sys.modules, modules),
            mock.patch.object(variants, "has_torch", s["torch"] != "none"),
            mock.patch.object(backends, "has_torch", s["torch"] != "none"),
            mock.patch.object(variants, "has_tvm_ffi", s["tvm_ffi"] != "none"),
            mock.patch.object(backends, "_get_cuda", lambda: cudart and backends.CUDA(Version(cudart))),
            mock.patch.object(variants, "platform", platform),
            mock.patch.object(variants, "sys", space(version_info=python)),
            mock.patch.object(
                variants, "sysconfig", space(get_config_var=lambda _: s["python"].endswith("t"))
            ),
        ):
            stack.enter_context(patch)
        yield


def options_of(s: dict) -> list[str]:
    names = {"abi": "cxx-abi", "tvm_ffi": "tvm-ffi"}
    words = [word for k, v in s.items() if v for word in (f"--{names.get(k, k)}", v)]
    return [*words, "--arch", "none"]


def explain(*words) -> dict:
    environment = {**os.environ, "KERNMILL_PYTHON": sys.executable}
    done = subprocess.run(
        [PROGRAM, "explain", "--json", *words], env=environment, capture_output=True, text=True
    )
    assert done.returncode in (0, 1), done.stderr
    document = json.loads(done.stdout)
    assert document["schema"] == 1 and document["fits"] == (done.returncode == 0)
    return document


def make_variant(folder: pathlib.Path, **metadata) -> None:
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    whole = {"name": "demo", "id": "_demo", "version": 1, "license": "MIT", "python-depends": [],
             "backend": {"type": "cpu"}, **metadata}  # fmt: skip
    (folder / "metadata.json").write_text(json.dumps(whole))


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, pathlib.Path]:
    root = tmp_path_factory.mktemp("hub")
    for name, names in FOLDERS.items():
        for variant in names:
            make_variant(root / name / "build" / variant)
    return {name: root / name for name in FOLDERS}


def test_there_are_enough_systems():
    assert len({name_of(s) for s in SYSTEMS}) == len(SYSTEMS) >= 50


# A choice that differs explains something that will not happen. The order of those accepted after it is the
# client's, too, and so is which are accepted at all.
@pytest.mark.parametrize("s", SYSTEMS, ids=name_of)
def test_choice_is_the_clients(s, folders):
    for name, root in folders.items():
        (kernel,) = explain(root, *options_of(s))["kernels"]
        with pretending(s):
            accepted, _ = variants.resolve_variants(variants.get_variants_local(root / "build"))
            chosen = resolver.resolve_local_kernel(root, backend=None).variant_str if accepted else None
        got = [c["name"] for c in kernel["candidates"] if c["accepted"]]
        assert got == [v.variant_str for v in accepted], name
        assert kernel["chosen"] == chosen
        assert sorted(c["name"] for c in kernel["candidates"]) == sorted(
            v.variant_str for v in variants.get_variants_local(root / "build")
        )
        for c in kernel["candidates"]:
            against = [r for r in c["reasons"] if r["side"] == "against" and r["chooses"]]
            assert c["accepted"] == (not against), "a verdict has its reasons"


# The test above can fail: choices differ between systems, and there are some without one.
def test_systems_differ(folders):
    chosen = set()
    for s in SYSTEMS:
        with pretending(s):
            for root in folders.values():
                accepted, _ = variants.resolve_variants(variants.get_variants_local(root / "build"))
                chosen.add(accepted[0].variant_str if accepted else None)
    assert len(chosen) > 40 and None in chosen


# `backend="cpu"`, which is the way out on a CUDA torch without a fitting variant.
def test_backend_that_is_asked_for(folders):
    with pretending(system("2.13", "cu124")):
        asked = resolver.resolve_local_kernel(folders["kernmill"], backend="cpu").variant_str
    (kernel,) = explain(folders["kernmill"], "--torch", "2.13", "--backend", "cpu")["kernels"]
    assert kernel["chosen"] == asked == FOLDERS["kernmill"][0]


METADATA = [
    {}, {"name": "Demo"}, {"name": "a"}, {"name": "demo_norm"}, {"name": "demo-"}, {"id": ""}, {"id": 1},
    {"id": None}, {"version": -1}, {"version": "1"}, {"version": None}, {"version": 1.0}, {"license": None},
    {"python-depends": None}, {"python-depends": [1]}, {"python-depends": ["numpy"]},
    {"python-depends": ["nki"]}, {"python-depends": ["onednn"]}, {"kernel-depends": None},
    {"kernel-depends": [{"repo-id": "a/b", "version": 1}]}, {"backend": {}}, {"backend": {"type": "gpu"}},
    {"backend": {"type": "cuda", "archs": None}}, {"backend": {"type": "cuda", "archs": [90]}},
    {"kernels-minver": "0.17.2"}, {"kernels-minver": "99.0.0"}, {"kernels-minver": "9.0"},
    {"kernels-minver": None}, {"kernels-minver": "1.2.3.4"}, {"unknown": 1},
]  # fmt: skip


# What the client refuses after it has chosen is no fit, and what it takes is one.
@pytest.mark.parametrize("metadata", METADATA, ids=json.dumps)
def test_metadata_is_refused_alike(metadata, tmp_path):
    variant = tmp_path / "build/torch-universal"
    make_variant(variant, **metadata)
    (kernel,) = explain(tmp_path)["kernels"]
    try:
        local = resolver.resolve_local_kernel(tmp_path, backend=None)
        validators = [*validate.default_metadata_validators(), validate.ArchValidator()]
        validate.AllValidator(validators).validate_metadata(
            metadata=local.metadata, variant=local.variant_str
        )
        taken = True
    except (ValueError, RuntimeError, ImportError):
        taken = False
    assert kernel["chosen"] == "torch-universal" and kernel["fits"] is taken, kernel


# The GPUs that a variant declares, by the client's own function.
def test_declared_architectures_are_read_alike(tmp_path):
    declared = [["9.0a"], ["8.0"], ["8.0+PTX"], ["10.0f"], ["7.5", "9.0a"], ["soon"], ["12.0", "7.5+PTX"], []]
    for i, names in enumerate(declared):
        variant = tmp_path / f"{i}/build/torch-cuda"
        make_variant(variant, backend={"type": "cuda", "archs": names})
        for gpu in ("7.5", "8.0", "8.9", "9.0", "10.0", "10.3", "12.0"):
            (kernel,) = explain(tmp_path / str(i), "--cuda", "13.0", "--arch", gpu)["kernels"]
            major, minor = map(int, gpu.split("."))
            want = not names or archs._supports_cuda_capability(names, (major, minor))
            assert kernel["fits"] is want, (names, gpu)


PLANS = {
    "torch": '[torch]\nsrc = ["a.cpp"]\n',
    "c": '[torch]\nsrc = ["a.c"]\nstable-abi = "2.10"\n',
    "noarch": "[torch-noarch]\n",
    "tvm-ffi": '[tvm-ffi]\nsrc = ["a.cpp"]\n',
}


# Every name that `kernmill plan` gives is one that the client reads as it was meant.
@pytest.mark.parametrize("kind", PLANS)
def test_planned_names_are_the_clients(kind, tmp_path):
    general = '[general]\nname = "demo"\nversion = 1\nedition = 5\nlicense = "MIT"\nbackends = ["cpu", "cuda", "rocm", "metal", "xpu"]\n'
    (tmp_path / "build.toml").write_text(general + PLANS[kind])
    done = subprocess.run([PROGRAM, "plan", "--json", tmp_path], capture_output=True, text=True)
    planned = [v["name"] for v in json.loads(done.stdout)["variants"]]
    assert len(planned) >= 5 and len(set(planned)) == len(planned)
    assert [variants.parse_variant(name).variant_str for name in planned] == planned
