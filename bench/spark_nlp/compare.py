"""Compare the throughput and the labels with those of Spark NLP, on the same model and texts, in one run.

    bench/spark_nlp/compare.sh [--base] [--texts FILE] [--rows N] [--rounds N] [--program PROGRAM]

Both sides count the labels of two Parquet files by a query of their engine, `SELECT label, count(*) … GROUP BY 1`, on
all cores. Spark NLP runs with its default settings and with one ONNX thread per task; `emotion sql` in each precision.
Neither has cached a text, and loading is excluded: before each timed query, the session has answered the same query
about 32 other texts. The engines run alternately; the best of the rounds is reported. A session of Spark NLP lasts for
all rounds, so that its Java code is compiled after the first.

The texts are distinct and consist of lower-case words of the sample file, so that both sides read the same tokens. The
second table compares the scores on ordinary texts, which the two sides tokenize differently, with `transformers`.
`--base` uses a model of the size of DistilBERT base with seeded random weights instead of the default model.
"""

import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from model import Model, base_model

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SAMPLE = ROOT / "data/reviews.parquet"
PRECISIONS = ["float32", "bfloat16", "int8"]
WARM_UP_ROWS = 32
QUERY = "SELECT emotion_classify(text) AS label, count(*) AS texts FROM '{}/' GROUP BY 1"
SCORES = "SELECT id, emotion_classify(text) AS label, emotion_scores(text) AS scores FROM '{}/'"
DIFFERENT = 0.001
"""Scores that differ by more count as different."""
EMPTY = {"NULL": None, "''": "", "' '": " "}


