"""A Hub folder as a module, as the ``kernels`` client (0.17) imports one: under the id of its metadata.json."""

import importlib.util
import json
import pathlib
import sys
from types import ModuleType


def read_metadata(folder: pathlib.Path) -> dict:
    return json.loads((folder / "metadata.json").read_text(encoding="utf-8"))


def import_folder(folder: pathlib.Path) -> ModuleType:
    """Imports a variant's folder, once a process; a module that fails to load leaves nothing behind.

    The id is unique to a build, and is the namespace of its operators, which can be registered but once: so the
    module of that id is the kernel, whoever imported it.
    """
    metadata = read_metadata(folder)
    identity = metadata["id"]
    if identity in sys.modules:
        return sys.modules[identity]
    file = folder / "__init__.py"
    if not file.exists():
        file = folder / metadata["name"].replace("-", "_") / "__init__.py"
    if not file.exists():
        raise FileNotFoundError(f"no __init__.py in '{folder}': it is no kernel")
    spec = importlib.util.spec_from_file_location(
        identity, file, submodule_search_locations=[str(file.parent)]
    )
    module = importlib.util.module_from_spec(spec)
    sys.modules[identity] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(identity, None)
        raise
    return module
