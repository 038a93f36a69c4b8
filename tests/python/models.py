"""Small randomly initialised models, and how close two of them are. Nothing is downloaded."""

import copy

import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

SIZES = {
    "vocab_size": 128,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
}


SEEDS = range(4)


def make(name: str, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0):
    torch.manual_seed(seed)
    model = {
        "Qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**SIZES)),
        "Llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
        "Gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**SIZES, query_pre_attn_scalar=16)),
        "Bert": lambda: BertForMaskedLM(
            BertConfig(**{k: v for k, v in SIZES.items() if k in vars(BertConfig())})
        ),
    }[name]()
    with torch.no_grad():
        for n, p in model.named_parameters():
            if "norm" in n.lower():  # all ones would hide a weight that is not read
                p.copy_(torch.rand_like(p) + 0.5)
    return model.to(device, dtype).eval()


def norms(model) -> int:
    return sum("RMSNorm" in type(m).__name__ for m in model.modules())


def tokens(device: str = "cpu") -> torch.Tensor:
    return torch.randint(0, SIZES["vocab_size"], (2, 12), generator=torch.Generator().manual_seed(1)).to(
        device
    )


@torch.no_grad()
def logits(model, ids):
    return model(ids).logits


@torch.no_grad()
def greedy_differences(model, other, ids, steps: int = 16) -> tuple[int, int]:
    """Greedy decoding with `model`; (tokens that `other` chooses differently although the margin between the
    two best exceeds the largest difference of the logits, tokens compared)."""
    wrong = compared = 0
    for _ in range(steps):
        a, b = model(ids).logits[:, -1], other(ids).logits[:, -1]
        best = a.topk(2).values
        sure = (best[:, 0] - best[:, 1]) > 2 * (a - b).abs().max()
        wrong += int((sure & (a.argmax(-1) != b.argmax(-1))).sum())
        compared += int(sure.sum())
        ids = torch.cat([ids, a.argmax(-1, keepdim=True)], dim=1)
    return wrong, compared


def gradients(model, ids) -> torch.Tensor:
    model.zero_grad()
    model(ids, labels=ids).loss.backward()
    return torch.cat([p.grad.double().flatten() for p in model.parameters()])


def gradient_error(name: str, device: str, change) -> float:
    """The relative error of a model's gradients against the same model in float64, root mean square over some
    random models: a single one is mostly luck. `change` gets the float32 model and returns what is tested."""
    squares = []
    for seed in SEEDS:
        model, ids = make(name, device, seed=seed).train(), tokens(device)
        exact = gradients(copy.deepcopy(model).double(), ids)
        squares.append(((gradients(change(model), ids) - exact).norm() / exact.norm()).item() ** 2)
    return (sum(squares) / len(squares)) ** 0.5
