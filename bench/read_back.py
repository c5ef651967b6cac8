"""Label the sample into Parquet and read it back with pyarrow and DuckDB.

    python bench/read_back.py target/debug/emotion

Needs the packages in bench/read_back.txt. Fails if a row, a column or a type is wrong.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

SAMPLE = Path(__file__).parent.parent / "data" / "reviews.parquet"
COLUMNS = "label=emotion,score,scores,truncated"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        labeled = Path(folder) / "labeled.parquet"
        command = [sys.argv[1], "label", SAMPLE, "--text", "text", "-o", labeled, "--columns", COLUMNS, "--quiet"]
        subprocess.run(command, check=True)
        before, after = pq.read_table(SAMPLE), pq.read_table(labeled)
        print(after.schema)

        assert after.select(before.column_names).equals(before, check_metadata=False)
        added = {name: after.schema.field(name).type for name in after.column_names[before.num_columns :]}
        labels = ["sadness", "joy", "love", "anger", "fear", "surprise"]
        scores = pa.struct([(label, pa.float32()) for label in labels])
        assert added == {"emotion": pa.string(), "score": pa.float32(), "scores": scores, "truncated": pa.bool_()}
        footer = pq.read_metadata(labeled).metadata
        assert footer[b"emotion.precision"] == b"float32" and len(footer[b"emotion.model_sha256"]) == 64

        rows = duckdb.sql(f"SELECT emotion, count(*) AS texts FROM '{labeled}' GROUP BY 1 ORDER BY 2 DESC").fetchall()
        counted = {entry["values"]: entry["counts"] for entry in after["emotion"].value_counts().to_pylist()}
        assert dict(rows) == counted, (rows, counted)
        best = "greatest(scores.sadness, scores.joy, scores.love, scores.anger, scores.fear, scores.surprise)"
        wrong = duckdb.sql(f"SELECT count(*) FROM '{labeled}' WHERE score IS DISTINCT FROM {best}").fetchall()
        assert wrong == [(0,)], wrong
        print(f"{after.num_rows} rows, {rows}: pyarrow {pa.__version__} and DuckDB {duckdb.__version__} agree")


main()
