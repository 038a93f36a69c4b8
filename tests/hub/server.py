#!/usr/bin/env python3
"""A small Hugging Face hub on 127.0.0.1 for tests, benchmarks and people.

Three origins, each a port of its own: the hub; `objects`, where large files' bytes are read and written;
`stranger`, which nothing leads to but faults, and whose log shows what a client takes along.
What is served stands at each route, with the section that it comes from: hub-http.md and
verified-clients.md are our notes on what clients ask and accept (huggingface_hub 2.4.0, kernels 0.17.2).
The public hub itself was never asked. By hand:

    python tests/hub/server.py --port 8080 --root DIR [--add acme/name=FOLDER@v1]
"""

import argparse
import dataclasses
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import re
import socket
import struct
import sys
import threading
import traceback
import urllib.parse

import addresses
import faults
import rights
import routes_commits
import routes_files
import routes_refs
import routes_repos
import routes_uploads
from exchange import Answer, Body, Refusal, Request, send
from store import Commit, Store

WRITER = "hf_testWriterOfAcme"
READER = "hf_testReaderOfAcme"
STRANGER = "hf_testNobodyInAcme"
TOKENS = {
    WRITER: rights.Token("dev", ("acme",)),
    READER: rights.Token("reader", ("acme",), may_write=False),
    STRANGER: rights.Token("guest"),
}
OBJECT_ROUTES = routes_files.OBJECT_ROUTES + routes_uploads.OBJECT_ROUTES
# by topic; a model's address fits anything, so what stands first decides
HUB_ROUTES = (
    routes_repos.ROUTES
    + routes_refs.ROUTES
    + routes_uploads.ROUTES
    + routes_commits.ROUTES
    + routes_files.ROUTES
)
LOGGED_BODY_BYTES = 1 << 16
IDLE_S = 60


def compiled(routes):
    return [(method, re.compile(pattern + "/?"), function) for method, pattern, function in routes]


ROUTES = {
    "hub": compiled(HUB_ROUTES),
    "objects": compiled(OBJECT_ROUTES),
    "stranger": compiled(OBJECT_ROUTES + HUB_ROUTES),
}


@dataclasses.dataclass
class Seen:
    """One request in the log."""

    origin: str
    method: str
    target: str
    headers: dict[str, str]
    body: bytes = b""  # of small requests that were read as a whole
    status: int = 0  # 0: nothing was answered
    fault: str = ""

    @property
    def token(self) -> str | None:
        return self.headers.get("authorization")


