"""What fails, or kills, at any call that changes the disk: tests/fault/preload.c, compiled."""

import pathlib
import subprocess

SOURCE = pathlib.Path(__file__).resolve().parents[1] / "fault/preload.c"


def build_preload(tmp_path_factory) -> str:
    """A fixture's body: the library's path, for LD_PRELOAD."""
    library = tmp_path_factory.mktemp("preload") / "preload.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-Wall", "-Werror", "-o", library, SOURCE, "-ldl"], check=True)
    return str(library)
