from collections import Counter

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog.sql import SqlCatalog

import datafusion_emotion


def test_a_table_is_read_and_its_labels_are_written_back(reviews, counts, tmp_path):
    catalog = SqlCatalog("local", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}")
    catalog.create_namespace("shop")
    rows = pq.read_table(reviews)
    table = catalog.create_table("shop.reviews", schema=rows.schema)
    table.append(rows)

    rows = table.scan().to_arrow()
    labels = datafusion_emotion.classify(rows["text"])
    with table.update_schema() as update:
        update.union_by_name(pa.schema([*rows.schema, ("emotion", pa.string())]))
    table.overwrite(rows.append_column("emotion", labels))

    labeled = catalog.load_table("shop.reviews").scan().to_arrow()
    assert Counter(labeled["emotion"].to_pylist()) == counts
