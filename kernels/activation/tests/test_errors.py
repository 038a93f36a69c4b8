"""What a wrong call says, and that it costs nothing."""

import gc
import resource

import pytest
import torch


def test_messages_name_operator_argument_expected_and_got(kernel):
    x = torch.randn(4, 16)
    cases = [
        (lambda: kernel.silu(x.double()), "argument 'x': expected a float32, float16 or bfloat16 tensor, got float64[4, 16] on cpu"),
        (lambda: kernel.silu(x.int()), "got int32[4, 16]"),
        (lambda: kernel.silu(x, out=torch.empty(4, 15)), "argument 'out': expected a float32 tensor with the sizes of x, got float32[4, 15]"),
        (lambda: kernel.silu(torch.empty(4, 16).half(), x), "argument 'out'"),
        (lambda: kernel.silu(x[:1].expand(4, 16), x), "argument 'out': expected a tensor whose elements do not share memory"),
        (lambda: kernel.silu_and_mul(x[:, :15]), "argument 'x': expected a tensor whose last size is even, got float32[4, 15]"),
        (lambda: kernel.silu_and_mul(torch.tensor(1.0)), "argument 'x': expected a float32, float16 or bfloat16 tensor of at least one dimension"),
        (lambda: kernel.silu_and_mul(torch.empty(4, 16), x), "argument 'out': expected a float32 tensor with the sizes of x, the last halved to 8, got float32[4, 16]"),
        (lambda: kernel.silu_and_mul(torch.empty(8), x), "argument 'out'"),
        (lambda: kernel.silu_and_mul(x, rounding="HF"), "argument 'rounding': expected 'hf' or 'single', got 'HF'"),
        (lambda: kernel.silu_mul(x, x[:3]), "argument 'up': expected a float32 tensor with the sizes of gate, got float32[3, 16]"),
        (lambda: kernel.silu_mul(x, x.half()), "argument 'up'"),
        (lambda: kernel.gelu_mul(x, x, out=x[0]), "argument 'out': expected a float32 tensor with the sizes of gate"),
    ]  # fmt: skip
    for call, text in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert text in str(caught.value), caught.value
        assert f"{kernel._ops.ops.name}::" in str(caught.value)


def test_wrong_numbers_of_tensors(kernel):
    x = torch.randn(4, 16)
    for call in (lambda: kernel.silu(), lambda: kernel.silu(x, x, x), lambda: kernel.silu(x, x, out=x)):
        with pytest.raises(TypeError):
            call()


def test_raw_operators_raise_the_same_text(kernel):
    ops, x = kernel._ops.ops, torch.randn(4, 16)
    with pytest.raises(RuntimeError) as caught:
        ops._act_fwd(x, "relu")
    text = "argument 'kind': expected 'silu', 'gelu', 'gelu_tanh' or 'quick_gelu', got 'relu'"
    assert str(caught.value).splitlines()[0].endswith(text)
    with pytest.raises(RuntimeError, match="argument 'dy'"):
        ops._act_mul_packed_bwd(x, x, "silu", "hf", False)


def test_failed_calls_leave_the_arguments_alone(kernel):
    out, x = torch.zeros(4, 16), torch.randn(4, 16)
    with pytest.raises(ValueError):
        kernel.silu_mul(x, torch.randn(3, 16), out=out)
    assert not out.any()


def _grown_kb(call, times):
    for _ in range(2000):
        call()
    gc.collect()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(times):
        call()
    gc.collect()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


def test_calls_and_errors_leak_nothing(kernel):
    x = torch.randn(64, 256)
    raw = kernel._ops.ops._act_mul_packed_fwd

    def wrong():
        try:
            raw(x.t(), "relu", "hf", False)
        except RuntimeError:
            pass

    assert _grown_kb(lambda: raw(x.t(), "silu", "hf", True), 10000) < 2000
    assert _grown_kb(wrong, 10000) < 2000
