"""Measure the gain of a second executor: a labeling job on one executor of one core, and on two.

    python bench/cluster.py FOLDER [--column text] [--rounds 3] [--programs target/release]

Each round starts a new cluster, so that no executor has cached a text, and labels all files of the folder. Each
executor is bound to a core of its own (Linux, `taskset`). Prints rows per second and the ratio. The programs are those of
`cargo build --release --features cluster`.
"""

import argparse
import json
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def await_port(port: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
    raise TimeoutError(f"nobody listens at {port}")


def rate(executors: int, arguments: argparse.Namespace) -> float:
    """Rows per second of one job."""
    folder = Path(tempfile.mkdtemp())
    processes: list[subprocess.Popen] = []

    def start(program: str, port: int, *options: str) -> None:
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        pin = ["taskset", "-c", str(len(processes) - 1)] if processes else []
        command = [*pin, str(Path(arguments.programs) / program), "--bind-host", "127.0.0.1"]
        processes.append(subprocess.Popen([*command, "--external-host", "127.0.0.1", *options], **quiet))
        await_port(port)

    try:
        scheduler = free_port()
        start("emotion-scheduler", scheduler, "--bind-port", str(scheduler))
        for _ in range(executors):
            port, grpc, health = free_port(), free_port(), free_port()
            start(
                "emotion-executor", grpc, "--vcores", "1", "--scheduler-host", "127.0.0.1",
                "--scheduler-port", str(scheduler), "--bind-port", str(port), "--bind-grpc-port", str(grpc),
                "--bind-health-port", str(health),
            )  # fmt: skip
        time.sleep(1)
        job = [str(Path(arguments.programs) / "emotion"), "label", arguments.folder, "--text", arguments.column]
        job += ["--output", str(folder / "labeled"), "--cluster", f"df://127.0.0.1:{scheduler}", "--json", "--quiet"]
        start_time = time.perf_counter()
        summary = json.loads(subprocess.run(job, check=True, stdout=subprocess.PIPE, text=True).stdout)
        return summary["rows"] / (time.perf_counter() - start_time)
    finally:
        for process in processes:
            process.kill()
            process.wait()
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("--column", default="text")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--programs", default="target/release")
    arguments = parser.parse_args()
    print("round | one executor rows/s | two executors rows/s | ratio\n---|---|---|---")
    ratios = []
    for number in range(1, arguments.rounds + 1):
        one, two = rate(1, arguments), rate(2, arguments)
        ratios.append(two / one)
        print(f"{number} | {one:.1f} | {two:.1f} | {ratios[-1]:.3f}", flush=True)
    print(f"median ratio two / one: {statistics.median(ratios):.3f}")


if __name__ == "__main__":
    main()
