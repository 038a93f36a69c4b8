"""kernmill get when something is wrong: the right error in bounded time, nothing visible in the cache, and a repeat
that needs no help. What the requests themselves do is tests/net/test_net_http.py's, over a client in C of its own."""

import concurrent.futures
import dataclasses
import pathlib
import random
import signal
import time

import pytest
from clients import Client
from faults import (
    Cut,
    Drop,
    GzipBomb,
    Meanwhile,
    OtherBody,
    OtherVersion,
    Redirect,
    Reset,
    Slow,
    Status,
    WrongBytes,
    WrongLength,
)
from fetching import (
    CONTENT,
    FILES,
    LIBRARY,
    METADATA,
    VARIANT,
    WANTED,
    Getter,
    blob_of,
    layout,
    visible,
    where,
)
from server import WRITER, Hub

IT = ("--variant", VARIANT)
BEARER = f"Bearer {WRITER}"


@pytest.fixture
def get(hub, client) -> Getter:
    hub.add("acme/relu", FILES, "v2")
    return Getter(client)


def nothing_of(get: Getter, path: str) -> None:
    """Neither a name that somebody could load, nor the file under its final one."""
    assert layout(get.cache, "snapshots", "refs") == {}
    assert blob_of(path) not in {pathlib.Path(p).name for p in visible(get.cache)}


def whole(get: Getter) -> None:
    got = layout(get.cache, "snapshots", "refs")
    assert sorted(name.split("/", 3)[3] for name in got if "/snapshots/" in name) == WANTED
    assert {pathlib.Path(p).name for p in visible(get.cache) if "/blobs/" in p} == {
        blob_of(p) for p in WANTED
    }


# ---- wrong files ----


@pytest.mark.parametrize(
    "fault", [WrongBytes(-1), WrongLength(4), WrongLength(-1), Status(403), OtherBody()], ids=repr
)
@pytest.mark.parametrize("path", [LIBRARY, METADATA])
def test_a_wrong_file_shows_up_nowhere(fault, path, hub, client, get, tmp_path):
    hub.fault(fault, path=where(path), times=None)
    said = client.kernmill("get", "acme/relu", *IT, check=False)
    assert said.returncode == (3 if isinstance(fault, Status) else 4), said.stderr
    nothing_of(get, path)
    again = client.kernmill("get", "acme/relu", *IT, "--output", tmp_path / "out", check=False)
    assert again.returncode == said.returncode and not list(tmp_path.glob("out*"))
    hub.rules.clear()
    get(*IT)
    whole(get)


# ---- what ends after its tries: all at once and beside the other tests, for most of their time is pauses ----


@dataclasses.dataclass
class Trouble:
    name: str
    fault: object
    code: int
    text: str
    path: str = where(LIBRARY)
    most_s: float = 40
    requests: int | None = None  # of that path


TROUBLE = [
    Trouble("wrong-digest", WrongBytes(7), 4, "its digest is not", requests=1),
    Trouble("too-short", WrongLength(-1), 4, "199999 bytes", requests=1),
    Trouble("too-long", WrongLength(1), 4, "more than the 200000 bytes", requests=1),
    Trouble("gzip-bomb", GzipBomb(1 << 30), 4, "came compressed", requests=1),
    Trouble("gzip-bomb-list", GzipBomb(1 << 30), 4, "more than 67108864 bytes", "/tree/", requests=1),
    Trouble("gzip-bomb-refs", GzipBomb(1 << 30), 4, "more than 67108864 bytes", "/refs$", requests=1),
    Trouble("500", Status(500), 5, "500", requests=6),
    Trouble("500-list", Status(500), 5, "500", "/tree/", requests=6),
    Trouble("429-for-long", Status(429, "3600"), 5, "429", requests=1),
    Trouble("429-for-long-list", Status(429, "3600"), 5, "429", "/refs$", requests=1),
    Trouble("429-again-and-again", Status(429, "1"), 5, "429", requests=6),
    Trouble("never-an-answer", Drop(), 5, "at the last of several tries", requests=6),
    Trouble("always-reset", Reset(), 5, "at the last of several tries", requests=6),
    Trouble("always-cut-at-once", Cut(0), 5, "at the last of several tries", requests=6),
    Trouble("redirects-for-ever", Redirect(""), 5, "redirects more than 5 times", requests=5),
    Trouble("no-list", OtherBody(b"<html>"), 4, "", "/tree/", requests=1),
    Trouble("not-there", Status(404), 5, "404", requests=1),
    Trouble("401", Status(401), 3, "401", requests=1),
]


