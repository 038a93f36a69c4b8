"""Branches, tags, history and pull requests (hub-http.md 5.4, 5.5, 6, 7.7; verified-clients.md 2)."""

import addresses
from addresses import API
from exchange import Answer, Refusal, as_json
from store import Pull, Repo, now


def _listed(repo: Repo, prefix: str) -> list[dict]:
    return [
        {"name": ref.removeprefix(prefix), "ref": ref, "targetCommit": oid}
        for ref, oid in sorted(repo.refs.items())
        if ref.startswith(prefix)
    ]


def refs(hub, request, kinds, namespace, name) -> Answer:
    """verified-clients.md 9 item 9: branches, converts and tags always, pullRequests when asked for."""
    repo = addresses.find(hub, request, kinds, namespace, name).repo
    fields = {"branches": _listed(repo, "refs/heads/"), "converts": [], "tags": _listed(repo, "refs/tags/")}
    if request.flag("include_prs"):
        fields["pullRequests"] = _listed(repo, "refs/pr/")
    return as_json(fields)


def commits(hub, request, kinds, namespace, name, revision) -> Answer:
    repo = addresses.find(hub, request, kinds, namespace, name).repo
    history = repo.history(addresses.find_commit(repo, revision))
    items, headers = addresses.page(hub, request, history, hub.page_items)
    return as_json(
        [
            {
                "id": commit.oid,
                "title": commit.title,
                "message": commit.message,
                "date": commit.date,
                "authors": [{"user": commit.author}],
            }
            for commit in items
        ],
        headers={**headers, "X-Total-Count": str(len(history))},
    )


def _add_ref(hub, repo: Repo, ref: str, revision: str) -> Answer:
    with hub.store.lock:
        if ref in repo.refs:
            raise Refusal(409, f"Reference already exists: {ref}")
        repo.refs[ref] = addresses.find_commit(repo, revision).oid
        hub.store.save()
    return as_json({})


def _remove_ref(hub, repo: Repo, ref: str) -> Answer:
    with hub.store.lock:
        if repo.refs.pop(ref, None) is None:
            raise Refusal(404, f"Invalid rev id: {ref}", "RevisionNotFound")
        hub.store.save()
    return as_json({})


def create_branch(hub, request, kinds, namespace, name, branch) -> Answer:
    start = request.json().get("startingPoint") or "main"
    repo = addresses.find(hub, request, kinds, namespace, name, write=True).repo
    return _add_ref(hub, repo, f"refs/heads/{branch}", start)


def delete_branch(hub, request, kinds, namespace, name, branch) -> Answer:
    repo = addresses.find(hub, request, kinds, namespace, name, write=True).repo
    if branch == "main":
        raise Refusal(403, "main cannot be deleted")
    return _remove_ref(hub, repo, f"refs/heads/{branch}")


def create_tag(hub, request, kinds, namespace, name, revision) -> Answer:
    tag = request.json().get("tag")
    repo = addresses.find(hub, request, kinds, namespace, name, write=True).repo
    if not tag:
        raise Refusal(400, "a tag needs a name")
    return _add_ref(hub, repo, f"refs/tags/{tag}", revision)


def delete_tag(hub, request, kinds, namespace, name, revision) -> Answer:
    repo = addresses.find(hub, request, kinds, namespace, name, write=True).repo
    return _remove_ref(hub, repo, f"refs/tags/{revision}")


def open_pull(hub, repo: Repo, title: str, description: str, user: str, base: str) -> Pull:
    """A pull request is a ref refs/pr/N of its own (hub-http.md 7.7)."""
    with hub.store.lock:
        num = len(repo.pulls) + 1
        repo.pulls[num] = Pull(num, title, description, user, now())
        repo.refs[f"refs/pr/{num}"] = base
        hub.store.save()
        return repo.pulls[num]


def create_discussion(hub, request, kinds, namespace, name) -> Answer:
    fields = request.json()
    place = addresses.find(hub, request, kinds, namespace, name, write=True)
    if not fields.get("pullRequest"):
        raise Refusal(501, "discussions are not served, only pull requests")
    base = place.repo.refs["refs/heads/main"]
    pull = open_pull(hub, place.repo, fields["title"], fields.get("description", ""), place.user, base)
    return as_json({"num": pull.num})


def discussion(hub, request, kinds, namespace, name, num) -> Answer:
    repo = addresses.find(hub, request, kinds, namespace, name).repo
    pull = repo.pulls.get(int(num))
    if pull is None:
        raise Refusal(404, f"no discussion {num}", "EntryNotFound")
    return as_json(
        {
            "num": pull.num,
            "title": pull.title,
            "author": {"name": pull.author},
            "createdAt": pull.date,
            "status": "draft",
            "repo": {"name": repo.id, "type": repo.kind},
            "isPullRequest": True,
            "changes": {"base": "refs/heads/main"},
            "filesWithConflicts": [],
            "events": [],
            "diff": "",
        }
    )


ROUTES = [
    ("GET", f"{API}/refs", refs),
    ("GET", f"{API}/commits/(?P<revision>[^/]+)", commits),
    ("POST", f"{API}/branch/(?P<branch>.+)", create_branch),
    ("DELETE", f"{API}/branch/(?P<branch>.+)", delete_branch),
    ("POST", f"{API}/tag/(?P<revision>.+)", create_tag),
    ("DELETE", f"{API}/tag/(?P<revision>.+)", delete_tag),
    ("POST", f"{API}/discussions", create_discussion),
    ("GET", f"{API}/discussions/(?P<num>[0-9]+)", discussion),
]
