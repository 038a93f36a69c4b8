"""kernmill beside the Python clients, on loopback: download of one large file and of many small ones, what is
installed found and verified again, and the peak memory of get and publish. Prints tables; --json writes the record.

usage: .venv/bin/python benchmarks/hub/run.py [--json FILE] [--rounds 7] [--only times|memory]

Downloads and warm runs: both clients ask one server, replay_server.c, which plays back what the tests' hub
(tests/hub) answers to them; that hub itself, in Python, would be slower than the clients. Every download has an
empty cache, after sync(2), on the disk and once more in memory (/dev/shm), where no disk is waited for; the clients
take turns in random order. kernmill's time is the whole process, and ends when everything is verified and flushed; of Python's clients the call alone is
counted too (`call`), without start and imports. They neither compute a digest nor flush. A ratio is Python's call
over kernmill's process, the median of pairs with a distribution-free interval of 95 %.

Memory: the peak of the process (ru_maxrss), of a small parent. Publish goes to the hub in Python.
"""

import argparse
import hashlib
import json
import math
import os
import pathlib
import platform
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from base64 import b64encode
from datetime import datetime, timezone
from importlib.metadata import version

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/hub"))

from clients import Client  # noqa: E402
from exchange import Body, Request  # noqa: E402
from server import Hub  # noqa: E402
from small_kernels import CPU, files_of  # noqa: E402

PROGRAM = ROOT / os.environ.get("KERNMILL_BUILD", "build/release") / "bin/kernmill"
PACKED = ROOT / "dist/kernmill-rmsnorm"
LARGE_BYTES = 1 << 30
INLINE_BYTES = 90 << 20  # below what a commit's own body may hold, 100 MiB
SMALL_FILES = 1000
SEED = 20261126
LIMIT_BYTES = 64 << 20
STORES = {"on the disk": None, "in memory": "/dev/shm"}  # where the cache is; None: the temporary folder
SNAPSHOT = (
    "import time\nbegan = time.perf_counter()\n"
    "snapshot_download({repo!r}, repo_type='kernel', revision='v1', allow_patterns='build/*')\n"
    "print(time.perf_counter() - began)"
)
GET_KERNEL = (
    "import time\nfrom kernels import get_kernel\nbegan = time.perf_counter()\n"
    "get_kernel({repo!r}, version=1)\nprint(time.perf_counter() - began)"
)
# A process keeps its parent's peak across exec, so the parent of what is measured is a bare interpreter.
LAUNCHER = (
    "import os, sys\npid = os.spawnv(os.P_NOWAIT, sys.argv[1], sys.argv[1:])\n"
    "_, status, used = os.wait4(pid, 0)\nprint(used.ru_maxrss * 1024, file=sys.stderr)\n"
    "sys.exit(os.waitstatus_to_exitcode(status))"
)


# --- what is served ---


def large_kernel(folder: pathlib.Path, size: int) -> None:
    """A kernel of Python alone with one file of that size; random, so that nothing makes it smaller."""
    variant = folder / "build" / CPU
    for path, data in files_of("large", variants=[CPU]).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    with (variant / "lib.so").open("wb") as file:
        draw = random.Random(SEED)
        for _ in range(size >> 20):
            file.write(draw.randbytes(1 << 20))
    write_digests(variant)


def write_digests(variant: pathlib.Path) -> None:
    metadata = json.loads((variant / "metadata.json").read_text())
    files = metadata["digest"]["files"]
    for name in files:
        with (variant / name).open("rb") as file:
            files[name] = b64encode(hashlib.file_digest(file, "sha256").digest()).decode()
    (variant / "metadata.json").write_text(json.dumps(metadata, indent=2))


