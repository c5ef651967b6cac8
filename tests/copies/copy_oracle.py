#!/usr/bin/env python3
"""Property test: labeling a file that another tool wrote changes nothing but what it adds.

Writes tables of random types and values with pyarrow, DuckDB, polars and (with --spark) PySpark, labels
them with `emotion label`, and compares every other column as the same tool reads it, before and after.
Text formats must also keep the bytes of every record, Parquet those of every column chunk.

    pip install pyarrow duckdb polars [pyspark]
    tests/copies/copy_oracle.py target/debug/emotion [--rounds 20] [--seed 1] [--spark]
"""

import argparse
import datetime as dt
import decimal
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

MODEL = Path(__file__).parents[1] / "golden" / "gelu-json"
TEXTS = ["I am so happy today!", "That made me angry.", "fine", "", 'a "quoted", one', "two\nlines", "naïve 😂", None]


def values(rng: random.Random) -> list[tuple[pa.DataType, object]]:
    """Types, and for each a function that draws a value."""
    day = lambda: dt.date(1, 1, 1) + dt.timedelta(days=rng.randrange(3_652_000))
    moment = lambda: dt.datetime(1970, 1, 1) + dt.timedelta(microseconds=rng.randrange(-(2**55), 2**55))
    text = lambda: rng.choice(["", "a", "ü", "x" * 200, "0012", "1e5", "NULL", "true", " blank "])
    return [
        (pa.int8(), lambda: rng.randrange(-128, 128)),
        (pa.int64(), lambda: rng.randrange(-(2**63), 2**63)),
        (pa.uint64(), lambda: rng.randrange(2**64)),
        (pa.float32(), lambda: rng.choice([0.1, -0.0, 1e30, 2.5])),
        (pa.float64(), lambda: rng.choice([0.1, -0.0, 1e300, 5e-324])),
        (pa.bool_(), lambda: rng.random() < 0.5),
        (pa.string(), text),
        (pa.binary(), lambda: rng.randbytes(rng.randrange(5))),
        (pa.date32(), day),
        (pa.timestamp("us"), moment),
        (pa.timestamp("us", "UTC"), lambda: moment().replace(tzinfo=dt.timezone.utc)),
        (pa.decimal128(18, 4), lambda: decimal.Decimal(rng.randrange(-(10**14), 10**14)) / 10000),
        (pa.list_(pa.int32()), lambda: [rng.randrange(9) for _ in range(rng.randrange(3))]),
        (pa.struct([("a", pa.string()), ("b", pa.int64())]), lambda: {"a": text(), "b": rng.randrange(2**60)}),
        (pa.dictionary(pa.int32(), pa.string()), text),
    ]  # fmt: skip


def table(rng: random.Random, plain: bool) -> pa.Table:
    """A table with a column `text` at a random place; `plain` for formats without nested types."""
    rows = rng.choice([1, 7, 300, 5000])
    kinds = [kind for kind in values(rng) if not plain or not (pa.types.is_nested(kind[0]) or pa.types.is_binary(kind[0]))]
    columns = {}
    for number in range(rng.randrange(1, 6)):
        kind, draw = rng.choice(kinds)
        nulls = rng.choice([0.0, 0.3])
        columns[f"c{number}"] = pa.array([None if rng.random() < nulls else draw() for _ in range(rows)], kind)
    names = list(columns)
    columns["text"] = pa.array([rng.choice(TEXTS) for _ in range(rows)], pa.string())
    names.insert(rng.randrange(len(names) + 1), "text")
    return pa.table({name: columns[name] for name in names})


def chunks(file: Path) -> list[bytes]:
    """The bytes of every column chunk of the input's columns, in order."""
    raw, metadata = file.read_bytes(), pq.ParquetFile(file).metadata
    out = []
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            if column.path_in_schema in ("label", "score"):
                continue
            start = column.dictionary_page_offset or column.data_page_offset
            out.append(raw[start : start + column.total_compressed_size])
    return out


def by_pyarrow(rng, folder):
    source = table(rng, plain=False)
    file = folder / "a.parquet"
    pq.write_table(
        source, file, compression=rng.choice(["snappy", "zstd", "none", "gzip"]), row_group_size=rng.choice([3, 200, 10**6]),
        use_dictionary=rng.random() < 0.5, version=rng.choice(["1.0", "2.6"]), data_page_version=rng.choice(["1.0", "2.0"]),
        write_statistics=rng.random() < 0.7, write_page_index=rng.random() < 0.5,
    )  # fmt: skip
    return file, lambda f: pq.read_table(f)


def by_feather(rng, folder):
    file = folder / "a.arrow"
    compression = rng.choice(["lz4", "zstd", "uncompressed"])
    pyarrow.feather.write_feather(table(rng, plain=False), file, compression=compression, chunksize=rng.choice([5, 1000]))
    return file, lambda f: pyarrow.feather.read_table(f)


