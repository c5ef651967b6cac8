"""The accessor ``emotion`` of pandas series, which importing this module registers.

>>> import pandas as pd
>>> import datafusion_emotion.pandas
>>> pd.Series(["I like you."]).emotion.classify().to_list()
['love']
"""

from __future__ import annotations

import sys
from typing import Any

import pandas as pd

from ._options import Options
from ._shared import shared

if sys.version_info >= (3, 11):
    from typing import Unpack
else:
    from typing_extensions import Unpack


@pd.api.extensions.register_series_accessor("emotion")
class EmotionAccessor:
    """Predictions for a series of texts; the results have the index of the series.

    The methods take the options of :class:`datafusion_emotion.Classifier`.
    """

    def __init__(self, texts: pd.Series) -> None:
        """Take the texts."""
        self._texts = texts

    def classify(self, **options: Unpack[Options]) -> pd.Series:
        """The most probable label of each text; a missing value for a missing text."""
        return self._call("classify", options)

    def labels_of(self, **options: Unpack[Options]) -> pd.Series:
        """The list of all labels that hold for each text, the most probable first."""
        return self._call("labels", options)

    def score(self, label: str | None = None, **options: Unpack[Options]) -> pd.Series:
        """The probability of a label for each text; without one, of the most probable label."""
        return self._call("score", options, label)

    def scores(self, **options: Unpack[Options]) -> pd.DataFrame:
        """A frame with the probability of every label for each text."""
        return self._call("scores", options)

    def annotate(self, **options: Unpack[Options]) -> pd.DataFrame:
        """A frame of label, score, scores, tokens and truncated for each text."""
        return self._call("annotate", options)

    def _call(self, name: str, options: Options, label: str | None = None) -> Any:
        return shared(options)._run(name, self._texts, label)
