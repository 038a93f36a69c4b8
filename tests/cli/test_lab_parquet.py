"""`kernmill lab export --parquet`: every row of every table, as anybody reads Parquet."""

import datetime
import importlib.util
import os
import sqlite3
import subprocess
import sys

import pytest
from test_lab import Lab
from test_lab_trackio import fill

pytestmark = pytest.mark.skipif(
    not importlib.util.find_spec("pyarrow"), reason="pyarrow is missing: scripts/setup --test"
)
TABLES = {"hypotheses", "jobs", "leases", "results", "runs", "decisions", "champions", "reviews", "alerts", "events",
          "campaigns", "budgets", "holdouts"}  # fmt: skip


@pytest.fixture
def lab(tmp_path):
    (tmp_path / "lab").mkdir()
    return Lab(tmp_path / "lab")


def export(lab, folder, python=sys.executable):
    return lab.say(
        "export", "-C", lab.folder, "--parquet", folder, env={**os.environ, "KERNMILL_PYTHON": str(python)}
    )


def stored(lab, table):
    with sqlite3.connect(lab.folder / ".lab/lab.db") as db:
        db.row_factory = sqlite3.Row
        return [dict(row) for row in db.execute(f"SELECT * FROM {table}")]


def as_stored(row):
    """A row of Parquet as the store has it: instants as microseconds, 0 for none."""
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    return {
        key: (value - epoch) // datetime.timedelta(microseconds=1) if isinstance(value, datetime.datetime) else value
        for key, value in row.items()
    }  # fmt: skip


def test_every_row_of_every_table(lab, tmp_path):
    import pyarrow
    import pyarrow.parquet

    fill(lab)
    code, answer, err = export(lab, tmp_path / "p")
    assert code == 0 and answer == {"schema": 1, "parquet": str(tmp_path / "p")}, err
    assert {p.name for p in (tmp_path / "p").iterdir()} == {f"{t}.parquet" for t in TABLES}
    for table in TABLES:
        read = pyarrow.parquet.read_table(tmp_path / "p" / f"{table}.parquet")
        rows, want = [as_stored(row) for row in read.to_pylist()], stored(lab, table)
        for row in want:
            row.update({key: row[key] or None for key in row if key.endswith("_us")})
        key = lambda row: tuple(str(v) for v in row.values())  # noqa: E731
        assert sorted(rows, key=key) == sorted(want, key=key)
        assert len(want) > 0 or table in ("holdouts",)
        for field in read.schema:
            assert field.name.endswith("_us") == (field.type == pyarrow.timestamp("us", "UTC"))
        metadata = read.schema.metadata
        assert metadata[b"kernmill_schema"] == b"1" and metadata[b"kernmill_table"] == table.encode()
        with sqlite3.connect(lab.folder / ".lab/lab.db") as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
        assert metadata[b"kernmill_store_version"] == str(version).encode()
        file = pyarrow.parquet.ParquetFile(tmp_path / "p" / f"{table}.parquet").metadata
        assert all(file.row_group(g).column(0).compression == "SNAPPY" for g in range(file.num_row_groups))


# An export takes the place of an earlier one, whole; what is not ours is never replaced.
def test_the_place(lab, tmp_path):
    import pyarrow.parquet

    lab.idea("a")
    assert export(lab, tmp_path / "p")[0] == 0
    lab.idea("b")
    assert export(lab, f"{tmp_path}/p/")[0] == 0
    assert pyarrow.parquet.read_table(tmp_path / "p/hypotheses.parquet").column("key").to_pylist() == [
        "a",
        "b",
    ]
    assert sorted(x.name for x in tmp_path.iterdir()) == ["lab", "p"]
    (tmp_path / "p/mine.txt").write_text("x")
    code, _, err = export(lab, tmp_path / "p")
    assert code == 2 and "holds 'mine.txt'" in err and (tmp_path / "p/mine.txt").exists()
    assert export(lab, tmp_path / "p/mine.txt")[0] == 2


# A module of the working folder is not run, whatever it is called.
def test_the_working_folder_is_not_run(lab, tmp_path):
    (lab.folder / "sqlite3.py").write_text("raise SystemExit(9)")
    (lab.folder / "pyarrow.py").write_text("raise SystemExit(9)")
    assert export(lab, tmp_path / "p")[0] == 0


def test_without_pyarrow(lab, tmp_path):
    bare = tmp_path / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    code, _, err = export(lab, tmp_path / "p", bare / "bin/python")
    assert code == 3 and "has no pyarrow" in err and f"{bare}/bin/python -m pip install pyarrow" in err
    assert not (tmp_path / "p").exists() and not list(tmp_path.glob("p.tmp*"))


# When Python fails, the earlier export is there as it was, and nothing else.
def test_a_failure_leaves_the_old(lab, tmp_path):
    lab.idea("a")
    assert export(lab, tmp_path / "p")[0] == 0
    before = {p.name: p.read_bytes() for p in (tmp_path / "p").iterdir()}
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'disk is gone' >&2\nexit 1\n")
    broken.chmod(0o755)
    code, _, err = export(lab, tmp_path / "p", broken)
    assert code == 4 and "disk is gone" in err
    assert {p.name: p.read_bytes() for p in (tmp_path / "p").iterdir()} == before
    assert sorted(x.name for x in tmp_path.iterdir()) == ["lab", "p", "python"]
