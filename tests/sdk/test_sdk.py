"""Operators written with csrc/sdk/kernmill, called through the installed torch."""

import gc
import os
import threading
from pathlib import Path

import pytest
import torch

GIVEN = {
    "maybe_x": torch.ones(2, 3).t(),
    "xs": [torch.ones(2, 3), torch.ones(3, dtype=torch.int64)],
    "maybe_xs": [],
    "n": -5,
    "maybe_n": 2**63 - 1,
    "ns": [1, 2, -3],
    "maybe_ns": [4],
    "f": 0.1,
    "maybe_f": float("-inf"),
    "fs": [1.5, 2.5],
    "b": True,
    "maybe_b": False,
    "bs": [True, False, True],
    "s": "hé",
    "maybe_s": "",
    "d": torch.bfloat16,
    "maybe_d": torch.uint8,
    "v": torch.device("cuda:1"),
    "maybe_v": torch.device("cpu"),
    "y": 7,
    "maybe_ys": [8, 9],
    "maybe_fs": [],
}
NONE = {name: None if name.startswith("maybe_") else value for name, value in GIVEN.items()}
EMPTY = {name: [] if isinstance(value, list) else value for name, value in GIVEN.items()}
X = torch.ones(2, 3)


def text(answer: torch.Tensor) -> str:
    return bytes(answer.tolist()).decode()


