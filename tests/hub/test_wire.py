"""What the Python clients never send, and others do: ranges, chunked bodies, bad commits; and that the hub
keeps its state and its faults' promises. By http.client, so that every byte is ours."""

import base64
import http.client
import io
import json
import pathlib
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import zlib

import pytest
from exchange import Body
from faults import Cut, Slow, Status, gzip_zeros
from server import READER, WRITER, Hub

SERVER = pathlib.Path(__file__).with_name("server.py")
CONTENT = bytes(range(256)) * 4


def ask(url: str, method: str, path: str, body=None, token=None, **headers):
    """Status, headers and body of one request; the target goes out as it is."""
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    connection.request(
        method, path, body, headers, encode_chunked=headers.get("Transfer-Encoding") == "chunked"
    )
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read()


def commit(hub, *operations, header=None, revision="main", repo="acme/wire"):
    lines = [{"key": "header", "value": header or {"summary": "s", "description": ""}}, *operations]
    body = "\n".join(map(json.dumps, lines)).encode()
    status, headers, told = ask(hub.url, "POST", f"/api/kernels/{repo}/commit/{revision}", body, WRITER)
    return status, headers["X-Error-Code"], json.loads(told)


def file(path: str, data: bytes = b"x") -> dict:
    return {
        "key": "file",
        "value": {"content": base64.b64encode(data).decode(), "path": path, "encoding": "base64"},
    }


@pytest.mark.parametrize(
    ("asked", "status", "part", "told"),
    [
        ("bytes=1000-", 206, CONTENT[1000:], "bytes 1000-1023/1024"),
        ("bytes=10-19", 206, CONTENT[10:20], "bytes 10-19/1024"),
        ("bytes=-24", 206, CONTENT[1000:], "bytes 1000-1023/1024"),
        ("bytes=0-99999", 206, CONTENT, "bytes 0-1023/1024"),
        ("bytes=1024-", 416, None, "bytes */1024"),
        (None, 200, CONTENT, None),
    ],
)
def test_ranges(hub, asked, status, part, told):
    hub.add("acme/wire", {"a.txt": CONTENT})
    headers = {"Range": asked} if asked else {}
    path = "/kernels/acme/wire/resolve/main/a.txt"
    got, fields, body = ask(hub.url, "GET", path, **headers)
    assert (got, fields["Content-Range"]) == (status, told)
    assert part is None or body == part
    head = ask(hub.url, "HEAD", path, **headers)
    assert (head[0], head[1]["Content-Length"], head[2]) == (status, fields["Content-Length"], b"")


def test_a_part_is_of_the_version_that_was_asked_for(hub):
    hub.add("acme/wire", {"a.txt": CONTENT})
    path = "/kernels/acme/wire/resolve/main/a.txt"
    etag = ask(hub.url, "HEAD", path)[1]["ETag"]
    assert ask(hub.url, "GET", path, Range="bytes=5-", If_Range=etag)[0] == 206
    assert ask(hub.url, "GET", path, Range="bytes=5-", If_Range='"other"')[::2] == (200, CONTENT)
    assert ask(hub.url, "GET", path, If_None_Match=etag)[::2] == (304, b"")


def test_a_large_file_lies_elsewhere_behind_a_signature(hub):
    hub.add("acme/wire", {"a.so": CONTENT})
    status, headers, _ = ask(hub.url, "GET", "/kernels/acme/wire/resolve/main/a.so")
    assert status == 302 and headers["Location"].startswith(hub.objects_url) and hub.objects_url != hub.url
    path = headers["Location"].removeprefix(hub.objects_url)
    assert ask(hub.objects_url, "GET", path)[2] == CONTENT
    assert ask(hub.objects_url, "GET", path[:-1] + "g")[0] == 403
    hub.redirect_large = False
    status, headers, body = ask(hub.url, "GET", "/kernels/acme/wire/resolve/main/a.so")
    assert (status, body) == (200, CONTENT) and headers["ETag"].strip('"') == re.search("[0-9a-f]{64}", path)[
        0
    ]


