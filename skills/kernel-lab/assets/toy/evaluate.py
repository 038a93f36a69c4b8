"""The evaluator: the mean error of the 300 answers. It runs nothing of answer.py."""

import json
import math
import os

with open(os.environ["KERNMILL_OUT"] + "/answers.json") as f:
    answers = json.load(f)
errors = [abs(answers[i - 1] - (1 - math.cos(i / 100))) for i in range(1, 301)]
with open(os.environ["KERNMILL_METRICS"], "w") as f:
    json.dump({"error": sum(errors) / 300, "answers": len(answers)}, f)
