"""Requests against a server that misbehaves: each ends with the right result or the right error, in bounded time,
and the token goes to the hub alone."""

import gzip
import random
import time
from email.utils import formatdate

import pytest
from faulty_server import CANARY, Reply, Server, certificate, closed_port, in_turn, ranged

CONTENT = random.Random(1).randbytes(300_000)


def tokens(server) -> list[str | None]:
    return [r.headers.get("Authorization") for r in server.requests]


# ---- the token ----


# The token opens everything that its owner can open.
def test_the_token_goes_to_the_hub_alone(driver, server, stranger):
    away = stranger.on("/away", Reply(200, b"there"))
    server.on("/start", Reply(302, headers={"Location": away}))
    server.on("/relative", Reply(302, headers={"Location": "/here"}))
    server.on("/here", Reply(200, b"here"))
    assert driver("get", server.url + "/start").json["body"] == "there"
    assert driver("get", server.url + "/relative").json["body"] == "here"
    assert driver("get", away).json["body"] == "there"
    assert tokens(stranger) == [None, None]
    assert tokens(server) == [f"Bearer {CANARY}"] * 3


# A stranger could send a request back to a page that keeps what it is sent.
def test_the_token_does_not_come_back_to_the_hub(driver, server, stranger):
    stranger.on("/away", Reply(302, headers={"Location": server.url + "/back"}))
    server.on("/start", Reply(302, headers={"Location": stranger.url + "/away"}))
    server.on("/back", Reply(200, b"back"))
    assert driver("get", server.url + "/start").json["body"] == "back"
    assert tokens(server) == [f"Bearer {CANARY}", None]


# 127.0.0.1 and localhost are two names; who answers for the one need not for the other.
def test_another_name_of_the_same_machine_is_another_origin(driver, server):
    port = server.http.server_address[1]
    server.on("/start", Reply(302, headers={"Location": f"http://localhost:{port}/x"}))
    server.on("/x", Reply(200, b"x"))
    driver("get", server.url + "/start")
    assert tokens(server)[1:] in ([None], [])


def test_a_token_is_not_sent_in_plain_text(driver):
    done = driver("get", "http://hub.example/x", hub="http://hub.example")
    assert done.code == 1 and "would cross the network in plain text" in done.err


# Also where the server repeats what it was sent.
def test_no_error_repeats_the_token(driver, server):
    def echo(request):
        return Reply(403, b'{"error": "no"}', {"X-Error-Message": f"bad {request.headers['Authorization']}"})

    url = server.on("/echo", echo)
    done = driver("get", url + "?signature=" + "s" * 20)
    assert done.code == 1 and "signature" not in done.err and "bad Bearer ***" in done.err


def test_an_address_with_a_password_is_refused(driver, server):
    host = server.url.removeprefix("http://")
    done = driver("get", f"http://someone:{CANARY}@{host}/x")
    assert done.code == 1 and "holds a user or a password" in done.err and not server.requests
    server.on("/start", Reply(302, headers={"Location": f"http://a:b@{host}/x"}))
    assert driver("get", server.url + "/start").code == 1


# ---- redirects ----


def test_https_is_not_left_for_http(driver, server, tmp_path):
    path = certificate(tmp_path)
    secure = Server(path)
    try:
        server.on("/plain", Reply(200, b"plain"))
        url = secure.on("/start", Reply(302, headers={"Location": server.url + "/plain"}))
        done = driver("get", url, hub=secure.url, SSL_CERT_FILE=str(path))
        assert done.code == 1 and "from https to plain http" in done.err and not server.requests
        secure.on("/x", Reply(200, b"secure"))
        assert driver("get", secure.url + "/x", SSL_CERT_FILE=str(path)).json["body"] == "secure"
    finally:
        secure.close()


@pytest.mark.parametrize(("host", "days"), [("127.0.0.1", -1), ("other.example", 1)])
def test_a_certificate_that_is_expired_or_of_another_host(host, days, driver, tmp_path):
    path = certificate(tmp_path, host, days)
    secure = Server(path)
    try:
        secure.on("/x", Reply(200, b"x"))
        done = driver("get", secure.url + "/x", hub=secure.url, SSL_CERT_FILE=str(path))
        assert done.code == 1 and "certificate" in done.err.lower() and not secure.requests
    finally:
        secure.close()


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/"])
def test_only_the_web_is_followed(target, driver, server):
    done = driver("get", server.on("/start", Reply(302, headers={"Location": target})))
    assert done.code == 1 and "not of the web" in done.err


