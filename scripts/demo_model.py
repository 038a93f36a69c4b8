"""The demo's last steps, on the packed files: the op through torch.ops, the Hub layout through the official
`kernels` client, and a Transformers model with our RMSNorm and without. Prints what it finds; with --json
also writes it.

usage: demo_model.py HUB [--json FILE]      HUB: the folder that `kernmill pack` wrote
"""

import argparse
import copy
import json
import logging
import os
import pathlib
import sys
import time

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
import torch.nn.functional as F
from transformers import Qwen3Config, Qwen3ForCausalLM

import kernels
import kernmill.transformers
import kernmill_rmsnorm
from kernels import LocalLayerRepository, Mode, use_kernel_mapping

logging.getLogger("kernels").setLevel(logging.ERROR)  # it names each layer that has no mapping, each time
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def synchronize() -> None:
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def microseconds(functions: dict, rounds: int = 15, seconds: float = 0.02) -> dict[str, float]:
    """The median time of a call of each function; the functions take turns."""
    counts, times = {}, {name: [] for name in functions}
    for name, function in functions.items():
        function()
        synchronize()
        start = time.perf_counter()
        function()
        synchronize()
        counts[name] = max(1, int(seconds / (time.perf_counter() - start)))
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            for _ in range(counts[name]):
                function()
            synchronize()
            times[name].append((time.perf_counter() - start) / counts[name] * 1e6)
    return {name: sorted(t)[len(t) // 2] for name, t in times.items()}


def eager(x, weight, eps=1e-6):
    """RMSNorm as Transformers' models write it."""
    h = x.float()
    return weight * (h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + eps)).to(x.dtype)


def show_op() -> dict:
    dtype = torch.bfloat16
    x = torch.randn(512, 4096, device=DEVICE).to(dtype)
    weight = torch.randn(4096, device=DEVICE).to(dtype)
    y = torch.ops.kernmill_rmsnorm.rms_norm(x, weight)
    same = (y == eager(x, weight)).double().mean().item()
    print(f"  torch.ops.kernmill_rmsnorm.rms_norm(x, weight), x bfloat16[512, 4096] on {DEVICE}:")
    print(f"  {same:.4%} of the words equal Transformers' formula")
    with torch.no_grad():
        times = microseconds(
            {
                "kernmill": lambda: kernmill_rmsnorm.rms_norm(x, weight),
                "eager formula": lambda: eager(x, weight),
                "F.rms_norm": lambda: F.rms_norm(x, (4096,), weight, 1e-6),
            }
        )
    print("  " + ", ".join(f"{name} {t:.1f} us" for name, t in times.items()))
    return {"same_words": same, "op_us": times}


def show_client(hub: pathlib.Path) -> dict:
    module = kernels.get_local_kernel(hub, backend=None if torch.version.cuda else "cpu")
    x = torch.randn(4, 64, device=DEVICE)
    torch.testing.assert_close(module.rms_norm(x), F.rms_norm(x, (64,), eps=1e-6))
    variant = pathlib.Path(module.__file__).parent.name
    print(f"  kernels.get_local_kernel chose {variant}, op namespace torch.ops.{module.__name__}")
    return {"variant": variant}


def make_model():
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=4096,
        hidden_size=512,
        intermediate_size=1024,
        num_hidden_layers=4,
        num_attention_heads=8,
        num_key_value_heads=4,
        head_dim=64,
    )
    return Qwen3ForCausalLM(config).to(DEVICE).eval()


def put_in(model, hub: pathlib.Path):
    """The documented way of the `kernels` package."""
    repository = LocalLayerRepository(hub, layer_name="RMSNorm")
    with use_kernel_mapping({"RMSNorm": {DEVICE: {Mode.INFERENCE: repository}}}, inherit_mapping=False):
        return kernels.kernelize(copy.deepcopy(model), mode=Mode.INFERENCE, device=DEVICE)


@torch.no_grad()
def show_model(hub: pathlib.Path) -> dict:
    model = make_model()
    ids = torch.randint(0, 4096, (1, 64), device=DEVICE)
    want = model(ids).logits
    ours = put_in(model, hub)
    replaced = sum("kernmill_rmsnorm" in getattr(m.forward, "__module__", "") for m in ours.modules())
    difference = (ours(ids).logits - want).abs().max().item()
    settings = {"max_new_tokens": 12, "do_sample": False, "pad_token_id": 0}
    a, b = model.generate(ids, **settings), ours.generate(ids, **settings)
    print(f"  kernels.kernelize put our RMSNorm into {replaced} modules of a small Qwen3 (float32)")
    print(f"  largest difference of a logit: {difference:.1e}; greedy tokens equal: {torch.equal(a, b)}")
    assert replaced > 0 and difference <= 1e-4 and torch.equal(a, b)
    with kernmill.transformers.use(model) as report:
        print("  kernmill.transformers.use(model): " + str(report).replace("\n", "\n  "))
        assert (model(ids).logits - want).abs().max() <= 1e-4
    times = microseconds({"model without": lambda: model(ids), "model with": lambda: ours(ids)}, 11, 0.2)
    print("  " + ", ".join(f"{name} {t / 1000:.2f} ms" for name, t in times.items()))
    return {"replaced": replaced, "logit_difference": difference, "model_us": times}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("hub", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    result = {
        "device": torch.cuda.get_device_name() if DEVICE == "cuda" else "cpu",
        "torch": torch.__version__,
        "kernels": kernels.__version__ if hasattr(kernels, "__version__") else None,
        **show_op(),
        **show_client(arguments.hub),
        **show_model(arguments.hub),
    }
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
