"""What `kernmill test` writes down: on which files, and whether of all tests."""

import json
import shutil
import sys

import pytest

CPU = "torch-stable-abi210-cpu-x86_64-linux"
PYTHON = {"KERNMILL_PYTHON": sys.executable}


@pytest.fixture
def quick(built, tmp_path):
    """The built kernel with tests of no time."""
    folder = tmp_path / "demo-kernel"
    shutil.copytree(built, folder)
    (folder / "tests/test_scale.py").write_text(
        "import torch\n\n\n"
        "def test_values(kernel, worst):\n"
        "    assert kernel.scale(torch.ones(3), 3.0).tolist() == [3.0] * 3\n"
        '    worst("scale, absolute", 0.0)\n    worst("scale, broken", float("nan"))\n\n\n'
        "def test_other(kernel):\n    pass\n"
    )
    return folder


def records(folder):
    return {p.name: json.loads(p.read_text()) for p in sorted(folder.glob("build/tests/*.json"))}


# Each target has a record of its own, of the files that its process had loaded.
def test_a_record_for_each_target(kernmill, quick):
    answer = kernmill("test", "--cpu", "-q", "--json", quick, env=PYTHON)
    assert answer.code == 0, answer.err
    found = records(quick)
    assert list(found) == [f"{CPU}.json", "wheel.json"]
    (hub,), (wheel,) = (found[name]["runs"] for name in found)
    assert hub in answer.json["runs"] and wheel in answer.json["runs"]
    assert (hub["target"], wheel["target"]) == (CPU, "wheel")
    assert (
        hub["whole"]
        and hub["passed"] == 2
        and hub["worst"] == {"scale, absolute": 0.0, "scale, broken": "nan"}
    )
    assert hub["libraries"] == {"libdemo_kernel.so": hub["sha256"]}
    assert hub["sha256"] != wheel["sha256"] and hub["package_sha256"] != wheel["package_sha256"]


# A part that passes takes nothing away; a part that fails does, until all of it has passed.
def test_a_part_is_no_whole(kernmill, quick):
    def run(*words):
        return kernmill("test", "--cpu", "-q", "--json", "--wheel-only", quick, *words, env=PYTHON)

    assert run().code == 0
    before = records(quick)
    one = "tests/test_scale.py::test_other"
    for part in (["-k", "other"], ["--", "--ignore=tests/none.py"]):
        answer = run(*part)
        assert answer.code == 0 and not answer.json["runs"][0]["whole"], part
        assert records(quick) == before
    test = quick / "tests/test_scale.py"
    text = test.read_text()
    test.write_text(text.replace("    pass", "    raise SystemError"))
    assert run("-k", "other").code == 1
    failed = records(quick)["wheel.json"]["runs"][0]
    assert failed["failed"] == 1 and failed["failures"] == [one]
    test.write_text(text)
    assert run("--", "-x").code == 0
    assert records(quick)["wheel.json"]["runs"][0]["whole"]


# Tests that see another package of the same name would vouch for files that nobody tested.
def test_other_files_are_no_test(kernmill, quick, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(quick / "build/wheel", other)
    with (other / "demo_kernel/__init__.py").open("a") as file:
        file.write("# another\n")
    test = quick / "tests/test_scale.py"
    test.write_text(f"import sys\n\nsys.path.insert(0, {str(other)!r})\n{test.read_text()}")
    answer = kernmill("test", "--cpu", "-q", quick, env=PYTHON)
    assert answer.code == 4 and "did not run on the files of" in answer.err
    assert records(quick) == {}


# Tests that never load the kernel pass, and are no record of its library.
def test_without_the_kernel(kernmill, quick):
    (quick / "tests/test_scale.py").write_text("def test_nothing():\n    pass\n")
    assert kernmill("test", "--cpu", "-q", "--wheel-only", quick, env=PYTHON).code == 0
    run = records(quick)["wheel.json"]["runs"][0]
    assert run["passed"] == 1 and run["libraries"] == {} and run["package_sha256"] is None
