"""What a wrong call says, and that it costs nothing."""

import gc
import resource
import threading

import pytest
import torch
from conftest import make, tables


def test_messages_name_operator_argument_expected_and_got(kernel):
    q, k = make("cpu", torch.float32)
    cos, sin = tables("cpu", torch.float32, 2, 7, 64)
    cache, positions = torch.randn(50, 64), torch.arange(7)
    x = torch.randn(7, 4, 64)
    w = torch.ones(64)
    half = x[..., :32], x[..., 32:]
    four = q[..., :32], q[..., 32:]
    cases = [
        (lambda: kernel.rotary(q.double(), k, cos, sin), "argument 'q': expected a float32, float16 or bfloat16 tensor of four dimensions, got float64[2, 4, 7, 64]"),
        (lambda: kernel.rotary(q[0], k, cos, sin), "argument 'q'"),
        (lambda: kernel.rotary(q, k.half(), cos, sin), "argument 'k': expected a float32 tensor that has the sizes of q, but for the heads, got float16[2, 2, 7, 64]"),
        (lambda: kernel.rotary(q, k[:, :, :6], cos, sin), "argument 'k'"),
        (lambda: kernel.rotary(q, k[..., :32], cos, sin), "argument 'k'"),
        (lambda: kernel.rotary(q, k, cos[:, :6], sin), "argument 'cos': expected [2 or 1, 7, 64 or 32] in float32, got float32[2, 6, 64]"),
        (lambda: kernel.rotary(q, k, cos, sin[:1, :, :32]), "argument 'sin': expected a table like cos: float32 with 64 in a row"),
        (lambda: kernel.rotary(q, k, cos, sin[..., :31]), "argument 'sin'"),
        (lambda: kernel.rotary(q, k, cos.half(), sin.half()), "argument 'cos'"),
        (lambda: kernel.rotary(q.half(), k.half(), cos, sin.half()), "argument 'sin'"),
        (lambda: kernel.rotary(q, k, cos.repeat(1, 1, 2), sin), "argument 'cos': expected a last size (what is rotated) that is even, from 2 to 64"),
        (lambda: kernel.rotary(q, k, cos[..., :31], sin[..., :31]), "argument 'cos'"),
        (lambda: kernel.rotary(q, k, cos, sin, rotary_dim=66), "argument 'rotary_dim': expected an even number, from 2 to 64, got 66"),
        (lambda: kernel.rotary(q, k, cos, sin, rotary_dim=0), "argument 'rotary_dim'"),
        (lambda: kernel.rotary(q, k, cos, sin, rotary_dim=32), "argument 'cos': expected [2 or 1, 7, 32 or 16]"),
        (lambda: kernel.rotary(q, k, torch.tensor(1.0), sin), "argument 'cos'"),
        (lambda: kernel.rotary(q, k, cos, sin, unsqueeze_dim=3), "argument 'unsqueeze_dim': expected 1 or 2, got 3"),
        (lambda: kernel.rotary(q, k, cos, sin, rounding="HF"), "argument 'rounding': expected 'hf' or 'single', got 'HF'"),
        (lambda: kernel.rotary_(q[:1].expand(2, 4, 7, 64), k, cos, sin), "argument 'q': expected a tensor whose elements do not share memory"),
        (lambda: kernel.rotary_(torch.zeros(900).as_strided((2, 4, 7, 64), (64, 32, 8, 1)), None, cos, sin), "argument 'q': expected a tensor whose elements do not share memory"),
        (lambda: kernel.rotary_(q, q, cos, sin), "argument 'k': expected another tensor than q"),
        (lambda: kernel.rotary_embedding(x[0], x[0], positions, cache), "argument 'head_size': expected D, which divides the last size of q, 64"),
        (lambda: kernel.rotary_embedding(x.flatten(1), None, positions, cache, head_size=60), "argument 'head_size'"),
        (lambda: kernel.rotary_embedding(x[None], None, positions, cache), "argument 'q'"),
        (lambda: kernel.rotary_embedding(x, x[:6], positions, cache), "argument 'k': expected float32 [7, heads, 64] or [7, heads * 64]"),
        (lambda: kernel.rotary_embedding(x, x, positions[:6], cache), "argument 'positions': expected [7] in int32 or int64, got int64[6]"),
        (lambda: kernel.rotary_embedding(x, x, positions.float(), cache), "argument 'positions'"),
        (lambda: kernel.rotary_embedding(x, x, positions + 44, cache), "argument 'positions': expected positions from 0 to 49 (number 6 is 50)"),
        (lambda: kernel.rotary_embedding(x, x, positions, cache.half()), "argument 'cos_sin_cache': expected [positions, what is rotated: even, from 2 to 64] in float32"),
        (lambda: kernel.rotary_embedding(x, x, positions, cache[:, :63]), "argument 'cos_sin_cache'"),
        (lambda: kernel.rotary_embedding_(x, x, positions, cache), "argument 'k': expected another tensor than q"),
        (lambda: kernel.qk_norm_rotary(q, k, w[:63], w, cos, sin), "argument 'q_weight': expected [64] in float32, got float32[63]"),
        (lambda: kernel.qk_norm_rotary(q, k, w, None, cos, sin), "argument 'k_weight': expected the weight of k"),
        (lambda: kernel.qk_norm_rotary(q, None, w, w, cos, sin), "argument 'k_weight': expected None, as k is"),
        (lambda: kernel.qk_norm_rotary(q.half(), k.half(), w, w.half(), cos, sin), "argument 'k_weight': expected the dtype of q_weight"),
        (lambda: kernel.qk_norm_rotary(q, k, w, w, cos, sin, -1.0), "argument 'eps': expected a finite number, at least 0, got -1"),
        (lambda: kernel.qk_norm(x[0], None, w, None), "argument 'q': expected a float32, float16 or bfloat16 tensor of three or four dimensions, got float32[4, 64]"),
        (lambda: kernel.qk_norm(x.double(), x, w, w), "argument 'q'"),
        (lambda: kernel.qk_norm(x, x.half(), w, w), "argument 'k': expected a float32 tensor that has the sizes of q, but for the heads, got float16[7, 4, 64]"),
        (lambda: kernel.qk_norm(x, x[:6, :3], w, w), "argument 'k'"),
        (lambda: kernel.qk_norm(q, k[:, :, :6], w, w), "argument 'k'"),
        (lambda: kernel.qk_norm(q, k[:1], w, w), "argument 'k'"),
        (lambda: kernel.qk_norm(q, x, w, w), "argument 'k'"),
        (lambda: kernel.qk_norm(q, torch.tensor(1.0), w, w), "argument 'k'"),
        (lambda: kernel.qk_norm(q, k[..., :32], w, w), "argument 'k'"),
        (lambda: kernel.qk_norm(q, k, w[:63], w), "argument 'q_weight': expected [64] in float32, got float32[63]"),
        (lambda: kernel.qk_norm(q, k, w.half(), w), "argument 'q_weight': expected [64] in float32, got float16[64]"),
        (lambda: kernel.qk_norm(q, k, w, w[None]), "argument 'k_weight': expected [64] in float32, got float32[1, 64]"),
        (lambda: kernel.qk_norm(q, k, w, None), "argument 'k_weight': expected the weight of k"),
        (lambda: kernel.qk_norm(q, None, w, w), "argument 'k_weight': expected None, as k is"),
        (lambda: kernel.qk_norm(q.half(), k.half(), w, w.half()), "argument 'k_weight': expected the dtype of q_weight"),
        (lambda: kernel.qk_norm(q, k, w, w, float("nan")), "argument 'eps': expected a finite number, at least 0, got nan"),
        (lambda: kernel.qk_norm(q, k, w, w, rounding="HF"), "argument 'rounding': expected 'hf' or 'single', got 'HF'"),
        (lambda: kernel.qk_norm_(x, x, w, w), "argument 'k': expected another tensor than q"),
        (lambda: kernel.qk_norm_(x[:1].expand(7, 4, 64), None, w, None), "argument 'q': expected a tensor whose elements do not share memory"),
        (lambda: kernel.apply_rotary(x[0, 0], x[0, 0], w, w, x[0, 0], x[0, 0], False), "argument 'x1'"),
        (lambda: kernel.apply_rotary(*half, w, w, *half, False), "argument 'cos': expected a table that broadcasts to x1, the same for all heads"),
        (lambda: kernel.apply_rotary(*half, w[:32].half(), w[:32].half(), *half, False), "argument 'cos'"),
        (lambda: kernel.apply_rotary(half[0], x, w[:32], w[:32], *half, False), "argument 'x2': expected a float32 tensor with the sizes of x1"),
        (lambda: kernel.apply_rotary(*half, w[:32], w[:32], half[0], half[0], False), "argument 'out2': expected another tensor than out1"),
        (lambda: kernel.apply_rotary(*half, w[:32], w[:32], half[0].expand(7, 4, 32), half[1][:1].expand(7, 4, 32), False), "argument 'out2'"),
        (lambda: kernel.apply_rotary(*four, *four, *(t.clone() for t in four), False), "the same for all heads"),
    ]  # fmt: skip
    for number, (call, text) in enumerate(cases):
        with pytest.raises(ValueError) as caught:
            call()
        assert text in str(caught.value), (number, str(caught.value))
        assert f"{kernel._ops.ops.name}::" in str(caught.value)


