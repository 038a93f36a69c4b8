"""A server on 127.0.0.1 whose answers a test writes, faults included, and what the program asked it."""

import contextlib
import dataclasses
import datetime
import email.message
import http.server
import ipaddress
import os
import pathlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = (ROOT / os.environ.get("KERNMILL_BUILD", "build/release")).resolve()
CANARY = "hf_canaryTOKENthatMustNotShowUp"


@dataclasses.dataclass
class Request:
    method: str
    path: str  # with its query
    headers: email.message.Message
    body: bytes


@dataclasses.dataclass
class Reply:
    """What goes over the wire. `cut`: so many bytes of the body, then a reset connection."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    length: int | None = None  # what Content-Length says; None: the truth
    cut: int | None = None
    pause: float = 0  # before the headers
    drip: float = 0  # between single bytes of the body


Answer = Callable[[Request], Reply]


class Server:
    def __init__(self, certificate: pathlib.Path | None = None):
        self.answers: dict[str, Answer] = {}
        self.requests: list[Request] = []
        self.connections = 0
        self.stopping = False
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = 65536

            def setup(self):
                outer.connections += 1
                super().setup()

            def log_message(self, *_):
                pass

            def answer(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                request = Request(self.command, self.path, self.headers, body)
                outer.requests.append(request)
                path = self.path.partition("?")[0]
                reply = outer.answers.get(path, outer.answers.get("*", lambda _: Reply(404)))(request)
                with contextlib.suppress(OSError):
                    self.send(reply)

            def send(self, reply: Reply):
                self.pause(reply.pause)
                self.send_response_only(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                length = len(reply.body) if reply.length is None else reply.length
                if "Content-Length" not in reply.headers and "Transfer-Encoding" not in reply.headers:
                    self.send_header("Content-Length", str(length))
                self.end_headers()
                if self.command == "HEAD":
                    return
                body = reply.body if reply.cut is None else reply.body[: reply.cut]
                if reply.drip:
                    for byte in body:
                        self.wfile.write(bytes([byte]))
                        self.wfile.flush()
                        self.pause(reply.drip)
                else:
                    self.wfile.write(body)
                    self.wfile.flush()
                if reply.cut is not None:
                    self.close_connection = True

            def pause(self, seconds: float):
                end = time.monotonic() + seconds
                while time.monotonic() < end and not outer.stopping:
                    time.sleep(min(0.02, seconds))

            do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

        class Listener(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_):
                pass

        self.http = Listener(("127.0.0.1", 0), Handler)
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.http.socket = context.wrap_socket(
                self.http.socket, server_side=True, do_handshake_on_connect=False
            )
            self.scheme = "https"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.http.server_address[1]}"

    def on(self, path: str, answer: Answer | Reply) -> str:
        """Answers a path (without query; "*" is any other); returns its URL."""
        self.answers[path] = answer if callable(answer) else lambda _: answer
        return self.url + path

    def paths(self, method: str | None = None) -> list[str]:
        return [r.path for r in self.requests if method in (None, r.method)]

    def close(self):
        self.stopping = True
        self.http.shutdown()
        self.http.server_close()


def ranged(content: bytes, etag: str | None = None, **more) -> Answer:
    """A file that is served whole or from a byte on, as Range and If-Range ask."""

    def answer(request: Request) -> Reply:
        headers = {"Accept-Ranges": "bytes", **({"ETag": f'"{etag}"'} if etag else {})}
        wanted = request.headers.get("Range")
        condition = request.headers.get("If-Range")
        if not wanted or (condition and condition != headers.get("ETag")):
            return Reply(200, content, headers, **more)
        first = int(wanted.removeprefix("bytes=").rstrip("-"))
        if first >= len(content):
            return Reply(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        return Reply(206, content[first:], headers, **more)

    return answer


def in_turn(*answers: Answer | Reply) -> Answer:
    """One after the other; the last one for ever."""
    left = list(answers)

    def answer(request: Request) -> Reply:
        this = left.pop(0) if len(left) > 1 else left[0]
        return this(request) if callable(this) else this

    return answer


def closed_port() -> int:
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def certificate(folder: pathlib.Path, host: str = "127.0.0.1", days: int = 1) -> pathlib.Path:
    """A key and a certificate that signed itself, in one file; negative `days`: expired."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "kernmill test")])
    now = datetime.datetime.now(datetime.timezone.utc)
    try:
        alternative = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        alternative = x509.DNSName(host)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=5))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([alternative]), False)
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    path = folder / f"{host}-{days}.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path
