"""A model in the form of a pipeline of Hugging Face."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TypedDict, overload

from ._classifier import Classifier
from ._options import Options
from ._shared import shared

if sys.version_info >= (3, 11):
    from typing import Unpack
else:
    from typing_extensions import Unpack

TASKS = ("text-classification", "sentiment-analysis")


class Prediction(TypedDict):
    """A label and its probability."""

    label: str
    score: float


class TextClassificationPipeline:
    """A model whose calls have the results of the pipeline ``text-classification`` of ``transformers``."""

    def __init__(self, classifier: Classifier) -> None:
        """Take the model."""
        self._classifier = classifier

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, inputs: str, *, top_k: int | None = None
    ) -> list[Prediction]: ...
    @overload
    def __call__(self, inputs: Iterable[str]) -> list[Prediction]: ...
    @overload
    def __call__(self, inputs: Iterable[str], *, top_k: int | None) -> list[list[Prediction]]: ...
    def __call__(self, inputs: str | Iterable[str], **parameters: Any) -> Any:
        """The most probable label of each text as ``{"label": ..., "score": ...}``.

        With ``top_k``, the list of so many labels for each text, the most probable first; of all with
        ``top_k=None``. One text gives the list for that text. ``batch_size`` and ``truncation`` are accepted
        and ignored: the model chooses its batches, and ``long_text`` determines how long texts are handled.
        """
        unknown = sorted(set(parameters) - {"top_k", "batch_size", "truncation"})
        if unknown:
            raise TypeError(f"there is no parameter {unknown[0]!r}; there are top_k, batch_size and truncation")
        texts = [inputs] if isinstance(inputs, str) else list(inputs)
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("texts must be strings; replace None before the call")
        ranked = [_ranked(scores) for scores in self._classifier.scores(texts)]
        if "top_k" not in parameters:
            return [predictions[0] for predictions in ranked]
        top = [predictions[: parameters["top_k"]] for predictions in ranked]
        return top[0] if isinstance(inputs, str) else top


def _ranked(scores: dict[str, float] | None) -> list[Prediction]:
    predictions = [Prediction(label=label, score=score) for label, score in (scores or {}).items()]
    return sorted(predictions, key=lambda prediction: -prediction["score"])


def pipeline(task: str = "text-classification", **options: Unpack[Options]) -> TextClassificationPipeline:
    """A pipeline whose calls have the results of ``transformers.pipeline("text-classification")``.

    The options are those of :class:`Classifier`; the model is kept.

    >>> from datafusion_emotion import pipeline
    >>> pipe = pipeline()
    >>> [prediction["label"] for prediction in pipe(["I like you.", "Go away!"])]
    ['love', 'anger']
    >>> len(pipe("I like you.", top_k=None))
    6
    """
    if task not in TASKS:
        raise ValueError(f"there is no task {task!r}; there are {' and '.join(TASKS)}")
    return TextClassificationPipeline(shared(options))
