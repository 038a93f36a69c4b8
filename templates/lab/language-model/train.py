"""A small language model of bytes. This is the file that ideas change; what it makes is measured by evaluate.py."""

import os
import time

import torch
import torch.nn.functional as F
from data import CONTEXT, split
from torch import nn

DEPTH = 2
WIDTH = 128
HEADS = 4
BATCH = 16
RATE = 0.0003
DECAY = 0.1
WARMDOWN = 0.0


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH, bias=False)
        self.out = nn.Linear(WIDTH, WIDTH, bias=False)
        self.up = nn.Linear(WIDTH, 4 * WIDTH, bias=False)
        self.down = nn.Linear(4 * WIDTH, WIDTH, bias=False)

    def forward(self, x):
        rows, length, _ = x.shape
        q, k, v = (
            self.qkv(F.rms_norm(x, (WIDTH,)))
            .view(rows, length, 3, HEADS, WIDTH // HEADS)
            .permute(2, 0, 3, 1, 4)
        )
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(mixed.transpose(1, 2).reshape(rows, length, WIDTH))
        return x + self.down(F.relu(self.up(F.rms_norm(x, (WIDTH,)))).square())


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.bytes = nn.Embedding(256, WIDTH)
        self.places = nn.Embedding(CONTEXT, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))
        self.head = nn.Linear(WIDTH, 256, bias=False)

    def forward(self, text):
        x = self.bytes(text) + self.places.weight[: text.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.head(F.rms_norm(x, (WIDTH,)))


def batch(text):
    starts = torch.randint(len(text) - CONTEXT - 1, (BATCH,))
    rows = torch.stack([text[s : s + CONTEXT + 1] for s in starts]).long()
    return rows[:, :-1], rows[:, 1:]


def main():
    torch.manual_seed(int(os.environ["KERNMILL_SEED"]))
    text, model = split("train"), Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY, betas=(0.9, 0.95))
    begin, seconds, steps = time.perf_counter(), float(os.environ["SECONDS"]), 0
    while (done := (time.perf_counter() - begin) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1, (1 - done) / WARMDOWN if WARMDOWN else 1)
        x, y = batch(text)
        loss = F.cross_entropy(model(x).flatten(0, 1), y.flatten())
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        steps += 1
    print(f"{steps} steps, last loss {loss.item():.3f}")
    torch.export.save(
        torch.export.export(model.eval(), (torch.zeros(16, CONTEXT, dtype=torch.long),)),
        os.environ["KERNMILL_OUT"] + "/model.pt2",
    )


main()
