"""The evaluator: bits per byte of the model in KERNMILL_OUT, on text that it was not trained on. It runs none of train.py."""

import json
import math
import os
import pathlib
import sys

import torch
import torch.nn.functional as F
from data import CONTEXT, split

WINDOWS = 128


def main():
    model = torch.export.load(os.environ["KERNMILL_OUT"] + "/model.pt2").module()
    text = split("holdout" if "--holdout" in sys.argv else "validation")
    step = (len(text) - CONTEXT - 1) // WINDOWS
    rows = torch.stack([text[i * step : i * step + CONTEXT + 1] for i in range(WINDOWS)]).long()
    nats = 0.0
    with torch.no_grad():
        for part in rows.split(16):
            logits = model(part[:, :-1]).float()
            nats += F.cross_entropy(logits.flatten(0, 1), part[:, 1:].flatten(), reduction="sum").item()
    count = WINDOWS * CONTEXT
    document = {"val_bpb": nats / math.log(2) / count, "bytes": count}
    pathlib.Path(os.environ["KERNMILL_METRICS"]).write_text(json.dumps(document))


main()
