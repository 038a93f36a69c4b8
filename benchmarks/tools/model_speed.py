"""Whole Transformers models with random weights, with nothing, with kernmill's kernels and with Liger's layers, in one
run: prefill, decode and a training step, eager and compiled.

usage: python benchmarks/tools/model_speed.py [MODEL...] [--layers N] [--rounds N] [--each] [--json FILE]

With --each every family of kernels is measured alone, too, also where `use` would leave it out by the record: these
are the figures of python/kernmill/transformers/_gains.py.

In each round every variant is timed once, in random order, by CUDA events; a ratio is the median over rounds of the
variant's time over that of the unchanged model, with the 2.5 and 97.5 % quantiles of its bootstrap. Liger's rotary
embedding and its loss are left out: they replace functions of the model's file, for every variant in the process.
"""

import argparse
import copy
import json
import random
import statistics
from pathlib import Path

import torch
import transformers
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

import kernmill.transformers

SHAPES = {  # of the published configurations but for the number of layers
    "llama-3.1-8b": ("llama", {"hidden_size": 4096, "intermediate_size": 14336, "num_attention_heads": 32,
                               "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128256}),
    "qwen3-8b": ("qwen3", {"hidden_size": 4096, "intermediate_size": 12288, "num_attention_heads": 32,
                           "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151936}),
    "gemma-2-9b": ("gemma2", {"hidden_size": 3584, "intermediate_size": 14336, "num_attention_heads": 16,
                              "num_key_value_heads": 8, "head_dim": 256, "vocab_size": 256000}),
    "bert-large": ("bert", {"hidden_size": 1024, "intermediate_size": 4096, "num_attention_heads": 16}),
}  # fmt: skip
SHAPES["bert-large-batch"] = SHAPES["bert-large"]
torch._dynamo.config.recompile_limit = 64  # every variant compiles the same functions
PREFILL, CONTEXT, TRAIN = 2048, 512, 1024  # tokens; BERT has them in rows of 512, as a batch 16 rows


def is_bert(model) -> bool:
    return model.config.model_type == "bert"


def make(name: str, layers: int):
    kind, shape = SHAPES[name]
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, num_hidden_layers=layers, **shape)
    with torch.device("cuda"):
        form = AutoModelForMaskedLM if kind == "bert" else AutoModelForCausalLM
        return form.from_config(config, dtype=torch.bfloat16).eval()


def with_liger(model):
    from liger_kernel.transformers import monkey_patch

    kind = model.config.model_type
    if kind == "bert":
        raise ImportError("Liger has no layers for BERT")
    apply = getattr(monkey_patch, f"apply_liger_kernel_to_{kind}")
    gated = "geglu" if kind == "gemma2" else "swiglu"
    apply(
        rope=False,
        cross_entropy=False,
        fused_linear_cross_entropy=False,
        rms_norm=True,
        **{gated: True},
        model=model,
    )
    return model


def with_kernmill(model):
    kernmill.transformers.use(model)
    return model


class Task:
    """What is timed of one model."""

    def __init__(self, model, compiled: bool, batch: bool):
        tokens = 16 * 512 if batch else PREFILL
        self.model, self.ids = model, torch.randint(0, 1000, (1, tokens), device="cuda")
        self.options, self.train_rows = {"use_cache": False}, 16 if batch else TRAIN // 512
        if is_bert(model):
            self.ids, self.options = self.ids.view(-1, 512), {}
        self.forward = torch.compile(model, dynamic=False) if compiled else model
        self.cache = None

    @torch.no_grad()
    def prefill(self):
        last = {} if is_bert(self.model) else {"logits_to_keep": 1}
        self.forward(self.ids, **self.options, **last)

    @torch.no_grad()
    def decode(self):
        if self.cache is None:
            self.cache = self.model(self.ids[:, :CONTEXT], use_cache=True).past_key_values
        self.forward(self.ids[:, :1], past_key_values=self.cache, use_cache=True)
        self.cache.crop(-1)

    def train(self):
        ids = self.ids[: self.train_rows] if is_bert(self.model) else self.ids[:, :TRAIN]
        self.forward(ids, labels=ids, **self.options).loss.backward()
        self.model.zero_grad(set_to_none=True)


def time_of(call) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize()
    start.record()
    call()
    end.record()
    torch.cuda.synchronize()
    return start.elapsed_time(end)


def interval(ratios: list[float]) -> tuple[float, float]:
    draw = random.Random(0)
    medians = sorted(statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(1000))
    return medians[25], medians[974]


def with_one(family: str):
    def change(model):
        kernmill.transformers.use(model, [family], compiled=True)
        return model

    return change


def measure(model, rounds: int, mode: str, each: bool, batch: bool) -> list[dict]:
    changes = {"nothing": lambda m: m, "kernmill": with_kernmill}
    if mode == "eager":  # compiled, Liger's functions are traced anew until the limit, for minutes
        changes["liger"] = with_liger
    if each:
        families = ["layer_norm"] if is_bert(model) else ["rms_norm", "activation", "rotary"]
        changes |= {f"{family} alone": with_one(family) for family in families}
    tasks = {}
    for name, change in changes.items():
        try:
            tasks[name] = Task(change(copy.deepcopy(model)), mode == "compiled", batch)
        except ImportError as error:
            print(f"  {name}: {error}")
    lines = []
    for what in ("prefill", "train") if is_bert(model) else ("prefill", "decode", "train"):
        calls = {name: getattr(task, what) for name, task in tasks.items()}
        for call in calls.values():
            for _ in range(3):
                call()
        times = {name: [] for name in calls}
        for _ in range(rounds):
            for name in random.sample(list(calls), len(calls)):
                times[name].append(time_of(calls[name]))
        for name, samples in times.items():
            ratios = [a / b for a, b in zip(samples, times["nothing"], strict=True)]
            low, high = interval(ratios)
            median = statistics.median(samples)
            lines.append({"mode": mode, "task": what, "variant": name, "median_ms": median, "samples_ms": samples,
                          "ratio": statistics.median(ratios), "low": low, "high": high})  # fmt: skip
            print(
                f"  {mode:9}{what:9}{name:17}{median:9.3f} ms  {lines[-1]['ratio']:.3f} [{low:.3f}, {high:.3f}]"
            )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", default=list(SHAPES))
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--modes", nargs="*", default=["eager", "compiled"])
    parser.add_argument("--each", action="store_true")
    parser.add_argument("--json")
    options = parser.parse_args()
    records = []
    for name in options.models:
        print(f"{name}-shaped, {options.layers} layers, bfloat16, on {torch.cuda.get_device_name()}")
        model = make(name, options.layers)
        for mode in options.modes:
            records += [
                {"model": name, "layers": options.layers, **line}
                for line in measure(model, options.rounds, mode, options.each, name.endswith("-batch"))
            ]
            torch._dynamo.reset()
            torch.cuda.empty_cache()
    if options.json:
        document = {"prefill": PREFILL, "context": CONTEXT, "train": TRAIN, "results": records}
        document["versions"] = {"torch": torch.__version__, "transformers": transformers.__version__}
        document["gpu"] = torch.cuda.get_device_name()
        Path(options.json).write_text(json.dumps(document))


if __name__ == "__main__":
    main()
