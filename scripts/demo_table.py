"""The demo's last table, from the records of its steps.

usage: demo_table.py PACK.json TEST-RECORD.json MODEL.json [BUILD-SECONDS]
"""

import json
import pathlib
import sys


def read(path: str) -> dict:
    return json.loads(pathlib.Path(path).read_text())


def size(path: str | pathlib.Path) -> str:
    return f"{pathlib.Path(path).stat().st_size / 1e6:.2f} MB"


def images(build: dict) -> str:
    names = [a["sm"] + ("+PTX" if a["ptx"] else "") for a in build["archs"]]
    return ", ".join(names) if names else "none: a CPU build"


def oldest_driver(card: str) -> str:
    """The smallest number in the card's table of images."""
    rows = [
        line.split("|") for line in pathlib.Path(card).read_text().splitlines() if line.startswith("| sm_")
    ]
    drivers = [int(row[3]) for row in rows if "machine code" in row[2]]
    return f"{min(drivers)}, by NVIDIA's rule; run on 580 only so far" if drivers else "none needed"


def tests(record: dict) -> list[tuple[str, str]]:
    rows = []
    for run in record["runs"]:
        counts = f"{run['passed']} passed, {run['failed']} failed, {run['skipped']} skipped"
        rows.append((f"tests on {run['target']}", counts))
    worst = {k: v for run in record["runs"] for k, v in run["worst"].items() if k.startswith("rms_norm")}
    rows += [(f"worst error, {k}", f"{v:.2f}") for k, v in sorted(worst.items())]
    return rows


def main() -> int:
    pack, record, model = (read(p) for p in sys.argv[1:4])
    rows = [("wheel", f"{pack['wheel']}, {size(pack['wheel'])}")]
    for product in pack["build"]["products"]:
        library = size(product["hub_library"]) if pathlib.Path(product["hub_library"]).exists() else ""
        rows += [(f"library, {product['flavor']}", library)] if library else []
        rows += [("Hub folder", variant) for variant in product["variants"]]
    rows += [("GPU images", images(pack["build"])), ("oldest driver", oldest_driver(pack["card"]))]
    if not model["device"].startswith("cpu"):
        rows.append(("GPU", model["device"]))
    elif pack["build"]["archs"]:
        rows.append(("GPU", "none here: the images were built, and nothing ran them"))
    rows += tests(record)
    rows += [(f"time, {k}", f"{v:.1f} us") for k, v in model["op_us"].items()]
    if model["device"] == "cpu":
        rows.append(("in these times", "malloc's new pages, which kernmill bench leaves out"))
    rows += [(f"time, {k}", f"{v / 1000:.2f} ms") for k, v in model["model_us"].items()]
    rows += [("logits differ by", f"{model['logit_difference']:.1e}")]
    if len(sys.argv) > 4:
        rows.append(("build took", f"{sys.argv[4]} s"))
    rows.append(("card", pack["card"]))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"  {name:<{width}}  {value}")
    return 0


sys.exit(main())
