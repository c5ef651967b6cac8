"""Compare `emotion label` with the query alone, and measure its memory for growing numbers of rows.

    python bench/label.py target/release/emotion [TEXTS]

TEXTS is a file with one text per line; without it, texts are made of the words of the sample file. Needs pyarrow.
Rates are those of whole processes, from start to end, which run alternately; the best of three rounds is reported.
"""

import json
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SAMPLE = Path(__file__).parent.parent / "data" / "reviews.parquet"
ROUNDS = 3
DISTINCT = 1_500


def distinct_texts(path: str | None) -> list[str]:
    if path:
        return list(dict.fromkeys(Path(path).read_text().splitlines()))[:DISTINCT]
    words = " ".join(text for text in pq.read_table(SAMPLE)["text"].to_pylist() if text).split()
    source = random.Random(1)
    return [" ".join(source.choices(words, k=source.randint(8, 28))) for _ in range(DISTINCT)]


def write(path: Path, texts: list[str]) -> None:
    table = pa.table({"id": pa.array(range(len(texts))), "text": texts})
    pq.write_table(table, path, row_group_size=100_000)


def seconds(command: list) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def throughput(program: str, folder: Path, texts: list[str]) -> None:
    file = folder / "distinct.parquet"
    write(file, texts)
    query = [program, "sql", "-c", f"SELECT id, emotion_classify(text), emotion_score(text) FROM '{file}'", "--format", "csv"]
    best = {"query": float("inf"), "label": float("inf")}
    for round in range(ROUNDS):
        label = [program, "label", file, "--text", "text", "-o", folder / f"labeled-{round}.parquet", "--quiet"]
        for name, command in [("query", query), ("label", label)]:
            best[name] = min(best[name], seconds(command))
    rates = {name: len(texts) / time for name, time in best.items()}
    print(f"SELECT {rates['query']:.1f} texts/s, label {rates['label']:.1f} texts/s, ratio {rates['label'] / rates['query']:.3f}")


def memory(program: str, folder: Path, texts: list[str]) -> None:
    weights = [1 / rank for rank in range(1, len(texts) + 1)]
    for rows in (10_000, 100_000, 1_000_000, 4_000_000):
        file, output = folder / f"{rows}.parquet", folder / f"{rows}-labeled.parquet"
        write(file, random.Random(2).choices(texts, weights=weights, k=rows))
        command = [program, "label", file, "--text", "text", "-o", output, "--json"]
        summary = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        assert pq.read_metadata(output).num_rows == rows
        megabytes = summary["peak_memory_bytes"] / 1e6
        print(f"{rows:>9} rows: peak {megabytes:.0f} MB, {summary['rows_per_second']:.0f} rows/s, {summary['repeated']} repeated")


def main() -> None:
    program = str(Path(sys.argv[1]).resolve())
    texts = distinct_texts(sys.argv[2] if len(sys.argv) > 2 else None)
    with tempfile.TemporaryDirectory() as folder:
        throughput(program, Path(folder), texts)
        memory(program, Path(folder), texts)


main()
