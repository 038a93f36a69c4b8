"""Where the real client takes its token along, and whom it believes: redirects and certificates
(verified-clients.md 5). The same hub then judges ours, which must be stricter."""

import hashlib

import pytest
from faults import Meanwhile, Redirect, Status, WrongBytes
from server import WRITER

READ = "print(pathlib.Path(hf_hub_download('acme/moved', 'a.txt', repo_type='kernel')).read_text())"
BEARER = f"Bearer {WRITER}"


@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_the_token_stays_here_when_bytes_lie_elsewhere(hub, client, method):
    """On HEAD the redirect is not followed, the body then fetched straight from there; on GET it is followed."""
    hub.add("acme/moved", {"a.txt": b"a"})
    hub.fault(Redirect(hub.stranger_url), path="/resolve/", method=method)
    assert client.python(READ).stdout.strip() == "a"
    assert [(entry.method, entry.token) for entry in hub.seen(origin="stranger")] == [("GET", None)]
    assert {entry.token for entry in hub.seen(path="/resolve/", origin="hub")} == {BEARER}


def test_another_name_of_this_host_is_another_host(hub, client):
    hub.add("acme/moved", {"a.txt": b"a"})
    hub.fault(Redirect(hub.url.replace("127.0.0.1", "localhost")), path="/resolve/", method="HEAD")
    assert client.python(READ).stdout.strip() == "a"
    assert [entry.token for entry in hub.seen("GET", "/resolve/")] == [None]


@pytest.mark.parametrize("absolute", [True, False])
def test_the_token_goes_along_at_home(hub, client, absolute):
    hub.add("acme/moved", {"a.txt": b"a"})
    hub.fault(Redirect(hub.url if absolute else ""), path="/resolve/", method="HEAD")
    assert client.python(READ).stdout.strip() == "a"
    asked = hub.seen(path="/resolve/")
    assert [(entry.method, entry.status, entry.token) for entry in asked] == [
        ("HEAD", 302, BEARER),
        ("HEAD", 200, BEARER),
        ("GET", 200, BEARER),
    ]


def test_a_downgrade_to_http_is_followed_without_the_token(tls_hub, client_of):
    """The real client does follow; the bytes then come over plain HTTP."""
    hub = tls_hub("good")
    client = client_of(hub.url)
    client.environment["SSL_CERT_FILE"] = str(hub.certificate)
    hub.add("acme/moved", {"a.txt": b"a"})
    hub.fault(Redirect(hub.stranger_url), path="/resolve/")
    assert hub.url.startswith("https:") and hub.stranger_url.startswith("http:")
    assert client.python(READ).stdout.strip() == "a"
    assert [entry.token for entry in hub.seen(origin="stranger")] == [None]


@pytest.mark.parametrize(
    ("kind", "reason"), [("expired", "certificate has expired"), ("wrong-host", "IP address mismatch")]
)
def test_a_certificate_that_does_not_hold(tls_hub, client_of, kind, reason):
    """Trusted as a CA, so that the date or the name alone is wrong; nothing is asked over such a connection."""
    hub = tls_hub(kind)
    client = client_of(hub.url)
    client.environment["SSL_CERT_FILE"] = str(hub.certificate)
    (raised,) = client.errors("api.whoami()")
    assert raised.startswith("ConnectError") and reason in raised
    assert hub.log == []


def test_a_snapshot_is_of_one_commit_whatever_comes_in_between(hub, client):
    old = hub.add("acme/moved", {"a.txt": b"old a", "b.txt": b"old b"}).oid
    new = {"a.txt": b"new a", "b.txt": b"new b", "c.txt": b"new c"}
    change = hub.fault(Meanwhile(lambda: hub.add("acme/moved", new)), path="/tree/")
    told = client.python(
        "print(snapshot_download('acme/moved', repo_type='kernel', allow_patterns='*.txt'))"
    ).stdout
    assert change.hits == 1 and told.strip().endswith(old)
    assert [path.read_text() for path in sorted(client.cache.rglob("snapshots/*/*.txt"))] == [
        "old a",
        "old b",
    ]


def test_files_by_branch_name_are_of_whatever_commit_is_there(hub, client):
    """The real client mixes two commits when a branch moves between two files."""
    old = hub.add("acme/moved", {"a.txt": b"old a", "b.txt": b"old b"}).oid
    hub.fault(
        Meanwhile(lambda: hub.add("acme/moved", {"a.txt": b"new a", "b.txt": b"new b"})),
        path="b.txt",
        method="HEAD",
    )
    client.python("for name in ('a.txt', 'b.txt'): hf_hub_download('acme/moved', name, repo_type='kernel')")
    found = {
        str(path.relative_to(client.cache)): path.read_text()
        for path in client.cache.rglob("snapshots/*/*.txt")
    }
    assert sorted(found.values()) == ["new b", "old a"] and len({path.split("/")[2] for path in found}) == 2
    assert found[f"kernels--acme--moved/snapshots/{old}/a.txt"] == "old a"


def test_wrong_bytes_are_kept_until_somebody_verifies(hub, client):
    blob = hashlib.sha256(b"a" * 100).hexdigest()
    hub.add("acme/moved", {"a.bin": b"a" * 100})
    hub.fault(WrongBytes(50), path="/objects/")
    client.python("hf_hub_download('acme/moved', 'a.bin', repo_type='kernel')")
    kept = (client.cache / "kernels--acme--moved" / "blobs" / blob).read_bytes()
    assert len(kept) == 100 and hashlib.sha256(kept).hexdigest() != blob
    done = client.hf("cache", "verify", "acme/moved", "--repo-type=kernel", check=False)
    assert done.returncode != 0 and "a.bin" in done.stdout + done.stderr


@pytest.mark.parametrize("empty_commits", [False, True])
def test_a_commit_that_landed_behind_an_error_is_sent_again(hub, client, tmp_path, empty_commits):
    """upload_folder repeats it: on a hub that makes commits without a change there are then two."""
    hub.empty_commits = empty_commits
    hub.add("acme/moved", {"a.txt": b"a"})
    (tmp_path / "new.txt").write_text("new")
    hub.fault(Status(500, applied=True), path="/commit/")
    client.python(
        f"api.upload_folder(folder_path={str(tmp_path)!r}, allow_patterns='new.txt', repo_id='acme/moved', repo_type='kernel')"
    )
    titles = [commit.title for commit in hub.store.repos["kernel", "acme/moved"].commits.values()]
    assert titles[2:] == ["Upload folder using huggingface_hub"] * (2 if empty_commits else 1)


def test_nothing_is_asked_offline(hub, client):
    hub.add("acme/moved", {"a.txt": b"a"})
    client.python(READ)
    hub.log.clear()
    assert client.python(READ, HF_HUB_OFFLINE="1").stdout.strip() == "a"
    assert hub.log == []