class Hub:
    """The hub with its switches, its log and its faults; `with Hub(root) as hub` starts and stops it."""

    def __init__(self, root: pathlib.Path, port: int = 0, tls=None, log_file=None):
        self.store = Store(pathlib.Path(root))
        self.tokens = dict(TOKENS)
        self.trusted = {"acme"}
        self.uploads = "regular"  # "lfs": large files by LFS, which clients with hf-xet refuse
        self.redirect_large = True  # large files are read from the origin `objects`
        self.large_bytes = 10 << 20  # larger is large, whatever .gitattributes says
        self.part_bytes = 16 << 20  # larger is uploaded in parts
        self.page_items = 1000
        self.empty_commits = False  # True: a commit that changes nothing is made all the same
        self.parts: dict[str, dict[int, bytes]] = {}
        self.log: list[Seen] = []
        self.rules = faults.Rules()
        self.stopped = threading.Event()
        self.broken: list[str] = []  # tracebacks of our own mistakes
        self._log_file = log_file
        self._secret = os.urandom(16)
        self._listeners = {
            "hub": Listener(self, "hub", port, tls),
            "objects": Listener(self, "objects", 0, tls),
            "stranger": Listener(self, "stranger", 0, None),
        }

    @property
    def url(self) -> str:
        return self._listeners["hub"].url

    @property
    def objects_url(self) -> str:
        return self._listeners["objects"].url

    @property
    def stranger_url(self) -> str:
        return self._listeners["stranger"].url

    def __enter__(self):
        for listener in self._listeners.values():
            threading.Thread(target=listener.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *error):
        self.stopped.set()
        for listener in self._listeners.values():
            listener.shutdown()
            listener.server_close()

    # for tests

    def fault(self, fault: faults.Fault, **which) -> faults.Rule:
        """Breaks `times` matching requests from the `nth` on; see faults.Rules.add for what matches."""
        return self.rules.add(fault, **which)

    def seen(self, method: str | None = None, path: str = "", origin: str | None = None) -> list[Seen]:
        return [
            entry
            for entry in list(self.log)
            if method in (None, entry.method)
            and re.search(path, entry.target)
            and origin in (None, entry.origin)
        ]

    def add(
        self, repo_id: str, files: dict[str, bytes], branch: str = "main", kind="kernel", **fields
    ) -> Commit:
        """A commit as an upload would make it, without one; makes the repository and the branch, too."""
        with self.store.lock:
            repo = self.store.repos.get((kind, repo_id))
            repo = repo or self.store.create(kind, repo_id, fields.get("private", False), "dev")
            repo.gated = fields.get("gated", repo.gated)
            base = repo.commit_of(f"refs/heads/{branch}") or repo.commit_of("main")
            repo.refs.setdefault(f"refs/heads/{branch}", base.oid)
            blobs = {}
            for path, data in files.items():
                large = self.store.is_large(base, path, len(data), self.large_bytes)
                blobs[path] = self.store.blob(self.store.put(data), len(data), large)
            return self.store.commit(
                repo, f"refs/heads/{branch}", {**base.files, **blobs}, "added", "", "dev"
            )

    def add_folder(self, repo_id: str, folder: pathlib.Path, branch: str = "main", **fields) -> Commit:
        files = {
            str(path.relative_to(folder)): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }
        return self.add(repo_id, files, branch, **fields)

    # for the routes

    def signature(self, text: str) -> str:
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()[:32]

    def serve(self, request: Request) -> Answer:
        method = "GET" if request.method == "HEAD" else request.method
        try:
            for wanted, pattern, function in ROUTES[request.origin]:
                match = pattern.fullmatch(request.path)
                if match and method == wanted:
                    named = {
                        key: urllib.parse.unquote(value) for key, value in match.groupdict().items() if value
                    }
                    missing = {key: None for key in match.groupdict() if key == "kinds"}
                    return function(self, request, **{**missing, **named})
            raise Refusal(404, f"not served: {request.method} {request.path}")
        except Refusal as refusal:
            return refusal.answer()
        except addresses.Moved as moved:
            return moved.answer

    def answer(self, request: Request, fault: faults.Fault | None) -> Answer:
        if fault:
            fault.before(request)
            if instead := fault.instead(request):
                return instead
        try:
            answer = self.serve(request)
        except (ConnectionError, TimeoutError):
            raise
        except Exception:
            self.broken.append(traceback.format_exc())
            answer = Refusal(501, "the test hub is broken; its `broken` says where").answer()
        return fault.change(request, answer) if fault else answer

    def note(self, entry: Seen) -> None:
        if self._log_file:
            fields = dataclasses.asdict(entry) | {"body": entry.body.decode("utf-8", "replace")}
            self._log_file.write(json.dumps(fields) + "\n")
            self._log_file.flush()


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, hub: Hub, origin: str, port: int, tls):
        super().__init__(("127.0.0.1", port), Connection)
        self.hub, self.origin, self.tls = hub, origin, tls
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_port}"

    def get_request(self):
        """The handshake comes with the first read, in the connection's own thread."""
        connection, address = super().get_request()
        if self.tls:
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        return connection, address

    def handle_error(self, request, client_address):
        """A client that goes away, or likes no certificate, is what tests are about."""
        if not isinstance(sys.exc_info()[1], OSError):
            self.hub.broken.append(traceback.format_exc())


class Connection(http.server.BaseHTTPRequestHandler):
    """Kept alive for a minute without a request: clients give up sooner (verified-clients.md 5)."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = IDLE_S

    def _serve(self) -> None:
        hub = self.server.hub
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.server.origin, self.command, self.path, headers, Body(self.rfile, headers))
        entry = Seen(request.origin, request.method, request.target, headers)
        hub.log.append(entry)
        fault = hub.rules.strike(request)
        entry.fault = type(fault).__name__ if fault else ""
        answer = hub.answer(request, fault)
        entry.body = request.text if len(request.text) <= LOGGED_BODY_BYTES else b""
        entry.status = 0 if answer.silent else answer.status
        hub.note(entry)
        while request.body.read(1 << 16):
            pass  # what a route left unread would be taken for the next request
        if not send(self.connection, request.method, answer, hub.stopped):
            self.close_connection = True
        if answer.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

    def log_message(self, *_):
        """The log is hub.log."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--root", type=pathlib.Path, required=True, help="kept between runs")
    parser.add_argument("--add", action="append", default=[], metavar="ID=FOLDER[@BRANCH]")
    parser.add_argument("--uploads", choices=["regular", "lfs"], default="regular")
    parser.add_argument("--direct", action="store_true", help="large files without a redirect")
    parser.add_argument("--log", type=argparse.FileType("w"), help="requests as JSON lines")
    options = parser.parse_args()
    with Hub(options.root, options.port, log_file=options.log) as hub:
        hub.uploads, hub.redirect_large = options.uploads, not options.direct
        for addition in options.add:
            repo_id, _, folder = addition.partition("=")
            folder, _, branch = folder.partition("@")
            hub.add_folder(repo_id, pathlib.Path(folder), branch or "main")
        print(f"export HF_ENDPOINT={hub.url} HF_TOKEN={WRITER} NO_PROXY=127.0.0.1", flush=True)
        try:
            hub.stopped.wait()
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