class SparkNlp:
    """A session of Spark NLP in a process of its own."""

    def __init__(self, model: Path, onnx_threads: str | None = None) -> None:
        command = [sys.executable, HERE / "pipeline.py", model, *filter(None, [onnx_threads])]
        environment = os.environ | {"PYSPARK_PYTHON": sys.executable}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, text=True, env=environment, **pipes)

    def ask(self, command: str, folder: Path):  # noqa: ANN201
        self.process.stdin.write(f"{command} {folder}\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit("Spark NLP ended without an answer; run pipeline.py by hand to see why")
        return json.loads(answer)

    def seconds(self, warm_up: Path, folder: Path) -> float:
        self.ask("count", warm_up)
        return self.ask("count", folder)["seconds"]

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def emotion(program: Path, model: Path, *options: str) -> str:
    command = [program, "sql", "--model", model, *options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def our_seconds(program: Path, model: Path, precision: str, warm_up: Path, folder: Path) -> float:
    queries = [option for where in (warm_up, folder) for option in ("-c", QUERY.format(where))]
    output = emotion(program, model, "--precision", precision, *queries)
    return float(re.findall(r"Elapsed ([0-9.]+) seconds", output)[-1])


def distinct_texts(rows: int) -> list[str]:
    words = re.findall(r"\b[a-z]+\b", " ".join(text for text in pq.read_table(SAMPLE)["text"].to_pylist() if text))
    source = random.Random(1)
    return [" ".join(source.choices(words, k=source.randint(12, 27))) for _ in range(rows)]


def write(folder: Path, texts: list[str | None]) -> Path:
    """Writes texts into two Parquet files, so that Spark has two tasks."""
    folder.mkdir()
    for part in (0, 1):
        ids = range(part, len(texts), 2)
        table = pa.table({"id": pa.array(ids), "text": pa.array(texts[part::2], pa.string())})
        pq.write_table(table, folder / f"{part}.parquet")
    return folder


def print_speed(arguments: argparse.Namespace, folder: Path, model: Model, spark: dict[str, SparkNlp]) -> None:
    if arguments.texts:
        texts = arguments.texts.read_text(encoding="utf-8").splitlines()[: WARM_UP_ROWS + arguments.rows]
    else:
        texts = distinct_texts(WARM_UP_ROWS + arguments.rows)
    warm_up = write(folder / "warm-up", texts[:WARM_UP_ROWS])
    texts = texts[WARM_UP_ROWS:]
    timed = write(folder / "timed", texts)
    rates = {name: 0.0 for name in [*spark, *PRECISIONS]}
    for number in range(1, arguments.rounds + 1):
        for name in rates:
            if name in spark:
                seconds = spark[name].seconds(warm_up, timed)
            else:
                seconds = our_seconds(arguments.program, arguments.model, name, warm_up, timed)
            rates[name] = max(rates[name], len(texts) / seconds)
            print(f"round {number}, {name}: {len(texts) / seconds:.1f} texts/s", file=sys.stderr)

    tokens = sum(len(model.tokenizer.encode(text).ids) for text in texts) / len(texts)
    name = "DistilBERT base size" if arguments.base else "default model"
    print(f"{name}, {len(texts)} texts, {tokens:.1f} tokens per text, {os.cpu_count()} cores\n")
    print(f"| | texts/s | {' | '.join(f'{precision} is' for precision in PRECISIONS)} |")
    print("|---" * (2 + len(PRECISIONS)) + "|")
    for name, rate in rates.items():
        ratios = ["" if name in PRECISIONS else f"{rates[precision] / rate:.1f} x" for precision in PRECISIONS]
        print(f"| {'this project, ' * (name in PRECISIONS)}{name} | {rate:,.1f} | {' | '.join(ratios)} |")


def our_rows(program: Path, model: Path, folder: Path) -> dict[int, dict]:
    output = emotion(program, model, "--quiet", "--format", "nd-json", "-c", SCORES.format(folder))
    return {row["id"]: row for row in map(json.loads, output.splitlines())}


def their_rows(spark: SparkNlp, labels: list[str], folder: Path) -> dict[int, dict]:
    """The rows of Spark NLP in the shape of ours, with the tokens of its Tokenizer."""
    rows = {}
    for row in spark.ask("scores", folder):
        label = row["labels"][0] if row["labels"] else None
        scores = {label: float(row["scores"][0][label]) for label in labels} if row["labels"] else None
        rows[row["id"]] = {"label": label, "scores": scores, "tokens": row["tokens"]}
    return rows


def difference(row: dict, reference: dict[str, float]) -> float:
    """The largest difference of a score; 1 if there are no scores."""
    return max(abs(row["scores"][label] - score) for label, score in reference.items()) if row["scores"] else 1.0


def cells(rows: list[dict], references: list[dict[str, float]]) -> str:
    """How many rows have other scores than the reference, how many another label, and the largest difference."""
    differences = [difference(row, reference) for row, reference in zip(rows, references, strict=True)]
    other_labels = sum(row["label"] != max(scores, key=scores.get) for row, scores in zip(rows, references, strict=True))
    return f"{sum(value > DIFFERENT for value in differences)} | {other_labels} | {max(differences):.1g}"


def print_differences(arguments: argparse.Namespace, folder: Path, model: Model, spark: SparkNlp) -> None:
    kinds = json.loads((HERE / "ordinary.json").read_text(encoding="utf-8"))
    sample = pq.read_table(SAMPLE)["text"].to_pylist()
    kinds["the sample file"] = list(dict.fromkeys(text for text in sample if text and text.strip()))
    texts = [text for kind in kinds.values() for text in kind]
    written = write(folder / "ordinary", [*texts, *EMPTY.values()])
    ours = our_rows(arguments.program, arguments.model, written)
    theirs = their_rows(spark, model.labels, written)
    references = [model.scores(text) for text in texts]

    print(f"\nDifferences from `transformers`: texts with a score that differs by more than {DIFFERENT}, texts with")
    print("another label, the largest difference of a score\n")
    print("| | texts | Spark NLP: scores | label | largest | float32: scores | label | largest |")
    print("|---" * 8 + "|")
    start = 0
    for name, kind in kinds.items():
        rows = range(start, start := start + len(kind))
        expected = references[rows.start : rows.stop]
        sides = " | ".join(cells([side[row] for row in rows], expected) for side in (theirs, ours))
        print(f"| {name} | {len(kind)} | {sides} |")
    different = [row for row, reference in enumerate(references) if difference(theirs[row], reference) > DIFFERENT]
    first = {row: model.scores_of_first_pieces(theirs[row]["tokens"]) for row in different}
    explained = [row for row in different if difference(theirs[row], first[row]) <= DIFFERENT]

    print(f"\n{len(explained)} of the {len(different)} texts with other scores have those of `transformers` on the first piece")
    print("of each token of Spark NLP's Tokenizer, split at ASCII punctuation and ideographs.")
    for row in sorted({*different} - {*explained}):
        print(f"not explained: {texts[row]} → {theirs[row]['tokens']}")
    print("\n| text | Spark NLP | this project |\n|---|---|---|")
    for row, name in enumerate(EMPTY, start=len(texts)):
        print(f"| {name} | {theirs[row]['label']} | {ours[row].get('label')} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", action="store_true")
    parser.add_argument("--texts", type=Path, help="one distinct text per line [default: words of the sample file]")
    parser.add_argument("--rows", type=int, default=600, help="texts that are timed [default: %(default)s]")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--program", type=Path, default=ROOT / "target/release/emotion", help="[default: %(default)s]")
    arguments = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        arguments.model = ROOT / "data/model"
        if arguments.base:
            arguments.model = base_model(folder / "base", arguments.model / "tokenizer.json")
        model = Model(arguments.model)
        exported = model.export(folder / "spark-nlp")
        spark = {
            "Spark NLP with its default settings": SparkNlp(exported),
            "Spark NLP, one ONNX thread per task": SparkNlp(exported, "1"),
        }
        print_speed(arguments, folder, model, spark)
        print_differences(arguments, folder, model, spark["Spark NLP, one ONNX thread per task"])
        for session in spark.values():
            session.close()


if __name__ == "__main__":
    main()
