"""Spark NLP's pipeline in a process of its own: answers commands on its standard input, one per line.

    pipeline.py MODEL [ONNX_THREADS]

MODEL is a folder that `Model.export` wrote. The commands are

    count FOLDER          counts the labels of the Parquet files in a folder: {"seconds": …, "counts": {…}}
    scores FOLDER         labels the rows: a list of {"id": …, "tokens": […], "labels": […], "scores": [{…}]}
"""

import json
import os
import sys
import time
from pathlib import Path

from pyspark.ml import Pipeline
from pyspark.sql import DataFrame, SparkSession
from sparknlp.annotator import DistilBertForSequenceClassification, Tokenizer
from sparknlp.base import DocumentAssembler

JARS = Path(__file__).parent / "jars" / "*"
QUERY = "SELECT class.result[0] AS label, count(*) AS texts FROM labeled GROUP BY 1"


def session(onnx_threads: str | None) -> SparkSession:
    """A session as `sparknlp.start` configures it, with all cores and JAR files from a folder."""
    options = {
        "spark.driver.extraClassPath": str(JARS),
        "spark.driver.memory": "8g",
        "spark.driver.maxResultSize": "0",
        "spark.serializer": "org.apache.spark.serializer.KryoSerializer",
        "spark.kryoserializer.buffer.max": "2000M",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
    }
    if onnx_threads:
        options["spark.jsl.settings.onnx.intraOpNumThreads"] = onnx_threads
    builder = SparkSession.builder.master("local[*]")
    for option, value in options.items():
        builder = builder.config(option, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    return spark


class Annotator:
    def __init__(self, model: str, onnx_threads: str | None) -> None:
        self.spark = session(onnx_threads)
        document = DocumentAssembler().setInputCol("text").setOutputCol("document")
        token = Tokenizer().setInputCols(["document"]).setOutputCol("token")
        classifier = DistilBertForSequenceClassification.loadSavedModel(model, self.spark)
        classifier = classifier.setInputCols(["document", "token"]).setOutputCol("class")
        classifier = classifier.setCaseSensitive(False).setMaxSentenceLength(512)
        empty = self.spark.createDataFrame([], "id long, text string")
        self.pipeline = Pipeline(stages=[document, token, classifier]).fit(empty)

    def labeled(self, folder: str) -> DataFrame:
        return self.pipeline.transform(self.spark.read.parquet(folder))

    def count(self, folder: str) -> dict:
        begin = time.perf_counter()
        self.labeled(folder).createOrReplaceTempView("labeled")
        counts = {row["label"]: row["texts"] for row in self.spark.sql(QUERY).collect()}
        return {"seconds": time.perf_counter() - begin, "counts": counts}

    def scores(self, folder: str) -> list:
        columns = ["id", "token.result AS tokens", "class.result AS labels", "class.metadata AS scores"]
        return [row.asDict(recursive=True) for row in self.labeled(folder).selectExpr(*columns).collect()]


def main() -> None:
    # Java prints to the standard output, too.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    annotator = Annotator(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    for line in sys.stdin:
        command, folder = line.split(maxsplit=1)
        print(json.dumps(getattr(annotator, command)(folder.strip())), file=answers, flush=True)


if __name__ == "__main__":
    main()
