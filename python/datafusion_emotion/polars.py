"""The namespace ``emotion`` of polars expressions and series, which importing this module registers.

>>> import polars as pl
>>> import datafusion_emotion.polars
>>> pl.DataFrame({"text": ["I like you."]}).select(pl.col("text").emotion.classify())["text"].to_list()
['love']
"""

from __future__ import annotations

import sys
from typing import Any

import polars as pl
import pyarrow as pa

from ._classifier import Classifier
from ._options import Options
from ._shared import shared

if sys.version_info >= (3, 11):
    from typing import Unpack
else:
    from typing_extensions import Unpack


@pl.api.register_expr_namespace("emotion")
class EmotionExpressions:
    """Predictions for a column of texts, as expressions for eager, lazy and streaming queries.

    The methods take the options of :class:`datafusion_emotion.Classifier`.
    """

    def __init__(self, texts: pl.Expr) -> None:
        """Take the expression of the texts."""
        self._texts = texts

    def classify(self, **options: Unpack[Options]) -> pl.Expr:
        """The most probable label of each text, or null."""
        return self._call("classify", options)

    def labels_of(self, **options: Unpack[Options]) -> pl.Expr:
        """The list of all labels that hold for each text, the most probable first."""
        return self._call("labels", options)

    def score(self, label: str | None = None, **options: Unpack[Options]) -> pl.Expr:
        """The probability of a label for each text; without one, of the most probable label."""
        return self._call("score", options, label)

    def scores(self, **options: Unpack[Options]) -> pl.Expr:
        """A struct with the probability of every label for each text."""
        return self._call("scores", options)

    def annotate(self, **options: Unpack[Options]) -> pl.Expr:
        """A struct of label, score, scores, tokens and truncated for each text."""
        return self._call("annotate", options)

    def _call(self, name: str, options: Options, label: str | None = None) -> pl.Expr:
        classifier = shared(options)
        return self._texts.map_batches(
            lambda texts: classifier._run(name, texts, label),
            return_dtype=_dtype(classifier, name),
            is_elementwise=True,
        )


@pl.api.register_series_namespace("emotion")
class EmotionSeries:
    """Predictions for a series of texts; the methods are those of :class:`EmotionExpressions`."""

    def __init__(self, texts: pl.Series) -> None:
        """Take the texts."""
        self._texts = texts

    def classify(self, **options: Unpack[Options]) -> pl.Series:
        """The most probable label of each text, or null."""
        return self._call("classify", options)

    def labels_of(self, **options: Unpack[Options]) -> pl.Series:
        """The list of all labels that hold for each text, the most probable first."""
        return self._call("labels", options)

    def score(self, label: str | None = None, **options: Unpack[Options]) -> pl.Series:
        """The probability of a label for each text; without one, of the most probable label."""
        return self._call("score", options, label)

    def scores(self, **options: Unpack[Options]) -> pl.Series:
        """A struct with the probability of every label for each text."""
        return self._call("scores", options)

    def annotate(self, **options: Unpack[Options]) -> pl.Series:
        """A struct of label, score, scores, tokens and truncated for each text."""
        return self._call("annotate", options)

    def _call(self, name: str, options: Options, label: str | None = None) -> pl.Series:
        result: pl.Series = shared(options)._run(name, self._texts, label)
        return result


def _dtype(classifier: Classifier, name: str) -> Any:
    return pl.Series(pa.array([], classifier._type(name))).dtype
