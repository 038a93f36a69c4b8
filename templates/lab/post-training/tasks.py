"""Three tasks in bytes, split by prompt, and the model that learns them. Protected: nobody may choose what he is measured on.

count    "count a in bacab=" -> "2"         one of six answers
largest  "largest of 3715=" -> "7"          one of the four digits
next     "after 407 comes=" -> "408"        chance 0

Chance is a guess at random. Who always says "1" and "9" is right in 33 and 40 %: a score of 0.13.

The base model has learned others: the smallest of four digits, the number before, where a letter stands first.

A prompt is in one split alone ("train" 80 %, "evaluation" and "holdout" 10 % each, by its hash), so no prompt that is
asked can have been trained on; the same digits in another order can.
"""

import hashlib
import random

import torch
from transformers import LlamaConfig, LlamaForCausalLM

LENGTH = 24  # bytes of a prompt and its answer, at most
CHANCE = {"count": 1 / 6, "largest": 1 / 4, "next": 0.0}


def model() -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=256,
            hidden_size=96,
            intermediate_size=256,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=LENGTH,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=10,
        )
    )


def ask(task: str, r: random.Random, base: bool = False) -> tuple[str, str]:
    """A prompt and its answer; with `base` of the base model's task of that kind."""
    if task == "count":
        letters, letter = "".join(r.choice("abc") for _ in range(5)), r.choice("abc")
        if base:
            return f"find {letter} in {letters}=", str(letters.find(letter) + 1)
        return f"count {letter} in {letters}=", str(letters.count(letter))
    if task == "largest":
        digits = "".join(r.sample("0123456789", 4))
        if base:
            return f"smallest of {digits}=", min(digits)
        return f"largest of {digits}=", max(digits)
    number = r.randrange(101, 999)
    if base:
        return f"before {number} comes=", str(number - 1)
    return f"after {number} comes=", str(number + 1)


def split_of(prompt: str) -> str:
    share = hashlib.sha256(prompt.encode()).digest()[0] / 256
    return "train" if share < 0.8 else "evaluation" if share < 0.9 else "holdout"


def examples(split: str, task: str, count: int, r: random.Random) -> list[tuple[str, str]]:
    """Prompts of a split, with their answers; a line's end closes an answer."""
    out = []
    while len(out) < count:
        prompt, answer = ask(task, r)
        if split_of(prompt) == split:
            out.append((prompt, answer + "\n"))
    return out


def rows(pairs: list[tuple[str, str]]) -> tuple[torch.Tensor, torch.Tensor]:
    """(text, where the answers are), each [pairs, LENGTH]; after an answer come zeros."""
    text = torch.zeros(len(pairs), LENGTH, dtype=torch.long)
    answers = torch.zeros(len(pairs), LENGTH, dtype=torch.bool)
    for i, (prompt, answer) in enumerate(pairs):
        whole = (prompt + answer).encode()
        text[i, : len(whole)] = torch.tensor(list(whole))
        answers[i, len(prompt) : len(whole)] = True
    return text, answers
