"""What a commit holds: lists (hub-http.md 5.2, 5.3) and bytes (10.1, 10.2; verified-clients.md 5)."""

import re
import urllib.parse

import addresses
import rights
from addresses import API, WEB
from exchange import Answer, FilePart, Refusal, as_json
from store import Blob, Commit


def _file_item(path: str, blob: Blob) -> dict:
    """Never with xetHash: the client would skip HEAD and ask for a Xet token (verified-clients.md 3.2)."""
    item = {"type": "file", "oid": blob.tree_id, "size": blob.size, "path": path}
    if blob.large:
        item["lfs"] = {"oid": blob.sha256, "size": blob.size, "pointerSize": len(blob.pointer)}
    return item


def _items(commit: Commit) -> dict[str, dict]:
    folders = {
        path: {"type": "directory", "oid": oid, "size": 0, "path": path}
        for path, oid in commit.folders().items()
    }
    return {**folders, **{path: _file_item(path, blob) for path, blob in commit.files.items()}}


def tree(hub, request, kinds, namespace, name, revision, folder="") -> Answer:
    repo = addresses.find(hub, request, kinds, namespace, name).repo
    commit = addresses.find_commit(repo, revision)
    items, folder = _items(commit), folder.strip("/")
    if folder and items.get(folder, {}).get("type") != "directory":
        raise addresses.no_entry(commit, folder)
    prefix = f"{folder}/" if folder else ""
    below = [item for path, item in sorted(items.items()) if path.startswith(prefix)]
    if not request.flag("recursive"):
        below = [item for item in below if "/" not in item["path"][len(prefix) :]]
    if request.flag("expand"):
        last = {"id": commit.oid, "title": commit.title, "date": commit.date}
        below = [{**item, "lastCommit": last} for item in below]
    listed, headers = addresses.page(hub, request, below, hub.page_items)
    return as_json(listed, headers=headers)


def paths_info(hub, request, kinds, namespace, name, revision) -> Answer:
    """A form from Python, JSON from others; what is not there is left out (hub-http.md 5.3)."""
    repo = addresses.find(hub, request, kinds, namespace, name).repo
    items = _items(addresses.find_commit(repo, revision))
    if "json" in request.headers.get("content-type", ""):
        paths = request.json().get("paths", [])
    else:
        paths = urllib.parse.parse_qs(request.read().decode()).get("paths", [])
    if len(paths) > 1000:
        raise Refusal(413, "too many parameters")
    return as_json([items[path] for path in paths if path in items])


def _range(header: str | None, size: int) -> tuple[int, int] | None:
    """First and last byte of `bytes=a-`, `a-b` or `-n`, None without a range (hub-http.md 16.2 item 3)."""
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header or "")
    if not match or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size - 1
    return int(first), min(int(last or size - 1), size - 1)


def _bytes(hub, request, blob: Blob, headers: dict[str, str]) -> Answer:
    """The content or a part of it; never compressed."""
    headers = {"ETag": f'"{blob.etag}"', "Accept-Ranges": "bytes", **headers}
    headers["Content-Type"] = "application/octet-stream"
    if request.headers.get("if-none-match", "").strip('"') == blob.etag:
        return Answer(304, headers)
    part = _range(request.headers.get("range"), blob.size)
    if request.headers.get("if-range", f'"{blob.etag}"').strip('"') != blob.etag:
        part = None
    path = hub.store.objects / blob.sha256
    if part is None:
        return Answer(200, headers, FilePart(path, 0, blob.size))
    first, last = part
    if first >= blob.size or first > last:
        headers["Content-Range"] = f"bytes */{blob.size}"
        raise Refusal(416, "the range lies outside of the file", headers=headers)
    headers["Content-Range"] = f"bytes {first}-{last}/{blob.size}"
    return Answer(206, headers, FilePart(path, first, last - first + 1))


def resolve(hub, request, kinds, namespace, name, revision, path) -> Answer:
    """A large file's bytes lie on another origin, unless hub.redirect_large is off (hub-http.md 16.3)."""
    place = addresses.find(hub, request, kinds, namespace, name)
    commit = addresses.find_commit(place.repo, revision)
    rights.require_content(place.repo, place.token)
    blob = commit.files.get(path)
    if blob is None:
        raise addresses.no_entry(commit, path)
    headers = {"X-Repo-Commit": commit.oid}
    if not blob.large or not hub.redirect_large:
        return _bytes(hub, request, blob, headers)
    headers |= {
        "ETag": f'"{blob.tree_id}"',
        "X-Linked-ETag": f'"{blob.sha256}"',
        "X-Linked-Size": str(blob.size),
        "Accept-Ranges": "bytes",
        "Location": f"{hub.objects_url}/objects/{blob.sha256}?sig={hub.signature(blob.sha256)}",
    }
    return Answer(302, headers)


def stored_object(hub, request, sha256) -> Answer:
    """Where a large file's redirect leads: rights lie in the signature, a token is neither needed nor read."""
    if request.query.get("sig") != hub.signature(sha256):
        raise Refusal(403, "the signature is wrong")
    path = hub.store.objects / sha256
    if not path.is_file():
        raise Refusal(404, "no such object")
    return _bytes(hub, request, Blob(sha256, path.stat().st_size, "", True), {})


ROUTES = [
    ("GET", f"{API}/tree/(?P<revision>[^/]+)(?:/(?P<folder>.*))?", tree),
    ("POST", f"{API}/paths-info/(?P<revision>[^/]+)", paths_info),
    ("GET", f"{WEB}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", resolve),
]
OBJECT_ROUTES = [("GET", "/objects/(?P<sha256>[0-9a-f]{64})", stored_object)]
