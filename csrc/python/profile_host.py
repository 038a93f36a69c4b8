"""The process in which kernmill profile runs a script: torch's profiler around it, and what it saw as one
JSON document. What it means is decided in C (csrc/profile/profile.h); the document's form stands in
csrc/profile/trace.h.

usage: python profile_host.py FD EVENTS_MAX SCRIPT [ARG...]

Each module's forward is a range of its own, named "kernmill::module CLASS PATH", so that every operator has
a module around it. A range "kernmill" that the script opens itself says what counts.
"""

import contextlib
import json
import os
import runpy
import statistics
import sys
import threading
import time
import traceback
import warnings
import weakref
from pathlib import Path

os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # its notes would stand between the script's lines
COPY_BYTES_MIN, COPY_BYTES_MAX, COPIES = 256 << 20, 1 << 30, 9
BACKWARD = "autograd::engine::evaluate_function"
NS_MAX = 1 << 43  # a range that the script left open has no end
NO_WORK = {"gpu_user_annotation", "user_annotation", "cuda_sync", "overhead"}


class TooMany(Exception):
    """More events than the reader takes."""


# ---- the script ----


def message_of(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".strip().removesuffix(":")


def show(error: BaseException) -> None:
    """The script's traceback, from its own first line on."""
    trace = error.__traceback__
    while trace and trace.tb_frame.f_code.co_filename in (__file__, runpy.__file__, "<frozen runpy>"):
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)


def run(script: str, arguments: list[str]) -> dict:
    """Runs the script as `python script` would; {} when it went well."""
    sys.argv = [script, *arguments]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = str(Path(script).resolve().parent)
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return {"exit": int(end.code)} if end.code else {}
        print(end.code, file=sys.stderr)
        return {"exit": 1}
    except BaseException as error:
        show(error)
        return {"failed": message_of(error)}
    return {}


# ---- modules ----


class Modules:
    """Opens a range around every module's forward. A module's path counts from the outermost module that is
    called, and begins with its class."""

    def __init__(self, torch):
        self.compiling = torch.compiler.is_compiling
        self.range = torch._C._profiler._RecordFunctionFast
        self.paths = {}  # id: (weak reference, path)
        self.roots = {}
        self.open = threading.local()

    def path(self, module, outer: str | None) -> str:
        known = self.paths.get(id(module))
        if known and known[0]() is module:
            return known[1]
        root = type(module).__name__
        if outer is None:
            self.roots[root] = self.roots.get(root, 0) + 1
            root += f"#{self.roots[root]}" if self.roots[root] > 1 else ""
        else:
            root = f"{outer}.{root}"  # called by a module that does not hold it
        for name, child in module.named_modules():
            self.paths[id(child)] = (weakref.ref(child), f"{root}.{name}" if name else root)
        return self.paths[id(module)][1]

    def enter(self, module, _inputs) -> None:
        if self.compiling():
            return
        stack = self.open.__dict__.setdefault("stack", [])
        path = self.path(module, stack[-1][0] if stack else None)
        scope = self.range(f"kernmill::module {type(module).__name__} {path}")
        stack.append((path, module, scope))
        scope.__enter__()

    def leave(self, module, _inputs, _output) -> None:
        if self.compiling():
            return
        stack = self.open.__dict__.get("stack")
        if stack and stack[-1][1] is module:  # else another hook raised before ours
            stack.pop()[2].__exit__(None, None, None)


@contextlib.contextmanager
def module_ranges(torch):
    modules, hooks = Modules(torch), torch.nn.modules.module
    warnings.filterwarnings("ignore", message="Using `torch.compile.*there are global hooks")
    before = hooks.register_module_forward_pre_hook(modules.enter)
    after = hooks.register_module_forward_hook(modules.leave, always_call=True)
    try:
        yield
    finally:
        before.remove()
        after.remove()


# ---- what the profiler saw ----


class Interned(dict):
    """Numbers for values, in the order in which they come."""

    def number(self, value) -> int:
        return self.setdefault(value, len(self))


