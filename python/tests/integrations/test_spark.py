import os
import sys
from collections import Counter

import pyarrow as pa
import pytest

import datafusion_emotion.spark


@pytest.fixture(scope="module", params=["spark", "sail"])
def spark(request):
    """A session of PySpark with a Spark of its own, and one of Sail's server."""
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    if request.param == "spark":
        builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
        spark = builder.config("spark.sql.shuffle.partitions", "2").getOrCreate()
        yield spark
        spark.stop()
        return
    from pysail.spark import SparkConnectServer

    server = SparkConnectServer()
    server.start()
    _, port = server.listening_address
    spark = SparkSession.builder.remote(f"sc://localhost:{port}").getOrCreate()
    yield spark
    spark.stop()
    server.stop()


@pytest.fixture
def registered(spark, reviews):
    datafusion_emotion.spark.register(spark)
    spark.read.parquet(reviews).createOrReplaceTempView("reviews")
    return spark


def test_counts(registered, counts):
    rows = registered.sql("SELECT emotion_classify(text) AS e, count(*) AS n FROM reviews GROUP BY 1").collect()
    assert Counter({row.e: row.n for row in rows}) == counts


def test_every_function(registered):
    query = """
        SELECT emotion_labels(t) AS labels, emotion_score(t) AS score, emotion_scores(t).love AS love,
            emotion_annotate(t).label AS label, emotion_annotate(t).tokens AS tokens
        FROM VALUES ('I like you.', 1), (NULL, 2) AS v(t, i) ORDER BY i
    """
    love, null = registered.sql(query).collect()
    assert (list(love.labels), love.label, love.tokens) == (["love"], "love", 6)
    assert love.score == love.love > 0.5
    assert tuple(null) == (None,) * 5


def test_a_worker_loads_the_model_once(registered):
    from pyspark.sql.functions import arrow_udf

    def loads(labels: pa.Array) -> pa.Array:
        from datafusion_emotion._shared import _shared

        return pa.array([_shared.cache_info().misses] * len(labels), pa.int32())

    registered.udf.register("loads", arrow_udf(loads, "int"))
    rows = "(SELECT /*+ REPARTITION(8) */ text FROM reviews)"
    found = registered.sql(f"SELECT DISTINCT loads(emotion_classify(text)) AS loads FROM {rows}").collect()
    assert len(found) == 1


def test_options(registered):
    datafusion_emotion.spark.register(registered, prefix="short", max_length=8)
    row = registered.sql("SELECT short_annotate('one two three four five six seven').truncated AS cut").first()
    assert row.cut
