#!/usr/bin/env python3
"""Checks that the modules of each crate form a hierarchy.

Fails if modules of a crate import each other, directly or in a longer cycle, or if a module imports
an item from the crate's root instead of from the module that defines it. Imports in tests do not
count. Usage: check_modules.py [FOLDER_WITH_CRATES]
"""

import re
import sys
from pathlib import Path

COMMENT = re.compile(r"//[^\n]*")
TESTS = re.compile(r"#\[cfg\((?:all\()?test\b[^\]]*\]\s*(?:pub(?:\([^)]*\))? )?mod \w+ \{.*", re.DOTALL)
PATH = re.compile(r"(?<![\w$:])((?:crate|self|super|[a-z]\w*)(?:::\w+)*)::(\{|\w+)")


def modules_of(source: Path) -> dict[tuple[str, ...], str]:
    """The code of each module without comments and tests, by the module's path; the root's is `()`."""
    modules = {}
    for file in source.rglob("*.rs"):
        if file.name == "tests.rs" or "bin" in file.relative_to(source).parts:
            continue
        parts = file.relative_to(source).with_suffix("").parts
        path = parts[:-1] if parts[-1] in ("lib", "main", "mod") else parts
        modules[path] = TESTS.sub("", COMMENT.sub("", file.read_text()))
    return modules


def leaves(body: str) -> list[list[str]]:
    """The paths that the inside of a use tree's braces names."""
    paths, depth, item = [], 0, ""
    for character in body + ",":
        if character == "," and depth == 0:
            head, brace, rest = item.strip().partition("{")
            prefix = [part for part in head.split(" as ")[0].strip().split("::") if part]
            paths += [prefix + leaf for leaf in leaves(rest.rsplit("}", 1)[0])] if brace else [prefix] if prefix else []
            item = ""
            continue
        depth += (character == "{") - (character == "}")
        item += character
    return paths


def named_paths(code: str) -> list[list[str]]:
    """Every path in the code, with the paths of use trees written out."""
    paths = []
    for match in PATH.finditer(code):
        prefix, end = match[1].split("::"), match[2]
        if end != "{":
            paths.append([*prefix, end])
            continue
        close, depth = match.end(), 1
        while depth:
            depth += (code[close] == "{") - (code[close] == "}")
            close += 1
        paths += [prefix + leaf for leaf in leaves(code[match.end() : close - 1])]
    return paths


def resolve(path: list[str], module: tuple[str, ...], modules: dict) -> tuple[str, ...] | None:
    """The module that a path leads to; `None` if it leads out of the crate."""
    base = list(module)
    first, *rest = path
    if first == "crate":
        base = []
    elif first == "super":
        base = base[:-1]
        while rest and rest[0] == "super":
            base, rest = base[:-1], rest[1:]
    elif first != "self":
        if (*module, first) not in modules:
            return None
        rest = path
    target = tuple(base)
    for part in rest:
        if (*target, part) not in modules:
            break
        target = (*target, part)
    return target


def imports_of(modules: dict) -> dict[tuple, set[tuple]]:
    imports = {}
    for module, code in modules.items():
        targets = {resolve(path, module, modules) for path in named_paths(code)}
        imports[module] = targets - {None, module}
    return imports


def cycles_of(imports: dict[tuple, set[tuple]]) -> list[list[tuple]]:
    """The groups of modules that import each other (Tarjan's strongly connected components)."""
    index, low, stack, groups = {}, {}, [], []

    def visit(module: tuple) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for target in imports[module]:
            if target not in index:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], index[target])
        if low[module] == index[module]:
            group = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            groups.append(group)

    for module in imports:
        if module not in index:
            visit(module)
    return [sorted(group) for group in groups if len(group) > 1]


def faults_of(source: Path) -> list[str]:
    imports = imports_of(modules_of(source))
    shown = lambda module: "::".join(module)  # noqa: E731
    faults = [f"{shown(module)} imports from the root" for module in sorted(imports) if module and () in imports[module]]
    # The root declares the modules, so what it imports makes no cycle.
    inner = {module: targets - {()} for module, targets in imports.items() if module}
    return faults + ["cycle: " + ", ".join(map(shown, group)) for group in cycles_of(inner)]


def main() -> int:
    crates = Path(sys.argv[1] if len(sys.argv) > 1 else "crates")
    sources = sorted(crates.glob("*/src"))
    if not sources:
        print(f"there is no crate in '{crates}'", file=sys.stderr)
        return 2
    faults = [f"{source.parent.name}: {fault}" for source in sources for fault in faults_of(source)]
    print("\n".join(faults) or f"{len(sources)} crates: no module imports against the hierarchy")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
