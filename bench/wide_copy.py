"""Compare `emotion label` over a wide Parquet file with copying the file and reading its text column.

    python bench/wide_copy.py target/release/emotion [--columns 100] [--rows 100000] [--width 100]

The texts repeat, and the model is the small one of the tests, so that inference takes no noticeable time. Times are of
whole processes, from start to end, which take turns; the best of the rounds counts. `emotion label` synchronizes its
output with the disk, so that the copy is timed with and without `sync`. On a machine with other work, processor times
tell more than wall-clock times. Needs pyarrow.
"""

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

MODEL = Path(__file__).parent.parent / "tests" / "golden" / "one-head"
TEXTS = ["I like you.", "Go away!", "I am so sad today.", "What a surprise!"]
READ = "import pyarrow.parquet, sys; pyarrow.parquet.read_table(sys.argv[1], columns=['text'])"
ROW_GROUP = 20_000


def write(path: Path, columns: int, rows: int, width: int) -> None:
    """Write a file of strings that do not compress, as they would be slower to copy if they did."""
    names = [f"column_{number}" for number in range(columns)]
    schema = pa.schema([pa.field("text", pa.string()), *(pa.field(name, pa.binary(width)) for name in names)])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=["text"]) as writer:
        for start in range(0, rows, ROW_GROUP):
            count = min(ROW_GROUP, rows - start)
            texts = pa.array(random.Random(start).choices(TEXTS, k=count))
            values = [pa.py_buffer(os.urandom(count * width)) for _ in names]
            arrays = [pa.Array.from_buffers(pa.binary(width), count, [None, value]) for value in values]
            writer.write_table(pa.table([texts, *arrays], schema=schema))


def processor_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def seconds(*commands: list) -> tuple[float, float]:
    """Wall-clock time and processor time of commands."""
    started, before = time.perf_counter(), processor_time()
    for command in commands:
        subprocess.run(command, check=True)
    return time.perf_counter() - started, processor_time() - before


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=Path)
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--width", type=int, default=100, help="bytes of each value")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", help="where the files are written; by default that of temporary files")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        wide, copy = folder / "wide.parquet", folder / "copy.parquet"
        write(wide, arguments.columns, arguments.rows, arguments.width)
        times = {"cp": [], "cp, sync": [], "read": [], "import": [], "label": []}
        for round in range(arguments.rounds):
            times["cp"].append(seconds(["cp", wide, copy]))
            times["cp, sync"].append(seconds(["cp", wide, copy], ["sync", copy]))
            copy.unlink()
            times["read"].append(seconds([sys.executable, "-c", READ, wide]))
            times["import"].append(seconds([sys.executable, "-c", "import pyarrow.parquet"]))
            labeled = folder / f"labeled-{round}.parquet"
            label = [arguments.program.resolve(), "label", wide, "--text", "text", "-o", labeled, "--quiet"]
            times["label"].append(seconds([*label, "--model", MODEL]))
            assert pq.read_metadata(labeled).num_rows == arguments.rows
            labeled.unlink()
        print(f"{wide.stat().st_size / 1e6:.0f} MB, {arguments.columns} columns, {arguments.rows} rows")
        for kind, at in [("wall-clock", 0), ("processor", 1)]:
            best = {what: min(time[at] for time in of) for what, of in times.items()}
            read = best["read"] - best["import"]
            print(f"{kind} time: cp {best['cp']:.2f} s, with sync {best['cp, sync']:.2f} s; reading the texts {read:.2f} s")
            ratios = [best["label"] / (best[what] + read) for what in ["cp", "cp, sync"]]
            print(f"  label {best['label']:.2f} s: {ratios[0]:.2f} times cp and reading, {ratios[1]:.2f} with sync")


if __name__ == "__main__":
    main()
