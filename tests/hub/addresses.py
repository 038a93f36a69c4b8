"""How repositories are addressed (hub-http.md 3) and found."""

import dataclasses
import urllib.parse

import rights
from exchange import Answer, Refusal
from store import Commit, Repo

API = r"/api/(?P<kinds>models|datasets|spaces|kernels)/(?P<namespace>[^/]+)/(?P<name>[^/]+)"
WEB = r"/(?:(?P<kinds>datasets|spaces|kernels)/)?(?P<namespace>[^/]+)/(?P<name>[^/]+?)"
FIELDS = ("kinds", "namespace", "name")


class Moved(Exception):
    """The repository has another name now; the answer points there, as hub-http.md 16.2 item 13 says."""

    def __init__(self, target: str):
        super().__init__(target)
        self.answer = Answer(307, {"Location": target})


@dataclasses.dataclass(frozen=True)
class Place:
    """A repository as one request named it."""

    repo: Repo
    token: rights.Token | None
    user: str


def web_path(kind: str, repo_id: str) -> str:
    return f"/{repo_id}" if kind == "model" else f"/{kind}s/{repo_id}"


def find(hub, request, kinds: str | None, namespace: str, name: str, write: bool = False) -> Place:
    kind, repo_id = (kinds or "models")[:-1], f"{namespace}/{name}"
    token = rights.holder(hub, request)
    repo = hub.store.repos.get((kind, repo_id))
    if repo is None and (kind, repo_id) in hub.store.moved:
        raise Moved(request.target.replace(repo_id, hub.store.moved[kind, repo_id], 1))
    if repo is None or not rights.visible(repo, token):
        raise rights.absent(token)
    if write:
        token = rights.require_writer(hub, request, namespace)
    return Place(repo, token, token.user if token else "nobody")


def find_commit(repo: Repo, revision: str) -> Commit:
    commit = repo.commit_of(revision)
    if commit is None:
        raise Refusal(404, f"Invalid rev id: {revision}", "RevisionNotFound")
    return commit


def no_entry(commit: Commit, path: str) -> Refusal:
    """With X-Repo-Commit, so that the client can remember what is not there (hub-http.md 10.1)."""
    return Refusal(404, f"Entry not found: {path}", "EntryNotFound", {"X-Repo-Commit": commit.oid})


def page(hub, request, items: list, page_items: int) -> tuple[list, dict[str, str]]:
    """One page and the Link to the next, an absolute URL (hub-http.md 2.6)."""
    start = int(request.query.get("cursor") or 0)
    end = start + page_items
    if end >= len(items):
        return items[start:], {}
    query = urllib.parse.urlencode({**request.query, "cursor": end})
    return items[start:end], {"Link": f'<{hub.url}{request.path}?{query}>; rel="next"'}
