"""Compare the throughput of the Python package in each engine with that of `Classifier.classify` on the same texts.

    python bench/python_engines.py [--rows 2000] [--rounds 3] [--engines duckdb,polars,…]

Run it with a Python that has the wheel of datafusion-emotion and python/tests/integrations/requirements.txt installed.
The texts are distinct, also between rounds, and made of the words of the sample file; the cache has no effect. Each
engine has loaded its model before it is timed. `Classifier.classify` runs before each run of an engine, since the speed
of a machine changes; the table has the median of the ratios.
"""

import argparse
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import datafusion_emotion as de

SAMPLE = Path(__file__).parent.parent / "data" / "reviews.parquet"
OPTIONS = {"cache_entries": 0}
SQL = "SELECT emotion_classify(text) AS emotion, count(*) AS texts FROM {} GROUP BY 1"

Run = Callable[[str], object]


def distinct_texts(rows: int) -> list[str]:
    words = " ".join(text for text in pq.read_table(SAMPLE)["text"].to_pylist() if text).split()
    source = random.Random(1)
    return [" ".join(source.choices(words, k=source.randint(8, 28))) for _ in range(rows)]


def datafusion() -> Run:
    from datafusion import SessionContext

    ctx = SessionContext()
    de.register(ctx, **OPTIONS)
    return lambda file: ctx.sql(SQL.format(f"'{file}'")).collect()


def duckdb() -> Run:
    import duckdb

    import datafusion_emotion.duckdb

    con = duckdb.connect()
    datafusion_emotion.duckdb.register(con, **OPTIONS)
    return lambda file: con.sql(SQL.format(f"'{file}'")).fetchall()


def polars() -> Run:
    import polars as pl

    import datafusion_emotion.polars

    return lambda file: pl.read_parquet(file).select(pl.col("text").emotion.classify(**OPTIONS))


def polars_streaming() -> Run:
    import polars as pl

    import datafusion_emotion.polars

    emotion = pl.col("text").emotion.classify(**OPTIONS)
    return lambda file: pl.scan_parquet(file).select(emotion).collect(engine="streaming")


def pandas() -> Run:
    import pandas as pd

    import datafusion_emotion.pandas

    return lambda file: pd.read_parquet(file)["text"].emotion.classify(**OPTIONS)


def datasets() -> Run:
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()

    def run(file: str) -> object:
        dataset = Dataset.from_dict({"text": pq.read_table(file)["text"].to_pylist()})
        return dataset.map(lambda batch: {"emotion": de.classify(batch["text"], **OPTIONS)}, batched=True)

    return run


def pipeline() -> Run:
    pipe = de.pipeline(**OPTIONS)
    return lambda file: pipe(pq.read_table(file)["text"].to_pylist(), top_k=None)


def label() -> Run:
    def run(file: str) -> object:
        with tempfile.TemporaryDirectory() as folder:
            return de.label(file, text="text", output=folder, restart=True)

    return run


def spark() -> Run:
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    session = builder.config("spark.ui.showConsoleProgress", "false").getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return _spark(session)


def sail() -> Run:
    from pysail.spark import SparkConnectServer
    from pyspark.sql import SparkSession

    if session := SparkSession.getActiveSession():
        session.stop()
    server = SparkConnectServer()
    server.start()
    _, port = server.listening_address
    run = _spark(SparkSession.builder.remote(f"sc://localhost:{port}").getOrCreate())
    # The server stops when it is dropped.
    return lambda file, _server=server: run(file)


def _spark(session) -> Run:  # noqa: ANN001
    import datafusion_emotion.spark

    datafusion_emotion.spark.register(session, **OPTIONS)
    rows = "(SELECT /*+ REPARTITION(2) */ text FROM parquet.`{}`)"
    return lambda file: session.sql(SQL.format(rows.format(file))).collect()


ENGINES = [datafusion, duckdb, polars, polars_streaming, pandas, datasets, pipeline, label, spark, sail]


def rate(run: Run, file: str, rows: int) -> float:
    start = time.perf_counter()
    run(file)
    return rows / (time.perf_counter() - start)


def main() -> None:
    names = [engine.__name__ for engine in ENGINES]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", default=",".join(names), help="by default all: %(default)s")
    arguments = parser.parse_args()
    chosen = arguments.engines.split(",")

    classifier = de.Classifier(**OPTIONS)
    with tempfile.TemporaryDirectory() as folder:
        few, *files = (f"{folder}/{number}.parquet" for number in range(arguments.rounds + 1))
        texts = pa.table({"text": distinct_texts(10 + arguments.rounds * arguments.rows)})
        pq.write_table(texts[:10], few)
        for number, file in enumerate(files):
            pq.write_table(texts[10 + number * arguments.rows :][: arguments.rows], file)
        print("engine | texts/s | Classifier.classify texts/s | median ratio\n---|---|---|---")
        for engine in ENGINES:
            if engine.__name__ not in chosen:
                continue
            run = engine()
            run(few)
            pairs = []
            for file in files:
                alone = rate(lambda file: classifier.classify(pq.read_table(file)["text"]), file, arguments.rows)
                pairs.append((rate(run, file, arguments.rows), alone))
            ratio = statistics.median(ours / alone for ours, alone in pairs)
            ours, alone = (statistics.median(rates) for rates in zip(*pairs, strict=True))
            print(f"{engine.__name__} | {ours:.1f} | {alone:.1f} | {ratio:.3f}", flush=True)


if __name__ == "__main__":
    main()
