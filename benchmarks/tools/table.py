"""A record of `kernmill bench` as a Markdown table: a row a cell, the best call of each in bold.

python benchmarks/tools/table.py RECORD [COLUMN]        COLUMN: cold, chained, sets64, hot, stream, host, latency
"""

import json
import sys
from pathlib import Path


def main() -> None:
    column = sys.argv[2] if len(sys.argv) > 2 else "cold"
    cells = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    names = [call["name"] for call in cells[0]["calls"]]
    print(f"| {cells[0]['op']}, us, {column} | " + " | ".join(names) + " | copy | share |")
    print("|---|" + "---|" * (len(names) + 2))
    for cell in cells:
        times = {
            c["name"]: c["columns"].get(column, {}).get("median_us")
            for c in cell["calls"]
            if c["state"] == "right"
        }
        best = min((t for t in times.values() if t), default=None)
        if not best:
            continue  # a column that this cell does not have
        texts = [
            "-" if not times.get(n) else f"**{times[n]:.4g}**" if times[n] == best else f"{times[n]:.4g}"
            for n in names
        ]
        copy = cell["yardsticks"]["copy"]["median_us"]
        shape = " x ".join(str(size) for size in cell["shape"].values())
        share = f"{cell['light_us'] / best:.2f}" if column == "cold" else "-"
        print(f"| {shape} | " + " | ".join(texts) + f" | {copy:.4g} | {share} |")


if __name__ == "__main__":
    main()
