"""The evaluator: the mean error of the 300 answers. It runs nothing of answer.py."""

import json
import math
import os
import pathlib

answers = json.loads(pathlib.Path(os.environ["KERNMILL_OUT"], "answers.json").read_text())
errors = [abs(answers[i - 1] - (1 - math.cos(i / 100))) for i in range(1, 301)]
metrics = {"error": sum(errors) / 300, "answers": len(answers)}
pathlib.Path(os.environ["KERNMILL_METRICS"]).write_text(json.dumps(metrics))
