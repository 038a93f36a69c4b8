"""The SDK without torch and without a GPU: everything.c and launches.c on mocks that count what lives,
fail on demand and write down the calls, under AddressSanitizer, UndefinedBehaviorSanitizer and
ThreadSanitizer."""

import os
import re

import building
import pytest

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion", "-Werror"]
FLAGS = ["-std=c17", "-D_GNU_SOURCE", "-g", "-O1", "-fexceptions", "-pthread", *WARNINGS, "-I", building.SDK]
ADDRESS = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
THREAD = ["-fsanitize=thread"]
OLDER, NEWER = [], ["-DMOCK_NEWER"]  # torch 2.10, 2.13


def sources(*names: str):
    return [building.HERE / name for name in names]


def must_run(program, *arguments, **environment) -> str:
    done = building.run(program, *arguments, env=os.environ | environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# ---- torch ----


@pytest.fixture(scope="module", params=[OLDER, NEWER], ids=["2.10", "2.13"])
def drive(request, tmp_path_factory):
    out = tmp_path_factory.mktemp("mock") / "drive"
    files = [*building.EVERYTHING, *sources("mock_torch.c", "drive.c")]
    building.must("gcc", *FLAGS, *ADDRESS, *request.param, '-DKM_NAMESPACE="mock"', *files, "-o", out)
    return out, request.param


# A handle that is freed twice, used after it, or never: in success, in every failure, and when any call into
# torch fails. In both ways of freeing an optional.
def test_every_handle_is_deleted_once(drive):
    numbers = re.fullmatch(
        r"(\d+) calls, (\d+) failures; "
        r"made (\d+) handles, (\d+) lists, (\d+) strings, (\d+) cells; live (\d+)\n",
        must_run(drive[0]),
    )
    calls, failures, *made, live = map(int, numbers.groups())
    assert live == 0 and calls >= 55 and failures > 2000 and min(made) > 1000


# A step of the registration that fails without a trace.
def test_failed_registration(drive):
    program, newer = drive
    steps = {
        0: "1 mock: opening the namespace 'mock' failed",
        5: "6 mock: defining 'describe(Tensor x) -> Tensor' failed",
        27: "28 mock: opening the kernels for 'CPU' failed",
        28: "29 mock: registering the kernel of 'types' failed",
        53: "54 mock: opening the kernels for 'CUDA' failed",
        54: "55 mock: registering the kernel of 'zeros' failed",
    }
    for step, text in steps.items():
        done = building.run(program, env=os.environ | {"MOCK_FAIL_AFTER": str(step)})
        why = r": \w+ says no" if newer else r" \(torch's reason is on stderr\)"
        assert done.returncode == 2 and re.fullmatch(re.escape(text) + why + "\n", done.stdout)


# ---- CUDA ----


def build_launches(folder, sanitizer, *driver_flags: str):
    """drive_launch, and the mocks of libcuda.so.1 and libtorch_cuda.so beside it."""
    mocks = {"libcuda.so.1": driver_flags, "libtorch_cuda.so": ["-DMOCK_TORCH_CUDA"]}
    for name, flags in mocks.items():
        shared = ["-fPIC", "-shared", f"-Wl,-soname,{name}", *flags]
        building.must("gcc", *FLAGS, *sanitizer, *shared, *sources("mock_cuda.c"), "-o", folder / name)
    program = folder / "drive_launch"
    files = sources("launches.c", "mock_torch.c", "drive_launch.c")
    define = ["-DMOCK_NEWER", '-DKM_NAMESPACE="launches"', "-rdynamic"]
    building.must("gcc", *FLAGS, *sanitizer, *define, *files, "-ldl", "-o", program)
    return program


@pytest.fixture(scope="module")
def launches(tmp_path_factory):
    return build_launches(tmp_path_factory.mktemp("launches"), ADDRESS)


# A kernel loaded twice, a capture that a load breaks or that stays relaxed, an attribute of another device.
def test_order_of_a_launch(launches):
    assert must_run(launches, "order", LD_LIBRARY_PATH=str(launches.parent)) == "order: 12 calls\n"


# An error of the driver that leaves a lock, a relaxed capture or half a kernel behind.
def test_errors_of_the_driver(launches):
    must_run(launches, "errors", LD_LIBRARY_PATH=str(launches.parent))


# First launches by eight threads that load the image twice, or read what another one writes.
@pytest.mark.parametrize("sanitizer", [ADDRESS, THREAD], ids=["address", "thread"])
def test_first_launches_by_many_threads(tmp_path, sanitizer):
    program = build_launches(tmp_path, sanitizer)
    try:
        must_run(program, "threads", LD_LIBRARY_PATH=str(tmp_path))
    except AssertionError as e:
        if "unexpected memory mapping" in str(e):
            pytest.skip("ThreadSanitizer does not run on this kernel")
        raise


# "(null)" where a user needs to know why CUDA cannot be used.
def test_messages_without_a_usable_driver(launches, tmp_path):
    def message(*loaded) -> str:
        return must_run(launches, "message", *loaded, LD_LIBRARY_PATH=str(tmp_path))

    driver = tmp_path / "libcuda.so.1"
    driver.write_text("no library at all: " + "x" * 100)
    text = message()
    assert (
        text.startswith(f"1 launches::launch: unable to open the CUDA driver: {driver}: ") and "ELF" in text
    )
    old = ["-DMOCK_OLD_DRIVER", "-fPIC", "-shared", "-Wl,-soname,libcuda.so.1"]
    building.must("gcc", *FLAGS, *ADDRESS, *old, *sources("mock_cuda.c"), "-o", driver)
    assert message() == (
        "1 launches::launch: the CUDA driver has no cuLaunchKernelEx: "
        "a driver for CUDA 12.0 or newer is needed\n"
    )
    driver.unlink()
    driver.symlink_to(launches.parent / "libcuda.so.1")
    assert message() == "1 launches::launch: this torch has no CUDA stream interface\n"
    assert message(launches.parent / "libtorch_cuda.so") == "0 \n"