@pytest.mark.parametrize("revision", ["main", "refs%2Fheads%2Fmain", "refs%2Ftags%2Ft", "t", "{commit}"])
def test_every_form_of_a_revision(hub, revision):
    made = hub.add("acme/wire", {"build/v/a.txt": b"a"}).oid
    assert ask(hub.url, "POST", "/api/kernels/acme/wire/tag/main", b'{"tag": "t"}', WRITER)[0] == 200
    revision = revision.replace("{commit}", made)
    for folder in ("build/v", "build%2Fv"):
        status, _, body = ask(hub.url, "GET", f"/api/kernels/acme/wire/tree/{revision}/{folder}")
        assert status == 200 and [item["path"] for item in json.loads(body)] == ["build/v/a.txt"]
    assert (
        ask(hub.url, "HEAD", f"/kernels/acme/wire/resolve/{revision}/build/v/a.txt")[1]["X-Repo-Commit"]
        == made
    )


def test_what_is_not_there_says_which(hub):
    made = hub.add("acme/wire", {"a.txt": b"a"}).oid
    for path, code in (
        ("/api/kernels/acme/wire/tree/none", "RevisionNotFound"),
        ("/api/kernels/acme/wire/tree/main/none", "EntryNotFound"),
        ("/kernels/acme/wire/resolve/main/none", "EntryNotFound"),
        ("/kernels/acme/none/resolve/main/a.txt", "RepoNotFound"),
    ):
        _, headers, body = ask(hub.url, "GET", path, token=READER)
        assert headers["X-Error-Code"] == code
        assert json.loads(body)["error"] == headers["X-Error-Message"]
        assert headers["X-Repo-Commit"] == (made if code == "EntryNotFound" else None)


def test_kernels_are_found_page_by_page(hub):
    """No Python client lists kernels; ours does (hub-http.md 5.1)."""
    for name in ("norm-a", "norm-b", "norm-c", "rope"):
        hub.add(f"acme/{name}", {"a.txt": b"a"}, private=name == "norm-b")
    path, found = "/api/kernels?search=Norm&limit=1", []
    while path:
        _, headers, body = ask(hub.url, "GET", path)
        found += [item["id"] for item in json.loads(body)]
        link = re.fullmatch('<(.*)>; rel="next"', headers["Link"] or "")
        path = link and link[1].removeprefix(hub.url)
    assert found == ["acme/norm-a", "acme/norm-c"]


@pytest.mark.parametrize(
    ("operation", "status"),
    [
        (file("../a"), 400),
        (file("/a"), 400),
        (file("a/.git/b"), 400),
        (file("a\\b"), 400),
        ({"key": "copyFile", "value": {"path": "a"}}, 400),
        ({"key": "header", "value": {}}, 400),
        ({"key": "lfsFile", "value": {"path": "a.so", "algo": "sha256", "oid": "0" * 64, "size": 1}}, 400),
        ({"key": "file", "value": {"path": "a", "content": "!", "encoding": "base64"}}, 400),
        ({"key": "deletedFile", "value": {"path": "none"}}, 404),
        ({"key": "deletedFolder", "value": {"path": "none/"}}, 404),
    ],
)
def test_a_commit_is_whole_or_nothing(hub, operation, status):
    before = hub.add("acme/wire", {"a.txt": b"a"}).oid
    assert commit(hub, file("new.txt"), operation)[0] == status
    assert hub.store.repos["kernel", "acme/wire"].refs["refs/heads/main"] == before


def test_where_a_commit_may_go(hub):
    made = hub.add("acme/wire", {"a.txt": b"a"}).oid
    assert commit(hub, file("b"), revision="none")[:2] == (404, "RevisionNotFound")
    assert commit(hub, file("b"), revision=made)[0] == 400
    assert commit(hub, file("b"), header={"summary": "s", "parentCommit": "0" * 40})[0] == 412
    status, _, told = commit(hub, file("b"), header={"summary": "s", "parentCommit": made[:7]})
    assert status == 200 and told["commitUrl"] == f"{hub.url}/kernels/acme/wire/commit/{told['commitOid']}"
    assert commit(hub, file("b"))[2]["commitOid"] == told["commitOid"], (
        "nothing changed, yet there is a commit"
    )


