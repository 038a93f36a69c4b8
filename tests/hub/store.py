"""What the test hub holds: objects by their SHA-256, and repositories as commits over whole file lists.

    ROOT/objects/<sha256>   content, written under a temporary name, then renamed
    ROOT/state.json         repositories, refs and commits, rewritten after each change

A commit lists every file, so a read by commit id never changes and needs no lock; what moves a ref or
adds a repository holds `Store.lock`. Ids have git's forms (hub-http.md 1: 40 hex digits are load-bearing),
a file's id is git's own, a folder's and a commit's is a SHA-1 over our own text.
"""

import dataclasses
import datetime
import fnmatch
import hashlib
import json
import pathlib
import re
import threading
import uuid

GITATTRIBUTES = b"*.so filter=lfs diff=lfs merge=lfs -text\n*.bin filter=lfs diff=lfs merge=lfs -text\n"
CHUNK_BYTES = 1 << 20


def git_blob_id(data: bytes) -> str:
    digest = hashlib.sha1(b"blob %d\0" % len(data))
    digest.update(data)
    return digest.hexdigest()


@dataclasses.dataclass(frozen=True)
class Blob:
    """One file of one commit; `large` says that git would hold an LFS pointer in its place."""

    sha256: str
    size: int
    git_id: str
    large: bool

    @property
    def pointer(self) -> bytes:
        return b"version https://git-lfs.github.com/spec/v1\noid sha256:%s\nsize %d\n" % (
            self.sha256.encode(),
            self.size,
        )

    @property
    def tree_id(self) -> str:
        """The id in a tree: of the pointer, not of the content, for a large file (verified-clients.md 6)."""
        return git_blob_id(self.pointer) if self.large else self.git_id

    @property
    def etag(self) -> str:
        return self.sha256 if self.large else self.git_id


@dataclasses.dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    title: str
    message: str
    date: str
    author: str
    files: dict[str, Blob]

    def folders(self) -> dict[str, str]:
        """Every folder with an id that changes with what lies below it."""
        below: dict[str, list[str]] = {}
        for path, blob in sorted(self.files.items()):
            for parent in list(pathlib.PurePosixPath(path).parents)[:-1]:
                below.setdefault(str(parent), []).append(f"{path} {blob.tree_id}")
        return {
            folder: hashlib.sha1("\n".join(lines).encode()).hexdigest() for folder, lines in below.items()
        }


@dataclasses.dataclass
class Pull:
    num: int
    title: str
    description: str
    author: str
    date: str


@dataclasses.dataclass
class Repo:
    kind: str  # "model", "dataset", "space" or "kernel"
    id: str
    private: bool = False
    gated: bool = False
    refs: dict[str, str] = dataclasses.field(default_factory=dict)  # full name -> commit
    commits: dict[str, Commit] = dataclasses.field(default_factory=dict)
    pulls: dict[int, Pull] = dataclasses.field(default_factory=dict)

    @property
    def namespace(self) -> str:
        return self.id.split("/")[0]

    def ref_of(self, revision: str) -> str | None:
        """The full ref that a revision names: full itself, a branch, or a tag (hub-http.md 3)."""
        names = (revision, f"refs/heads/{revision}", f"refs/tags/{revision}")
        return next((name for name in names if name in self.refs), None)

    def commit_of(self, revision: str) -> Commit | None:
        ref = self.ref_of(revision)
        return self.commits.get(self.refs[ref] if ref else revision)

    def history(self, commit: Commit) -> list[Commit]:
        found = [commit]
        while found[-1].parent:
            found.append(self.commits[found[-1].parent])
        return found


def lfs_patterns(attributes: str) -> list[str]:
    lines = (line.split() for line in attributes.splitlines())
    return [words[0] for words in lines if "filter=lfs" in words[1:]]


