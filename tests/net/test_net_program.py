"""kernmill links no network library; what needs one is kernmill-net's, and where that cannot be had, the line to type
is said."""

import os
import shutil
import subprocess

import pytest
from faulty_server import BUILD

PROGRAM = BUILD / "bin" / "kernmill"
NET_PROGRAM = BUILD / "libexec" / "kernmill" / "kernmill-net"

# what a machine without libcurl would answer
WITHOUT_CURL = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
void *dlopen(const char *name, int flags) { (void)name; (void)flags; return 0; }
int open(const char *path, int flags, ...)
{
    if (strcmp(path, "/etc/ld.so.cache") == 0) { errno = ENOENT; return -1; }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0666);
}
int open64(const char *path, int flags, ...) __attribute__((alias("open")));
"""


def libraries(program) -> str:
    return subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout


# A machine that only builds kernels needs no libcurl, and the start of 30 libraries costs milliseconds.
def test_the_program_links_no_network_library():
    assert "curl" not in libraries(PROGRAM) and "libssl" not in libraries(PROGRAM)
    assert "libcurl.so.4" in libraries(NET_PROGRAM)


def test_a_command_with_the_network_is_executed(kernmill):
    done = kernmill("net-version", "--json")
    assert done.code == 0 and done.json["libraries"].startswith("libcurl/")


def test_what_is_wrong_with_its_options_is_said_before(kernmill):
    done = kernmill("net-version", "--nonsense")
    assert done.code == 2 and "--nonsense" in done.err


@pytest.fixture
def installed(tmp_path):
    """An installation without kernmill-net."""
    (tmp_path / "prefix/bin").mkdir(parents=True)
    (tmp_path / "prefix/include/kernmill").mkdir(parents=True)
    (tmp_path / "prefix/include/kernmill/op.h").touch()
    return shutil.copy(PROGRAM, tmp_path / "prefix/bin")


def test_without_its_other_half(run, installed):
    done = run(installed, "net-version")
    assert done.code == 3 and "kernmill-net' is missing" in done.err and "pip install" in done.err
    assert run(installed, "version").code == 0
    assert run(installed, "net-version", "--help").code == 0


@pytest.mark.skipif("libasan" in libraries(PROGRAM), reason="its runtime wants to be loaded first")
def test_without_libcurl(kernmill, tmp_path):
    source, library = tmp_path / "without.c", tmp_path / "without.so"
    source.write_text(WITHOUT_CURL)
    subprocess.run([os.environ.get("CC", "cc"), "-shared", "-fPIC", "-o", library, source], check=True)
    done = kernmill("net-version", LD_PRELOAD=str(library))
    assert done.code == 3 and "libcurl is missing" in done.err and "apt install libcurl4" in done.err


def test_the_other_half_knows_where_it_is(run):
    assert run(NET_PROGRAM, "version").out == run(PROGRAM, "version").out
    with_net = run(NET_PROGRAM, "doctor", "--json").json
    assert with_net == run(PROGRAM, "doctor", "--json").json
    (curl,) = [item for item in with_net["items"] if item["what"] == "libcurl"]
    assert curl["need"] == "hub" and curl["found"].startswith("libcurl/")
