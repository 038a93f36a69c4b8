"""The process in which kernmill bench measures calls that only Python can make.

Python finds the functions and calls them; everything else is libkernmill_bench.so's, which this process
loads and which calls back (csrc/bench/callables.h): capture, replay, clock, check and statistics.

usage: python bench_host.py libkernmill_bench.so REQUEST FD
"""

import ctypes
import functools
import importlib
import importlib.util
import itertools
import json
import os
import sys
from pathlib import Path

import torch

MISSING, FAILED = -1, -2
PREPARE = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t
)
CALL = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_int)


class Callables(ctypes.Structure):
    _fields_ = [("prepare", PREPARE), ("call", CALL), ("release", RELEASE)]


def say(why: int, room: int, error: BaseException) -> None:
    """Writes the exception's first line, without cutting a character."""
    text = f"{type(error).__name__}: {error}".splitlines()[0].encode()[: room - 1]
    text = text.decode(errors="ignore").encode()
    ctypes.memmove(why, text + b"\0", len(text) + 1)


@functools.cache
def find(name: str):
    """The function of "file.py:name" or "module:name"."""
    where, function = name.rsplit(":", 1)
    if not where.endswith(".py"):
        return getattr(importlib.import_module(where), function)
    file = Path(where)
    if not file.exists():
        raise ModuleNotFoundError(f"there is no {where}")
    spec = importlib.util.spec_from_file_location(f"kernmill_bench_{file.stem}", file)
    module = sys.modules.get(spec.name)
    if module is None:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules[spec.name] = module
    return getattr(module, function)


# torch passes the handles of its C interface in capsules without a name
api = ctypes.pythonapi
api.PyCapsule_New.restype = ctypes.py_object
api.PyCapsule_New.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
api.PyCapsule_GetPointer.restype = ctypes.c_void_p
api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]


def tensor_of(handle: int) -> torch.Tensor:
    """The tensor of a handle, which is consumed. (torch's function for one handle keeps it, and with it the memory.)"""
    return torch._C._aoti.alloc_tensors_by_stealing_from_void_ptrs([api.PyCapsule_New(handle, None, None)])[0]


def handle_of(tensor: torch.Tensor) -> int:
    """A new handle of the tensor."""
    return api.PyCapsule_GetPointer(torch._C._aoti.unsafe_alloc_void_ptr_from_tensor(tensor), None)


prepared = {}
numbers = itertools.count()


def prepare(function: bytes, arguments: bytes, widened: int, why: int, room: int) -> int:
    try:
        given = [tensor_of(*a) if isinstance(a, list) else a for a in json.loads(arguments)]
        number = next(numbers)
        prepared[number] = (find(function.decode()), given, widened)
        return number
    except ImportError as e:
        say(why, room, e)
        return MISSING
    except Exception as e:  # whatever a peer raises is its own state in the record
        say(why, room, e)
        return FAILED


def call(number: int, results: int, why: int, room: int) -> int:
    try:
        function, arguments, widened = prepared[number]
        out = function(*arguments)
        out = [out] if torch.is_tensor(out) else out or []  # None: all its results are in what it overwrites
        if widened:
            out = [t.to(torch.float64).contiguous() for t in out]
        handles = [handle_of(t) for t in out]
        array = (ctypes.c_void_p * len(handles))(*handles)
        ctypes.memmove(results, array, ctypes.sizeof(array))
        return len(handles)
    except Exception as e:
        say(why, room, e)
        return FAILED


def release(number: int) -> None:
    prepared.pop(number, None)


def main() -> int:
    library, request, fd = sys.argv[1:]
    engine = ctypes.PyDLL(library)  # the interpreter's lock is kept: nobody else wants it
    engine.km_bench_serve.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(Callables)]
    callables = Callables(PREPARE(prepare), CALL(call), RELEASE(release))
    if torch.cuda.is_available():
        torch.cuda.init()
    status = engine.km_bench_serve(request.encode(), int(fd), ctypes.byref(callables))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0 if status == 0 else 1)  # torch's own exit handlers are not waited for


if __name__ == "__main__":
    main()
