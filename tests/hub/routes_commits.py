"""The commit: one NDJSON body, all of it or nothing (hub-http.md 7.4, 7.5, 16.4; verified-clients.md 3)."""

import base64
import binascii
import json
import pathlib

import addresses
import routes_refs
from addresses import API
from exchange import Answer, Refusal, as_json
from store import Blob, Commit, Repo


def _parse(body: bytes) -> tuple[dict, list[tuple[str, dict]]]:
    """The header and the operations, whatever the order of the keys in a line."""
    try:
        lines = [json.loads(line) for line in body.splitlines() if line.strip()]
        operations = [(line["key"], line["value"]) for line in lines]
    except (ValueError, KeyError, TypeError) as error:
        raise Refusal(400, f"a line is no operation: {error}") from None
    if [key for key, _ in operations].count("header") != 1 or operations[0][0] != "header":
        raise Refusal(400, "the first line, and no other, is the header")
    return operations[0][1], operations[1:]


def _checked(path: str) -> str:
    """hub-http.md 7.4: the client's rules for paths hold here, too."""
    parts = path.rstrip("/").split("/")
    if not all(parts) or {".", "..", ".git"} & set(parts) or "\\" in path or not path.isprintable():
        raise Refusal(400, f"invalid path: {path!r}")
    return str(pathlib.PurePosixPath(path))


def _inline(hub, base: Commit, path: str, value: dict) -> Blob:
    """Content in the commit's own body, stored large where its name or size asks for it."""
    try:
        content = value.get("content", "")
        data = (
            base64.b64decode(content, validate=True)
            if value.get("encoding") == "base64"
            else content.encode()
        )
    except binascii.Error:
        raise Refusal(400, f"{path}: the content is no base64") from None
    large = bool(data) and hub.store.is_large(base, path, len(data), hub.large_bytes)
    return hub.store.blob(hub.store.put(data), len(data), large)


def _uploaded(hub, path: str, value: dict) -> Blob:
    sha256 = value.get("oid", "")
    stored = hub.store.objects / sha256
    size = value.get("size", stored.stat().st_size if stored.is_file() else -1)
    if not hub.store.holds(sha256, size):
        raise Refusal(400, f"{path}: object {sha256} was never uploaded with that size")
    return hub.store.blob(sha256, size, True)


def _apply(hub, base: Commit, operations: list[tuple[str, dict]]) -> dict[str, Blob]:
    """The files after the operations, in their order: a folder may be deleted and then filled again."""
    files = dict(base.files)
    for key, value in operations:
        path = _checked(value.get("path", ""))
        if key == "file":
            files[path] = _inline(hub, base, path, value)
        elif key == "lfsFile":
            files[path] = _uploaded(hub, path, value)
        elif key == "deletedFile":
            if files.pop(path, None) is None:
                raise Refusal(404, f"A file with this name doesn't exist: {path}", "EntryNotFound")
        elif key == "deletedFolder":
            below = [name for name in files if name.startswith(f"{path}/")]
            if not below:
                raise Refusal(404, f"A folder with this name doesn't exist: {path}", "EntryNotFound")
            for name in below:
                del files[name]
        else:
            raise Refusal(400, f"unknown operation {key}")
    return files


def _branch(repo: Repo, revision: str) -> str:
    """A commit goes on a branch or a pull request's ref; neither is made by it (hub-http.md 16.4)."""
    ref = repo.ref_of(revision)
    if ref is None and revision in repo.commits:
        raise Refusal(400, f"{revision} is no branch")
    if ref is None:
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    if ref.startswith("refs/tags/"):
        raise Refusal(400, f"{revision} is a tag, not a branch")
    return ref


def _base(repo: Repo, ref: str, parent: str | None, create_pr: bool) -> Commit:
    """The branch's head, which must be the parent where one is named; a pull request starts at its parent."""
    head = repo.commits[repo.refs[ref]]
    if not parent or head.oid.startswith(parent):
        return head
    if create_pr:
        return addresses.find_commit(repo, parent)
    raise Refusal(412, f"A commit has happened since. {ref} is at {head.oid}: please refresh and try again.")


def commit(hub, request, kinds, namespace, name, revision) -> Answer:
    header, operations = _parse(request.read())
    place = addresses.find(hub, request, kinds, namespace, name, write=True)
    repo, create_pr = place.repo, request.flag("create_pr")
    title, message = header.get("summary", ""), header.get("description", "")
    fields = {"success": True, "hookOutput": ""}
    with hub.store.lock:
        ref = _branch(repo, revision)
        base = _base(repo, ref, header.get("parentCommit"), create_pr)
        files = _apply(hub, base, operations)
        made = base
        if create_pr:
            pull = routes_refs.open_pull(hub, repo, title, message, place.user, base.oid)
            ref = f"refs/pr/{pull.num}"
            path = addresses.web_path(repo.kind, repo.id)
            fields["pullRequestUrl"] = f"{hub.url}{path}/discussions/{pull.num}"
        if files != base.files or hub.empty_commits:
            made = hub.store.commit(repo, ref, files, title, message, place.user)
    fields["commitOid"] = made.oid
    fields["commitUrl"] = f"{hub.url}{addresses.web_path(repo.kind, repo.id)}/commit/{made.oid}"
    return as_json(fields)


ROUTES = [("POST", f"{API}/commit/(?P<revision>[^/]+)", commit)]
