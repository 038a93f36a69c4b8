"""kernmill.load: a kernel from the Hub, its cache or a folder, every digest checked before it is imported."""

import os
import pathlib
import re
import sys
from types import ModuleType

from kernmill._hub_folder import import_folder, read_metadata
from kernmill._program import KernelError, ask

__all__ = ["load"]

_COMMIT = re.compile("[0-9a-f]{40}")


def load(
    kernel: str | os.PathLike,
    *,
    version: int | None = None,
    revision: str | None = None,
    variant: str | None = None,
    lock: str | os.PathLike | None = None,
    offline: bool | None = None,
) -> ModuleType:
    """Load a kernel whose files are exactly those that were built, and return its module.

    It is the module that ``kernels.get_kernel`` gives, and the same one: of a build there is one in a process.

    kernel: "owner/name" on the Hub, or the path of a Hub folder or of one variant's; a folder that is there comes
        first. Whoever publishes it is not judged: what you name is run.
    version, revision: the branch v<version>, or a branch, tag or commit. One of them is needed for "owner/name",
        as the `kernels` client wants it, unless there is a lock.
    variant: a folder of build/; by default the one that the client would choose here.
    lock: a kernels.lock that `kernmill lock` wrote: its commit, and every file by its digests.
    offline: True asks no hub, False does even under HF_HUB_OFFLINE, None is as that variable says.

    A commit, a lock's too, is loaded from the cache without any request when it is there and whole. A version or
    a branch may have moved: the hub is asked which commit it is, as the client does, and nothing more when that
    is in the cache. What is not there, or is not what it should be, is downloaded.

    Bytecode beside the files (__pycache__) is Python's own, and is not looked at.

    Kernels that this one depends on are loaded in the same way, with the same lock; they need the `kernels`
    package, through which kernels find each other.

    Returns the module. Raises ValueError for arguments that do not go together; KernelError with the program's
    own message when the kernel cannot be had, or is not what was built or locked; what its import raises.
    """
    return _load(kernel, version, revision, variant, lock, offline, ())


def _load(kernel, version, revision, variant, lock, offline, wanted_by) -> ModuleType:
    if version is not None and revision is not None:
        raise ValueError(f"version={version} and revision={revision!r} name the same thing twice")
    environment = _environment(offline)
    if isinstance(kernel, os.PathLike) or pathlib.Path(kernel).is_dir():
        if version is not None or revision is not None:
            raise ValueError(f"'{os.fspath(kernel)}' is a folder, which has no version and no revision")
        folder = _choose(pathlib.Path(kernel), variant, environment)
        _verify(folder, lock, environment)
    else:
        folder = _get(kernel, version, revision, variant, lock, offline, environment)
    return _import(folder, lock, offline, wanted_by)


def _environment(offline: bool | None) -> dict[str, str]:
    """Which torch a variant must fit is this interpreter's."""
    environment = {**os.environ, "KERNMILL_PYTHON": sys.executable}
    if offline is not None:
        environment["HF_HUB_OFFLINE"] = "1" if offline else "0"
    return environment


# ---- which folder ----


def _choose(root: pathlib.Path, variant: str | None, environment: dict[str, str]) -> pathlib.Path:
    if (root / "metadata.json").exists():
        if variant not in (None, root.resolve().name):
            raise ValueError(f"'{root}' is a variant, and not {variant}")
        return root
    build = root / "build" if (root / "build").is_dir() else root
    if variant is None:
        _, answer = ask("explain", root, environment=environment)
        choices = [choice for choice in answer["kernels"] if choice["chosen"]]
        if len(choices) != 1:
            why = "; ".join(choice["why"] for choice in answer["kernels"]) or "it holds no variants"
            raise KernelError(
                f"no variant of '{root}' is for this machine: {why}\n  kernmill explain {root}", "absent"
            )
        variant = choices[0]["chosen"]
    return build / variant


def _get(kernel, version, revision, variant, lock, offline, environment) -> pathlib.Path:
    if version is None and revision is None and lock is None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", str(kernel)):
            raise ValueError(f"'{kernel}' is neither OWNER/NAME on a hub nor a folder that is here")
        raise ValueError(f"'{kernel}' needs a version, a revision or a lock: what is newest changes")
    branch = revision if version is None else f"v{version}"  # 0 is a version, and --version 0 is none
    named = {"revision": branch, "variant": variant, "lock": lock and os.fspath(lock)}
    options = [f"--{name}={value}" for name, value in named.items() if value is not None]
    pinned = lock is not None or _COMMIT.fullmatch(revision or "")
    if pinned and not offline:
        try:
            return _fetch(kernel, options, lock, {**environment, "HF_HUB_OFFLINE": "1"})
        except KernelError:
            pass  # not there, or not whole: the hub has it, or the reason
    return _fetch(kernel, options, lock, environment)


def _fetch(kernel: str, options: list[str], lock, environment: dict[str, str]) -> pathlib.Path:
    yes, answer = ask("get", kernel, *options, environment=environment)
    if not yes:
        raise _refusal(f"the hub has other files at commit {answer['commit']}", answer["refused"])
    folder = pathlib.Path(answer["path"])
    _verify(folder, lock, environment)
    return folder


def _verify(folder: pathlib.Path, lock, environment: dict[str, str]) -> None:
    options = [] if lock is None else [f"--lock={os.fspath(lock)}"]
    yes, answer = ask("verify", folder, *options, environment=environment)
    if not yes:
        (target,) = answer["targets"]
        rows = [{"path": row["place"], "message": row["message"]} for row in target["findings"]]
        raise _refusal(f"'{folder}' is not what was built{' and locked' if lock is not None else ''}", rows)


def _refusal(what: str, rows: list[dict]) -> KernelError:
    return KernelError(
        "\n  ".join([what + ":", *(f"{row['path']}: {row['message']}" for row in rows)]), "refused"
    )


# ---- its module ----


def _import(folder: pathlib.Path, lock, offline: bool | None, wanted_by: tuple) -> ModuleType:
    metadata = read_metadata(folder)
    if metadata["id"] in sys.modules:
        return sys.modules[metadata["id"]]
    if metadata["id"] in wanted_by:
        raise KernelError(f"kernels depend on each other in a circle: '{metadata['name']}'", "format")
    depends = metadata.get("kernel-depends") or []
    through_client = _client_import()
    if depends and not through_client:
        raise KernelError(
            f"'{metadata['name']}' depends on other kernels, which it finds through the `kernels` package:\n"
            "  pip install kernels",
            "environment",
        )
    modules = {
        d["repo-id"]: _load(d["repo-id"], d.get("version"), d.get("revision"), None, lock, offline,
                            (*wanted_by, metadata["id"]))
        for d in depends
    }  # fmt: skip
    return through_client(folder, modules) if through_client else import_folder(folder)


def _client_import():
    """The client's own importer (0.17), so that it knows what was loaded here; None where there is no client.

    It keeps its modules by path in a table of its own, and would import a second time what is not in it.
    """
    try:
        from kernels.importer import _import_from_path
    except ImportError:
        return None
    return _import_from_path