class Writer:
    """Events as rows of numbers."""

    def __init__(self, results, events_max: int):
        self.events_max = events_max
        self.names, self.tensors, self.storages, self.threads = Interned(), Interned(), Interned(), Interned()
        self.signatures = Interned()
        self.signatures.number(())
        self.rows = []
        self.sequences = []  # of each row: what autograd calls the node, or -1
        self.device = {}  # correlation: (ns, kernels)
        self.unattributed_ns = 0
        self.take_device_events(results)
        self.on_device = bool(self.device) or self.unattributed_ns > 0
        roots = list(self.find_roots(results.experimental_event_tree()))
        for root in sorted(roots, key=lambda e: (self.threads.number(e.start_tid), e.start_time_ns)):
            self.take(root)
        self.unattributed_ns += sum(ns for ns, _ in self.device.values())  # launched by what is not here
        self.find_forward()

    def take_device_events(self, results) -> None:
        for e in results.events():
            if e.device_type().name != "CUDA" or not self.is_work(e):
                continue
            number = e.linked_correlation_id()
            if number > 0:
                ns, kernels = self.device.get(number, (0, 0))
                self.device[number] = (ns + e.duration_ns(), kernels + 1)
            else:
                self.unattributed_ns += e.duration_ns()

    @staticmethod
    def is_work(event) -> bool:
        """Not so: the device's copies of the ranges that a script opens."""
        kind = event.activity_type() if hasattr(event, "activity_type") else ""
        named = hasattr(event, "is_user_annotation") and event.is_user_annotation()
        ours = event.name() == "kernmill" or event.name().startswith("kernmill::module ")
        return not named and not ours and kind not in NO_WORK

    @staticmethod
    def find_roots(events):
        """Those that nothing on their own thread called: a tree may hold a gradient below what asked for it."""
        todo = [(event, None) for event in events]
        while todo:
            event, thread = todo.pop()
            if event.start_tid != thread:
                yield event
            todo += [(child, event.start_tid) for child in event.children]

    def take(self, root) -> None:
        todo = [(root, 0)]
        while todo:
            event, depth = todo.pop()
            kind = event.tag.name
            if kind == "TorchOp" and not event.name.startswith("profiler::"):
                self.add(event, depth)
                depth += 1
            children = (child for child in reversed(event.children) if child.start_tid == event.start_tid)
            todo += [(child, depth) for child in children]

    def add(self, event, depth: int) -> None:
        if len(self.rows) >= self.events_max:
            raise TooMany
        tensors = [t for i in event.extra_fields.inputs for t in (i if isinstance(i, list) else [i])]
        tensors = [t for t in tensors if hasattr(t, "storage_data_ptr")]
        ns, kernels = self.device.pop(event.correlation_id, (0, 0))
        memory = [c.extra_fields for c in event.children if c.tag.name == "Allocation"]
        self.rows.append([
            depth, self.names.number(event.name), self.threads.number(event.start_tid), event.start_time_ns,
            max(0, min(event.duration_time_ns, NS_MAX)), ns, kernels, self.signature(tensors), [self.storage(t) for t in tensors],
            [n for m in memory for n in (self.storage(m), m.alloc_size)], -1,
        ])  # fmt: skip
        self.sequences.append(getattr(event.extra_fields, "sequence_number", -1))

    def find_forward(self) -> None:
        """A node of the backward pass has the number of the operator that made it: the last with that number
        outside the backward pass."""
        names, made, nodes, depth = list(self.names), {}, [], None
        for i, (row, number) in enumerate(zip(self.rows, self.sequences, strict=True)):
            depth = None if depth is not None and row[0] <= depth else depth
            if depth is None and names[row[1]].startswith(BACKWARD):
                depth = row[0]
                nodes.append((row, number))
            elif depth is None and number >= 0:
                made[number] = i
        for row, number in nodes:
            row[-1] = made.get(number, -1)

    def signature(self, tensors) -> int:
        return self.signatures.number(
            tuple(
                self.tensors.number((t.dtype, t.device.type, tuple(t.sizes), tuple(t.strides)))
                for t in tensors
            )
        )

    def storage(self, memory) -> int:
        return -1 if memory.allocation_id is None else self.storages.number(memory.allocation_id)

    def document(self) -> dict:
        tensors = [[str(dtype).removeprefix("torch."), dtype.itemsize, device, sizes, strides]
                   for dtype, device, sizes, strides in self.tensors]  # fmt: skip
        return {
            "names": list(self.names),
            "tensors": tensors,
            "signatures": list(self.signatures),
            "storages": len(self.storages),
            "unattributed_ns": self.unattributed_ns,
            "events": self.rows,
        }


# ---- the machine ----


def cache_bytes() -> int:
    """Of the largest cache of a CPU; 0 when the system does not say."""
    sizes = [0]
    for file in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        text = file.read_text().strip()
        if text.endswith("K") and text[:-1].isdigit():
            sizes.append(int(text[:-1]) << 10)
    return max(sizes)


def copy_rate(torch, device: str) -> dict:
    """How fast a buffer that no cache holds is copied: bytes read and written over the median time."""
    size = min(max(COPY_BYTES_MIN, 4 * cache_bytes()), COPY_BYTES_MAX)
    if device == "cuda":
        torch.cuda.empty_cache()  # what the script no longer uses
        size = min(COPY_BYTES_MAX, torch.cuda.mem_get_info()[0] // 4)
    source = torch.ones(size // 4, dtype=torch.float32, device=device)
    target, times = torch.empty_like(source), []
    for _ in range(COPIES + 2):
        if device == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            target.copy_(source)
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) * 1e6)
        else:
            start = time.perf_counter_ns()
            target.copy_(source)
            times.append(time.perf_counter_ns() - start)
    moved = 2 * source.numel() * 4  # the first two copies also fetch pages
    return {"bytes": moved, "copies": COPIES, "gbps": moved / statistics.median(times[2:])}


def profile(torch, script: str, arguments: list[str], events_max: int) -> dict:
    kinds = [torch.profiler.ProfilerActivity.CPU]
    if torch.cuda.is_available():
        kinds.append(torch.profiler.ProfilerActivity.CUDA)
    with (
        module_ranges(torch),
        torch.profiler.profile(activities=kinds, record_shapes=True, profile_memory=True) as profiler,
    ):
        end = run(script, arguments)
    if end:
        return end
    try:
        writer = Writer(profiler.profiler.kineto_results, events_max)
    except TooMany:
        return {"too_many": events_max}
    device = "cuda" if writer.on_device else "cpu"
    return {
        "torch": torch.__version__,
        "device": device,
        "device_name": torch.cuda.get_device_name() if device == "cuda" else "",
        "threads": torch.get_num_threads(),
        "copy": copy_rate(torch, device),
        **writer.document(),
    }


def main() -> None:
    fd, events_max, script, *arguments = sys.argv[1:]
    os.set_inheritable(int(fd), False)
    try:
        import torch
    except ImportError as error:
        document = {"missing": message_of(error)}
    else:
        document = profile(torch, script, arguments, int(events_max))
    with open(int(fd), "w") as out:  # noqa: PTH123 (a descriptor has no path)
        json.dump(document, out, separators=(",", ":"))
    sys.stdout.flush()
    sys.stderr.flush()


if __name__ == "__main__":
    main()