def matches(path: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(path if "/" in pattern else path.rsplit("/", 1)[-1], pattern)


def now() -> str:
    return (
        datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    )


class Store:
    def __init__(self, root: pathlib.Path):
        self.root = root
        self.objects = root / "objects"
        self.objects.mkdir(parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self.repos: dict[tuple[str, str], Repo] = {}
        self.moved: dict[tuple[str, str], str] = {}
        self.git_ids: dict[str, str] = {}
        self._load()

    # objects

    def put(self, data: bytes) -> str:
        sha256 = hashlib.sha256(data).hexdigest()
        if not self.holds(sha256, len(data)):
            self._place(sha256, data)
        self.git_ids[sha256] = git_blob_id(data)
        return sha256

    def put_stream(self, read, sha256: str, size: int) -> bool:
        """Takes what read(n) gives; False, and nothing kept, when it is not the object that was announced."""
        digest, git, count = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size), 0
        temporary = self.objects / f"{uuid.uuid4().hex}.part"
        with temporary.open("wb") as file:
            while chunk := read(CHUNK_BYTES):
                digest.update(chunk)
                git.update(chunk)
                count += len(chunk)
                file.write(chunk)
        if (digest.hexdigest(), count) != (sha256, size):
            temporary.unlink()
            return False
        self.git_ids[sha256] = git.hexdigest()
        temporary.rename(self.objects / sha256)
        return True

    def holds(self, sha256: str, size: int) -> bool:
        path = self.objects / sha256
        return bool(re.fullmatch("[0-9a-f]{64}", sha256)) and path.is_file() and path.stat().st_size == size

    def read(self, blob: Blob) -> bytes:
        return (self.objects / blob.sha256).read_bytes()

    def blob(self, sha256: str, size: int, large: bool) -> Blob:
        return Blob(sha256, size, self.git_ids[sha256], large)

    def _place(self, name: str, data: bytes) -> None:
        temporary = self.objects / f"{uuid.uuid4().hex}.part"
        temporary.write_bytes(data)
        temporary.rename(self.objects / name)

    # repositories

    def create(self, kind: str, repo_id: str, private: bool, author: str) -> Repo:
        """A new repository has one commit, so that main always resolves (hub-http.md 5.2)."""
        with self.lock:
            repo = self.repos[kind, repo_id] = Repo(kind, repo_id, private)
            self.moved.pop((kind, repo_id), None)
            files = {".gitattributes": self.blob(self.put(GITATTRIBUTES), len(GITATTRIBUTES), False)}
            self.commit(repo, "refs/heads/main", files, "initial commit", "", author)
            return repo

    def commit(
        self, repo: Repo, ref: str, files: dict[str, Blob], title: str, message: str, author: str
    ) -> Commit:
        """Moves `ref` (made when it is new) to a commit with these files over its old head."""
        with self.lock:
            parent, date = repo.refs.get(ref), now()
            listing = sorted((path, blob.tree_id) for path, blob in files.items())
            text = json.dumps([parent, title, message, author, date, listing])
            made = Commit(
                hashlib.sha1(text.encode()).hexdigest(), parent, title, message, date, author, files
            )
            repo.commits[made.oid] = made
            repo.refs[ref] = made.oid
            self.save()
            return made

    def is_large(self, commit: Commit, path: str, size: int, limit_bytes: int) -> bool:
        """By the .gitattributes of the commit, or by size (hub-http.md 7.1)."""
        attributes = commit.files.get(".gitattributes")
        patterns = lfs_patterns(self.read(attributes).decode()) if attributes else []
        return size > limit_bytes or any(matches(path, pattern) for pattern in patterns)

    # on disk

    def save(self) -> None:
        with self.lock:
            state = {
                "git_ids": self.git_ids,
                "moved": [[*old, new] for old, new in self.moved.items()],
                "repos": [dataclasses.asdict(repo) for repo in self.repos.values()],
            }
            temporary = self.root / "state.json.part"
            temporary.write_text(json.dumps(state))
            temporary.rename(self.root / "state.json")

    def _load(self) -> None:
        path = self.root / "state.json"
        if not path.exists():
            return
        state = json.loads(path.read_text())
        self.git_ids = state["git_ids"]
        self.moved = {(kind, old): new for kind, old, new in state["moved"]}
        for fields in state["repos"]:
            for commit in fields["commits"].values():
                commit["files"] = {path: Blob(**blob) for path, blob in commit["files"].items()}
            fields["commits"] = {oid: Commit(**commit) for oid, commit in fields["commits"].items()}
            fields["pulls"] = {int(num): Pull(**pull) for num, pull in fields["pulls"].items()}
            self.repos[fields["kind"], fields["id"]] = Repo(**fields)
