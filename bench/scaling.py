"""Measure how the throughput of `SELECT` and of `emotion label` grows with the number of threads.

    python bench/scaling.py target/release/emotion [--threads 1 2 4 8 16] [--precision int8] [--rows 3000] [--rounds 3]

Needs Linux and pyarrow. A rate is that of a whole process, without starting and loading: the difference of two runs, of
which the second has more distinct texts. The number of texts is proportional to the number of threads. The numbers of
threads alternate in each round; the median of the rounds is reported.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from serial import commands, distinct_texts

NAMES = ["SELECT", "label"]
FEW = 1000


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def write(path: Path, texts: list[str]) -> Path:
    pq.write_table(pa.table({"id": pa.array(range(len(texts))), "text": texts}), path)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    cores = os.cpu_count() or 1
    powers = [1 << power for power in range(cores.bit_length()) if 1 << power < cores]
    parser.add_argument("--threads", type=int, nargs="+", default=[*powers, cores])
    parser.add_argument("--precision", default="int8")
    parser.add_argument("--rows", type=int, default=3000, help="distinct texts per thread")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    program = str(Path(args.program).resolve())

    rates = {(threads, name): [] for threads in args.threads for name in NAMES}
    texts = distinct_texts(FEW + args.rows * max(args.threads))
    with tempfile.TemporaryDirectory() as folder:
        few = write(Path(folder) / "few.parquet", texts[:FEW])
        files = {
            threads: write(Path(folder) / f"{threads}.parquet", texts[: FEW + args.rows * threads])
            for threads in args.threads
        }
        for _ in range(args.rounds):
            for threads, name in rates:
                times = [seconds(commands(program, args.precision, threads, file)[name]) for file in (few, files[threads])]
                rates[threads, name].append(args.rows * threads / (times[1] - times[0]))

    print(f"{args.precision}, {args.rows} distinct texts per thread, {cores} cores, median of {args.rounds} rounds\n")
    print("| threads | " + " | ".join(f"{name} texts/s | speedup | per thread" for name in NAMES) + " |")
    print("|---" * (1 + 3 * len(NAMES)) + "|")
    medians = {key: statistics.median(values) for key, values in rates.items()}
    first = args.threads[0]
    for threads in args.threads:
        cells = [str(threads)]
        for name in NAMES:
            speedup = medians[threads, name] / medians[first, name]
            cells += [f"{medians[threads, name]:.1f}", f"{speedup:.2f}", f"{100 * speedup * first / threads:.0f} %"]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