def error(call, *args, **kwargs) -> str:
    with pytest.raises(RuntimeError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


# ---- arguments ----


# A slot of one type read as another, or the arguments after it shifted.
def test_arguments_of_every_type(ops):
    assert text(ops.types(X, **GIVEN)) == (
        "float32(2,3)/(3,1) float32(3,2)/(1,3) float32(2,3)/(3,1)int64(3)/(1)x2 x0 -5 9223372036854775807 "
        "(1,2,-3)x3 (4)x1 0.10000000000000001 -inf 1.5,2.5x2 yes no (1,0,1)x3 'hé' '' bfloat16 uint8 "
        "cuda:1 cpu:-1 7 (8,9)x2 x0"
    )


# None that reads as a value: a dtype of None is not torch's dtype 0, uint8.
def test_none_reads_as_nothing(ops):
    assert text(ops.types(X, **NONE)) == (
        "float32(2,3)/(3,1) None:- float32(2,3)/(3,1)int64(3)/(1)x2 None:x0 -5 None:0 (1,2,-3)x3 None:()x0 "
        "0.10000000000000001 None:0 1.5,2.5x2 yes None:no (1,0,1)x3 'hé' None:'' bfloat16 "
        "None:an unsupported dtype cuda:1 None:other:-1 7 None:()x0 None:x0"
    )


# An empty list that is None, or whose items are the next list's.
def test_empty_lists(ops):
    answer = text(ops.types(X, **EMPTY))
    assert " x0 x0 -5" in answer and " ()x0 ()x0 0.1" in answer and " x0 yes no ()x0 'hé'" in answer
    assert text(ops.count(X, [], [], [])) == "0 0 0"


# A default with a comma, a quote or a bracket in it, after which every argument is another one.
def test_defaults_and_keyword_only(ops):
    assert text(ops.defaults(X)) == '-3 1e-06 1 <a,b)(> (1,2) 0 0 (7,7) <"> 0 float32 cpu:-1 <", int z=">'
    assert text(ops.defaults(X, 4, mode="m", d=torch.int8, fs=[1.0], w=X)).startswith(
        "4 1e-06 1 <a,b)(> (1,2) 1 1 (7,7) <m> 1 "
    )
    with pytest.raises(RuntimeError, match="positional"):
        ops.defaults(X, 4, 1e-6, True, "s", [1], [], None, [1, 2], "mode")


# "expected 1 or 2, got" with nothing behind it, when a user has to find the mistake.
@pytest.mark.parametrize("arguments", [GIVEN, NONE], ids=["given", "none"])
def test_messages_show_every_kind_of_argument(ops, arguments):
    shown = {
        "x": "float32[2, 3] on cpu",
        "maybe_x": "float32[3, 2] strides [1, 3] on cpu",
        "b": "True",
        "maybe_b": "False",
        "s": "'hé'",
        "maybe_s": "''",
        "d": "bfloat16",
        "maybe_d": "uint8",
        "v": "cuda:1",
        "maybe_v": "cpu",
    }
    for which, name in enumerate(["x", *GIVEN, "which"]):
        value = ({"x": X, "which": which} | arguments)[name]
        got = "None" if value is None else shown.get(name, value)
        got = f"a list of {len(value)}" if isinstance(value, list) else got
        message = error(ops.expect, X, **arguments, which=which)
        assert message == f"km_sdk::expect: argument '{name}': expected something else, got {got}"


def test_messages_describe_layouts_and_devices(ops):
    described = {
        torch.zeros(1): "float32[1] on cpu",
        torch.tensor(1.0): "float32[] on cpu",
        torch.zeros(0, 3).half(): "float16[0, 3] on cpu",
        torch.zeros(0, 1, 1).expand(0, 2**62, 2**62): f"float32[0, {2**62}, {2**62}] on cpu",
        torch.zeros(1, 1, 4).expand(5, 1, 4): "float32[5, 1, 4] strides [0, 4, 1] on cpu",
        torch.zeros(3, dtype=torch.complex64): "an unsupported dtype[3] on cpu",
        torch.zeros([1] * 64): "float32[" + "1, " * 63 + "1] on cpu",
    }
    for x, got in described.items():
        message = error(ops.expect, x, **GIVEN, which=0)
        assert message == f"km_sdk::expect: argument 'x': expected something else, got {got}"
    devices = {
        "cuda": "cuda",
        "cuda:0": "cuda:0",
        "cpu": "cpu",
        "meta": "another device",
        "xpu:1": "another device",
    }
    for device, got in devices.items():
        message = error(ops.expect, X, **GIVEN | {"v": torch.device(device)}, which=18)
        assert message == f"km_sdk::expect: argument 'v': expected something else, got {got}"


# A list one item too long that writes behind the call's arrays.
def test_limits_of_a_call(ops):
    assert text(ops.count(X, [X] * 30, [1] * 40, [1.0] * 24)) == "30 40 24"
    assert error(ops.count, X, [X] * 32, [], []) == "km_sdk::count: more than 32 tensors in one call"
    assert error(ops.count, X, [X] * 5000, [], []) == "km_sdk::count: more than 32 tensors in one call"
    numbers = "km_sdk::count: more than 64 numbers in list arguments"
    assert error(ops.count, X, [], [1] * 40, [1.0] * 25) == numbers
    assert error(ops.count, X, [], list(range(5000)), []) == numbers


# ---- tensors ----


def test_layouts(ops):
    cases = [
        (torch.tensor(1.0), "float32()/() 1"),
        (torch.zeros(0, 4), "float32(0,4)/(4,1) 0"),
        (torch.zeros(4, 6)[1:, ::2], "float32(3,3)/(6,2) 9"),
        (torch.zeros(2, 1).expand(2, 3), "float32(2,3)/(1,0) 6"),
        (torch.zeros(1).expand(2**33, 5), "float32(8589934592,5)/(0,0) 42949672960"),
        (torch.zeros(1, dtype=torch.complex64).conj(), "an unsupported dtype(1)/(1) 1"),
    ]
    for x, expected in cases:
        assert text(ops.describe(x)) == f"{expected} cpu:0 read-only"
    assert text(ops.describe_written(torch.zeros(2))) == "float32(2)/(1) 2 cpu:0 writable"


# Rows that are read at the wrong step: every layout against torch's own sum, also by the parallel path.
def test_rows(ops):
    x = torch.arange(4 * 6 * 8, dtype=torch.float32).reshape(4, 6, 8)
    cases = [
        (x, "24 rows of 8, 8 apart, in place"),
        (x[:, 1:3], "8 rows of 8, 8 apart, copied"),
        (x[1:3], "12 rows of 8, 8 apart, in place"),
        (x[..., :5], "24 rows of 5, 8 apart, in place"),
        (x[::2, :1], "2 rows of 8, 96 apart, in place"),
        (x[..., ::2], "24 rows of 4, 4 apart, copied"),
        (x[..., 3:4], "24 rows of 1, 8 apart, in place"),
        (x.transpose(0, 2), "48 rows of 4, 4 apart, copied"),
        (x[0, 0], "1 rows of 8, 8 apart, in place"),
        (x[:1, :1].expand(4, 6, 8), "24 rows of 8, 0 apart, in place"),
        (x[:1].expand(4, 6, 8), "24 rows of 8, 8 apart, copied"),
        (x[:, :1].expand(4, 6, 8), "24 rows of 8, 8 apart, copied"),
        (x[:0], "0 rows of 8, 8 apart, in place"),
        (x[..., :0], "24 rows of 0, 0 apart, in place"),
        (x.transpose(0, 2)[:0], "0 rows of 4, 4 apart, in place"),
    ]
    for view, expected in cases:
        assert text(ops.rows(view)) == expected, (view.shape, view.stride())
        assert torch.equal(ops.row_sums(view), view.sum(-1))
    assert text(ops.rows(torch.zeros(1, 8).expand(2**33, 8))) == "8589934592 rows of 8, 0 apart, in place"
    empty = torch.zeros(0, 1, 1, 4).expand(0, 2**61, 2**61, 4)
    assert text(ops.rows(empty)) == "0 rows of 4, 4 apart, in place"
    assert error(ops.rows, torch.tensor(1.0)) == "km_sdk::rows: a tensor without dimensions has no rows"


# Results in another order, of another dtype, or not initialised.
def test_new_tensors(ops):
    x = torch.randn(3, 4, 5)
    for view in (x, x.transpose(0, 2), x[:, :0], x[0, 0, 0]):
        twice, negative = ops.pair(view)
        assert torch.equal(twice, view + view) and torch.equal(negative, -view) and twice.is_contiguous()
        assert torch.equal(ops.zeros(view), torch.zeros_like(view))
        assert torch.equal(ops.zeros.overload(view, other=True), torch.zeros_like(view))
        dense = ops.dense(view)
        assert torch.equal(dense, view) and dense.is_contiguous()
    assert [r.shape[0] for r in ops.eight(x)] == list(range(8))
    names = "float64 float32 float16 bfloat16 float8_e4m3fn float8_e5m2 int64 int32 int16 int8 uint8 bool"
    for name in names.split():
        copy = ops.copied(x, getattr(torch, name))
        assert copy.dtype == getattr(torch, name)
        assert torch.equal(copy.float(), x.to(copy.dtype).float())
    unsupported = "a new tensor cannot have an unsupported dtype"
    assert error(ops.copied, x, torch.complex64) == f"km_sdk::copied: {unsupported}"
    assert error(ops.dense, torch.zeros(2, 2, dtype=torch.complex64).t()) == f"km_sdk::dense: {unsupported}"


# Elements beside a tensor's memory, or in another order than its kernel takes them for.
def test_new_tensors_with_strides(ops):
    for sizes, strides, elements in (
        ([2, 3], [3, 1], 6),
        ([2, 3], [1, 2], 6),
        ([2, 3], [5, 1], 8),
        ([4, 3], [0, 1], 3),
        ([2, 0], [1, 7], 0),
        ([], [], 1),
    ):
        y = ops.strided(X, sizes, strides)
        assert list(y.shape) == sizes and list(y.stride()) == strides and not y.any()
        assert y.dtype == X.dtype and y.untyped_storage().nbytes() == elements * X.element_size()
    assert "allocating a tensor failed" in error(ops.strided, X, [2, 2], [2**62, 1])
    for x in (torch.arange(24.0).reshape(2, 3, 4), X.bfloat16().t(), torch.ones(2, 0, 3), torch.tensor(1.0)):
        y = ops.turned(x)
        assert torch.equal(y, x) and y.permute(tuple(range(x.dim()))[::-1]).is_contiguous()


# ---- arguments that are written ----


def test_written_arguments(ops):
    outs = [torch.zeros(3), torch.zeros(2, 2)]
    assert ops.fill(outs[0], 2.0) is None and outs[0].tolist() == [2, 2, 2]
    assert ops.fill_each(outs, 3.0) is None and all((out == 3).all() for out in outs)
    assert ops.fill_maybe(X, outs[0], 4.0) is None and outs[0].tolist() == [4, 4, 4]
    assert ops.fill_maybe(X, None, 4.0) is None
    matrix = torch.ones(3, 4)
    ops.clear(matrix[:, 1:3])
    assert matrix.sum() == 6
    ops.assign(matrix.t(), torch.arange(12).reshape(4, 3))
    assert torch.equal(matrix, torch.arange(12.0).reshape(4, 3).t())
    with pytest.raises(NotImplementedError, match="no tensor arguments"):  # and so no device
        ops.fill_each([], 3.0)


# Python gets the very tensor that it passed.
def test_returned_arguments(ops):
    x, y = torch.zeros(3), torch.ones(3)
    assert ops.same(x) is x
    assert ops.last([x, y]) is y
    assert ops.dense(x) is x


# A written argument's version counter stays: the Python function that wraps the operator has to bump it.
def test_version_counters(ops):
    x = torch.zeros(3)
    ops.fill(x, 1.0)
    assert x._version == 0
    ops.clear(x)  # torch's own operator inside counts
    assert x._version == 1


# x read at an address that out's copy-on-write memory has left; a lazy clone written for all.
@pytest.mark.parametrize("keep", [True, False], ids=["shared", "last"])
def test_copy_on_write(ops, keep):
    base = torch.arange(4.0)
    clone = torch._lazy_clone(base)
    if not keep:
        del base
    assert text(ops.alias(clone.view(-1), clone)) == "same 42"
    assert clone.tolist() == [42, 1, 2, 3]
    if keep:
        assert base.tolist() == [0, 1, 2, 3]
    reader, other = torch.arange(4.0), torch._lazy_clone(torch.arange(4.0))
    lazy = torch._lazy_clone(reader)
    assert text(ops.alias(lazy, other)) == "apart 0"
    assert torch._C._is_cow_tensor(lazy) and not torch._C._is_cow_tensor(other)


# ---- what torch does around a call ----


# torch's copy inside a kernel that is recorded as the gradient of the kernel: wrong and silent.
def test_copies_are_not_recorded(ops):
    x = torch.ones(3, 4, requires_grad=True)
    for y in (ops.copied(x, torch.float32), ops.dense(x.t())):
        assert "WarnNotImplemented" in repr(y)
    with pytest.warns(UserWarning, match="km_sdk::copied"):
        ops.copied(x, torch.float32).sum().backward()
    assert x.grad is None and torch.is_grad_enabled()
    with torch.no_grad():
        ops.copied(x, torch.float32)
        assert not torch.is_grad_enabled()
    error(ops.misuse, x, None, [], "copy_sizes")
    assert torch.is_grad_enabled()
    out = torch.zeros(3, 4)
    ops.assign(out, x)
    assert not out.requires_grad


# A tensor without memory of its own that is read anyway.
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
def test_tensors_torch_refuses(ops):
    with pytest.raises(NotImplementedError, match="Meta"):
        ops.describe(torch.ones(2, device="meta"))
    sparse = torch.eye(2).to_sparse()
    with pytest.raises(NotImplementedError, match="SparseCPU"):
        ops.describe(sparse)
    with pytest.raises(NotImplementedError, match="SparseCPU"):
        ops.count(X, [X, sparse], [], [])
    with pytest.raises(NotImplementedError, match="'km_sdk::undefined'"):
        ops.undefined(X)
    with pytest.raises(NotImplementedError):  # a device of two, and none of ours
        ops.assign(X.clone(), torch.ones(2, 3, device="meta"))
    with pytest.raises(RuntimeError):
        ops.describe(torch.nested.nested_tensor([torch.ones(2)]))
    with pytest.raises(RuntimeError):
        ops.describe(torch.ones(2, 2).to_mkldnn())


# Bits that say "the negative of this memory": torch resolves them before the kernel reads.
def test_negative_and_conjugate_bits(ops):
    x = torch.arange(4.0)
    negative = torch._neg_view(x)
    assert negative.is_neg() and torch.equal(ops.pair(negative)[0], -2 * x)
    assert torch.equal(ops.row_sums(negative), -x.sum())
    imaginary = torch.complex(x, x).conj().imag
    assert torch.equal(ops.pair(imaginary)[1], x)
    assert torch.equal(ops.pair(torch._efficientzerotensor(3))[0], torch.zeros(3))
    with pytest.raises(RuntimeError):  # torch's fallback wants a written argument to be a result, too
        ops.fill(torch._neg_view(torch.zeros(3)), 2.0)


# ---- kernels that do it wrong ----

MISUSE = {
    "result_index": "the kernel sets result 2 of 2",
    "result_negative": "the kernel sets result -1 of 2",
    "tensor_twice": "the kernel returns twice, as result 1",
    "result_twice": "the kernel returns twice, as result 0",
    "foreign": "the kernel returns a tensor that is not of this call",
    "null_result": "the kernel returns a tensor that is not of this call",
    "argument": "the kernel returns 'x' itself as result 1, and its schema does not say so: "
    'declare both as "Tensor(a!)", or return a copy',
    "missing": "the kernel returned without result 1",
    "silent": "the kernel failed without saying why",
    "success_after_error": "the first is kept",
    "long_error": "0" * (1023 - len("km_sdk::misuse: ")),
    "tensor_as_int": "the kernel reads argument 'x' as another type than the schema's",
    "list_as_int": "the kernel reads argument 'ns' as another type than the schema's",
    "text_as_list": "the kernel reads argument 'how' as another type than the schema's",
    "text_as_tensor": "the kernel reads argument 'how' as another type than the schema's",
    "text_as_copy": "the kernel reads argument 'how' as another type than the schema's",
    "none_as_tensor": "argument 1 is None",
    "argument_index": "the kernel asks for argument 4 of 4",
    "argument_negative": "the kernel asks for argument -1 of 4",
    "given_index": "the kernel asks for argument 4 of 4",
    "checked_index": "the kernel checks argument 7 of 4",
    "no_dtype": "a new tensor cannot have an unsupported dtype",
    "wild_dtype": "a new tensor cannot have an unsupported dtype",
    "many_dimensions": "a tensor of 33 dimensions; at most 32 are handled",
    "negative_dimensions": "a tensor of -1 dimensions; at most 32 are handled",
    "negative_size": "allocating a tensor failed: "
    "Trying to create tensor with negative dimension -3: [2, -3]",
    "negative_stride": "a new tensor cannot have stride -1",
    "huge": "a tensor of more than 2^63 elements",
    "many_tensors": "more than 32 tensors in one call",
    "copy_to_input": "the kernel writes to a tensor that its schema does not declare (a!)",
    "zero_input": "the kernel writes to a tensor that its schema does not declare (a!)",
    "copy_sizes": "copying a tensor failed: The size of tensor a (77) must match the size of tensor b (3) at "
    "non-singleton dimension 1",
    "rows_of_scalar": "a tensor without dimensions has no rows",
    "none of these": "argument 'how': expected a way to do it wrong, got 'none of these'",
}


# A mistake in a kernel that crashes the process or returns something.
@pytest.mark.parametrize("how", MISUSE)
def test_misuse(ops, how):
    assert error(ops.misuse, X, None, [1], how) == f"km_sdk::misuse: {MISUSE[how]}"
    assert len(ops.misuse(X, None, [1], "both")) == 2


# ---- what a call costs, and threads ----


def rss_kb() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4


def grown_kb(calls: list, times: int) -> int:
    for _ in range(1000):
        for call in calls:
            call()
    gc.collect()
    before = rss_kb()
    for _ in range(times):
        for call in calls:
            call()
    gc.collect()
    return rss_kb() - before


def fails(call, *args, **kwargs):
    def attempt():
        try:
            call(*args, **kwargs)
        except RuntimeError:
            return
        raise AssertionError("no error")

    return attempt


# A handle, a list, a string or a cell that stays behind in each call.
def test_nothing_is_leaked(ops):
    out = torch.zeros(3)
    calls = [
        lambda: ops.types(X, **GIVEN),
        lambda: ops.types(X, **NONE),
        lambda: ops.pair(X.t()),
        lambda: ops.fill_each([out, out], 1.0),
        fails(ops.expect, X, **GIVEN, which=3),
        fails(ops.misuse, X, X, [1], "silent"),
        fails(ops.misuse, X, X, [1], "result_twice"),
        fails(ops.count, X, [X] * 33, [1] * 65, []),
    ]
    assert grown_kb(calls, 200_000 // len(calls)) < 1024


# One thread's message or values in another's call.
def test_four_threads(ops):
    wrong = []

    def work(k: int):
        x = torch.full((k + 1, 4), float(k))
        for i in range(3000):
            if not torch.equal(ops.row_sums(x), x.sum(-1)):
                wrong.append("values")
            how = f"{k}.{i}"
            try:
                ops.misuse(x, None, [], how)
            except RuntimeError as e:
                if not str(e).endswith(f"got '{how}'"):
                    wrong.append(str(e))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


# A data loader's worker, which inherits the loaded library: calls and errors as before.
def test_after_a_fork(ops):
    child = os.fork()
    if child == 0:
        works = False
        try:
            works = error(ops.misuse, X, None, [], "silent").endswith("saying why")
            works = works and ops.zeros(X).sum() == 0
        finally:
            os._exit(0 if works else 1)
    assert os.waitpid(child, 0)[1] == 0


# An operator that torch.compile cannot take over: its schema is torch's.
def test_schema_as_torch_sees_it(ops):
    assert str(ops.same.default._schema) == "km_sdk::same(Tensor(a!) x) -> Tensor(a!)"
    assert ops.zeros.overloads() == ["default", "overload"]
