from collections import Counter

import pyarrow.parquet as pq
from datafusion import SessionContext
from deltalake import DeltaTable, write_deltalake

import datafusion_emotion


def test_a_table_is_read_and_its_labels_are_written_back(reviews, counts, tmp_path):
    path = str(tmp_path / "reviews")
    write_deltalake(path, pq.read_table(reviews))

    ctx = SessionContext()
    datafusion_emotion.register(ctx)
    ctx.register_dataset("reviews", DeltaTable(path).to_pyarrow_dataset())
    labeled = ctx.sql("SELECT *, emotion_classify(text) AS emotion FROM reviews")
    write_deltalake(path, labeled.to_arrow_table(), mode="overwrite", schema_mode="overwrite")

    table = DeltaTable(path)
    assert table.version() == 1
    assert Counter(table.to_pyarrow_table()["emotion"].to_pylist()) == counts
