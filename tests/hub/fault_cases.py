"""What test_what_goes_wrong.py asks: the faults, the client's code that meets them, and what comes of it.
Cases run beside each other and beside all other tests, since most of their time is the client's own pauses.
"""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import pathlib
import re

from clients import Client
from faults import (
    Cut,
    Drop,
    GzipBomb,
    Listing,
    OtherBody,
    OtherVersion,
    Reset,
    Slow,
    Status,
    Without,
    WrongBytes,
    WrongLength,
)
from server import Hub

MIB = 1 << 20
GET = "path = hf_hub_download(REPO, 'small.txt', repo_type='kernel')"
BIG = "path = hf_hub_download(REPO, 'big.bin', repo_type='kernel')"
ALL = "path = snapshot_download(REPO, repo_type='kernel') + '/small.txt'"
ADD = "api.upload_file(path_or_fileobj=b'new', path_in_repo='new.txt', repo_id=REPO, repo_type='kernel')"
PUT = ADD.replace("b'new'", "REPO.encode()").replace("new.txt", "new.bin")
FOLDER = "pathlib.Path(REPO).mkdir(parents=True)\npathlib.Path(REPO, 'new.txt').write_text('new')\n"
FOLDER += "api.upload_folder(folder_path=REPO, repo_id=REPO, repo_type='kernel')"
PLAY = """
import hashlib, time
for REPO, code in CASES:
    names, start = {**globals(), "path": None}, time.monotonic()
    try:
        exec(code, names)
        path = names["path"]
        told = hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest() if path else "done"
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
    print(json.dumps([told, time.monotonic() - start]), flush=True)
"""


@dataclasses.dataclass
class Case:
    """`code` runs while the faults are on; what it may use is REPO. `expect` starts or holds what comes of it:
    the digest of the true file ("whole"), of another ("wrong"), "done", or an exception."""

    name: str
    code: str
    faults: list  # (fault, how it is addressed); "{repo}" and "{big}" stand for the paths
    expect: str
    requests: dict = dataclasses.field(default_factory=dict)  # of which there must be so many
    least_s: float = 0
    most_s: float = 15
    uploads: str = "regular"
    environment: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Result:
    digests: list[str]  # of the true files
    rules: list
    path: str  # the requests of this case
    text: str = ""
    seconds: float = 0
    log: list = dataclasses.field(default_factory=list)


def case(
    name, code, fault, expect, path="{repo}/resolve", method=None, nth=1, times=1, requests=None, **more
):
    address = {"path": path, "method": method, "nth": nth, "times": times}
    return Case(name, code, [(fault, address)], expect, requests or {}, **more)


TWICE = f"{GET}\n{GET}"
LATER = {"method": "HEAD", "nth": 2, "times": None}
CASES = [
    # HEAD of a file
    case("head-503-twice", GET, Status(503), "whole", method="HEAD", times=2, requests={"HEAD": 3}, least_s=1),
    case("head-retry-after", GET, Status(503, "2"), "whole", method="HEAD", times=2, requests={"HEAD": 3}, least_s=3),
    case("head-500-forever", GET, Status(500), "LocalEntryNotFoundError", method="HEAD", times=None,
         requests={"HEAD": 7, "GET": 0}, least_s=20, most_s=40),
    case("head-500-cached", TWICE, Status(500), "whole", requests={"HEAD": 2, "GET": 1}, **LATER),
    case("head-dropped-cached", TWICE, Drop(), "RemoteProtocolError", requests={"HEAD": 2}, **LATER),
    case("head-404-no-code", GET, Status(404), "LocalEntryNotFoundError", method="HEAD", requests={"HEAD": 1}),
    case("head-no-commit", GET, Without("X-Repo-Commit"), "LocalEntryNotFoundError", method="HEAD"),
    case("head-slow", GET, Slow(5), "whole", method="HEAD", requests={"HEAD": 2}, least_s=1,
         environment={"HF_HUB_ETAG_TIMEOUT": "2"}),
    # bodies
    case("get-500", GET, Status(500), "HfHubHTTPError: Server error '500", requests={"GET": 1}),
    case("get-429", GET, Status(429, "1"), "whole", requests={"GET": 2}, least_s=2),
    case("get-429-rate-limit", GET, Status(429, "40", '"resolvers";r=0;t=1'), "whole", requests={"GET": 2}, least_s=2),
    case("get-cut-small", GET, Cut(10), "whole", requests={"GET": 2, "range": 0}, least_s=1),
    case("get-dropped", GET, Drop(), "whole", requests={"GET": 2}, least_s=1),
    case("get-reset", GET, Reset(10), "ReadError", requests={"GET": 1}),
    case("get-reset-before", GET, Reset(), "ReadError", requests={"GET": 1}),
    case("get-cut-big", BIG, Cut(11 * MIB), "whole", "{big}", requests={"bytes=10485760-": 1}, least_s=1),
    case("get-slow", GET, Slow(5), "whole", requests={"GET": 2}, least_s=1, environment={"HF_HUB_DOWNLOAD_TIMEOUT": "2"}),
    case("get-trickle", GET, Slow(bytes_per_s=1000), "whole", requests={"GET": 1}, least_s=0.9),
    case("get-short", GET, WrongLength(-1), "OSError: Consistency check failed", requests={"GET": 1}),
    case("get-long", GET, WrongLength(1), "OSError: Consistency check failed", requests={"GET": 1}),
    case("get-wrong-bytes", GET, WrongBytes(), "wrong", requests={"GET": 1}),
    case("get-another-page", GET, OtherBody(), "OSError: Consistency check failed", requests={"GET": 1}),
    case("get-gzip-bomb", GET, GzipBomb(64 * MIB), "OSError: Consistency check failed", requests={"GET": 1}),
    Case("get-resumed-from-another-version", BIG, [(Cut(11 * MIB), {"path": "{big}"}),
         (OtherVersion(), {"path": "{big}", "nth": 2})], "wrong", {"bytes=10485760-": 1}),
    # lists
    case("tree-503", ALL, Status(503), "whole", "{repo}/tree/", requests={"/tree/": 2}, least_s=1),
    case("tree-names-what-is-not-there", ALL, Listing(["gone.txt"]), "RemoteEntryNotFoundError", "{repo}/tree/"),
    case("revision-503", ALL, Status(503), "LocalEntryNotFoundError", "{repo}/revision/", requests={"/revision/": 1}),
    case("info-503", "api.kernel_info(REPO)", Status(503), "HfHubHTTPError", "{repo}$", requests={"GET": 1}),
    case("refs-503", "api.list_repo_refs(REPO, repo_type='kernel')", Status(503), "HfHubHTTPError", "{repo}/refs",
         requests={"/refs": 1}),
    # writing
    case("preupload-503", ADD, Status(503), "done", "{repo}/preupload", requests={"/preupload/": 2, "/commit/": 1}, least_s=1),
    case("commit-503", ADD, Status(503), "HfHubHTTPError", "{repo}/commit", requests={"/commit/": 1}),
    case("commit-500-applied", ADD, Status(500, applied=True), "HfHubHTTPError", "{repo}/commit", requests={"/commit/": 1}),
    case("folder-500-applied", FOLDER, Status(500, applied=True), "done", "{repo}/commit", requests={"/commit/": 2}),
    case("verify-400", PUT, Status(400), "RuntimeError: Error while uploading 'new.bin'", "{repo}.git/info/lfs/objects/verify",
         requests={"objects/verify": 1, "/commit/": 0}, uploads="lfs", environment={"HF_HUB_DISABLE_XET": "1"}),
    case("batch-503", PUT, Status(503), "done", "{repo}.git/info/lfs/objects/batch", requests={"objects/batch": 2, "/commit/": 1},
         uploads="lfs", environment={"HF_HUB_DISABLE_XET": "1"}, least_s=1),
]  # fmt: skip


