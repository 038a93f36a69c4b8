"""The model that is fine-tuned: trained on tasks of the same kinds, but others. The same for every idea."""

import os
import random

import torch
import torch.nn.functional as F
from tasks import CHANCE, ask, model, rows

STEPS = 600
BATCH = 96


def main():
    torch.manual_seed(0)
    r, base = random.Random(0), model()
    optimizer = torch.optim.AdamW(base.parameters(), lr=0.002)
    for _ in range(STEPS):
        asked = [ask(task, r, base=True) for task in CHANCE for _ in range(BATCH // 3)]
        text, answers = rows([(prompt, answer + "\n") for prompt, answer in asked])
        target = text[:, 1:].masked_fill(~answers[:, 1:], 0)
        logits = base(input_ids=text[:, :-1]).logits
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=0)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    print(f"base: loss {loss.item():.3f}")
    base.save_pretrained(os.environ["KERNMILL_BUILD"])


main()
