"""Emotion labels on text, as functions of Apache DataFusion and of Python.

>>> import datafusion_emotion
>>> datafusion_emotion.classify(["I like you.", None])
['love', None]
"""

from ._classifier import Classifier, annotate, classify, register, score, scores
from ._native import VERSION as __version__

__all__ = ["Classifier", "__version__", "annotate", "classify", "register", "score", "scores"]