def test_redirects_end(driver, server):
    done = driver("get", server.on("/loop", Reply(302, headers={"Location": "/loop"})))
    assert done.code == 1 and "redirects more than 5 times" in done.err
    assert len(server.requests) == 6


# What is uploaded was meant for one server.
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_what_is_sent_is_not_sent_elsewhere(status, driver, server, stranger, tmp_path):
    (tmp_path / "body").write_bytes(b"secret weights")
    stranger.on("*", Reply(200))
    url = server.on("/put", Reply(status, headers={"Location": stranger.url + "/put"}))
    done = driver("put", url, tmp_path / "body")
    assert done.code == 1 and "refused" in done.err and not stranger.requests


def test_a_moved_page_of_the_same_server_gets_what_is_sent(driver, server, tmp_path):
    (tmp_path / "body").write_bytes(CONTENT)
    url = server.on("/old", Reply(307, headers={"Location": "/new"}))
    server.on("/new", Reply(200, b"ok"))
    assert driver("put", url, tmp_path / "body").json["body"] == "ok"
    assert [r.body == CONTENT for r in server.requests] == [True, True]


def test_a_redirect_to_a_stranger_can_be_the_answer(driver, server, stranger):
    url = server.on(
        "/file", Reply(302, headers={"Location": stranger.url + "/cdn?sig=1", "X-Linked-Size": "7"})
    )
    answer = driver("stay", url).json
    assert answer["location"] == stranger.url + "/cdn?sig=1" and answer["headers"]["x-linked-size"] == "7"
    assert not stranger.requests


# ---- what is tried again ----


def test_passing_trouble_passes(driver, server):
    url = server.on("/x", in_turn(Reply(500), Reply(503), Reply(200, b"x", cut=0), Reply(200, b"at last")))
    assert driver("get", url).json["body"] == "at last"
    assert len(server.requests) == 4


def test_trouble_that_stays_is_told(driver, server):
    done = driver("get", server.on("/x", Reply(500, b'{"error": "out of disk"}', {"X-Request-Id": "r1"})))
    assert done.code == 1 and "answered 500: out of disk (request r1)" in done.err
    assert len(server.requests) == 6


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 412, 501])
def test_a_no_is_not_asked_again(status, driver, server):
    done = driver("get", server.on("/x", Reply(status)))
    assert done.code == 1 and f"answered {status}" in done.err
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "headers",
    [{"Retry-After": "1"}, {"RateLimit": '"api";r=0;t=1', "Retry-After": "1000"}, {"Retry-After": "date"}],
)
def test_the_server_says_how_long_to_wait(headers, driver, server):
    if headers.get("Retry-After") == "date":
        headers = {"Retry-After": formatdate(time.time() + 2, usegmt=True)}
    url = server.on("/x", in_turn(Reply(429, headers=headers), Reply(200, b"x")))
    start = time.monotonic()
    assert driver("get", url).json["body"] == "x"
    assert 0.9 < time.monotonic() - start < 4


def test_a_wait_too_long_is_not_waited(driver, server):
    start = time.monotonic()
    done = driver("get", server.on("/x", Reply(429, headers={"Retry-After": "3600"})))
    assert done.code == 1 and "answered 429" in done.err and "asks to wait 3600 s" in done.err
    assert time.monotonic() - start < 2 and len(server.requests) == 1


def test_nobody_there(driver):
    start = time.monotonic()
    done = driver("get", f"http://127.0.0.1:{closed_port()}/x")
    assert done.code == 1 and "check the network" in done.err and time.monotonic() - start < 5


@pytest.mark.parametrize("reply", [Reply(200, b"x", pause=20), Reply(200, b"x" * 100, drip=0.2)])
def test_a_slow_server_is_given_up(reply, driver, server):
    start = time.monotonic()
    done = driver("get", server.on("/x", reply), DRIVER_STALL_S="1", DRIVER_WAIT_MS="1")
    assert done.code == 1 and done.err.startswith("-8 ") and time.monotonic() - start < 6


def test_offline_asks_nothing(driver, server):
    done = driver("get", server.on("/x", Reply(200)), HF_HUB_OFFLINE="1")
    assert done.code == 1 and "HF_HUB_OFFLINE is set" in done.err and not server.requests


# ---- answers ----


def test_pages(driver, server):
    link = f'<{server.url}/p?cursor=2>; rel="next"'
    server.on(
        "/p", lambda r: Reply(200, b"two") if "cursor" in r.path else Reply(200, b"one", {"Link": link})
    )
    assert driver("pages", server.url + "/p").out.split() == ["one", "two"]