def run_into(trouble: Trouble, folder: pathlib.Path) -> None:
    folder.mkdir()
    with Hub(folder / "hub") as hub:
        hub.add("acme/relu", FILES, "v2")
        client = Client(folder, hub.url)
        get = Getter(client)
        rule = hub.fault(trouble.fault, path=trouble.path, times=None)
        begun = time.monotonic()
        done = client.kernmill("get", "acme/relu", *IT, check=False)
        assert time.monotonic() - begun < trouble.most_s
        assert done.returncode == trouble.code, done.stderr
        assert trouble.text in done.stderr
        assert rule.hits == trouble.requests, done.stderr
        nothing_of(get, LIBRARY)
        hub.rules.clear()
        get(*IT)
        whole(get)
        assert hub.broken == []


@pytest.fixture(scope="module", autouse=True)
def troubles(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trouble")
    with concurrent.futures.ThreadPoolExecutor(len(TROUBLE)) as pool:
        yield {trouble.name: pool.submit(run_into, trouble, folder / trouble.name) for trouble in TROUBLE}


# ---- trouble that passes ----

PASSING = [Status(500), Status(503), Status(429, "1"), Status(429, "40", '"resolvers";r=0;t=1'), Drop(), Reset(), Reset(1000),
           Cut(0), Slow(1)]  # fmt: skip


@pytest.mark.parametrize("fault", PASSING, ids=repr)
def test_trouble_that_passes_is_not_told(fault, hub, get):
    rule = hub.fault(fault, path=where(LIBRARY))
    begun = time.monotonic()
    done = get(*IT)
    waited = time.monotonic() - begun
    assert rule.hits == 1 and rule.seen == (1 if isinstance(fault, Slow) else 2)
    assert (
        done.stderr == ""
        and (1 if isinstance(fault, Slow) or fault == Status(429, "1") else 0.1) < waited < 10
    )
    whole(get)


# Fifty files, each cut at a byte of its own: what came is not asked for again, and none of it is lost.
def test_cut_at_fifty_places(hub, client):
    rng = random.Random(50)
    files = {f"build/torch-cpu/f{i}.so": rng.randbytes(30_000) for i in range(50)}
    cuts = {path: rng.randrange(1, 30_000) for path in files}
    hub.add("acme/relu", files, "v1")
    for path, at in cuts.items():
        hub.fault(Cut(at), path=where(path, files[path]))
    get = Getter(client)
    done = get.json("--all")
    assert done["downloaded_bytes"] == done["bytes"] == 50 * 30_000
    for path, at in cuts.items():
        ranges = [entry.headers.get("range") for entry in hub.seen("GET", where(path, files[path]))]
        assert ranges == [None, f"bytes={at}-"]
        assert (pathlib.Path(done["path"]) / path).read_bytes() == files[path]


# A part with another ETag is of another file: it is not joined to what is here.
def test_a_file_that_came_in_pieces_of_another_version(hub, get):
    hub.fault(Cut(1000), path=where(LIBRARY))
    other = hub.fault(OtherVersion(), path=where(LIBRARY), nth=2)
    get(*IT)
    ranges = [entry.headers.get("range") for entry in hub.seen("GET", where(LIBRARY))]
    assert other.hits == 1 and ranges == [None, "bytes=1000-", None]
    whole(get)


# ---- where the token goes ----


@pytest.mark.parametrize("path", ["/refs", "/tree/", where(METADATA), where(LIBRARY)])
def test_the_token_stays_at_home(path, hub, get):
    hub.fault(Redirect(hub.stranger_url), path=path, times=None)
    get.client.kernmill("get", "acme/relu", *IT, check=False)
    strangers = hub.seen(origin="stranger")
    assert strangers and {entry.token for entry in strangers} == {None}
    assert not [e for e in strangers if WRITER in f"{e.target} {e.headers} {e.body}"]
    assert {entry.token for entry in hub.seen(origin="hub")} <= {BEARER}


def tls_getter(tls_hub, client_of, kind: str):
    hub = tls_hub(kind)
    hub.add("acme/relu", FILES, "v2")
    client = client_of(hub.url)
    client.environment["SSL_CERT_FILE"] = str(hub.certificate)
    return hub, Getter(client)


# The public client follows this; then a file's bytes come in plain text, and the list might.
@pytest.mark.parametrize("path", ["/refs", "/tree/", where(METADATA), where(LIBRARY)])
def test_https_is_not_left(path, tls_hub, client_of):
    hub, get = tls_getter(tls_hub, client_of, "good")
    hub.fault(Redirect(hub.stranger_url), path=path)
    assert "http" in get(*IT, code=5).stderr
    assert hub.seen(origin="stranger") == []
    nothing_of(get, METADATA if path == where(METADATA) else LIBRARY)
    hub.rules.clear()
    get(*IT)
    whole(get)


@pytest.mark.parametrize(
    ("kind", "reason"), [("expired", "certificate has expired"), ("wrong-host", "no alternative certificate")]
)
def test_a_certificate_that_does_not_hold(kind, reason, tls_hub, client_of):
    hub, get = tls_getter(tls_hub, client_of, kind)
    said = get(*IT, code=5).stderr
    assert reason in said and "SSL_CERT_FILE" in said
    assert hub.log == [] and not get.cache.exists()


# ---- what changes in between ----


@pytest.mark.parametrize("path", ["/tree/", where(METADATA), where(LIBRARY)])
def test_a_branch_that_moves_meanwhile(path, hub, get):
    old = hub.store.repos["kernel", "acme/relu"].refs["refs/heads/v2"]
    new = {LIBRARY: CONTENT[::-1], METADATA: b"[]"}
    moved = hub.fault(Meanwhile(lambda: hub.add("acme/relu", new, "v2")), path=path)
    done = get.json(*IT)
    assert moved.hits == 1 and done["commit"] == old
    whole(get)
    assert (get.cache / "kernels--acme--relu/refs/v2").read_text() == old
    after = get.json(*IT)
    assert after["commit"] != old
    assert (pathlib.Path(after["path"]) / "_relu.abi3.so").read_bytes() == CONTENT[::-1]


# ---- runs that end, and runs side by side ----


# Whatever byte the process is killed at: nothing is visible, and the next run goes on.
def test_a_killed_download_is_gone_on_with(hub, get):
    hub.fault(Cut(150_000), path=where(LIBRARY))
    hub.fault(Slow(60), path=where(LIBRARY), nth=2, times=None)
    process = get.start(*IT)
    deadline = time.monotonic() + 10
    half = get.cache / f"kernels--acme--relu/blobs/{blob_of(LIBRARY)}.kernmill.incomplete"
    while time.monotonic() < deadline and not (half.exists() and half.stat().st_size):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL and layout(get.cache, "snapshots", "refs") == {}
    have = half.stat().st_size
    hub.rules.clear()
    before = len(hub.log)
    get(*IT)
    assert [e.headers.get("range") for e in hub.log[before:] if "/objects/" in e.target] == [f"bytes={have}-"]
    assert [p for p in layout(get.cache, "blobs") if "kernmill" in p] == []


# An earlier half of something else must not spoil the file for ever.
def test_a_spoiled_half_is_thrown_away(get):
    get(*IT)
    (link,) = get.cache.glob(f"kernels--acme--relu/snapshots/*/{LIBRARY}")
    blob = link.resolve()
    blob.unlink()
    pathlib.Path(f"{blob}.kernmill.incomplete").write_bytes(b"y" * 1000)
    get(*IT)
    assert link.read_bytes() == CONTENT


def test_two_at_once_share_the_work(hub, get):
    hub.fault(Slow(0.3), path="/resolve/|/objects/", times=None)
    processes = [get.start("--all") for _ in range(3)]
    assert [p.communicate()[0] and p.returncode for p in processes] == [0, 0, 0]
    fetched = [e.target for e in hub.seen("GET", "/resolve/|/objects/") if e.status == 200]
    fetched = [target for target in fetched if not target.endswith("__init__.py")]
    assert fetched and len(fetched) == len(set(fetched)), "a file was downloaded twice"


# ---- what began first ----


@pytest.mark.parametrize("name", [trouble.name for trouble in TROUBLE])
def test_trouble_that_stays_is_told(name, troubles):
    troubles[name].result(timeout=60)
