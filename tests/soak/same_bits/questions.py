"""The questions: each asks one operator of one library, at one dtype and H, whether bits stay the same.

An answer is one comparison: {"question", "rows", "same", ...}. What the library refuses is an answer with "error".
"""

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from .libraries import Library
from .operators import Operator

ROWS = (1, 2, 3, 7, 8, 16, 33, 64, 128, 512, 1000, 2048, 8192)
GRADIENT_ROWS = 1000  # at most: weight gradients are sums over rows, and a whole launch's are made twice
WORDS = {2: torch.int16, 4: torch.int32}
QUESTIONS = {
    "batch": "batch size",
    "slices": "slices",
    "unaligned": "unaligned",
    "graph": "graph",
    "compiled": "compiled",
    "training": "training",
    "gradients": "gradients",
    "again": "run to run",
}


def words(t: Tensor) -> Tensor:
    return t.detach().contiguous().view(WORDS[t.element_size()])


def differing(got: tuple[Tensor, ...], want: tuple[Tensor, ...]) -> tuple[int, int]:
    """How many words differ, of how many: -0 is not 0, and a NaN equals the same NaN."""
    differ = total = 0
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype, (
            f"{a.dtype}{list(a.shape)}, not {b.dtype}{list(b.shape)}"
        )
        differ += int((words(a) != words(b)).sum())
        total += b.numel()
    return differ, total


def off_by_one(t: Tensor, row_too: bool) -> Tensor:
    """The same values one element after an aligned address; with `row_too` rows are an odd pitch apart."""
    if row_too and t.dim() > 1:
        width = t.shape[-1]
        wide = t.new_zeros(*t.shape[:-1], width + (3 if width % 2 == 0 else 2))
        view = wide[..., 1 : width + 1]
    else:
        view = t.new_zeros(t.numel() + 1)[1:].view(t.shape)
    return view.copy_(t)


class Subject:
    """One operator of one library, with inputs and the result of the largest launch."""

    def __init__(
        self, operator: Operator, library: Library, dtype: torch.dtype, columns: int, most: int, device: str
    ):
        self.operator, self.library, self.device = operator, library, device
        self.dtype, self.columns, self.most = dtype, columns, most
        self.rows, self.parameters = operator.inputs(most, columns, dtype, device)
        self.call = library.calls[operator.name]
        if library.compiled:
            torch._dynamo.reset()
            self.call = torch.compile(self.call, dynamic=library.compiled == "dynamic")
        with torch.no_grad():
            self.whole = self.call(*self.rows, *self.parameters)

    def counts(self) -> list[int]:
        """Rows of a launch; a compiled call is given few, each may be a compilation."""
        few = (1, 8, 128, 1000) if self.library.compiled else ROWS
        return [n for n in few if n < self.most] + [self.most]

    def part(self, a: int, b: int) -> tuple[list[Tensor], tuple[Tensor, ...]]:
        """Views of the inputs, and what the largest launch gave for them."""
        return [t[a:b] for t in self.rows], tuple(t[a:b] for t in self.whole)


def answer(question: str, rows: int, got: Callable, want, **more) -> dict:
    """One comparison: `got` is called, so that what it raises becomes part of the answer."""
    result = {"question": question, "rows": rows, **more}
    try:
        differ, total = differing(got(), want() if callable(want) else want)
    except Exception as error:
        return result | {"same": None, "error": f"{type(error).__name__}: {error}"[:300]}
    return result | {"same": differ == 0, "words_differ": differ, "words": total}


@torch.no_grad()
def batch(s: Subject) -> Iterator[dict]:
    for n in s.counts():
        rows, want = s.part(0, n)
        yield answer("batch", n, lambda rows=rows: s.call(*(t.clone() for t in rows), *s.parameters), want)


@torch.no_grad()
def slices(s: Subject) -> Iterator[dict]:
    middle = s.most // 2
    places = {(1, 2), (middle, min(middle + 8, s.most)), (s.most - 1, s.most), (max(s.most - 128, 0), s.most)}
    if not s.library.compiled:
        places |= {(3, 10), (1, s.most), (middle, s.most)}
    for a, b in sorted(p for p in places if 0 <= p[0] < p[1] <= s.most):
        rows, want = s.part(a, b)
        yield answer("slices", b - a, lambda rows=rows: s.call(*rows, *s.parameters), want, start=a)


@torch.no_grad()
def unaligned(s: Subject) -> Iterator[dict]:
    if not s.library.takes_any_address:
        return
    for n in {1, min(33, s.most), min(1000, s.most)}:
        rows, want = s.part(0, n)
        for pitch in (False, True):
            moved = [off_by_one(t, pitch) for t in (*rows, *s.parameters)]
            how = "rows of odd pitch" if pitch else "one element further"
            yield answer("unaligned", n, lambda moved=moved: s.call(*moved), want, layout=how)


@torch.no_grad()
def again(s: Subject) -> Iterator[dict]:
    for n in (s.most, s.most):
        yield answer("again", n, lambda: s.call(*s.rows, *s.parameters), s.whole)


