"""Compare the throughput of programs that were built in different ways, such as by the profiles release and dist.

    python bench/programs.py target/release/emotion target/dist/emotion [--texts 1000] [--rounds 3]

Each program labels the same distinct texts with one thread, in turns; the best of the rounds counts. The figures are
processor times per text, without those of a run with one text, so that starting and loading do not count. The ratios
are to the first program; they hold on a machine with other work.
"""

import argparse
import random
import resource
import subprocess
from pathlib import Path

WORDS = "we like you so much today never again the food was cold he left her happy about a long rainy day off".split()


def processor_time(program: Path, texts: list[str], precision: str) -> float:
    command = [program, "classify", "--threads", "1", "--precision", precision, "--format", "csv"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, input="\n".join(texts), text=True, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("programs", type=Path, nargs="+")
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    programs = [program.resolve() for program in arguments.programs]
    source = random.Random(1)
    texts = [f"{number} " + " ".join(source.choices(WORDS, k=20)) for number in range(arguments.texts)]
    print("| precision | program | µs per text | throughput relative to the first program |\n|---|---|---|---|")
    for precision in ["float32", "bfloat16", "int8"]:
        best = dict.fromkeys(programs, float("inf"))
        for _ in range(arguments.rounds):
            for program in programs:
                time = processor_time(program, texts, precision) - processor_time(program, texts[:1], precision)
                best[program] = min(best[program], 1e6 * time / len(texts))
        for program, per_text in best.items():
            print(f"| {precision} | {program} | {per_text:.0f} | {best[programs[0]] / per_text:.2f} |", flush=True)


if __name__ == "__main__":
    main()