def lanes() -> list[list[Case]]:
    """What runs one after the other in one process: of one environment, and the long ones alone."""
    groups: dict[str, list[Case]] = {}
    for wanted in CASES:
        alone = wanted.name if wanted.least_s > 10 else ""
        groups.setdefault(f"{alone}{wanted.uploads}{wanted.environment}", []).append(wanted)
    split = [group[start::4] for group in groups.values() for start in range(4)]
    return sorted(filter(None, split), key=lambda lane: -max(wanted.least_s for wanted in lane))


def prepare(hub: Hub, wanted: Case) -> Result:
    """A kernel unlike any other case's, since an object's address names no repository."""
    repo, small = f"acme/{wanted.name}", hashlib.sha256(wanted.name.encode()).digest() * 32
    files = {"small.txt": small}
    if "big.bin" in wanted.code:
        files["big.bin"] = small * (12 * MIB // len(small))
    hub.add(repo, files)
    digests = [hashlib.sha256(data).hexdigest() for data in files.values()]
    paths = {"repo": repo, "big": f"/objects/{digests[-1]}"}
    rules = [
        hub.fault(fault, **{**address, "path": address["path"].format(**paths)})
        for fault, address in wanted.faults
    ]
    return Result(digests, rules, f"{repo}[^-a-z]|{repo}$|{paths['big']}")


def play(hub: Hub, home: pathlib.Path, lane: list[Case]) -> dict[str, Result]:
    home.mkdir()
    results = {wanted.name: prepare(hub, wanted) for wanted in lane}
    cases = [(f"acme/{wanted.name}", wanted.code) for wanted in lane]
    done = Client(home, hub.url).python(f"CASES = {cases!r}{PLAY}", **lane[0].environment)
    for result, line in zip(results.values(), done.stdout.splitlines()[-len(lane) :], strict=True):
        told, result.seconds = json.loads(line)
        result.log = hub.seen(path=result.path)
        if re.fullmatch("[0-9a-f]{64}", told):
            told = "whole" if told in result.digests else "wrong"
        result.text = told
    return results


@contextlib.contextmanager
def playing(folder: pathlib.Path):
    """All lanes, begun at once: most of their time is the client's own pauses."""
    with Hub(folder / "hub") as regular, Hub(folder / "hub-lfs") as lfs:
        lfs.uploads = "lfs"
        hubs = {"regular": regular, "lfs": lfs}
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            futures = {}
            for number, lane in enumerate(lanes()):
                future = pool.submit(play, hubs[lane[0].uploads], folder / str(number), lane)
                futures.update({wanted.name: future for wanted in lane})
            yield lambda name: futures[name].result(timeout=60)[name]
        assert regular.broken == lfs.broken == []
