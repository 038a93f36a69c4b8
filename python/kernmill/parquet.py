"""A lab's store as Parquet, one file a table: what ``kernmill lab export --parquet DIR`` runs.

Needs pyarrow. Columns have the names of the store; ``*_us`` are ``timestamp[us, UTC]``, null where the store has 0,
which there means "not yet". The metadata of each file says ``kernmill_store_version`` (whose tables they are, see
csrc/lab/schema.c), ``kernmill_schema`` (of this form) and ``kernmill_table``. Snappy, which every reader knows.
"""

import os
import pathlib
import sqlite3
import sys

SCHEMA = 1
ROWS_A_GROUP = 65536
# durations and sizes are plain numbers; these alone are instants
INSTANT = "_us"


def export(store: str | os.PathLike, folder: str | os.PathLike) -> list[str]:
    """Write every table of the SQLite file ``store`` into ``folder``, which exists; returns the tables' names.

    ``store`` should be a copy that nobody writes to: readers and writers wait for each other. Raises ImportError
    without pyarrow.
    """
    import pyarrow.parquet  # noqa: F401  before anything is written

    with sqlite3.connect(f"{pathlib.Path(store).resolve().as_uri()}?mode=ro", uri=True) as db:
        version = db.execute("PRAGMA user_version").fetchone()[0]
        tables = [name for (name,) in db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")]  # fmt: skip
        for table in tables:
            _write(db, table, version, pathlib.Path(folder) / f"{table}.parquet")
    return tables


def _schema(db: sqlite3.Connection, table: str, version: int):
    import pyarrow

    types = {"INTEGER": pyarrow.int64(), "REAL": pyarrow.float64(), "TEXT": pyarrow.string()}
    columns = db.execute(f'PRAGMA table_info("{table}")').fetchall()
    fields = [(name, pyarrow.timestamp("us", "UTC") if name.endswith(INSTANT) else types[kind])
              for _, name, kind, *_ in columns]  # fmt: skip
    metadata = {"kernmill_schema": SCHEMA, "kernmill_store_version": version, "kernmill_table": table}
    return pyarrow.schema(fields, {key: str(value) for key, value in metadata.items()})


def _write(db: sqlite3.Connection, table: str, version: int, path: pathlib.Path) -> None:
    import pyarrow.parquet

    schema = _schema(db, table, version)
    names = ", ".join(
        f'nullif("{name}", 0)' if name.endswith(INSTANT) else f'"{name}"' for name in schema.names
    )
    rows = db.execute(f'SELECT {names} FROM "{table}"')
    with path.open("wb") as file:
        with pyarrow.parquet.ParquetWriter(file, schema, compression="snappy") as writer:
            while batch := rows.fetchmany(ROWS_A_GROUP):
                arrays = [
                    pyarrow.array(column, field.type)
                    for column, field in zip(zip(*batch, strict=True), schema, strict=True)
                ]
                writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
        file.flush()
        os.fsync(file.fileno())


def main() -> int:
    """``python -m kernmill.parquet STORE FOLDER``; exit code 3: pyarrow is missing."""
    _, store, folder = sys.argv
    try:
        export(store, folder)
    except ImportError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
