"""Measure the cost of the foreign function interface: one query in the Python package `datafusion` and in `emotion sql`.

    python bench/ffi.py FILE.parquet [--column text] [--rounds 5] [--rows 2000] [--emotion target/release/emotion]

Run it with a Python that has datafusion-emotion installed. Each round runs one process of each kind, one after the
other. Each loads its model before it is timed, and has cached no text. Prints rows per second and the ratio.
"""

import argparse
import re
import statistics
import subprocess
import sys
import time

QUERY = "SELECT emotion_classify(text) AS emotion, count(*) FROM (SELECT {column} AS text FROM '{file}' LIMIT {rows}) GROUP BY 1"
WARM_UP = "SELECT emotion_classify('I like you.')"


def native(emotion: str, query: str) -> float:
    command = [emotion, "sql", "-c", WARM_UP, "-c", query]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(re.findall(r"Elapsed ([0-9.]+) seconds", output)[-1])


def foreign(query: str) -> float:
    output = subprocess.run([sys.executable, __file__, "--query", query], check=True, capture_output=True, text=True)
    return float(output.stdout)


def run(query: str) -> None:
    import datafusion_emotion
    from datafusion import SessionContext

    context = SessionContext()
    datafusion_emotion.register(context)
    context.sql(WARM_UP).collect()
    start = time.perf_counter()
    context.sql(query).collect()
    print(time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?")
    parser.add_argument("--column", default="text")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--emotion", default="target/release/emotion")
    parser.add_argument("--query", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.query:
        return run(arguments.query)
    if not arguments.file:
        parser.error("name a Parquet file")
    query = QUERY.format(column=arguments.column, file=arguments.file, rows=arguments.rows)
    print("round | native rows/s | over FFI rows/s | ratio\n---|---|---|---")
    ratios = []
    for number in range(1, arguments.rounds + 1):
        ours, theirs = native(arguments.emotion, query), foreign(query)
        ratios.append(ours / theirs)
        print(f"{number} | {arguments.rows / ours:.1f} | {arguments.rows / theirs:.1f} | {ratios[-1]:.3f}")
    print(f"median ratio over FFI / native: {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
