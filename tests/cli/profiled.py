"""What test_profile.py has profiled: some steps of a small model, made in place. To look at a real size on a GPU:

kernmill profile tests/cli/profiled.py -- --device cuda --dtype bfloat16 --large
"""

import argparse
import contextlib
import pathlib
import sys

import torch

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/python"))
import models  # noqa: E402

parser = argparse.ArgumentParser()
parser.add_argument("--model", default="Qwen3", help="a name in tests/python/models.py")
parser.add_argument("--device", default="cpu")
parser.add_argument("--dtype", default="float32")
parser.add_argument("--steps", type=int, default=3)
parser.add_argument("--use", action="store_true", help="with kernmill's kernels")
parser.add_argument("--train", action="store_true")
parser.add_argument("--compile", action="store_true", help="by a backend that compiles nothing")
parser.add_argument("--large", action="store_true", help="with the widths of Qwen3-8B, and 4096 tokens")
options = parser.parse_args()

ids = models.tokens(options.device)
if options.large:
    models.SIZES |= {"hidden_size": 4096, "intermediate_size": 12288, "num_attention_heads": 32,
                     "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 4096}  # fmt: skip
    ids = ids[:1, :1].expand(1, 4096).contiguous()
model = models.make(options.model, options.device, getattr(torch, options.dtype))
if options.use:
    import kernmill.transformers

    print(kernmill.transformers.use(model))
call = torch.compile(model, backend="eager", fullgraph=True) if options.compile else model


def step() -> None:
    with contextlib.nullcontext() if options.train else torch.no_grad():
        out = call(ids, labels=ids if options.train else None)
    if options.train:
        out.loss.backward()


step()
with torch.profiler.record_function("kernmill"):
    for _ in range(options.steps):
        step()
    if options.device == "cuda":
        torch.cuda.synchronize()
print("the script has ended")