@torch.no_grad()
def graph(s: Subject) -> Iterator[dict]:
    """Captured with other numbers in the inputs, replayed with these."""
    if s.device != "cuda" or s.library.compiled:
        return
    for n in sorted({1, min(33, s.most), min(2048, s.most)}):
        rows, want = s.part(0, n)
        yield answer("graph", n, lambda rows=rows: replayed(s, rows), want)


def replayed(s: Subject, rows: list[Tensor]) -> tuple[Tensor, ...]:
    static = [torch.zeros_like(t) for t in rows]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    captured = torch.cuda.CUDAGraph()
    with torch.cuda.stream(side):
        for _ in range(2):
            s.call(*static, *s.parameters)
        side.synchronize()
        captured.capture_begin()  # torch.cuda.graph collects garbage at each entry, which takes longer than all of this
        try:
            outputs = s.call(*static, *s.parameters)
        finally:
            captured.capture_end()
    torch.cuda.current_stream().wait_stream(side)
    for buffer, t in zip(static, rows, strict=True):
        buffer.copy_(t)
    captured.replay()
    results = tuple(t.clone() for t in outputs)
    torch.cuda.synchronize()
    return results


def leaves(tensors: list[Tensor]) -> list[Tensor]:
    """Copies that require gradients; tables do not."""
    return [t.detach().clone().requires_grad_() for t in tensors]


def trained(s: Subject, n: int, call: Callable | None = None) -> tuple[tuple[Tensor, ...], list[Tensor]]:
    """The results of the first n rows with gradients wanted, and what they are wanted of."""
    count = 2 if s.operator.family == "rotary" else len(s.rows)
    inputs = leaves([t[:n] for t in s.rows[:count]])
    parameters = leaves(s.parameters)
    with torch.enable_grad():
        results = (call or s.call)(*inputs, *(t[:n] for t in s.rows[count:]), *parameters)
    return results, [*inputs, *parameters]


def gradients_of(s: Subject, n: int, call: Callable | None = None) -> tuple[Tensor, ...]:
    """Of the rows, then of the parameters; the gradient that comes in is the inputs' own numbers."""
    results, wanted = trained(s, n, call)
    coming = [t[:n].detach().flip(-1) for t in s.whole]
    return torch.autograd.grad(results, wanted, coming)


def can_train(s: Subject) -> bool:
    if not s.operator.differentiates or s.library.compiled:
        return False
    try:
        return all(t.requires_grad for t in trained(s, 1)[0])
    except Exception:
        return s.library.ours  # then it is asked, and says what it raises


def training(s: Subject) -> Iterator[dict]:
    if not can_train(s):
        return
    for n in sorted({1, min(64, s.most), s.most}):
        yield answer("training", n, lambda n=n: trained(s, n)[0], s.part(0, n)[1])


def gradients(s: Subject) -> Iterator[dict]:
    """All of them twice; those of rows in launches of other sizes."""
    if not can_train(s):
        return
    most = min(s.most, GRADIENT_ROWS)
    try:
        first = gradients_of(s, most)
    except Exception as error:
        yield {
            "question": "gradients",
            "rows": most,
            "same": None,
            "error": f"{type(error).__name__}: {error}"[:300],
        }
        return
    rows = len(first) - len(s.parameters)
    yield answer("gradients", most, lambda: gradients_of(s, most), first, of="everything, run twice")
    for n in (n for n in (1, 7, 64) if n < most):
        want = tuple(t[:n] for t in first[:rows])
        yield answer("gradients", n, lambda n=n: gradients_of(s, n)[:rows], want, of="rows")


def compiled(s: Subject, quick: bool) -> Iterator[dict]:
    """The library's function inside torch.compile beside the same call outside; one compilation for all sizes, and
    one for a single size."""
    call = s.call
    for kind in ("dynamic",) if quick else ("dynamic", "per shape"):
        torch._dynamo.reset()
        inside = torch.compile(call, dynamic=kind == "dynamic", fullgraph=s.library.fullgraph)
        for n in [n for n in (7, 64, 1000) if n <= s.most][: 3 if kind == "dynamic" else 1]:
            rows, want = s.part(0, n)
            with torch.no_grad():
                yield answer("compiled", n, lambda r=rows, f=inside: f(*r, *s.parameters), want, kind=kind)
    if s.library.ours and not quick and can_train(s):
        n = min(64, s.most)
        torch._dynamo.reset()
        inside = torch.compile(call, fullgraph=True)
        yield answer("compiled", n, lambda: trained(s, n, inside)[0], s.part(0, n)[1], kind="training")
        yield answer(
            "compiled", n, lambda: gradients_of(s, n, inside), lambda: gradients_of(s, n), kind="gradients"
        )
    torch._dynamo.reset()


@torch.no_grad()
def share_of_words(s: Subject) -> dict:
    """How many words equal Transformers' eager formula."""
    want = s.operator.formula(*s.rows, *s.parameters)
    differ, total = differing(s.whole, want)
    return {"words": total, "words_differ": differ, "share": 1 - differ / total}


EVERY = (batch, slices, unaligned, again, graph, training, gradients)


def ask(s: Subject, with_compile: bool, quick: bool) -> Iterator[dict]:
    for question in EVERY:
        yield from question(s)
    if with_compile and not s.library.compiled:
        with contextlib.closing(compiled(s, quick)) as answers:
            yield from answers
