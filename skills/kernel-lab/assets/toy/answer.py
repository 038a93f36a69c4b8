"""The integral of sin from 0 to x, for x = 0.01 to 3. This is the file that ideas change."""

import json
import math
import os
import pathlib

STEPS = 4


def integral(x):
    width = x / STEPS
    return sum(math.sin(i * width) for i in range(STEPS)) * width


answers = [integral(i / 100) for i in range(1, 301)]
pathlib.Path(os.environ["KERNMILL_OUT"], "answers.json").write_text(json.dumps(answers))
