"""The program of this installation: where it is, and what it answers."""

import json
import os
import pathlib
import subprocess


class KernelError(RuntimeError):
    """What the program refused or could not do, in its own words.

    code: "usage", "environment", "format", "limit", "io", "absent", "memory", "timeout", "child" or "bug", as
    the program's JSON has it; "refused" when files are not those that were built or locked.
    """

    def __init__(self, message: str, code: str):
        super().__init__(message)
        self.code = code


def program() -> pathlib.Path:
    """The kernmill program of this installation, by path, never by PATH.

    Raises KernelError when only the pure package is there.
    """
    named = os.environ.get("KERNMILL_PROGRAM")
    if named:
        return pathlib.Path(named)
    from importlib import metadata  # slow to import, and not needed by who only imports kernmill

    try:
        files = metadata.files("kernmill") or []
    except metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = pathlib.Path(file.locate()).resolve()
        if file.parts[-2:] == ("bin", "kernmill") and _is_program(path):
            return path
    raise KernelError(
        "the kernmill program is not installed, only its Python package\n"
        "  on Linux x86-64 with glibc 2.34 or newer: pip install --force-reinstall kernmill\n"
        "  elsewhere, from its sources: pip install --no-binary kernmill kernmill\n"
        "  or name a program in KERNMILL_PROGRAM",
        "environment",
    )


def _is_program(path: pathlib.Path) -> bool:
    """Whether it is the program itself, and no script of its name, which would look for the program in turn."""
    try:
        with path.open("rb") as file:
            return file.read(4) == b"\x7fELF"
    except OSError:
        return False


def error_of(answer: dict, otherwise: str) -> KernelError:
    """The error in a JSON answer, with its hint."""
    error = answer.get("error", {})
    hint = f"\n  {error['hint']}" if error.get("hint") else ""
    return KernelError(error.get("message", otherwise) + hint, error.get("code", "bug"))


def ask(
    command: str, operand: str | os.PathLike, *options: str, environment: dict[str, str]
) -> tuple[bool, dict]:
    """Runs `kernmill COMMAND --json OPTIONS -- OPERAND` and returns (a plain yes, the document): False is an honest no.

    Raises KernelError with the program's message for everything else.
    """
    line = [str(program()), command, "--json", "--quiet", *options, "--", os.fspath(operand)]
    try:
        done = subprocess.run(line, capture_output=True, text=True, env=environment)
    except OSError as error:
        raise KernelError(f"unable to start the kernmill program: {error}", "environment") from None
    try:
        answer = json.loads(done.stdout or "{}")
    except ValueError:
        answer = {}
    if done.returncode not in (0, 1):
        raise error_of(answer, done.stderr.strip() or f"kernmill ended with {done.returncode}")
    return done.returncode == 0, answer
