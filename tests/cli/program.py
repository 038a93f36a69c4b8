"""The program under test, of KERNMILL_BUILD (default: build/release), and what a command line gave."""

import dataclasses
import json
import os
import pathlib

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("KERNMILL_BUILD", "build/release"))
PROGRAM = (ROOT / BUILD / "bin" / "kernmill").resolve()


@dataclasses.dataclass
class Answer:
    """What a command line gave."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


def clean_environment() -> dict[str, str]:
    """Ours without what steers kernmill, colours output, or names a Python environment."""
    drop = ("KERNMILL_", "VIRTUAL_ENV", "NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CC", "NINJA_", "PYTEST_")
    return {k: v for k, v in os.environ.items() if not k.startswith(drop)}


def stamps(folder: pathlib.Path) -> dict[str, int]:
    return {str(p.relative_to(folder)): p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}


def replace(path: pathlib.Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
