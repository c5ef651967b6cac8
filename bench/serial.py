"""Measure which fraction of `SELECT` and of `emotion label` is serial, and compute the speedup that it allows.

    python bench/serial.py target/release/emotion [--rows 10000] [--precisions int8,float32] [--cores 64]

Needs Linux and pyarrow. Tokenization and inference run in the threads of one pool. Everything else counts as serial,
although parts of it overlap with inference: reading, finding distinct texts, the cache, the scatter to Arrow, the
journal of `emotion label` and writing. The figures are processor time per text: the difference of two runs, of which
the second has more distinct texts, so that starting and loading do not count. They hold on a loaded machine, too. A
pool with more threads than the machine has cores shows what smaller shares of the work cost in total.
"""

import argparse
import os
import random
import statistics
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

SAMPLE = Path(__file__).parent.parent / "data" / "reviews.parquet"
QUERY = "SELECT id, emotion_classify(text) AS label, emotion_score(text) AS score FROM '{}'"
FEW = 1000
POLL = 0.005


@dataclass(frozen=True)
class Time:
    """Processor time in seconds, in the threads of the pool and in all others."""

    pool: float
    serial: float

    def __sub__(self, other: "Time") -> "Time":
        return Time(self.pool - other.pool, self.serial - other.serial)

    def of_a_text(self, texts: int) -> "Time":
        return Time(self.pool / texts, self.serial / texts)


def distinct_texts(rows: int) -> list[str]:
    words = " ".join(text for text in pq.read_table(SAMPLE)["text"].to_pylist() if text).split()
    source = random.Random(1)
    return [" ".join(source.choices(words, k=source.randint(8, 28))) for _ in range(rows)]


def pool_seconds(pid: int) -> float:
    """The processor time of the threads of the pool, by their name."""
    seconds = 0.0
    for task in Path(f"/proc/{pid}/task").iterdir():
        if (task / "comm").read_text() == "inference\n":
            seconds += int((task / "schedstat").read_text().split()[0]) / 1e9
    return seconds


def run(command: list[str]) -> Time:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    pool = 0.0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        try:
            pool = max(pool, pool_seconds(process.pid))
        except (FileNotFoundError, ProcessLookupError):
            pass  # The process or a thread of it has just ended.
        time.sleep(POLL)
    if status:
        raise SystemExit(f"{' '.join(map(str, command))} failed with status {status}; run it by hand to see why")
    return Time(pool, usage.ru_utime + usage.ru_stime - pool)


def commands(program: str, precision: str, threads: int, file: Path) -> dict[str, list[str]]:
    options = ["--precision", precision, "--threads", str(threads)]
    # A job whose output is there has nothing to do.
    output = Path(tempfile.mkdtemp(dir=file.parent)) / file.name
    return {
        "SELECT": [program, "sql", *options, "--quiet", "--format", "csv", "-c", QUERY.format(file)],
        "label": [program, "label", str(file), "--text", "text", "-o", str(output), "--quiet", *options],
    }


def difference(program: str, name: str, precision: str, threads: int, files: list[Path]) -> Time:
    """The time of the second file beyond that of the first."""
    few, many = (run(commands(program, precision, threads, file)[name]) for file in files)
    return many - few


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3, help="runs, of which the medians are reported")
    parser.add_argument("--precisions", default="int8,float32")
    parser.add_argument("--threads", type=int, nargs=2, default=[1, 64])
    parser.add_argument("--cores", type=int, default=64, help="the speedup is computed for this many")
    args = parser.parse_args()
    program = str(Path(args.program).resolve())

    few, many = (distinct_texts(args.rows)[:rows] for rows in (FEW, args.rows))
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / name for name in ("few.parquet", "many.parquet")]
        for file, texts in zip(files, (few, many), strict=True):
            pq.write_table(pa.table({"id": pa.array(range(len(texts))), "text": texts}), file)
        one, more = args.threads
        print(f"µs per text in a pool of {one} and of {more} threads and outside it; Amdahl's bound on {args.cores} cores\n")
        print(f"| | precision | pool of {one} | pool of {more} | serial | serial fraction | bound |")
        print("|---" * 7 + "|")
        for precision in args.precisions.split(","):
            for name in ("SELECT", "label"):
                times = {}
                for threads in args.threads:
                    runs = [difference(program, name, precision, threads, files) for _ in range(args.rounds)]
                    pool = statistics.median(time.pool for time in runs)
                    serial = statistics.median(time.serial for time in runs)
                    times[threads] = Time(pool, serial).of_a_text(args.rows - FEW)
                pool, serial = times[one].pool, times[one].serial
                fraction = serial / (pool + serial)
                bound = 1 / (fraction + (1 - fraction) / args.cores)
                figures = [f"{1e6 * value:.1f}" for value in (pool, times[more].pool, serial)]
                cells = [name, precision, *figures, f"{100 * fraction:.2f} %", f"{bound:.1f}"]
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
