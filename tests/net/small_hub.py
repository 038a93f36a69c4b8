"""One kernel repository served as a hub serves it: what reading clients ask for, and no more."""

import hashlib
import json
import urllib.parse

from faulty_server import Reply, Request, Server, ranged


def git_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class SmallHub:
    """Files that end in .so are in LFS, on `store`, another host; a listing has `page` entries."""

    def __init__(self, server: Server, store: Server, files: dict[str, bytes], name="acme/relu", page=3):
        self.server, self.store, self.files, self.name, self.page = server, store, files, name, page
        self.commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.refs = {"main": "1" * 40, "v1": "2" * 40, "v2": self.commit}
        self.faults: dict[str, object] = {}  # path -> what to do with its answer
        self.entries: list[dict] | None = None  # instead of the true listing
        server.on("*", self.answer)
        store.on("*", self.stored)

    @property
    def api(self) -> str:
        return f"/api/kernels/{self.name}"

    def answer(self, request: Request) -> Reply:
        path = urllib.parse.urlsplit(request.path).path
        if path == self.api + "/refs":
            heads = [{"name": n, "ref": f"refs/heads/{n}", "targetCommit": c} for n, c in self.refs.items()]
            return self.json({"branches": heads, "converts": [], "tags": []})
        if path.startswith(self.api + "/revision/"):
            revision = urllib.parse.unquote(path.split("/revision/")[1])
            commit = self.refs.get(revision, revision)
            if commit != self.commit:
                return Reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return self.json({"id": self.name, "sha": commit})
        if path.startswith(self.api + "/tree/"):
            return self.tree(request, *path.split("/tree/")[1].partition("/")[::2])
        if path.startswith(f"/kernels/{self.name}/resolve/"):
            return self.resolve(request, path)
        if path == "/api/agent-harnesses":
            return self.json({"standardEnvVars": [], "harnesses": {}})
        return Reply(404, b'{"error": "no such repository"}', {"X-Error-Code": "RepoNotFound"})

    @staticmethod
    def json(value) -> Reply:
        return Reply(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def tree(self, request: Request, revision: str, sub: str) -> Reply:
        sub = urllib.parse.unquote(sub)
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(request.path).query)
        if revision not in (self.commit, *(n for n, c in self.refs.items() if c == self.commit)):
            return Reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        entries = (
            self.entries if self.entries is not None else self.listing(sub, query["recursive"] == ["true"])
        )
        if not entries:
            return Reply(404, b"{}", {"X-Error-Code": "EntryNotFound"})
        first = int(query.get("cursor", ["0"])[0])
        reply = self.json(entries[first : first + self.page])
        if first + self.page < len(entries):
            base = request.path.partition("&cursor")[0]
            reply.headers["Link"] = f'<{self.server.url}{base}&cursor={first + self.page}>; rel="next"'
        return reply

    def listing(self, sub: str, recursive: bool) -> list[dict]:
        prefix = sub + "/" if sub else ""
        found = {}
        for path, content in sorted(self.files.items()):
            if not path.startswith(prefix):
                continue
            parts = path.split("/")
            depth = prefix.count("/")
            for n in range(depth + 1, len(parts)):
                folder = "/".join(parts[:n])
                if recursive or n == depth + 1:
                    found[folder] = {"type": "directory", "path": folder, "oid": "f" * 40, "size": 0}
            if recursive or len(parts) == depth + 1:
                found[path] = self.entry(path, content)
        return list(found.values())

    @staticmethod
    def entry(path: str, content: bytes) -> dict:
        entry = {"type": "file", "path": path, "oid": git_id(content), "size": len(content)}
        if path.endswith(".so"):
            digest = hashlib.sha256(content).hexdigest()
            entry |= {"oid": "e" * 40, "lfs": {"oid": digest, "size": len(content), "pointerSize": 130}}
        return entry

    def resolve(self, request: Request, path: str) -> Reply:
        revision, _, name = path.split("/resolve/")[1].partition("/")
        name = urllib.parse.unquote(name)
        headers = {"X-Repo-Commit": self.commit}
        if name not in self.files:
            return Reply(404, b"{}", {**headers, "X-Error-Code": "EntryNotFound"})
        content = self.files[name]
        if name.endswith(".so"):
            digest = hashlib.sha256(content).hexdigest()
            headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content)),
                        "Location": f"{self.store.url}/{name}?signature=0"}  # fmt: skip
            return Reply(302, b"", headers)
        return self.serve(request, name, git_id(content), headers)

    def stored(self, request: Request) -> Reply:
        name = urllib.parse.unquote(urllib.parse.urlsplit(request.path).path)[1:]
        return self.serve(request, name, "of-the-store", {})

    def serve(self, request: Request, name: str, etag: str, headers: dict) -> Reply:
        reply = ranged(self.files[name], etag)(request)
        reply.headers |= headers
        fault = self.faults.get(name)
        return fault(reply) or reply if fault and request.method == "GET" else reply

    def asked(self) -> list[str]:
        return [r.path for s in (self.server, self.store) for r in s.requests]
