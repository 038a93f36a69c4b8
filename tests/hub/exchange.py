"""A request as it came in and the answer as it goes out, between the sockets and the routes."""

import dataclasses
import json
import pathlib
import re
import threading
import urllib.parse

CHUNK_BYTES = 1 << 18


class Refusal(Exception):
    """An error answer. Header and JSON both carry it, since clients read either (hub-http.md 2.4)."""

    def __init__(self, status: int, message: str, code: str | None = None, headers=(), **fields):
        super().__init__(message)
        self.status = status
        self.headers = {"X-Error-Message": message, **dict(headers)}
        if code:
            self.headers["X-Error-Code"] = code
        self.fields = {"error": message, **fields}

    def answer(self) -> "Answer":
        return as_json(self.fields, self.status, self.headers)


class Body:
    """The bytes of a request, by Content-Length or chunked (hub-http.md 16.2 item 10)."""

    def __init__(self, stream, headers):
        self._stream = stream
        self._chunked = headers.get("transfer-encoding", "").lower() == "chunked"
        self._left = 0 if self._chunked else int(headers.get("content-length") or 0)
        self._ended = not self._chunked and not self._left

    def read(self, size: int = -1) -> bytes:
        if size < 0:
            return b"".join(iter(lambda: self.read(CHUNK_BYTES), b""))
        if self._chunked and not self._left and not self._ended:
            self._next_chunk()
        if self._ended:
            return b""
        data = self._stream.read(min(size, self._left))
        self._left -= len(data)
        if not data:
            raise ConnectionError("the request's body was cut short")
        self._after_part()
        return data

    def _next_chunk(self) -> None:
        self._left = int(self._stream.readline().split(b";")[0], 16)
        if not self._left:
            self._ended = True
            while self._stream.readline().strip():
                pass

    def _after_part(self) -> None:
        if self._left:
            return
        if self._chunked:
            self._stream.readline()
        else:
            self._ended = True


@dataclasses.dataclass
class Request:
    origin: str  # the listener it came to: "hub", "objects" or "stranger"
    method: str
    target: str  # path and query as sent
    headers: dict[str, str]  # names in lower case
    body: Body
    text: bytes = b""  # the whole body, once read() was called

    @property
    def path(self) -> str:
        return re.sub("//+", "/", self.target.split("?")[0])

    @property
    def query(self) -> dict[str, str]:
        return dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.target).query, keep_blank_values=True))

    def flag(self, name: str) -> bool:
        return self.query.get(name, "").lower() in ("1", "true")

    def read(self) -> bytes:
        self.text = self.text or self.body.read()
        return self.text

    def json(self) -> dict:
        try:
            value = json.loads(self.read() or b"{}")
        except ValueError as error:
            raise Refusal(400, f"the body is no JSON: {error}") from None
        if not isinstance(value, dict):
            raise Refusal(400, "the body is no JSON object")
        return value


@dataclasses.dataclass(frozen=True)
class FilePart:
    """A piece of a file, sent without being read into memory."""

    path: pathlib.Path
    offset: int
    size: int

    def bytes(self) -> bytes:
        with self.path.open("rb") as file:
            file.seek(self.offset)
            return file.read(self.size)


@dataclasses.dataclass
class Answer:
    status: int = 200
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    body: bytes | FilePart = b""
    # what faults ask of the sender
    cut_after_bytes: int | None = None
    reset: bool = False
    silent: bool = False
    delay_s: float = 0
    bytes_per_s: float | None = None

    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else self.body.bytes()

    @property
    def size(self) -> int:
        return len(self.body) if isinstance(self.body, bytes) else self.body.size


def as_json(value, status: int = 200, headers=()) -> Answer:
    fields = {"Content-Type": "application/json; charset=utf-8", **dict(headers)}
    return Answer(status, fields, json.dumps(value).encode())


def send(connection, method: str, answer: Answer, stopped: threading.Event) -> bool:
    """Writes the answer; False when the connection must close after it."""
    if answer.delay_s:
        stopped.wait(answer.delay_s)
    if answer.silent:
        return False
    answer.headers.setdefault("Content-Length", str(answer.size))
    head = f"HTTP/1.1 {answer.status} Test\r\n".encode()
    head += "".join(f"{name}: {value}\r\n" for name, value in answer.headers.items()).encode("utf-8")
    head += b"\r\n"
    if method == "HEAD" or not answer.size:
        connection.sendall(head)
        return answer.cut_after_bytes is None
    if isinstance(answer.body, FilePart) and answer.cut_after_bytes is None and answer.bytes_per_s is None:
        connection.sendall(head)
        with answer.body.path.open("rb") as file:
            connection.sendfile(file, answer.body.offset, answer.body.size)
        return True
    content = answer.content()[: answer.cut_after_bytes]
    if answer.bytes_per_s is None:
        connection.sendall(head + content)
    else:
        connection.sendall(head)
        _trickle(connection, content, answer.bytes_per_s, stopped)
    return answer.cut_after_bytes is None


def _trickle(connection, content: bytes, bytes_per_s: float, stopped: threading.Event) -> None:
    step = max(1, int(bytes_per_s / 10))
    for at in range(0, len(content), step):
        if stopped.wait(0.1):
            return
        connection.sendall(content[at : at + step])
