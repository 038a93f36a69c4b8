"""A record of `kernmill bench` as Markdown tables, one an operator: a row a cell, the best call of each in bold.

python benchmarks/tools/table.py RECORD [COLUMN]

COLUMN: cold, chained, sets64, hot, stream, host, latency; without one "cold", and "call" of a record made on a CPU,
where each time has beside it how many times the first call's it is: the median of paired ratios.
"""

import json
import sys
from itertools import groupby
from pathlib import Path


def median_times(cell: dict, column: str) -> dict:
    """us by the name of a call, of those that are right and have the column."""
    times = {
        c["name"]: c["columns"].get(column, {}).get("median_us")
        for c in cell["calls"]
        if c["state"] == "right"
    }
    return {name: us for name, us in times.items() if us}


def ratio_text(cell: dict, name: str, column: str) -> str:
    ratio = next(c for c in cell["calls"] if c["name"] == name)["columns"][column].get("ratio")
    return f" ({ratio['median']:.2f})" if ratio else ""


def print_table(op: str, cells: list, column: str) -> None:
    names = [call["name"] for call in cells[0]["calls"]]
    on_gpu = cells[0]["device"] == "cuda"
    several = len({cell["dtype"] for cell in cells}) > 1
    print(f"| {op}, us, {column} | " + " | ".join(names) + (" | copy | share |" if on_gpu else " |"))
    print("|---|" + "---|" * (len(names) + 2 * on_gpu))
    for cell in cells:
        times = median_times(cell, column)
        best = min(times.values(), default=None)
        if not best:
            continue  # a column that this cell does not have
        texts = []
        for name in names:
            text = f"{times[name]:.4g}" if name in times else "-"
            text = f"**{text}**" if times.get(name) == best else text
            texts.append(text + ("" if on_gpu or name not in times else ratio_text(cell, name, column)))
        shape = " x ".join(str(size) for size in cell["shape"].values())
        shape += f" {cell['dtype']}" if several else ""
        if on_gpu:
            texts.append(f"{cell['yardsticks']['copy']['median_us']:.4g}")
            texts.append(f"{cell['light_us'] / best:.2f}" if column == "cold" else "-")
        print(f"| {shape} | " + " | ".join(texts) + " |")


def main() -> None:
    cells = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    column = sys.argv[2] if len(sys.argv) > 2 else "cold" if cells[0]["device"] == "cuda" else "call"
    for i, (op, of_op) in enumerate(groupby(cells, key=lambda cell: cell["op"])):
        print(end="\n" if i else "")
        print_table(op, list(of_op), column)


if __name__ == "__main__":
    main()