def small_files() -> dict[str, bytes]:
    draw = random.Random(SEED)
    return {
        f"part{i:03}.py": b"# " + draw.randbytes(1024).hex().encode() + b"\n" for i in range(SMALL_FILES - 4)
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Replay:
    """replay_server.c with what the hub answers to a list of targets."""

    def __init__(self, work: pathlib.Path, hub: Hub, targets: set[tuple[str, str]]):
        self.folder = work / "replay"
        self.folder.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.places = {hub.url: self.url, hub.objects_url: f"http://localhost:{self.port}"}
        lines = [
            self.line(hub, n, *target)
            for n, target in enumerate(sorted(targets, key=lambda t: t[1].encode()))
        ]
        (self.folder / "table").write_text("".join(lines))

    def line(self, hub: Hub, n: int, origin: str, target: str) -> str:
        answer = hub.serve(Request(origin, "GET", target, {}, Body(None, {})))
        head = f"HTTP/1.1 {answer.status} Replayed\r\n"
        for name, value in {**answer.headers, "Content-Length": str(answer.size)}.items():
            for place, here in self.places.items():
                value = value.replace(place, here)
            head += f"{name}: {value}\r\n"
        (self.folder / f"{n}.head").write_text(head + "\r\n")
        body = getattr(answer.body, "path", self.folder / f"{n}.body")
        if isinstance(answer.body, bytes):
            body.write_bytes(answer.body)
        return f"{target}\t{self.folder / f'{n}.head'}\t{body}\n"

    def __enter__(self):
        program = self.folder / "replay_server"
        source = pathlib.Path(__file__).with_name("replay_server.c")
        subprocess.run(["gcc", "-O2", "-pthread", source, "-o", program], check=True)
        command = [program, str(self.port), self.folder / "table"]
        self.log = (self.folder / "log").open("w+")
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log
        )
        assert self.process.stdout.readline() == b"ready\n"
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait()

    def missed(self) -> str:
        self.log.seek(0)
        return self.log.read()


# --- the clients ---


def kernmill(client: Client, *words, **options) -> tuple[float, None]:
    began = time.perf_counter()
    client.run(PROGRAM, *words, timeout=300, **options)
    return time.perf_counter() - began, None


def python(client: Client, code: str, **options) -> tuple[float, float]:
    """The process, and in it the call."""
    began = time.perf_counter()
    told = client.python(code, timeout=300, **options)
    return time.perf_counter() - began, float(told.stdout.split()[-1])


def downloads(repo: str):
    """What takes turns: each a function of a client with an empty home."""
    code = SNAPSHOT.format(repo=repo)
    get = ("get", repo, "--revision", "v1", "--all", "--quiet")
    return {
        "kernmill get": lambda client: kernmill(client, *get),
        "huggingface_hub": lambda client: python(client, code),
        "huggingface_hub, hf-xet disabled": lambda client: python(client, code, HF_HUB_DISABLE_XET="1"),
    }


class Homes:
    """A fresh home for each run."""

    def __init__(self, work: pathlib.Path, endpoint: str):
        self.work, self.endpoint, self.count = work, endpoint, 0

    def fresh(self) -> Client:
        self.count += 1
        home = self.work / f"home{self.count}"
        home.mkdir()
        return Client(home, self.endpoint)


# --- figures ---


