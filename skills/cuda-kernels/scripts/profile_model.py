"""A Transformers model with random weights, for `kernmill profile`: where its time goes needs no trained weights.

kernmill profile profile_model.py -- TYPE [--set hidden_size=4096 num_hidden_layers=2] [--tokens 2048] [--train]

TYPE is a model type of Transformers (qwen3, llama, gemma2), or a folder or Hub name with a config.json. Layers are
alike: two are enough, and widths should be the real ones.
"""

import argparse

import torch
from transformers import AutoConfig, AutoModelForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("type")
parser.add_argument("--set", nargs="*", default=[], metavar="KEY=NUMBER")
parser.add_argument("--tokens", type=int, default=2048)
parser.add_argument("--steps", type=int, default=3)
parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
parser.add_argument("--dtype", default="bfloat16")
parser.add_argument("--train", action="store_true")
parser.add_argument("--use", action="store_true", help="with kernmill's kernels in place")
options = parser.parse_args()

sizes = {key: int(number) for key, number in (pair.split("=", 1) for pair in options.set)}
try:
    config = AutoConfig.for_model(options.type)
except ValueError:
    config = AutoConfig.from_pretrained(options.type)
for key, number in sizes.items():
    if not hasattr(config, key):
        parser.error(f"{options.type} has no size '{key}'")
    setattr(config, key, number)
if "num_hidden_layers" in sizes and getattr(config, "layer_types", None):
    config.layer_types = config.layer_types[: config.num_hidden_layers]

model = AutoModelForCausalLM.from_config(config, dtype=getattr(torch, options.dtype)).to(options.device)
ids = torch.randint(0, config.vocab_size, (1, options.tokens), device=options.device)
if options.use:
    import kernmill.transformers

    print(kernmill.transformers.use(model))


def step() -> None:
    with torch.set_grad_enabled(options.train):
        out = model(ids, labels=ids if options.train else None, use_cache=False)
    if options.train:
        out.loss.backward()


step()
with torch.profiler.record_function("kernmill"):  # what is inside is profiled, the first call is not
    for _ in range(options.steps):
        step()
    if options.device.startswith("cuda"):
        torch.cuda.synchronize()
