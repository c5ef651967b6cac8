#!/usr/bin/env python3
"""Writes docs/python-api.md from the docstrings of the Python package.

The package is parsed, not imported, so that it need not be built.
Usage: python_reference.py [--check], which fails if the page is not what would be written.
"""

import ast
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "python" / "datafusion_emotion"
PAGE = ROOT / "docs" / "python-api.md"

# The public names of each module, and the files that define them.
MODULES = {
    "datafusion_emotion": {
        "_shared": ["classify", "labels_of", "score", "scores", "annotate", "register"],
        "_classifier": ["Classifier"],
        "_options": ["ModelOptions", "Options"],
        "_pipeline": ["pipeline", "TextClassificationPipeline"],
        "_label": ["label", "LabelOptions", "Summary", "SetAside"],
        "_analysis": ["eval", "report", "AnalysisOptions", "Page", "Evaluation", "Report"],
    },
    "datafusion_emotion.duckdb": {"duckdb": ["register"]},
    "datafusion_emotion.pandas": {"pandas": ["EmotionAccessor"]},
    "datafusion_emotion.polars": {"polars": ["EmotionExpressions", "EmotionSeries"]},
    "datafusion_emotion.spark": {"spark": ["register"]},
}
INTRODUCTION = """\
# Python API

`scripts/python_reference.py` writes this page from the docstrings of the package. The [page of the
package](../python/README.md) shows how to install and use it.
"""


def prose(docstring: str) -> Iterator[str]:
    """The paragraphs of a docstring as Markdown; examples become indented code."""
    for paragraph in docstring.split("\n\n"):
        if paragraph.startswith(">>>"):
            yield textwrap.indent(re.sub(r" *# doctest: .*", "", paragraph), "    ")
            continue
        text = re.sub(r":\w+:`~?([^`]*)`", r"`\1`", paragraph).replace("``", "`")
        yield textwrap.fill(" ".join(text.split()), 100, break_long_words=False, break_on_hyphens=False)


def signature(function: ast.FunctionDef) -> str:
    """The name and the parameters of a function without their types; the name alone of a property."""
    if any(isinstance(decorator, ast.Name) and decorator.id == "property" for decorator in function.decorator_list):
        return function.name
    parameters = function.args
    for parameter in [*parameters.args, *parameters.kwonlyargs, parameters.kwarg]:
        if parameter:
            parameter.annotation = None
    parameters.args = [parameter for parameter in parameters.args if parameter.arg != "self"]
    return f"{function.name}({ast.unparse(parameters)})"


def members(of: ast.ClassDef) -> Iterator[str]:
    """The documented fields and the public methods of a class."""
    if bases := [base.id for base in of.bases if isinstance(base, ast.Name) and base.id != "TypedDict"]:
        yield f"It has the members of `{bases[0]}`, and:"
    for field, comment in zip(of.body, of.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(comment, ast.Expr):
            text = "\n".join(prose(comment.value.value))
            item = f"- `{ast.unparse(field.target)}: {ast.unparse(field.annotation)}`: {text}"
            yield textwrap.fill(item, 100, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    for method in functions(of.body):
        if method.name == "__call__" or not method.name.startswith("_"):
            yield from entry(method, f"#### `{of.name}.{signature(method)}`")


def functions(body: list[ast.stmt]) -> list[ast.FunctionDef]:
    """The functions of a body with docstrings, which declarations of overloads lack."""
    return [node for node in body if isinstance(node, ast.FunctionDef) and ast.get_docstring(node)]


def entry(node: ast.FunctionDef | ast.ClassDef, heading: str) -> Iterator[str]:
    """The paragraphs about a function or a class."""
    yield heading
    yield from prose(ast.get_docstring(node))


def module(name: str, files: dict[str, list[str]]) -> Iterator[str]:
    """The paragraphs about a module."""
    yield f"## `{name}`"
    for file, names in files.items():
        body = ast.parse((PACKAGE / f"{file}.py").read_text()).body
        known = {node.name: node for node in [*functions(body), *(node for node in body if isinstance(node, ast.ClassDef))]}
        for node in (known[public] for public in names):
            if isinstance(node, ast.ClassDef):
                yield from entry(node, f"### `{node.name}`")
                yield from members(node)
            else:
                yield from entry(node, f"### `{signature(node)}`")


def main() -> None:
    """Write or check the page."""
    paragraphs = [paragraph for name, files in MODULES.items() for paragraph in module(name, files)]
    page = re.sub(r"(\n- .*(?:\n  .*)*)\n(?=\n- )", r"\1", "\n\n".join([INTRODUCTION.strip(), *paragraphs]) + "\n")
    if sys.argv[1:] == ["--check"]:
        if PAGE.read_text() != page:
            sys.exit("docs/python-api.md is not what scripts/python_reference.py writes: run it")
        return
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