def test_failed_calls_leave_the_arguments_alone(kernel):
    q, k = make("cpu", torch.float32)
    cos, sin = tables("cpu", torch.float32, 2, 7, 64)
    before = q.clone()
    with pytest.raises(ValueError):
        kernel.rotary_(q, k.half(), cos, sin)
    with pytest.raises(ValueError):
        kernel.rotary_(q, k[:, :1].expand(2, 2, 7, 64), cos, sin)
    assert torch.equal(q, before)


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
    q, k = make("cpu", torch.float32)
    cos, sin = tables("cpu", torch.float32, 2, 7, 64)
    strided = q.mT.contiguous().mT
    raw = kernel._ops.ops._rotary_fwd

    def wrong():
        try:
            raw(strided, k, cos, sin[..., :32], None, False, 1, "hf", False)
        except RuntimeError:
            pass

    assert _grown_kb(lambda: raw(strided, k, cos, sin, None, False, 1, "hf", False), 10000) < 2000
    assert _grown_kb(wrong, 10000) < 2000


def test_messages_do_not_cross_threads(kernel):
    wrong = []

    def work(size):
        for _ in range(300):
            try:
                kernel.rotary(torch.ones(1, 1, size, 8), None, torch.ones(size + 1, 8), torch.ones(1, 8))
            except ValueError as error:
                if f"expected [1 or 1, {size}, 8 or 4]" not in str(error):
                    wrong.append(str(error))

    threads = [threading.Thread(target=work, args=(n,)) for n in (3, 5, 7, 9)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
