"""Before a commit: which way each file goes, and the bytes of large ones (hub-http.md 7.1 to 7.3).

Xet is declined (verified-clients.md 3.1): its token is a 404, and since the clients that have hf-xet ignore
that for files in mode "lfs", every file is "regular" unless the test says hub.uploads = "lfs".
"""

import addresses
from addresses import API, WEB
from exchange import Answer, Refusal, as_json

LFS_JSON = {"Content-Type": "application/vnd.git-lfs+json"}


def preupload(hub, request, kinds, namespace, name, revision) -> Answer:
    """The oid is the content's git id in mode regular, even when it is stored large (verified-clients.md 3)."""
    files = request.json().get("files", [])
    place = addresses.find(hub, request, kinds, namespace, name, write=True)
    commit = addresses.find_commit(place.repo, revision)
    if len(files) > 256:
        raise Refusal(413, "more than 256 files")
    replies = []
    for file in files:
        path, size = file["path"], file["size"]
        large = hub.uploads == "lfs" and hub.store.is_large(commit, path, size, hub.large_bytes)
        reply = {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False}
        if there := commit.files.get(path):
            reply["oid"] = there.sha256 if large else there.git_id
        replies.append(reply)
    return as_json({"files": replies})


def _upload_url(hub, sha256: str, size: int, part: str = "") -> str:
    """Rights lie in the URL: clients send no header with the bytes (hub-http.md 7.3)."""
    query = f"size={size}&sig={hub.signature(f'{sha256}{part}{size}')}"
    return f"{hub.objects_url}/upload/{sha256}{part}?{query}"


def _upload_action(hub, sha256: str, size: int) -> dict:
    if size <= hub.part_bytes:
        return {"href": _upload_url(hub, sha256, size)}
    parts = {
        f"{number:05}": _upload_url(hub, sha256, size, f"/{number}")
        for number in range(1, -(-size // hub.part_bytes) + 1)
    }
    header = {"chunk_size": str(hub.part_bytes), **parts}
    return {"href": _upload_url(hub, sha256, size, "/complete"), "header": header}


def batch(hub, request, kinds, namespace, name) -> Answer:
    """hub-http.md 7.2: no actions for what is stored already."""
    fields = request.json()
    addresses.find(hub, request, kinds, namespace, name, write=True)
    if fields.get("operation") != "upload" or len(fields.get("objects", [])) > 256:
        raise Refusal(400, "only uploads, of 256 objects at most")
    replies = []
    for wanted in fields["objects"]:
        sha256, size = wanted["oid"], wanted["size"]
        reply = {"oid": sha256, "size": size}
        if not hub.store.holds(sha256, size):
            verify = f"{hub.url}/{kinds + '/' if kinds else ''}{namespace}/{name}.git/info/lfs/objects/verify"
            reply["actions"] = {"upload": _upload_action(hub, sha256, size), "verify": {"href": verify}}
        replies.append(reply)
    return as_json({"transfer": "basic", "objects": replies}, headers=LFS_JSON)


def verify(hub, request, kinds, namespace, name) -> Answer:
    fields = request.json()
    addresses.find(hub, request, kinds, namespace, name, write=True)
    if not hub.store.holds(fields.get("oid", ""), fields.get("size", -1)):
        raise Refusal(400, "no such object, or of another size")
    return as_json({}, headers=LFS_JSON)


def _require_signature(hub, request, sha256: str, part: str = "") -> int:
    size = request.query.get("size", "")
    if request.query.get("sig") != hub.signature(f"{sha256}{part}{size}"):
        raise Refusal(403, "the signature is wrong")
    return int(size)


def put_object(hub, request, sha256) -> Answer:
    size = _require_signature(hub, request, sha256)
    if not hub.store.put_stream(request.body.read, sha256, size):
        raise Refusal(400, "the bytes are not the object that was announced")
    return Answer(200, {"ETag": f'"{sha256}"'})


def put_part(hub, request, sha256, number) -> Answer:
    _require_signature(hub, request, sha256, f"/{number}")
    data = request.body.read()
    with hub.store.lock:
        hub.parts.setdefault(sha256, {})[int(number)] = data
    return Answer(200, {"ETag": f'"part-{number}-{len(data)}"'})


def complete(hub, request, sha256) -> Answer:
    """Joins the parts in the order of their numbers; each must have the ETag that its PUT gave."""
    size = _require_signature(hub, request, sha256, "/complete")
    told = request.json().get("parts", [])
    with hub.store.lock:
        parts = hub.parts.pop(sha256, {})
    etags = [
        {"partNumber": number, "etag": f'"part-{number}-{len(parts[number])}"'} for number in sorted(parts)
    ]
    if told != etags:
        raise Refusal(400, f"parts {told} are not what was sent: {etags}")
    rest = iter(parts[number] for number in sorted(parts))
    if not hub.store.put_stream(lambda _: next(rest, b""), sha256, size):
        raise Refusal(400, "the parts do not make the object that was announced")
    return as_json({}, headers=LFS_JSON)


def xet_token(hub, request, kinds, namespace, name, revision) -> Answer:
    """A quick 404, never a 5xx, which clients repeat for minutes (verified-clients.md 3.1)."""
    raise Refusal(404, "this hub has no Xet: set HF_HUB_DISABLE_XET=1", "EntryNotFound")


ROUTES = [
    ("POST", f"{API}/preupload/(?P<revision>[^/]+)", preupload),
    ("POST", rf"{WEB}\.git/info/lfs/objects/batch", batch),
    ("POST", rf"{WEB}\.git/info/lfs/objects/verify", verify),
    ("GET", f"{API}/xet-(?:read|write)-token/(?P<revision>[^/]+)", xet_token),
]
OBJECT_ROUTES = [
    ("PUT", "/upload/(?P<sha256>[0-9a-f]{64})", put_object),
    ("PUT", "/upload/(?P<sha256>[0-9a-f]{64})/(?P<number>[0-9]+)", put_part),
    ("POST", "/upload/(?P<sha256>[0-9a-f]{64})/complete", complete),
]