def by_duckdb(rng, folder):
    ending = rng.choice(["parquet", "csv", "json"])
    source, file = table(rng, plain=ending == "csv"), folder / f"a.{ending}"
    options = {"parquet": "FORMAT parquet", "csv": "FORMAT csv, HEADER", "json": "FORMAT json"}[ending]
    duckdb.sql(f"COPY (SELECT * FROM source) TO '{file}' ({options})")
    read = {"parquet": "read_parquet('{}')", "csv": "read_csv('{}', all_varchar=true, header=true)", "json": "read_json('{}')"}
    return file, lambda f: duckdb.sql(f"SELECT * FROM {read[ending].format(f)}").to_arrow_table()


def by_polars(rng, folder):
    ending = rng.choice(["parquet", "csv", "ndjson", "arrow"])
    frame, file = pl.from_arrow(table(rng, plain=ending in ("csv", "ndjson"))), folder / f"a.{ending.replace('ndjson', 'jsonl')}"
    {"parquet": frame.write_parquet, "csv": frame.write_csv, "ndjson": frame.write_ndjson, "arrow": frame.write_ipc}[ending](file)
    as_text = lambda f: pl.read_csv(f, infer_schema=False)
    read = {"parquet": pl.read_parquet, "csv": as_text, "ndjson": pl.read_ndjson, "arrow": pl.read_ipc}[ending]
    # Polars infers 128-bit integers for JSON numbers above 2^63, which pyarrow does not have.
    return file, lambda f: read(f).with_columns(pl.selectors.by_dtype(pl.Int128).cast(pl.String)).to_arrow()


def by_spark(spark):
    def write(rng, folder):
        source = table(rng, plain=True).to_pylist()
        rows = [{"text": row["text"], "n": number, "at": dt.datetime(2024, 3, 31, 0, 30)} for number, row in enumerate(source)]
        spark.createDataFrame(rows, "text string, n long, at timestamp").coalesce(1).write.parquet(str(folder / "spark"))
        file = next((folder / "spark").glob("*.parquet"))
        return file, lambda f: pa.Table.from_pylist([row.asDict() for row in spark.read.parquet(str(f)).collect()])

    return write


def records(file: Path) -> list[bytes]:
    return file.read_bytes().splitlines()


def check(emotion: str, write, rng: random.Random, folder: Path) -> str:
    file, read = write(rng, folder)
    out = folder / f"out{file.suffix}"
    command = [emotion, "label", str(file), "--text", "text", "-o", str(out), "--quiet", "--model", str(MODEL)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stderr}"
    before, after = read(file), read(out)
    assert after.column_names[-2:] == ["label", "score"], after.column_names
    kept = after.select(before.column_names)
    assert kept.schema.equals(before.schema), f"{before.schema}\nbecame\n{kept.schema}"
    assert repr(kept.to_pylist()) == repr(before.to_pylist()), "values differ"
    if file.suffix == ".parquet":
        assert chunks(out) == chunks(file), "bytes of column chunks differ"
    if file.suffix in (".json", ".jsonl"):
        old, new = records(file), records(out)
        assert len(old) == len(new) and all(n.startswith(o.rstrip()[:-1]) for o, n in zip(old, new)), "bytes of objects differ"
        assert all("label" in json.loads(line) for line in new)
    labels = after.column("label").to_pylist()
    texts = before.column("text").to_pylist()
    if file.suffix != ".csv":
        assert all((label is None) == (text is None) for label, text in zip(labels, texts)), "NULL texts and labels differ"
    return f"{file.name}, {before.num_rows} rows, {before.num_columns} columns"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("emotion", help="the program")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--spark", action="store_true")
    args = parser.parse_args()
    writers = {"pyarrow": by_pyarrow, "feather": by_feather, "duckdb": by_duckdb, "polars": by_polars}
    if args.spark:
        from pyspark.sql import SparkSession

        writers["spark"] = by_spark(SparkSession.builder.master("local[1]").config("spark.ui.enabled", False).getOrCreate())
    failed = 0
    for name, write in writers.items():
        for number in range(args.rounds):
            seed = f"{args.seed}-{name}-{number}"
            with tempfile.TemporaryDirectory() as folder:
                try:
                    check(args.emotion, write, random.Random(seed), Path(folder))
                except Exception as error:  # noqa: BLE001
                    failed += 1
                    print(f"{seed}: {type(error).__name__}: {str(error)[:600]}", file=sys.stderr)
        print(f"{name}: {args.rounds} files", flush=True)
    print(f"{failed} of {args.rounds * len(writers)} files changed")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
