"""What a wrong call says, and that it costs nothing."""

import gc
import resource
import threading

import pytest
import torch


def test_messages_name_operator_argument_expected_and_got(kernel):
    x, weight = torch.randn(4, 16), torch.randn(16)
    cases = [
        (lambda: kernel.layer_norm(x, weight[:15]), "argument 'weight': expected [16] in float32, or None, got float32[15] on cpu"),
        (lambda: kernel.layer_norm(x.bfloat16(), weight.half()), "expected [16] in bfloat16 or float32, or None, got float16[16]"),
        (lambda: kernel.layer_norm(x.double()), "argument 'x': expected a float32, float16 or bfloat16 tensor of at least one dimension, got float64[4, 16] on cpu"),
        (lambda: kernel.layer_norm(torch.tensor(1.0)), "argument 'x'"),
        (lambda: kernel.layer_norm(x.int()), "got int32[4, 16]"),
        (lambda: kernel.layer_norm(x, eps=-1.0), "argument 'eps': expected a finite number, at least 0, got -1"),
        (lambda: kernel.layer_norm(x, eps=float("nan")), "argument 'eps'"),
        (lambda: kernel.layer_norm(x, weight, weight[:15]), "argument 'bias': expected [16] in float32, or None, got float32[15] on cpu"),
        (lambda: kernel.layer_norm(x.half(), weight, weight.half()), "argument 'bias': expected float32, as the weight has, got float16[16]"),
        (lambda: kernel.layer_norm(x.half(), weight.half(), weight), "argument 'bias': expected float16, as the weight has, got float32[16]"),
        (lambda: kernel.fused_add_layer_norm(x, x[:3]), "argument 'residual': expected a float32 tensor with the sizes of x, whose last is 16, got float32[3, 16]"),
        (lambda: kernel.fused_add_layer_norm(x, x.half()), "argument 'residual'"),
        (lambda: kernel.fused_add_layer_norm(x, x, residual_rounding="no"), "argument 'residual_rounding'"),
        (lambda: kernel.layer_norm_(x[:1].expand(4, 16)), "argument 'x': expected a tensor whose elements do not share memory, got float32[4, 16] strides [0, 1]"),
        (lambda: kernel.layer_norm(x, out=torch.empty(4, 15)), "argument 'out'"),
        (lambda: kernel.fused_add_layer_norm_(x, x), "argument 'residual': expected another tensor than x"),
    ]  # fmt: skip
    for call, text in cases:
        with pytest.raises(ValueError) as caught:
            call()
        assert text in str(caught.value), caught.value
        assert f"{kernel._ops.ops.name}::" in str(caught.value)


def test_raw_operators_raise_the_same_text(kernel):
    with pytest.raises(RuntimeError) as caught:
        kernel._ops.ops.layer_norm(torch.randn(4, 16), torch.randn(15))
    assert str(caught.value).splitlines()[0].endswith("got float32[15] on cpu")


def test_failed_calls_leave_the_arguments_alone(kernel):
    x = torch.randn(4, 16)
    before = x.clone()
    with pytest.raises(ValueError):
        kernel.fused_add_layer_norm_(x, torch.randn(4, 16), torch.randn(3))
    assert torch.equal(x, before)


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
    x, weight = torch.randn(64, 256), torch.randn(256)
    raw = kernel._ops.ops._fused_add_layer_norm_fwd

    def wrong():
        try:
            raw(x.t(), x.t(), weight, weight, 1e-5, "rounded")
        except RuntimeError:
            pass

    assert _grown_kb(lambda: raw(x, x, weight, weight, 1e-5, "rounded"), 20000) < 2000
    assert _grown_kb(wrong, 20000) < 2000


def test_messages_do_not_cross_threads(kernel):
    wrong = []

    def work(size):
        for _ in range(300):
            try:
                kernel.layer_norm(torch.ones(1, size), torch.ones(size + 1))
            except ValueError as error:
                if f"expected [{size}] in" not in str(error):
                    wrong.append(str(error))

    threads = [threading.Thread(target=work, args=(n,)) for n in (3, 5, 7, 9)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


def test_the_backward_checks_what_was_kept(kernel):
    x, statistic = torch.randn(4, 16), torch.randn(4)
    for mean, rstd, name in ((statistic[:3], statistic, "mean"), (statistic, statistic.double(), "rstd")):
        with pytest.raises(
            RuntimeError, match=f"argument '{name}': expected float32 with a value for each of the 4"
        ):
            kernel._ops.ops._layer_norm_bwd(x, x, None, None, mean, rstd, None, True, False, False)
