"""Our TOML reader against Python's tomllib: the same documents accepted, with equal values.

The program toml_to_json (beside this file) prints what our reader made of a document. Where tomllib
and the TOML 1.0 specification differ, the specification decides; the known differences:

- tomllib takes integers of any size. TOML 1.0: 64 bits; an integer that cannot be represented
  losslessly is an error.
- tomllib refuses the year 0000 and the second 60, because Python's datetime has neither. TOML 1.0
  takes both from RFC 3339.
- tomllib refuses a byte order mark at the start. TOML 1.0 asks for valid UTF-8, where Unicode
  allows one; toml-test, the test suite of the TOML organisation, has it among the valid documents,
  and Rust's toml, which reads build.toml for the Hugging Face builder, skips it.

KERNMILL_BUILD names the build folder; KERNMILL_TOML_CASES=N makes N times as many documents.
"""

import codecs
import datetime
import json
import math
import os
import random
import re
import subprocess
from pathlib import Path

import pytest
import toml_documents
import tomllib

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("KERNMILL_BUILD", ROOT / "build" / "release"))
PROGRAM = BUILD / "bin" / "toml_to_json"
TIMES = int(os.environ.get("KERNMILL_TOML_CASES", "1"))
CHUNK = 250  # documents a process
KM_EFORMAT = -3


def read_ours(documents: list[bytes], folder: Path) -> list[dict]:
    assert PROGRAM.exists(), f"{PROGRAM} is not built; set KERNMILL_BUILD to the build folder"
    answers = []
    for start in range(0, len(documents), CHUNK):
        names = []
        for i, document in enumerate(documents[start : start + CHUNK]):
            names.append(folder / f"{i}.toml")
            names[-1].write_bytes(document)
        run = subprocess.run([PROGRAM, *names], capture_output=True, timeout=300)
        assert run.returncode == 0, run.stderr.decode(errors="replace")
        answers += [json.loads(line) for line in run.stdout.splitlines()]
    assert len(answers) == len(documents)
    return answers


def read_tomllib(document: bytes):
    """The value, or the error."""
    try:
        return tomllib.loads(document.decode())
    except ValueError as e:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        return e


def nodes(node: dict):
    yield node
    if node["type"] == "array":
        for item in node["value"]:
            yield from nodes(item)
    elif node["type"] == "table":
        for entry in node["value"]:
            yield from nodes(entry[1])


def to_python(node: dict):
    kind, value = node["type"], node["value"]
    if kind == "table":
        return {key: to_python(item) for key, item, _, _ in value}
    if kind == "array":
        return [to_python(item) for item in value]
    if kind == "datetime":
        return tomllib.loads(f"x = {python_has(value)}")["x"]
    return {"string": str, "integer": int, "float": float, "boolean": "true".__eq__}[kind](value)


