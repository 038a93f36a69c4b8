"""The RMSNorm tables of Hugging Face's article "Custom Kernels for All from Codex and Claude", in its method and in ours.

    python benchmarks/tools/published_table.py RECORD WALL_CLOCK

RECORD is of `kernmill bench benchmarks/suites/hf_rmsnorm.toml`, WALL_CLOCK of benchmarks/tools/wall_clock.py on that suite.
Speed-ups are over the article's baseline, the formula in bfloat16 throughout (`chain`).
"""

import json
import statistics
import sys
from pathlib import Path

# shape as printed there, rows, columns, and its times of kernel and baseline in milliseconds
ARTICLE = [
    ("1x128x4096", 128, 4096, 0.040, 0.062),
    ("1x512x4096", 512, 4096, 0.038, 0.064),
    ("1x1024x4096", 1024, 4096, 0.037, 0.071),
    ("1x2048x4096", 2048, 4096, 0.045, 0.091),
    ("1x4096x4096", 4096, 4096, 0.071, 0.150),
    ("4x512x4096", 2048, 4096, 0.056, 0.093),
    ("8x256x4096", 2048, 4096, 0.045, 0.092),
    ("1x8192x4096", 8192, 4096, 0.109, 0.269),
    ("1x1024x2048", 1024, 2048, 0.039, 0.064),
    ("2x1024x2048", 2048, 2048, 0.040, 0.073),
    ("4x1024x2048", 4096, 2048, 0.052, 0.093),
    ("1x4096x2048", 4096, 2048, 0.052, 0.093),
    ("2x4096x3072", 8192, 3072, 0.102, 0.209),
    ("1x8192x2048", 8192, 2048, 0.083, 0.150),
    ("4x4096x3072", 16384, 3072, 0.173, 0.393),
]
OURS, BASELINE = "kernmill", "chain"


def best_peer(us: dict[str, float]) -> tuple[str, float]:
    return min(((n, t) for n, t in us.items() if n not in (OURS, BASELINE)), key=lambda pair: pair[1])


def main() -> None:
    record, wall_clock = sys.argv[1:]
    cells = [json.loads(line) for line in Path(record).read_text().splitlines()]
    cold = {
        (c["shape"]["rows"], c["shape"]["columns"]): {
            call["name"]: call["columns"]["cold"]["median_us"]
            for call in c["calls"]
            if call["state"] == "right"
        }
        for c in cells
    }
    wall = {
        (c["shape"]["rows"], c["shape"]["columns"]): c["mean_us"]
        for c in json.loads(Path(wall_clock).read_text())["cells"]
    }
    print("| shape | article: kernel, us | x | its method here: kernmill, us | x | best peer, x ", end="")
    print("| kernmill bench: kernmill, us | x | best peer, x |")
    print("|---|---|---|---|---|---|---|---|---|")
    ratios = {"article": [], "wall": [], "wall peer": [], "cold": [], "cold peer": []}
    for text, rows, columns, kernel_ms, baseline_ms in ARTICLE:
        line = [text, f"{1e3 * kernel_ms:.0f}", f"{baseline_ms / kernel_ms:.2f}"]
        ratios["article"].append(baseline_ms / kernel_ms)
        for kind, us in (("wall", wall[rows, columns]), ("cold", cold[rows, columns])):
            name, peer_us = best_peer(us)
            ratios[kind].append(us[BASELINE] / us[OURS])
            ratios[f"{kind} peer"].append(us[BASELINE] / peer_us)
            line += [f"{us[OURS]:.3g}", f"{us[BASELINE] / us[OURS]:.2f}"]
            line.append(f"{name} {us[BASELINE] / peer_us:.2f}")
        print("| " + " | ".join(line) + " |")
    mean = {kind: f"{statistics.mean(r):.2f}" for kind, r in ratios.items()}
    print(f"| mean | | {mean['article']} | | {mean['wall']} | {mean['wall peer']} ", end="")
    print(f"| | {mean['cold']} | {mean['cold peer']} |")


if __name__ == "__main__":
    main()