def test_a_chunked_body_and_another_request_behind_it(hub):
    hub.add("acme/wire", {"a.txt": b"a"})
    lines = [b'{"key": "header", "value": {"summary": "s"}}\n', json.dumps(file("b", b"bytes")).encode()]
    path = "/api/kernels/acme/wire/commit/main"
    assert ask(hub.url, "POST", path, iter(lines), WRITER, Transfer_Encoding="chunked")[0] == 200
    repo = hub.store.repos["kernel", "acme/wire"]
    assert hub.store.read(repo.commit_of("main").files["b"]) == b"bytes"
    parts = urllib.parse.urlsplit(hub.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
    for _ in range(2):  # refused before it was read: what is left of it must not be taken for a request
        connection.request("POST", "/api/none", b"GET / HTTP/1.1\r\n\r\n" * 10)
        answer = connection.getresponse()
        assert answer.status == 404 and answer.read()


def test_a_body_that_waits_to_be_asked_for(hub):
    """libcurl does so above a megabyte, and loses a second where nobody answers (hub-http.md 2.8)."""
    hub.add("acme/wire", {"a.txt": b"a"})
    parts = urllib.parse.urlsplit(hub.url)
    body = b'{"key": "header", "value": {"summary": "s"}}\n' + json.dumps(file("b")).encode()
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(
            b"POST /api/kernels/acme/wire/commit/main HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
            b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n" % (WRITER.encode(), len(body))
        )
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_ends_early_is_an_error():
    with pytest.raises(ConnectionError):
        Body(io.BytesIO(b"abc"), {"content-length": "4"}).read()


def test_faults_strike_what_they_name_and_nothing_else(hub):
    hub.add("acme/wire", {"a.txt": CONTENT, "b.txt": CONTENT})
    rule = hub.fault(Status(503), path=r"a\.txt", nth=2, times=2)
    path = "/kernels/acme/wire/resolve/main/"
    assert [ask(hub.url, "HEAD", path + "a.txt")[0] for _ in range(3)] == [200] * 3
    assert [ask(hub.url, "GET", path + "b.txt")[0] for _ in range(3)] == [200] * 3
    assert [ask(hub.url, "GET", path + "a.txt")[0] for _ in range(4)] == [200, 503, 503, 200]
    assert (rule.seen, rule.hits) == (4, 2)
    hub.fault(Cut(100), path=r"b\.txt")
    with pytest.raises(http.client.IncompleteRead) as cut:
        ask(hub.url, "GET", path + "b.txt")
    assert cut.value.partial == CONTENT[:100]


def test_a_gzip_bomb_is_small_and_whole():
    packed = gzip_zeros(64 << 20)
    assert len(packed) < 1 << 18
    assert zlib.decompress(packed, 31) == bytes(64 << 20)


def test_a_slow_answer_ends_with_the_hub(tmp_path):
    with Hub(tmp_path) as hub:
        hub.fault(Slow(60))
        parts = urllib.parse.urlsplit(hub.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=10)
        connection.request("GET", "/api/whoami-v2")
        deadline = time.monotonic() + 10
        while not hub.log and time.monotonic() < deadline:
            time.sleep(0.01)
    assert connection.getresponse().status == 401


def test_state_lives_on_in_its_folder(tmp_path):
    with Hub(tmp_path) as hub:
        made = hub.add("acme/wire", {"a.so": CONTENT}, "v1", private=True).oid
    with Hub(tmp_path) as hub:
        repo = hub.store.repos["kernel", "acme/wire"]
        assert repo.private and repo.commit_of("v1").oid == made
        assert hub.store.read(repo.commit_of("v1").files["a.so"]) == CONTENT


def test_by_hand(tmp_path):
    """`python tests/hub/server.py`, as people and benchmarks start it."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a.txt").write_bytes(CONTENT)
    command = [sys.executable, SERVER, "--port", "0", "--root", tmp_path / "hub"]
    log = tmp_path / "log"
    command += ["--add", f"acme/wire={folder}@v1", "--log", log]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url = re.search(r"HF_ENDPOINT=(http://127\.0\.0\.1:\d+) ", process.stdout.readline())[1]
            assert ask(url, "GET", "/kernels/acme/wire/resolve/v1/a.txt", token=READER)[2] == CONTENT
        finally:
            process.terminate()
    assert [json.loads(line)["status"] for line in log.read_text().splitlines()] == [200]
