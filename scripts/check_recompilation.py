#!/usr/bin/env python3
"""Checks that the README's test command compiles no third-party crate that its main command compiled.

It would if the two resolved to other features of a crate. Builds for both, and then compares; to
say something, it must start from a target folder in which neither was built.
"""

import json
import subprocess
import sys

MAIN = ["cargo", "build", "--locked", "--bin", "emotion"]
TESTS = ["cargo", "test", "--locked", "--workspace", "--features", "cluster", "--no-run"]


def libraries(command: list[str]) -> dict[str, bool]:
    """The third-party libraries that a command needs, and whether each was compiled by it."""
    command = [*command, "--message-format=json-render-diagnostics"]
    run = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    compiled: dict[str, bool] = {}
    for line in run.stdout.splitlines():
        message = json.loads(line) if line.startswith("{") else {}
        if message.get("reason") != "compiler-artifact" or not message["package_id"].startswith("registry+"):
            continue
        if "custom-build" not in message["target"]["kind"]:
            package = message["package_id"].rsplit("#", 1)[-1]
            compiled[package] = compiled.get(package, False) or not message["fresh"]
    return compiled


def main() -> int:
    of_main = libraries(MAIN)
    again = sorted(package for package, compiled in libraries(TESTS).items() if compiled and package in of_main)
    print(f"the program needs {len(of_main)} third-party packages; the tests compile {len(again)} of them again")
    if again:
        print("\n".join(again), file=sys.stderr)
    return bool(again)


if __name__ == "__main__":
    sys.exit(main())
