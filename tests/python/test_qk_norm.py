"""The norms of q and k and the rotary embedding in one launch: where it is taken, and where it may not be."""

import collections
import copy

import models
import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import kernmill.transformers

LAYERS = models.SIZES["num_hidden_layers"]


class Launches(TorchDispatchMode):
    """Counts our operators."""

    def __init__(self):
        super().__init__()
        self.count = collections.Counter()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        namespace, _, name = str(function).partition(".")
        if namespace.startswith("kernmill_"):
            self.count[name.split(".")[0]] += 1
        return function(*args, **(kwargs or {}))


def launches(call) -> tuple[int, int, int]:
    """(of all three, of rotary alone, of norms)."""
    with Launches() as seen:
        call()
    count = {"all": 0, "rotary": 0, "norm": 0}
    for name, times in seen.count.items():
        kind = (
            "all" if "qk_norm" in name else "rotary" if "rotary" in name else "norm" if "norm" in name else ""
        )
        if kind:
            count[kind] += times
    return tuple(count.values())


ONE, EACH = (LAYERS, 0, 2 * LAYERS + 1), (0, LAYERS, 4 * LAYERS + 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_inference_has_one_launch_and_training_three(device, dtype):
    model, ids = models.make("Qwen3", device, dtype), models.tokens(device)
    want = models.logits(model, ids)
    with kernmill.transformers.use(model):
        assert launches(lambda: models.logits(model, ids)) == ONE
        assert launches(lambda: model(ids))[:2] == (0, LAYERS)
        got = models.logits(model, ids)
        assert (
            (got - want).abs().max() <= 1e-6
            if dtype == torch.float32
            else (got == want).double().mean() > 0.99
        )
    assert torch.equal(models.logits(model, ids), want)
    assert not any("kernmill" in name for module in model.modules() for name in vars(module))


def test_another_models_norms_are_not_taken(device):
    model, ids = models.make("Llama", device), models.tokens(device)
    with kernmill.transformers.use(model):
        assert launches(lambda: models.logits(model, ids)) == (0, LAYERS, 2 * LAYERS + 1)


def test_a_copy_has_its_own_norms(device):
    model, ids = models.make("Qwen3", device), models.tokens(device)
    other = copy.deepcopy(model)
    for layer in other.model.layers:
        nn.init.constant_(layer.self_attn.q_norm.weight, 3.0)
    want = models.logits(other, ids)
    kernmill.transformers.use(model)
    models.logits(model, ids)
    changed = copy.deepcopy(model)
    for layer in changed.model.layers:
        nn.init.constant_(layer.self_attn.q_norm.weight, 3.0)
    assert launches(lambda: models.logits(changed, ids)) == ONE
    assert (models.logits(changed, ids) - want).abs().max() <= 1e-5


# Somebody who looks at a norm sees it called; somebody who takes it back has it back.
def test_hooks_and_a_part_taken_back(device):
    model, ids = models.make("Qwen3", device), models.tokens(device)
    want = models.logits(model, ids)
    norms = kernmill.transformers.use(model, ["rms_norm"])
    kernmill.transformers.use(model, ["rotary"])
    seen = []
    handle = model.model.layers[0].self_attn.k_norm.register_forward_hook(lambda *_: seen.append(1))
    assert launches(lambda: models.logits(model, ids)) == (LAYERS - 1, 1, 2 * LAYERS + 3)
    assert len(seen) == 1
    handle.remove()
    assert launches(lambda: models.logits(model, ids)) == ONE
    norms.undo()
    assert launches(lambda: models.logits(model, ids)) == (0, LAYERS, 0)
    assert (models.logits(model, ids) - want).abs().max() <= 1e-5


def apply_rotary_pos_emb(q, k, cos, sin, unsqueeze_dim=1):
    def rotate(x):
        a, b = x.chunk(2, -1)
        return x * cos.unsqueeze(unsqueeze_dim) + torch.cat([-b, a], -1) * sin.unsqueeze(unsqueeze_dim)

    return rotate(q), rotate(k)


class QwenNorm(nn.Module):
    def __init__(self, size, eps=1e-6):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.rand(size) + 0.5), eps

    def forward(self, x):
        return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))


class NormedLater(nn.Module):
    """Has the names, but rotates first: no launch of ours does that."""

    def __init__(self, k_eps=1e-6):
        super().__init__()
        self.head_dim, self.q_proj, self.k_proj = 16, nn.Linear(32, 32), nn.Linear(32, 32)
        self.q_norm, self.k_norm = QwenNorm(16), QwenNorm(16, k_eps)

    def heads(self, x):
        return (p(x).view(*x.shape[:2], 2, 16).transpose(1, 2) for p in (self.q_proj, self.k_proj))

    def forward(self, hidden_states, position_embeddings, attention_mask=None):
        q, k = apply_rotary_pos_emb(*self.heads(hidden_states), *position_embeddings)
        q, k = self.q_norm(q), self.k_norm(k)
        return (q @ k.mT).softmax(-1) @ k, None


class NormedFirst(NormedLater):
    def forward(self, hidden_states, position_embeddings, attention_mask=None):
        q, k = self.heads(hidden_states)
        q, k = apply_rotary_pos_emb(self.q_norm(q), self.k_norm(k), *position_embeddings)
        return (q @ k.mT).softmax(-1) @ k, None


@pytest.mark.parametrize(
    ("make", "taken"),
    [(NormedFirst, True), (NormedLater, False), (lambda: NormedFirst(k_eps=1e-3), False)],
    ids=["before", "after", "other epsilons"],
)
def test_the_order_is_looked_at(device, make, taken):
    torch.manual_seed(0)
    model = make().to(device)
    x, angles = torch.randn(2, 5, 32, device=device), torch.randn(2, 5, 8, device=device).repeat(1, 1, 2)
    with torch.no_grad():
        want = model(x, (angles.cos(), angles.sin()))[0]
        report = kernmill.transformers.use(model)
        assert len(report.replaced) == 3, str(report)
        assert ("in one launch" in str(report)) == taken
        call = lambda: model(x, (angles.cos(), angles.sin()))[0]  # noqa: E731
        assert launches(call) == ((1, 0, 0) if taken else (0, 1, 2))
        torch.testing.assert_close(call(), want)
