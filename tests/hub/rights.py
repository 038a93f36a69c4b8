"""Who asks, and what they may do.

A repository that somebody may not see answers as one that is not there (hub-http.md 15): 404 to a stranger
with a token, 401 to nobody, both with the code RepoNotFound, which `kernels` needs on plain HTTP
(hub-http.md 1, fact 7). How the public hub words them is not known here.
"""

import dataclasses

from exchange import Refusal
from store import Repo


@dataclasses.dataclass(frozen=True)
class Token:
    user: str
    orgs: tuple[str, ...] = ()
    may_write: bool = True

    @property
    def namespaces(self) -> tuple[str, ...]:
        return (self.user, *self.orgs)


def holder(hub, request) -> Token | None:
    """Whose token the request carries, None without one."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    token = hub.tokens.get(header.removeprefix("Bearer "))
    if token is None:
        raise Refusal(401, "Invalid credentials in Authorization header")
    return token


def require_holder(hub, request) -> Token:
    token = holder(hub, request)
    if token is None:
        raise Refusal(401, "Invalid username or password.")
    return token


def require_writer(hub, request, namespace: str) -> Token:
    token = require_holder(hub, request)
    if not token.may_write or namespace not in token.namespaces:
        raise Refusal(403, f'You don\'t have the rights to write in "{namespace}"')
    return token


def absent(token: Token | None) -> Refusal:
    if token is None:
        return Refusal(401, "Invalid username or password.", "RepoNotFound")
    return Refusal(404, "Repository not found", "RepoNotFound")


def visible(repo: Repo, token: Token | None) -> bool:
    return not repo.private or (token is not None and repo.namespace in token.namespaces)


def require_content(repo: Repo, token: Token | None) -> None:
    """A gated repository shows its lists, not its bytes (hub-http.md 15)."""
    if repo.gated and (token is None or repo.namespace not in token.namespaces):
        raise Refusal(403, f"Access to kernel {repo.id} is restricted", "GatedRepo")