def same(a, b) -> bool:
    """Equal, and of one type, in one order, with one sign of zero, at one offset from UTC."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return a == b and math.copysign(1, a) == math.copysign(1, b) or a != a and b != b
    if isinstance(a, datetime.datetime):
        return a == b and a.utcoffset() == b.utcoffset()
    return a == b


def beyond_64_bits(value) -> bool:
    if isinstance(value, (dict, list)):
        return any(map(beyond_64_bits, value.values() if isinstance(value, dict) else value))
    return type(value) is int and not -(2**63) <= value < 2**63


def python_has(moment: str) -> str:
    """The moment with the year and second that Python lacks replaced by ones it has."""
    moment = re.sub(r"\A0000-", "2000-", moment)  # both are leap years
    return re.sub(r"((?:\A|[Tt ])\d\d:\d\d:)60", r"\g<1>59", moment)


def without_what_python_lacks(document: bytes, ours: dict) -> bytes:
    document = document.removeprefix(codecs.BOM_UTF8)
    for node in nodes(ours):
        if node["type"] == "datetime":
            text = node["value"]
            document = document.replace(text.encode(), python_has(text).encode())
    return document


def difference(document: bytes, ours: dict) -> str | None:
    theirs = read_tomllib(document)
    if "error" in ours:
        if ours["code"] != KM_EFORMAT:
            return f"we failed with {ours}"
        if isinstance(theirs, Exception) or beyond_64_bits(theirs):
            return None
        return f"we refused with {ours}; tomllib has {theirs}"
    if isinstance(theirs, Exception):
        theirs = read_tomllib(without_what_python_lacks(document, ours))
    if isinstance(theirs, Exception):
        return f"we have {to_python(ours)}; tomllib refused: {theirs}"
    mine = to_python(ours)
    return None if same(mine, theirs) else f"we have {mine}; tomllib has {theirs}"


def compare(documents: list[bytes], folder: Path) -> int:
    """Fails on the first differences, else returns how many documents both accept."""
    answers = read_ours(documents, folder)
    found = []
    for document, ours in zip(documents, answers, strict=True):
        reason = difference(document, ours)
        if reason:
            found.append(f"{document!r}\n  {reason}")
    assert not found, f"{len(found)} of {len(documents)} differ:\n" + "\n".join(found[:5])
    return sum("error" not in ours for ours in answers)


def cpython_documents() -> dict[str, bytes]:
    try:
        import test.test_tomllib as package
    except ImportError:
        return {}
    data = Path(package.__path__[0]) / "data"
    return {str(p.relative_to(data)): p.read_bytes() for p in sorted(data.rglob("*.toml"))}


def random_documents(make, count: int, seed: str) -> list[bytes]:
    return [make(random.Random(f"{seed} {i}")) for i in range(count * TIMES)]


# A document that every other program reads and kernmill does not, or the other way round.
def test_documents_of_cpython(tmp_path):
    documents = cpython_documents()
    if not documents:
        pytest.skip("62 documents not compared: this Python has no package test.test_tomllib")
    accepted = compare(list(documents.values()), tmp_path)
    assert accepted == sum(name.startswith("valid") for name in documents)
    assert len(documents) >= 62


# A feature that we read differently from others, alone or together with any other feature.
def test_valid_documents(tmp_path):
    documents = random_documents(toml_documents.valid, 1500, "valid")
    for document in documents:
        assert not isinstance(read_tomllib(document), Exception), document
    assert compare(documents, tmp_path) == len(documents)


# A broken document that we take for a right one.
def test_mutated_documents(tmp_path):
    pool = list(cpython_documents().values())

    def make(rng):
        start = rng.choice(pool) if pool and rng.random() < 0.2 else toml_documents.valid(rng)
        return toml_documents.mutated(rng, start)

    documents = random_documents(make, 2500, "mutated")
    accepted = compare(documents, tmp_path)
    assert len(documents) / 20 < accepted < len(documents) * 19 / 20  # the test sees both sides


# Tables that get keys from two places, where the rules say that a table has one.
def test_table_rules(tmp_path):
    documents = random_documents(toml_documents.rules, 1500, "rules")
    accepted = compare(documents, tmp_path)
    assert len(documents) / 20 < accepted < len(documents) * 19 / 20


def test_all_short_table_rules(tmp_path):
    documents = list(toml_documents.all_rules())
    accepted = compare(documents, tmp_path)
    assert len(documents) / 20 < accepted < len(documents) * 19 / 20


# An inline table over two lines, or a comma too many, that other readers refuse.
def test_structure(tmp_path):
    documents = random_documents(toml_documents.structure, 2000, "structure")
    accepted = compare(documents, tmp_path)
    assert len(documents) / 20 < accepted < len(documents) * 19 / 20


# A number that is read as another number, or 2023-02-29 as a date.
def test_numbers_and_dates(tmp_path):
    documents = random_documents(toml_documents.number, 2000, "number")
    accepted = compare(documents, tmp_path)
    assert len(documents) / 20 < accepted < len(documents) * 19 / 20


# A quote or a backslash that ends a string elsewhere than others think.
def test_strings(tmp_path):
    documents = random_documents(toml_documents.string, 2000, "string")
    accepted = compare(documents, tmp_path)
    assert len(documents) / 20 < accepted < len(documents) * 19 / 20


# The differences above, which the comparison would otherwise only meet by chance.
@pytest.mark.parametrize("text, ours, theirs", [
    ("a = 9223372036854775807", True, True),
    ("a = 9223372036854775808", False, True),
    ("a = -9223372036854775808", True, True),
    ("a = -9223372036854775809", False, True),
    ("a = 0x8000000000000000", False, True),
    ("a = 0000-02-29", True, False),
    ("a = 1900-02-29", False, False),
    ("a = 1990-12-31T15:59:60-08:00", True, False),
    ("a = 23:59:60", True, False),
    ("a = 23:59:61", False, False),
    ("\ufeffa = 1", True, False),
    ("\ufeff\ufeffa = 1", False, False),
])  # fmt: skip
def test_where_tomllib_differs(text, ours, theirs, tmp_path):
    (answer,) = read_ours([text.encode()], tmp_path)
    assert ("error" not in answer) == ours
    assert (not isinstance(read_tomllib(text.encode()), Exception)) == theirs
    compare([text.encode()], tmp_path)


def text_at(document: bytes, line: int, column: int) -> bytes:
    return document.split(b"\n")[line - 1][column - 1 :]


# An error message about a value that points at another one.
def test_places(tmp_path):
    starts = {"string": rb"[\"']", "integer": rb"[-+0-9]", "float": rb"[-+0-9in]"}
    starts |= {"boolean": rb"true|false", "datetime": rb"\d\d"}
    starts |= {"array": rb"\[|[\"'A-Za-z0-9_-]", "table": rb"\{|[\"'A-Za-z0-9_-]"}
    documents = random_documents(toml_documents.valid, 300, "places")
    for document, root in zip(documents, read_ours(documents, tmp_path), strict=True):
        for node in nodes(root):
            text = text_at(document, *node["at"])
            if node is not root:
                assert re.match(starts[node["type"]], text), (document, node)
            if node["type"] in ("datetime", "boolean"):
                assert text.startswith(node["value"].encode())
            for key, _, line, column in node["value"] if node["type"] == "table" else []:
                text = text_at(document, line, column)
                assert text[:1] in (b'"', b"'") or text.startswith(key.encode()), (document, key)
