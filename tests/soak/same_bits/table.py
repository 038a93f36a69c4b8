"""The answers as text: a table for each family of operators, and one of words that equal Transformers'."""

from .operators import FAMILIES, OPERATORS
from .questions import QUESTIONS


def grid(head: list[str], body: list[list[str]]) -> str:
    widths = [max(len(row[i]) for row in [head, *body]) for i in range(len(head))]
    lines = [
        " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in [head, *body]
    ]
    return "\n".join([lines[0], "-|-".join("-" * w for w in widths), *lines[1:]])


def verdict(cells: list[dict]) -> str:
    differ = sum(c["same"] is False for c in cells)
    failed = sum(c["same"] is None for c in cells)
    if not cells:
        return "-"
    if failed == len(cells):
        return "not run"
    text = f"{differ} of {len(cells) - failed} cells differ" if differ else "same"
    return f"{text}, {failed} not run" if failed else text


def family_table(family: str, record: dict) -> str:
    names = {o.name for o in OPERATORS if o.family == family}
    body = []
    for library, about in record["libraries"].items():
        cells = [c for c in record["cells"] if c["library"] == library and c["operator"] in names]
        if not cells:
            continue
        version = f" {about['version']}" if about["version"] else ""
        row = [library + version, str(len(cells))]
        body.append(row + [verdict([c for c in cells if c["question"] == q]) for q in QUESTIONS])
    return (
        f"{family}: "
        + ", ".join(o.name for o in OPERATORS if o.family == family)
        + "\n"
        + grid(["library", "cells", *QUESTIONS.values()], body)
    )


def worst(entries: list[dict]) -> str:
    if not entries:
        return "-"
    entry = min(entries, key=lambda e: e["share"])
    digits = f"{100 * entry['share']:.4f}" if entry["share"] < 1 else "100"
    return f"{digits} % ({entry['operator']}, H {entry['columns']})" if entry["share"] < 1 else "100 %"


def words_table(record: dict) -> str:
    dtypes = list(dict.fromkeys(e["dtype"] for e in record["words"]))
    body = []
    for family in FAMILIES:
        names = {o.name for o in OPERATORS if o.family == family}
        for library in record["libraries"]:
            entries = [e for e in record["words"] if e["library"] == library and e["operator"] in names]
            if entries and library != "eager formula":
                shares = [worst([e for e in entries if e["dtype"] == dtype]) for dtype in dtypes]
                body.append([family, library, *shares])
    title = "words that equal Transformers' eager formula, the worst of all operators and H"
    return f"{title}\n" + grid(["family", "library", *dtypes], body)


def ours_cells(record: dict) -> list[dict]:
    ours = {name for name, about in record["libraries"].items() if about["ours"]}
    return [c for c in record["cells"] if c["library"] in ours]


def ours_failed(record: dict) -> list[dict]:
    """Cells of ours that differ or raised."""
    return [c for c in ours_cells(record) if c["same"] is not True]


def ours_below(record: dict) -> list[dict]:
    """Shares of ours below what is promised where rounding is "hf"."""
    promised = {o.name: o.promised for o in OPERATORS}
    ours = {name for name, about in record["libraries"].items() if about["ours"]}
    return [
        e
        for e in record["words"]
        if e["library"] in ours and e["share"] < promised[e["operator"]][e["dtype"] == "float32"]
    ]


def notes(record: dict) -> list[str]:
    lines = []
    for library, about in record["libraries"].items():
        if about["missing"]:
            lines.append(f"{library}: {about['missing']}")
        if about["out_of_time"]:
            lines.append(
                f"{library}: {about['out_of_time']} operators and sizes not asked, out of time (--budget)"
            )
        errors = [c for c in record["cells"] if c["library"] == library and c["same"] is None]
        if errors:
            first = errors[0]
            where = f"{first['operator']} {first['dtype']} H {first['columns']}, {first['question']}"
            lines.append(f"{library}: {len(errors)} cells not run; the first, {where}: {first['error']}")
    return lines


def conclusion(record: dict) -> str:
    cells, failed = ours_cells(record), ours_failed(record)
    below = ours_below(record)
    text = f"ours: {len(cells) - len(failed)} of {len(cells)} cells the same"
    text += (
        f"; {len(below)} shares of words below what is promised" if below else "; as many words as promised"
    )
    for c in failed[:20]:
        text += f"\n  {c}"
    for e in below[:20]:
        text += f"\n  {e}"
    return text


def show(record: dict) -> str:
    parts = [family_table(family, record) for family in FAMILIES] + [words_table(record)]
    return "\n\n".join([*parts, "\n".join([*notes(record), conclusion(record)])])
