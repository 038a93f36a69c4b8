"""What can go wrong, switched on by a test for the n-th request that matches.

    hub.fault(Cut(after_bytes=1000), path=r"/resolve/.*\\.so", nth=2)

breaks the second GET or POST (any method but HEAD, unless `method` names it) of such a path, and no other.
A fault may act before the request is served, in its place, or on its answer.
"""

import dataclasses
import json
import re
import threading
import zlib

from exchange import Answer, as_json

ZEROS = bytes(1 << 20)


class Fault:
    def before(self, request) -> None:
        pass

    def instead(self, request) -> Answer | None:
        return None

    def change(self, request, answer: Answer) -> Answer:
        return answer


@dataclasses.dataclass
class Cut(Fault):
    """The body ends after N bytes, the connection closes."""

    after_bytes: int

    def change(self, request, answer):
        return dataclasses.replace(answer, cut_after_bytes=self.after_bytes)


class Drop(Fault):
    """The connection closes with no answer; the request is not served."""

    def instead(self, request):
        return Answer(silent=True)


@dataclasses.dataclass
class Reset(Fault):
    """The connection is reset (RST), before the answer or after N bytes of its body."""

    after_bytes: int | None = None

    def change(self, request, answer):
        silent = self.after_bytes is None
        return dataclasses.replace(answer, silent=silent, cut_after_bytes=self.after_bytes, reset=True)


@dataclasses.dataclass
class WrongLength(Fault):
    """A complete, well-formed answer whose body is longer or shorter than the file."""

    by_bytes: int = -1

    def change(self, request, answer):
        content = answer.content()
        content = content[: self.by_bytes] if self.by_bytes < 0 else content + bytes(self.by_bytes)
        return dataclasses.replace(answer, body=content)


@dataclasses.dataclass
class WrongBytes(Fault):
    """One bit of the body flips: same size, another digest."""

    at: int = 0

    def change(self, request, answer):
        content = bytearray(answer.content())
        content[self.at] ^= 1
        return dataclasses.replace(answer, body=bytes(content))


@dataclasses.dataclass
class OtherBody(Fault):
    """A page of somebody in between, where the file should be."""

    body: bytes = b"<html>please log in</html>"

    def change(self, request, answer):
        return dataclasses.replace(answer, body=self.body)


@dataclasses.dataclass
class Listing(Fault):
    """A list of files names these, too, small and with an id: whatever JSON can say, bytes as they are."""

    names: list[str | bytes]
    type: str = "file"

    def change(self, request, answer):
        entries = [json.dumps(entry).encode() for entry in json.loads(answer.content())]
        entries += [self._entry(name) for name in self.names]
        return dataclasses.replace(answer, body=b"[" + b", ".join(entries) + b"]")

    def _entry(self, name: str | bytes) -> bytes:
        entry = {"type": self.type, "oid": "e" * 40, "size": 1, "path": name}
        if isinstance(name, str):
            return json.dumps(entry).encode()
        entry["path"] = name.decode("utf-8", "surrogateescape")
        return json.dumps(entry, ensure_ascii=False).encode("utf-8", "surrogateescape")


class OtherVersion(Fault):
    """The file changed between two requests: every byte is another, and the ETag says so."""

    def change(self, request, answer):
        content = bytes(byte ^ 0xFF for byte in answer.content())
        return dataclasses.replace(answer, body=content, headers={**answer.headers, "ETag": f'"{"f" * 40}"'})


@dataclasses.dataclass
class Without(Fault):
    """A header is missing from the answer."""

    name: str

    def change(self, request, answer):
        headers = {name: value for name, value in answer.headers.items() if name.lower() != self.name.lower()}
        return dataclasses.replace(answer, headers=headers)


@dataclasses.dataclass
class Redirect(Fault):
    """Sends the client to the same path of another origin, which serves it: hub.stranger_url, always plain
    HTTP, so that from a hub with TLS it is a downgrade. What HEAD told of the file stays."""

    to: str
    status: int = 302

    def change(self, request, answer):
        told = ("X-Repo-Commit", "ETag", "X-Linked-ETag", "X-Linked-Size")
        headers = {name: value for name, value in answer.headers.items() if name in told}
        return Answer(self.status, {**headers, "Location": self.to + request.target})


@dataclasses.dataclass
class Status(Fault):
    """An error in place of the answer; with `applied`, the request is served first all the same."""

    status: int
    retry_after: str | None = None
    rate_limit: str | None = None
    applied: bool = False

    def _answer(self) -> Answer:
        named = {"Retry-After": self.retry_after, "RateLimit": self.rate_limit}
        headers = {name: value for name, value in named.items() if value is not None}
        return as_json({"error": f"fault {self.status}"}, self.status, headers)

    def instead(self, request):
        return None if self.applied else self._answer()

    def change(self, request, answer):
        return self._answer()


@dataclasses.dataclass
class Meanwhile(Fault):
    """Something else happens just before the request is served, such as another commit."""

    action: object

    def before(self, request):
        self.action()


@dataclasses.dataclass
class GzipBomb(Fault):
    """A small compressed body that expands to `size_bytes` of zeros."""

    size_bytes: int = 256 << 20

    def change(self, request, answer):
        headers = {name: value for name, value in answer.headers.items() if name != "Content-Length"}
        return dataclasses.replace(
            answer, body=gzip_zeros(self.size_bytes), headers={**headers, "Content-Encoding": "gzip"}
        )


@dataclasses.dataclass
class Slow(Fault):
    """A pause before the answer, a bound on its rate, or both; ends when the hub stops."""

    delay_s: float = 0
    bytes_per_s: float | None = None

    def change(self, request, answer):
        return dataclasses.replace(answer, delay_s=self.delay_s, bytes_per_s=self.bytes_per_s)


def gzip_zeros(size_bytes: int) -> bytes:
    """A gzip stream of zeros, made without compressing them all: flushed blocks repeat."""
    count, checksum = size_bytes // len(ZEROS), 0
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = packer.compress(ZEROS) + packer.flush(zlib.Z_FULL_FLUSH)
    for _ in range(count):
        checksum = zlib.crc32(ZEROS, checksum)
    size = count * len(ZEROS) & 0xFFFFFFFF
    trailer = checksum.to_bytes(4, "little") + size.to_bytes(4, "little")
    return b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + block * count + packer.flush(zlib.Z_FINISH) + trailer


@dataclasses.dataclass
class Rule:
    fault: Fault
    method: str | None
    path: re.Pattern
    origin: str | None
    nth: int
    times: int | None
    seen: int = 0  # requests that matched
    hits: int = 0  # of them, the broken ones

    def strikes(self, request) -> bool:
        method_fits = request.method == self.method if self.method else request.method != "HEAD"
        if not method_fits or not self.path.search(request.target):
            return False
        if self.origin and request.origin != self.origin:
            return False
        self.seen += 1
        return self.seen >= self.nth and (self.times is None or self.seen < self.nth + self.times)


class Rules:
    def __init__(self):
        self._rules: list[Rule] = []
        self._lock = threading.Lock()

    def add(self, fault, *, path="", method=None, origin=None, nth=1, times=1) -> Rule:
        rule = Rule(fault, method, re.compile(path), origin, nth, times)
        with self._lock:
            self._rules.append(rule)
        return rule

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def strike(self, request) -> Fault | None:
        """The fault for this request, of the first rule that has one; every rule counts what it matches."""
        with self._lock:
            striking = [rule for rule in self._rules if rule.strikes(request)]
            if not striking:
                return None
            striking[0].hits += 1
            return striking[0].fault
