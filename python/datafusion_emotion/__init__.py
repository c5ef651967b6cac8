"""Emotion labels on text, as functions of Apache DataFusion and of Python.

>>> import datafusion_emotion
>>> datafusion_emotion.classify(["I like you.", None])
['love', None]
"""

from ._analysis import Evaluation, Page, Report, eval, report
from ._classifier import Classifier
from ._label import label
from ._native import VERSION as __version__
from ._native import AnalysisError, LabelError
from ._pipeline import pipeline
from ._shared import annotate, classify, labels_of, register, score, scores

__all__ = [
    "AnalysisError",
    "Classifier",
    "Evaluation",
    "LabelError",
    "Page",
    "Report",
    "__version__",
    "annotate",
    "classify",
    "eval",
    "label",
    "labels_of",
    "pipeline",
    "register",
    "report",
    "score",
    "scores",
]
