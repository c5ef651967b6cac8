"""Evaluations of models, and reports on emotions in files, as ``emotion eval`` and ``emotion report`` make them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from html import escape
from os import PathLike
from pathlib import Path
from typing import Any

from . import _native
from ._label import Path as Name
from ._label import names_of
from ._options import ModelOptions, texts_of

if sys.version_info >= (3, 11):
    from typing import Unpack
else:
    from typing_extensions import Unpack


class AnalysisOptions(ModelOptions, total=False):
    """The options of an evaluation or a report: those of the model, and how files are read."""

    delimiter: str
    """Read the files as CSV with this character between fields."""


class Page:
    """An HTML page that needs no network. It is displayed where it is the result of a cell of a notebook."""

    html: str
    """The source of the page."""

    def __init__(self, html: str) -> None:
        """Wrap the source of a page."""
        self.html = html

    def save(self, path: str | PathLike[str]) -> None:
        """Write the page to a file."""
        Path(path).write_text(self.html, encoding="utf-8")

    def _repr_html_(self) -> str:
        """Display the page in a frame, so that its styles and those of the notebook do not affect each other."""
        style = "width: 100%; height: 45em; border: 0"
        return f'<iframe title="page" sandbox style="{style}" srcdoc="{escape(self.html)}"></iframe>'


class Evaluation(Page):
    """The quality of a model on texts whose labels are known."""

    figures: dict[str, Any]
    """The object that ``emotion eval --format json`` prints, without the memory of the process: ``test_accuracy``,
    ``test_f1``, ``test_loss``, ``labels``, ``confusion_matrix`` and others."""

    def __init__(self, html: str, figures: dict[str, Any]) -> None:
        """Combine the page with the figures that it shows."""
        super().__init__(html)
        self.figures = figures

    def __repr__(self) -> str:
        """Show the main figures."""
        figures = self.figures
        return (
            f"<Evaluation of {figures['test_samples']} texts: "
            f"accuracy {figures['test_accuracy']:.4f}, F1 {figures['test_f1']:.4f}>"
        )


class Report(Page):
    """A page about the emotions in a table."""

    texts: int
    """The number of texts with a label."""

    def __init__(self, html: str, texts: int) -> None:
        """Combine the page with the number of texts."""
        super().__init__(html)
        self.texts = texts

    def __repr__(self) -> str:
        """Show the number of texts."""
        return f"<Report on {self.texts} texts>"


def eval(inputs: Name | Iterable[Name], *, text: str, label: str, **options: Unpack[AnalysisOptions]) -> Evaluation:
    """Measure a model on the texts of files, whose labels are in the column ``label``.

    An input is a file or a folder. Labels are names or numbers of the model's labels; for a multi-label model,
    lists of them. Rows without a text or a label are left out and counted. With ``threshold``, a row whose label
    is missing, ``neutral`` or ``none`` is a text without a label, and its prediction is correct if the model gives
    it no label.

    An evaluation that cannot be made raises :class:`AnalysisError`, whose message says what to do. An invalid
    option raises ``ValueError``, and an unknown one ``TypeError``. Ctrl-C raises ``KeyboardInterrupt``.

    >>> import datafusion_emotion
    >>> evaluation = datafusion_emotion.eval("known.csv", text="body", label="feeling")  # doctest: +SKIP
    >>> evaluation.figures["test_accuracy"]  # doctest: +SKIP
    0.93
    """
    figures, html = _native.evaluate(names_of(inputs), text, label, texts_of(options, AnalysisOptions))
    return Evaluation(html, json.loads(figures))


def report(
    inputs: Name | Iterable[Name],
    *,
    text: str | None = None,
    label: str | None = None,
    score: str | None = None,
    time: str | None = None,
    by: str | None = None,
    title: str = "Emotions",
    **options: Unpack[AnalysisOptions],
) -> Report:
    """Make a page about the emotions in files: counts, shares over time and by group, and scores.

    The labels are those of the column ``label``, with their scores in the column ``score``. Without it, the texts
    of the column ``text`` are labeled, and the options of the model can be used. The chart over time needs a column
    ``time`` of times or dates, and the shares by group a column ``by``. The page shows the texts with the highest
    and the lowest scores if ``text`` is named.

    A report that cannot be made raises :class:`AnalysisError`, whose message says what to do. An invalid option
    raises ``ValueError``, and an unknown one ``TypeError``. Ctrl-C raises ``KeyboardInterrupt``.

    >>> import datafusion_emotion
    >>> report = datafusion_emotion.report("reviews.parquet", text="text", time="timestamp")  # doctest: +SKIP
    >>> report.save("report.html")  # doctest: +SKIP
    """
    chosen = texts_of(options, AnalysisOptions)
    of_model = sorted(set(chosen) - {"delimiter"})
    if label is not None and of_model:
        raise TypeError(f"label= cannot be combined with {of_model[0]}=, an option of the model, which is not used")
    columns = {"text": text, "label": label, "score": score, "time": time, "by": by}
    named = {role: name for role, name in columns.items() if name is not None}
    texts, html = _native.report(names_of(inputs), named, title, chosen)
    return Report(html, texts)
