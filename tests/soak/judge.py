"""The error rates of `kernmill lab judge`, simulated (tests/soak/judge.cc), against what it promises.

    python tests/soak/judge.py PROGRAM TRIALS [RECORD]

Ideas without effect may be accepted in one case of a hundred, whatever the noise; gains of two SD of a single run must
be found in 90 % where the noise has an SD; the interval must hold the gain in 98 %. A simulation of so many trials may
be off by three of its own SD.
"""

import json
import math
import pathlib
import platform
import subprocess
import sys
from datetime import datetime, timezone


def failures(result: dict) -> list[str]:
    found = []
    for row in result["judge"]:
        name = f"{row['noise']}, {row['gain_sd']:g} SD"

        def slack(rate: float, trials: int = row["trials"]) -> float:
            return 3 * math.sqrt(rate * (1 - rate) / trials)

        if row["gain_sd"] == 0 and row["accepted"] > 0.01 + slack(0.01):
            found.append(f"{name}: {row['accepted']:.2%} accepted")
        if row["gain_sd"] >= 2 and row["accepted"] < 0.9 - slack(0.9):
            found.append(f"{name}: {row['accepted']:.2%} accepted")
        # An exponential's differences, and every other noise's here, are symmetric around the gain.
        if row["interval_holds"] < 0.98 - slack(0.98):
            found.append(f"{name}: the interval holds {row['interval_holds']:.2%}")
    return found


def main() -> int:
    program, trials = sys.argv[1], int(sys.argv[2])
    done = subprocess.run([program, str(trials)], capture_output=True, text=True, check=True)
    result = json.loads(done.stdout)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True).stdout.strip()
    head = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": f"scripts/soak judge {trials}",
        "commit": commit,
        "system": platform.platform(),
    }
    rows = [f'  "{key}": {json.dumps(value)}' for key, value in head.items()]
    rows += [
        f'  "{key}": [\n    ' + ",\n    ".join(map(json.dumps, value)) + "\n  ]"
        for key, value in result.items()
    ]
    text = "{\n" + ",\n".join(rows) + "\n}\n"
    if len(sys.argv) > 3:
        pathlib.Path(sys.argv[3]).write_text(text)
    print(text, end="")
    wrong = failures(result)
    print("\n".join(wrong) or "all as promised", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