def interval(values: list[float]) -> list[float]:
    """Order statistics that hold the median with at least 95 %; of five or fewer values none do."""
    values, n = sorted(values), len(values)
    for k in range(n // 2, -1, -1):
        if 1 - 2 * sum(math.comb(n, i) for i in range(k + 1)) / 2**n >= 0.95:
            return [values[k], values[n - 1 - k]]
    return [-math.inf, math.inf]


def rounded(values: list[float]) -> list[float]:
    return [round(value, 6) for value in values]


def summary(samples: dict[str, list[tuple[float, float | None]]], ours: str) -> dict:
    """Medians, and of all others the ratio to ours."""
    base = [process for process, _ in samples[ours]]
    told = {}
    for name, runs in samples.items():
        told[name] = {"process_s": rounded([process for process, _ in runs])}
        told[name]["median_s"] = round(statistics.median(told[name]["process_s"]), 6)
        if name == ours:
            continue
        counted = [call if call is not None else process for process, call in runs]
        ratios = [theirs / mine for theirs, mine in zip(counted, base, strict=True)]
        told[name]["call_s"] = rounded(counted)
        told[name]["call_median_s"] = round(statistics.median(counted), 6)
        told[name]["ratio"] = round(statistics.median(ratios), 4)
        told[name]["ratio_interval"] = rounded(interval(ratios))
    return told


def show(title: str, told: dict) -> None:
    print(f"\n{title}")
    for name, fields in told.items():
        line = f"  {name:<36} {fields['median_s']:>9.4f} s"
        if "ratio" in fields:
            low, high = fields["ratio_interval"]
            line += f"   call {fields['call_median_s']:>9.4f} s   ratio {fields['ratio']:.2f} [{low:.2f}, {high:.2f}]"
        print(line, flush=True)


# --- the three parts ---


def take_turns(homes: Homes, calls: dict, rounds: int, draw: random.Random) -> dict:
    samples = {name: [] for name in calls}
    for _ in range(rounds):
        for name in draw.sample(list(calls), len(calls)):
            client = homes.fresh()
            os.sync()
            samples[name].append(calls[name](client))
            shutil.rmtree(client.home)
    return samples


def warm_turns(homes: Homes, repo: str, variant: str, rounds: int, draw: random.Random) -> dict:
    """Each has what it looks for in its cache; ours also find it without the network."""
    client, code = homes.fresh(), GET_KERNEL.format(repo=repo)
    kernmill(client, "get", repo, "--version", "1", KERNMILL_PYTHON=sys.executable)
    python(client, code)
    get = ("get", repo, "--version", "1", "--quiet")
    calls = {
        "kernmill verify": lambda: kernmill(client, "verify", repo, "--version", "1", "--quiet"),
        "kernmill get, offline": lambda: kernmill(client, *get, "--variant", variant, HF_HUB_OFFLINE="1"),
        "kernmill get": lambda: kernmill(client, *get, "--variant", variant),
        "kernmill get, which asks Python for torch": lambda: kernmill(
            client, *get, KERNMILL_PYTHON=sys.executable
        ),
        "get_kernel": lambda: python(client, code),
    }
    samples = {name: [] for name in calls}
    for _ in range(rounds):
        for name in draw.sample(list(calls), len(calls)):
            samples[name].append(calls[name]())
    return samples


def recorded(hub: Hub, homes: Homes, repos: dict[str, str]) -> set[tuple[str, str]]:
    """What the clients ask of a hub, each run once on it."""
    for repo in repos:
        for call in downloads(repo).values():
            client = homes.fresh()
            call(client)
            shutil.rmtree(client.home)
    warm_turns(homes, "acme/rmsnorm", repos["acme/rmsnorm"], 1, random.Random(SEED))
    return {(entry.origin, entry.target) for entry in hub.log if entry.method in ("GET", "HEAD")}


def measure_times(work: pathlib.Path, rounds: int) -> dict:
    repos = {"acme/large": CPU, "acme/small": CPU, "acme/rmsnorm": cpu_variant(PACKED)}
    draw = random.Random(SEED)
    with Hub(work / "hub") as hub:
        large_kernel(work / "large", LARGE_BYTES)
        hub.add_folder("acme/large", work / "large", "v1")
        hub.add("acme/small", files_of("small", variants=[CPU], **small_files()), "v1")
        hub.add_folder("acme/rmsnorm", PACKED, "v1")
        shutil.rmtree(work / "large")
        replay = Replay(work, hub, recorded(hub, Homes(work / "recording", hub.url), repos))
    told = {}
    with replay:
        for store in STORES:
            with tempfile.TemporaryDirectory(prefix="kernmill-hub-", dir=STORES[store]) as folder:
                homes = Homes(pathlib.Path(folder), replay.url)
                for key, what in (
                    ("large", f"{LARGE_BYTES >> 20} MiB in one file"),
                    ("small", f"{SMALL_FILES} files"),
                ):
                    samples = take_turns(homes, downloads(f"acme/{key}"), rounds, draw)
                    told[f"{key}, {store}"] = summary(samples, "kernmill get")
                    show(f"{what}, cache {store}, {rounds} rounds", told[f"{key}, {store}"])
        homes = Homes(work / "homes", replay.url)
        samples = warm_turns(homes, "acme/rmsnorm", repos["acme/rmsnorm"], 3 * rounds, draw)
        told["warm"] = summary(samples, "kernmill verify")
        show(f"rmsnorm in the cache, {3 * rounds} rounds", told["warm"])
        assert not replay.missed(), replay.missed()
    return told


def cpu_variant(packed: pathlib.Path) -> str:
    return next(path.name for path in (packed / "build").iterdir() if "-cpu-" in path.name)


def grown(packed: pathlib.Path, to: pathlib.Path, size: int) -> None:
    """The packed kernel's CPU variant, its library larger by a section of random bytes."""
    variant = to / "build" / cpu_variant(packed)
    shutil.copytree(packed / "build" / variant.name, variant, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(packed / "README.md", to)
    card = (to / "README.md").read_text()
    (to / "README.md").write_text(card + "\n## Tests\n\nNot tested on these files.\n")
    library, padding = next(variant.glob("*.so")), to.with_suffix(".padding")
    with padding.open("wb") as file:
        draw = random.Random(SEED)
        for _ in range(size >> 20):
            file.write(draw.randbytes(1 << 20))
    subprocess.run(["objcopy", "--add-section", f".padding={padding}", library], check=True)
    padding.unlink()
    write_digests(variant)


def peak(client: Client, *command, **options) -> int:
    words = [sys.executable, "-I", "-S", "-c", LAUNCHER, *command]
    return int(client.run(*words, timeout=600, **options).stderr.split()[-1])


def measure_memory(work: pathlib.Path, _: int) -> dict:
    told = {}
    homes = Homes(work / "memory", "")
    for mode, size in (("lfs", LARGE_BYTES), ("regular", INLINE_BYTES)):
        with Hub(work / f"hub-{mode}") as hub:
            homes.endpoint, hub.uploads = hub.url, mode
            folder = work / f"packed-{mode}"
            grown(PACKED, folder, size)
            client, mib = homes.fresh(), size >> 20
            publish = ("publish", folder, "acme/grown", "--transport", "http", "--allow-untested", "--quiet")
            kind = "LFS" if mode == "lfs" else "in the commit"
            told[f"publish, a library of {mib} MiB, {kind}"] = peak(
                client, PROGRAM, *publish, TMPDIR=str(work)
            )
            get = ("get", "acme/grown", "--version", "1", "--all", "--quiet")
            told[f"get, a library of {mib} MiB"] = peak(client, PROGRAM, *get)
            verify = ("verify", "acme/grown", "--quiet")
            told[f"verify, a library of {mib} MiB"] = peak(client, PROGRAM, *verify)
            copy = (*get, "--output", client.home / "copy")
            told[f"get --output, a library of {mib} MiB"] = peak(client, PROGRAM, *copy)
            shutil.rmtree(folder)
        shutil.rmtree(work / f"hub-{mode}")
        shutil.rmtree(client.home)
    with Hub(work / "hub-small") as hub:
        homes.endpoint = hub.url
        hub.add("acme/small", files_of("small", variants=[CPU], **small_files()), "v1")
        get = ("get", "acme/small", "--version", "1", "--all", "--quiet")
        told[f"get, {SMALL_FILES} files"] = peak(homes.fresh(), PROGRAM, *get)
    print(f"\npeak memory (asked: below {LIMIT_BYTES >> 20} MiB)")
    for name, value in told.items():
        print(f"  {name:<48} {value / 2**20:>8.1f} MiB")
    return {"memory_bytes": told}


# --- the record ---


def cpu() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def first_line(*command) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    return done.stdout.splitlines()[0]


def head(arguments: list[str], rounds: int) -> dict:
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": " ".join(["benchmarks/hub/run.py", *arguments]),
        "machine": {"cpu": cpu(), "cores": os.cpu_count(), "system": platform.platform()},
        "versions": {
            "kernmill": first_line(PROGRAM, "version"),
            "python": platform.python_version(),
            **{name: version(name) for name in ("huggingface_hub", "hf_xet", "httpx2", "kernels", "torch")},
        },
        "rounds": rounds,
        "large_bytes": LARGE_BYTES,
        "small_files": SMALL_FILES,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", choices=["times", "memory"])
    arguments = parser.parse_args()
    if not (PACKED / "build").is_dir():
        parser.error(f"{PACKED} is not there: kernmill pack kernels/rmsnorm")
    record = head(sys.argv[1:], arguments.rounds)
    with tempfile.TemporaryDirectory(prefix="kernmill-hub-") as folder:
        for name in ("recording", "homes", "memory"):
            (pathlib.Path(folder) / name).mkdir()
        for name, measure in (("times", measure_times), ("memory", measure_memory)):
            if arguments.only in (None, name):
                record |= measure(pathlib.Path(folder), arguments.rounds)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(record, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