# The next page gets the token, too.
def test_a_next_page_elsewhere_is_refused(driver, server, stranger):
    url = server.on("/p", Reply(200, b"one", {"Link": f'<{stranger.url}/p>; rel="next"'}))
    done = driver("pages", url)
    assert done.code == 1 and "on another host" in done.err and not stranger.requests


def test_an_answer_is_unpacked_up_to_its_limit(driver, server):
    small = Reply(200, gzip.compress(b"hello"), {"Content-Encoding": "gzip"})
    assert driver("get", server.on("/small", small)).json["body"] == "hello"
    bomb = Reply(200, gzip.compress(bytes(200_000_000), 1), {"Content-Encoding": "gzip"})
    done = driver("get", server.on("/bomb", bomb), DRIVER_LIMIT="1000000")
    assert done.code == 1 and "more than 1000000 bytes" in done.err
    assert driver("get", server.on("/no", Reply(404, bytes(5_000_000)))).code == 1


def test_headers_have_a_limit(driver, server):
    many = {f"X-{i}": "y" for i in range(200)}
    done = driver("get", server.on("/x", Reply(200, b"x", many)))
    assert done.code == 1 and "headers" in done.err


def test_one_connection_serves_all_pages(driver, server):
    server.on("/p", lambda r: Reply(200, b"page", {} if r.path.endswith("9") else
              {"Link": f'</p?{len(server.requests)}>; rel="next"'}))  # fmt: skip
    assert driver("pages", server.url + "/p").out.split() == ["page"] * 10
    assert server.connections == 1


def test_a_proxy_is_asked(driver, stranger):
    stranger.on("*", lambda r: Reply(200, r.path.encode()))
    url = "http://hub.example/x"
    answer = driver("get", url, hub="https://hub.example", http_proxy=stranger.url).json
    assert stranger.requests[0].path == url and answer["status"] == 200
    assert tokens(stranger) == [None], "https://hub.example is another origin"


# What goes to this machine in plain text would cross the network to a proxy.
def test_this_machine_is_asked_without_a_proxy(driver, server, stranger):
    url = server.on("/x", Reply(200, b"direct"))
    proxies = {"http_proxy": stranger.url, "all_proxy": stranger.url}
    assert driver("get", url, **proxies).json["body"] == "direct" and not stranger.requests


# A server that redirects, then fails, is no fresh start for ever.
def test_trouble_behind_a_redirect_ends(driver, server):
    server.on("/x", Reply(500))
    done = driver("get", server.on("/start", Reply(302, headers={"Location": "/x"})))
    assert done.code == 1 and "answered 500" in done.err and server.paths().count("/x") == 6


# ---- files ----


def test_a_file_comes_whole(driver, server, tmp_path):
    url = server.on("/f", ranged(CONTENT, "e"))
    assert driver("file", url, tmp_path / "f", len(CONTENT)).code == 0
    assert (tmp_path / "f").read_bytes() == CONTENT


