"""Supervised fine-tuning of the base model on the tasks' answers. This is the file that ideas change; evaluate.py measures."""

import os
import random
import time

import torch
import torch.nn.functional as F
from tasks import CHANCE, examples, rows
from transformers import LlamaForCausalLM

RATE = 0.0002
BATCH = 48
DECAY = 0.01
ANSWERS_ONLY = False
WARMDOWN = 0.0


def main():
    seed = int(os.environ["KERNMILL_SEED"])
    torch.manual_seed(seed)
    r = random.Random(seed)
    model = LlamaForCausalLM.from_pretrained(os.environ["KERNMILL_BUILD"]).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, betas=(0.9, 0.98))
    begin, seconds, steps = time.perf_counter(), float(os.environ["SECONDS"]), 0
    while (done := (time.perf_counter() - begin) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (1 - done) / WARMDOWN if WARMDOWN else 1)
        pairs = [pair for task in CHANCE for pair in examples("train", task, BATCH // 3, r)]
        text, answers = rows(pairs)
        target = text[:, 1:].masked_fill(~answers[:, 1:], 0) if ANSWERS_ONLY else text[:, 1:]
        logits = model(input_ids=text[:, :-1]).logits
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=0)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        steps += 1
    print(f"{steps} steps, last loss {loss.item():.3f}")
    model.save_pretrained(os.environ["KERNMILL_OUT"])


main()
