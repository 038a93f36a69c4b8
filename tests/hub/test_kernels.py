"""The `kernels` package against the test hub: what it finds, loads, locks and refuses."""

import json
import time

from faults import Meanwhile

CLI = "import sys\nfrom kernels.cli import main\nsys.argv = ['kernels', {}]\nmain()"  # what `kernels` itself runs
OP = """
import torch
from kernels import get_kernel
torch.manual_seed(0)
x, weight = torch.randn(5, 64), torch.rand(64)
def check(module):
    wanted = torch.nn.functional.rms_norm(x.double(), (64,), weight.double(), 1e-6)
    assert (module.rms_norm(x, weight).double() - wanted).abs().max() < 1e-5
"""


def test_a_kernel_is_loaded_and_called(hub, client, kernel):
    """Cold: by the version branch, only the CPU variant's files. Warm: three requests, none for a file."""
    hub.add_folder("acme/rms", kernel, "v1")
    told = client.python(
        OP + "module = get_kernel('acme/rms', version=1); check(module); print(module.__file__)"
    ).stdout
    assert told.startswith(str(client.cache)) and "-cpu-" in told
    assert not [entry for entry in hub.seen("GET", "/resolve/") if "-cpu-" not in entry.target]
    agent = hub.seen("GET", "/refs")[0].headers["user-agent"]
    assert agent.startswith("kernels/0.17.2; hf_hub/2.4.0;"), (
        "other clients than those this hub was made from"
    )
    hub.log.clear()
    client.python(OP + "check(get_kernel('acme/rms', version=1))")
    assert [entry.target.split("?")[0].split("/")[-1] for entry in hub.log] == ["overview", "refs", "build"]


def test_both_clients_on_one_cache_at_once(hub, client, kernel):
    """Whoever comes second to a file waits for the lock of the first, and fetches nothing."""
    commit = hub.add_folder("acme/rms", kernel, "v1")
    (sha256,) = (blob.sha256 for path, blob in commit.files.items() if "-cpu-" in path and blob.large)

    def both_have_asked():
        deadline = time.monotonic() + 30
        while len(hub.seen("HEAD", r"-cpu-.*\.so")) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1)  # for the second to come to the lock

    hub.fault(Meanwhile(both_have_asked), path=sha256)
    patient = {"HF_HUB_DOWNLOAD_TIMEOUT": "60"}
    started = [
        client.start(OP + "check(get_kernel('acme/rms', version=1))", **patient),
        client.start("snapshot_download('acme/rms', repo_type='kernel', revision='v1')", **patient),
    ]
    told = [process.communicate(timeout=45) for process in started]
    assert [process.returncode for process in started] == [0, 0], told
    assert len(hub.seen("HEAD", r"-cpu-.*\.so")) == 2, "one was done before the other began"
    assert len(hub.seen("GET", sha256)) == 1


def test_publishers_that_nobody_trusts_are_refused(hub, client, kernel):
    hub.add_folder("acme/rms", kernel, "v1")
    hub.trusted.clear()
    load = "from kernels import get_kernel\nget_kernel('acme/rms', version=1)"
    raised, allowed = client.errors(load, load.replace("version=1", "version=1, trust_remote_code=True"))
    assert raised.startswith("ValueError") and "not from a trusted publisher" in raised
    assert allowed == "none"


def test_versions_are_branches(hub, client, kernel):
    hub.add_folder("acme/rms", kernel, "v1")
    hub.add_folder("acme/rms", kernel, "v2")
    hub.add("acme/rms", {"README.md": b"# not a version\n"}, "vnext")
    missing, found, listed = client.errors(
        "import kernels\nkernels.has_kernel('acme/rms', version=3)",
        "assert kernels.has_kernel('acme/rms', version=2)",
        CLI.format("'versions', 'acme/rms'"),
    )
    assert missing.startswith("ValueError: Version 3 not found, available versions: 1, 2")
    assert (found, listed) == ("none", "none")
    asked = {entry.target.split("/")[6] for entry in hub.seen("GET", "/tree/refs%2Fheads")}
    assert asked == {"refs%2Fheads%2Fv1", "refs%2Fheads%2Fv2"}


def test_lock_download_and_load(hub, client, kernel, tmp_path):
    """The lock holds, though the branch moves on. The listing that the download leaves behind keeps the locked
    load from working; without it the load works, and asks nobody (verified-clients.md 6)."""
    commit = hub.add_folder("acme/rms", kernel, "v1").oid
    (tmp_path / "pyproject.toml").write_text('[tool.kernels.dependencies]\n"acme/rms" = 1\n')
    path = str(tmp_path)
    load = f"import kernels\nmodule = kernels.load_kernel('acme/rms', lockfile={path + '/kernels.lock'!r})\n"
    moved = hub.fault(
        Meanwhile(lambda: hub.add("acme/rms", {"a.txt": b"a"}, "v1")), path=f"/tree/{commit}/build", nth=2
    )
    told = client.errors(CLI.format(f"'lock', {path!r}"), CLI.format(f"'download', {path!r}"), load)
    assert told[:2] == ["none", "none"] and told[2].startswith("FileNotFoundError")
    assert moved.hits == 1 and hub.store.repos["kernel", "acme/rms"].commit_of("v1").oid != commit
    lock = json.loads((tmp_path / "kernels.lock").read_text())
    assert lock == [{"dependency": {"repo-id": "acme/rms", "version": 1}, "lock": {"commit": commit}}]
    repo = client.cache / "kernels--acme--rms"
    assert [folder.name for folder in (repo / "snapshots").iterdir()] == [commit]
    hub.log.clear()
    (repo / "trees" / f"{commit}.json").unlink()
    client.python(OP + load + "check(module)")
    assert hub.log == []
