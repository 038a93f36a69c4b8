"""The evaluator: what the weights in KERNMILL_OUT answer to prompts that nobody trained on. It runs none of train.py.

The score is the mean over the tasks of (accuracy - chance) / (1 - chance); an answer is right when all of its bytes are.
"""

import json
import os
import pathlib
import random
import sys

import torch
from safetensors.torch import load_file
from tasks import CHANCE, examples, model, rows

PROMPTS = 400  # a task, of the 66 to 560 that a split has: some are asked several times


def accuracy(trained, pairs) -> float:
    text, answers = rows(pairs)
    with torch.no_grad():
        said = trained(input_ids=text[:, :-1]).logits.argmax(-1)
    # each byte after the right ones before it: the first wrong one makes the answer wrong, as when it speaks alone
    return ((said == text[:, 1:]) | ~answers[:, 1:]).all(-1).float().mean().item()


def main():
    split = "holdout" if "--holdout" in sys.argv else "evaluation"
    trained, r = model().eval(), random.Random(split)
    # the head's weights are the embedding's where a model ties them; this one does not
    trained.load_state_dict(load_file(os.environ["KERNMILL_OUT"] + "/model.safetensors"))
    scores = {}
    for task, chance in CHANCE.items():
        scores[task] = (accuracy(trained, examples(split, task, PROMPTS, r)) - chance) / (1 - chance)
    document = {"score": sum(scores.values()) / len(scores), "prompts": PROMPTS * len(scores), **scores}
    pathlib.Path(os.environ["KERNMILL_METRICS"]).write_text(json.dumps(document))


main()
