"""Measure `emotion label` over many small files beside one file of the same rows.

    python bench/many_files.py target/release/emotion [--files 10000] [--rows 50] [--model FOLDER]

Each file has so many rows of distinct texts. Times are of whole processes, from start to end, which take turns; the
best of the rounds counts. The labels of both runs are compared. On a machine with other work, the ratio of processor
times tells more than that of wall-clock times.
"""

import argparse
import random
import resource
import subprocess
import tempfile
import time
from pathlib import Path

WORDS = "we like you so much today never again the food was cold he left her happy about a long rainy day off".split()


def texts(count: int) -> list[str]:
    source = random.Random(1)
    return [f"{number} " + " ".join(source.choices(WORDS, k=source.randint(4, 12))) for number in range(count)]


def write(path: Path, rows: list[str]) -> None:
    path.write_text("text\n" + "".join(f"{row}\n" for row in rows))


def processor_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def seconds(command: list) -> tuple[float, float]:
    """Wall-clock time and processor time of a command."""
    started, before = time.perf_counter(), processor_time()
    subprocess.run(command, check=True)
    return time.perf_counter() - started, processor_time() - before


def labels(path: Path) -> list[str]:
    return path.read_text().splitlines()[1:]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("program", type=Path)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=50, help="rows of each file")
    parser.add_argument("--model", help="a model other than the built-in one")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    more = ["--model", arguments.model] if arguments.model else []
    rows = texts(arguments.files * arguments.rows)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "many").mkdir()
        write(folder / "one.csv", rows)
        starts = range(0, len(rows), arguments.rows)
        for start in starts:
            write(folder / "many" / f"{start:09}.csv", rows[start : start + arguments.rows])
        times = {"one.csv": [], "many": []}
        for round in range(arguments.rounds):
            for input in times:
                output = folder / f"{round}-{input.removesuffix('.csv')}"
                command = [arguments.program.resolve(), "label", folder / input, "--text", "text", "-o", output, "--quiet"]
                times[input].append(seconds([*command, *more]))
            many = sorted((folder / f"{round}-many").glob("*.csv"))
            assert [row for file in many for row in labels(file)] == labels(folder / f"{round}-one" / "one.csv")
        print(f"one file of {len(rows)} rows, {len(starts)} files of {arguments.rows}")
        for what, at in [("wall-clock", 0), ("processor", 1)]:
            one, many = (min(time[at] for time in times[input]) for input in times)
            print(f"{what} time: {one:.1f} s, {many:.1f} s, ratio {many / one:.2f}")


if __name__ == "__main__":
    main()