# 25 cuts in one download; without resuming, the 25th try would be its end.
def test_a_file_that_is_cut_at_random_bytes(driver, server, tmp_path):
    rng = random.Random(7)
    whole = ranged(CONTENT, "e")

    def answer(request):
        reply = whole(request)
        if len(server.requests) <= 25:
            reply.cut = rng.randrange(1, max(2, len(reply.body) // 8))
        return reply

    url = server.on("/f", answer)
    assert driver("file", url, tmp_path / "f", len(CONTENT)).code == 0
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert len(server.requests) == 26
    assert all(r.headers["If-Range"] == '"e"' for r in server.requests[1:])


@pytest.mark.parametrize("seed", range(50))
def test_a_second_run_goes_on_where_the_first_was_cut(seed, driver, server, tmp_path):
    at = random.Random(seed).randrange(len(CONTENT))
    (tmp_path / "f").write_bytes(CONTENT[:at])
    url = server.on("/f", ranged(CONTENT, "e"))
    assert driver("file", url, tmp_path / "f", len(CONTENT)).code == 0
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert server.requests[0].headers.get("Range") == (f"bytes={at}-" if at else None)


def test_a_file_that_changed_is_taken_from_its_start(driver, server, tmp_path):
    other = CONTENT[::-1]
    stale = Reply(
        206, other[100:], {"ETag": '"new"', "Content-Range": f"bytes 100-{len(other) - 1}/{len(other)}"}
    )
    first = ranged(CONTENT, "old")

    def cut(request):
        reply = first(request)
        reply.cut = 100
        return reply

    url = server.on("/f", in_turn(cut, stale, ranged(other, "new")))
    assert driver("file", url, tmp_path / "f", len(CONTENT)).code == 0
    assert (tmp_path / "f").read_bytes() == other
    assert [r.headers.get("Range") for r in server.requests] == [None, "bytes=100-", None]


WRONG_PARTS = [
    {},
    {"Content-Range": "bytes 0-299999/300000"},
    {"Content-Range": "bytes 50-299999/300000"},
    {"Content-Range": "bytes 100-299999/400000"},
    {"Content-Range": "bytes 100-99/300000"},
    {"Content-Range": "items 100-299999/300000"},
    {"Content-Range": "bytes 100-299999/300000x"},
]


@pytest.mark.parametrize("headers", WRONG_PARTS, ids=str)
def test_a_wrong_part_is_not_joined(headers, driver, server, tmp_path):
    (tmp_path / "f").write_bytes(CONTENT[:100])
    url = server.on("/f", in_turn(Reply(206, CONTENT[100:], headers), ranged(CONTENT, "e")))
    assert driver("file", url, tmp_path / "f", len(CONTENT)).code == 0
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert "Range" not in server.requests[1].headers


def test_a_server_that_has_no_such_part(driver, server, tmp_path):
    (tmp_path / "f").write_bytes(CONTENT + b"more")
    url = server.on("/f", ranged(CONTENT, "e"))
    assert driver("file", url, tmp_path / "f", -1).code == 0
    assert (tmp_path / "f").read_bytes() == CONTENT


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1, 0])
def test_a_file_of_another_size_is_an_error(size, driver, server, tmp_path):
    url = server.on("/f", ranged(CONTENT, "e"))
    done = driver("file", url, tmp_path / "f", size)
    assert done.code == 1 and done.err.startswith("-3 ")


def test_a_length_that_is_a_lie(driver, server, tmp_path):
    url = server.on("/f", Reply(200, CONTENT, length=len(CONTENT) + 10, cut=len(CONTENT)))
    done = driver("file", url, tmp_path / "f", -1)
    assert done.code == 1 and len(server.requests) > 1


def test_a_packed_file_is_refused(driver, server, tmp_path):
    url = server.on("/f", Reply(200, gzip.compress(CONTENT), {"Content-Encoding": "gzip"}))
    done = driver("file", url, tmp_path / "f", -1)
    assert done.code == 1 and "came compressed" in done.err and (tmp_path / "f").stat().st_size == 0


# A signature in an address may be good for minutes; a new one is the hub's to give.
def test_a_cut_at_the_store_is_taken_up_at_the_hub(driver, server, stranger, tmp_path):
    cut = ranged(CONTENT, "cdn", cut=1000)
    stranger.on("/cdn", in_turn(cut, ranged(CONTENT, "cdn")))
    url = server.on(
        "/f", lambda r: Reply(302, headers={"Location": f"{stranger.url}/cdn?{len(server.requests)}"})
    )
    assert driver("file", url, tmp_path / "f", len(CONTENT)).code == 0
    assert (tmp_path / "f").read_bytes() == CONTENT
    assert stranger.paths() == ["/cdn?1", "/cdn?2"] and tokens(stranger) == [None, None]


def test_files_come_side_by_side(driver, server, tmp_path):
    urls = [server.on(f"/f{i}", Reply(200, bytes([i]) * 1000, pause=0.2)) for i in range(16)]
    start = time.monotonic()
    assert driver("files", tmp_path / "f", *urls).code == 0
    assert time.monotonic() - start < 1.6
    assert (tmp_path / "f15").read_bytes() == bytes([15]) * 1000 and 1 < server.connections <= 8


@pytest.mark.parametrize("content", [b"", b'{"a": 1}'])
def test_a_post_has_a_length(content, driver, server, tmp_path):
    (tmp_path / "body").write_bytes(content)
    driver("post", server.on("/post", Reply(200, b"{}")), tmp_path / "body")
    (request,) = server.requests
    assert (request.method, request.body) == ("POST", content)
    assert (
        request.headers["Content-Length"] == str(len(content)) and "Transfer-Encoding" not in request.headers
    )


def test_an_upload_is_repeated_whole(driver, server, tmp_path):
    (tmp_path / "body").write_bytes(CONTENT)
    url = server.on("/put", in_turn(Reply(503), Reply(200, b"ok")))
    assert driver("put", url, tmp_path / "body").json["body"] == "ok"
    assert [r.body == CONTENT for r in server.requests] == [True, True]
    assert all("Expect" not in r.headers for r in server.requests)
