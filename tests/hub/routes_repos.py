"""Who I am, organisations, and repositories as a whole (hub-http.md 4, 5.1; verified-clients.md 2)."""

import re

import addresses
import rights
from addresses import API
from exchange import Answer, Refusal, as_json
from store import Repo

NAME = re.compile(r"(?!.*(?:--|\.\.))[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?")


def whoami(hub, request) -> Answer:
    """hub-http.md 16.3."""
    token = rights.require_holder(hub, request)
    access = {"displayName": "test", "role": "write" if token.may_write else "read"}
    return as_json(
        {
            "type": "user",
            "id": token.user,
            "name": token.user,
            "fullname": token.user.title(),
            "orgs": [{"type": "org", "name": org, "roleInOrg": "admin"} for org in token.orgs],
            "auth": {"type": "access_token", "accessToken": access},
        }
    )


def organization(hub, request, name: str) -> Answer:
    """verified-clients.md 2: `kernels` reads trustedKernelPublisher."""
    if name not in {org for token in hub.tokens.values() for org in token.orgs} | hub.trusted:
        raise Refusal(404, "Organization not found")
    return as_json({"name": name, "fullname": name.title(), "trustedKernelPublisher": name in hub.trusted})


def agent_harnesses(hub, request) -> Answer:
    """verified-clients.md 1: the client then asks once a day, not once a process."""
    return as_json({"standardEnvVars": [], "harnesses": {}})


def validate_yaml(hub, request) -> Answer:
    """hub-http.md 4: called before a commit with a README.md, mandatory (verified-clients.md 5)."""
    content = request.json().get("content", "")
    if content.startswith("---\n") and "\n---" not in content[4:]:
        raise Refusal(400, "the metadata block of README.md has no end")
    return as_json({"errors": [], "warnings": []})


def _named(request) -> tuple[str, str, str]:
    fields = request.json()
    kind, name = fields.get("type") or "model", fields.get("name") or ""
    if kind not in ("model", "dataset", "space", "kernel") or not NAME.fullmatch(name):
        raise Refusal(400, f"no such kind or name of a repository: {kind} {name}")
    return kind, fields.get("organization") or "", name


def create(hub, request) -> Answer:
    """hub-http.md 4: the 409 holds the url, too."""
    kind, organization, name = _named(request)
    token = rights.require_holder(hub, request)
    namespace = organization or token.user
    rights.require_writer(hub, request, namespace)
    repo_id = f"{namespace}/{name}"
    url = hub.url + addresses.web_path(kind, repo_id)
    fields = request.json()
    with hub.store.lock:
        if (kind, repo_id) in hub.store.repos:
            raise Refusal(409, f"You already created this {kind} repo", url=url)
        private = fields.get("visibility") == "private" or bool(fields.get("private"))
        hub.store.create(kind, repo_id, private, token.user)
    return as_json({"url": url})


def delete(hub, request) -> Answer:
    kind, organization, name = _named(request)
    namespace = organization or rights.require_holder(hub, request).user
    place = addresses.find(hub, request, f"{kind}s", namespace, name, write=True)
    with hub.store.lock:
        hub.store.repos.pop((kind, place.repo.id), None)
        hub.store.save()
    return as_json({})


def move(hub, request) -> Answer:
    """hub-http.md 4: the old id redirects afterwards."""
    fields = request.json()
    kind, old, new = fields.get("type") or "model", fields["fromRepo"], fields["toRepo"]
    place = addresses.find(hub, request, f"{kind}s", *old.split("/"), write=True)
    rights.require_writer(hub, request, new.split("/")[0])
    with hub.store.lock:
        if (kind, new) in hub.store.repos:
            raise Refusal(409, f"{new} exists")
        del hub.store.repos[kind, old]
        place.repo.id = new
        hub.store.repos[kind, new] = place.repo
        hub.store.moved[kind, old] = new
        hub.store.save()
    return as_json({})


def settings(hub, request, kinds, namespace, name) -> Answer:
    fields = request.json()
    repo = addresses.find(hub, request, kinds, namespace, name, write=True).repo
    with hub.store.lock:
        repo.gated = bool(fields.get("gated", repo.gated))
        repo.private = fields.get("visibility", "private" if repo.private else "public") == "private"
        hub.store.save()
    return as_json({})


def describe(hub, repo: Repo, revision: str = "main") -> dict:
    """hub-http.md 5.1: the kernel's shape is slimmer, and a client needs id and sha alone."""
    commit = addresses.find_commit(repo, revision)
    fields = {
        "_id": commit.oid[:24],
        "id": repo.id,
        "author": repo.namespace,
        "downloads": 0,
        "gated": "auto" if repo.gated else False,
        "lastModified": commit.date,
        "likes": 0,
        "private": repo.private,
        "repoType": repo.kind,
        "sha": commit.oid,
    }
    if repo.kind == "kernel":
        return {**fields, "trustedPublisher": repo.namespace in hub.trusted, "supportedDriverFamilies": []}
    return {**fields, "siblings": [{"rfilename": path} for path in sorted(commit.files)], "tags": []}


def info(hub, request, kinds, namespace, name, revision="main") -> Answer:
    return as_json(describe(hub, addresses.find(hub, request, kinds, namespace, name).repo, revision))


def search(hub, request, kinds) -> Answer:
    """hub-http.md 5.1: as for models and datasets; no client is known that lists kernels."""
    token, query = rights.holder(hub, request), request.query
    found = [
        describe(hub, repo)
        for (kind, repo_id), repo in sorted(hub.store.repos.items())
        if kind == kinds[:-1]
        and rights.visible(repo, token)
        and query.get("search", "").lower() in repo_id.lower()
        and query.get("author") in (None, "", repo.namespace)
    ]
    limit = min(int(query.get("limit") or hub.page_items), hub.page_items)
    items, headers = addresses.page(hub, request, found, limit)
    return as_json(items, headers=headers)


ROUTES = [
    ("GET", "/api/whoami-v2", whoami),
    ("GET", "/api/agent-harnesses", agent_harnesses),
    ("GET", "/api/organizations/(?P<name>[^/]+)/overview", organization),
    ("POST", "/api/validate-yaml", validate_yaml),
    ("POST", "/api/repos/create", create),
    ("DELETE", "/api/repos/delete", delete),
    ("POST", "/api/repos/move", move),
    ("PUT", f"{API}/settings", settings),
    ("GET", "/api/(?P<kinds>models|datasets|spaces|kernels)", search),
    ("GET", API, info),
    ("GET", f"{API}/revision/(?P<revision>[^/]+)", info),
]
