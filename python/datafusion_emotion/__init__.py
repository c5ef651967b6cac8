"""Emotion labels on text, as functions of Apache DataFusion and of Python.

>>> import datafusion_emotion
>>> datafusion_emotion.classify(["I like you.", None])
['love', None]
"""

from ._classifier import Classifier
from ._native import VERSION as __version__
from ._pipeline import pipeline
from ._shared import annotate, classify, labels_of, register, score, scores

__all__ = [
    "Classifier",
    "__version__",
    "annotate",
    "classify",
    "labels_of",
    "pipeline",
    "register",
    "score",
    "scores",
]
