"""Functions that keep the models of their latest calls."""

from __future__ import annotations

import copyreg
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, Any, overload

from ._classifier import Classifier, Column, Texts
from ._options import Options

if sys.version_info >= (3, 11):
    from typing import Unpack
else:
    from typing_extensions import Unpack

if TYPE_CHECKING:
    from datafusion import SessionContext


def shared(options: Options) -> Classifier:
    """The classifier with these options, which is kept."""
    return _shared(frozenset(options.items()))


@lru_cache(maxsize=8)
def _shared(options: frozenset[tuple[str, Any]]) -> Classifier:
    return Classifier(**dict(sorted(options)))


# A process that unpickles a classifier several times, such as a worker, loads its model once.
copyreg.pickle(Classifier, lambda classifier: (shared, (classifier._options,)))


def register(ctx: SessionContext, *, prefix: str = "emotion", **options: Unpack[Options]) -> None:
    """Register the functions of a model in a session of DataFusion.

    They are ``emotion_classify(text)``, ``emotion_labels(text)``, ``emotion_score(text)``,
    ``emotion_score(text, label)``, ``emotion_scores(text)`` and ``emotion_annotate(text)``, with another
    ``prefix`` if one is given. File names are tables in the session from then on.

    >>> from datafusion import SessionContext
    >>> import datafusion_emotion
    >>> ctx = SessionContext()
    >>> datafusion_emotion.register(ctx, precision="int8")
    >>> ctx.sql("SELECT emotion_classify('I like you.') AS emotion").to_pydict()
    {'emotion': ['love']}
    """
    shared(options).register(ctx, prefix=prefix)


@overload
def classify(texts: Texts, **options: Unpack[Options]) -> list[str | None]: ...
@overload
def classify(texts: Column, **options: Unpack[Options]) -> Column: ...
def classify(texts: Any, **options: Unpack[Options]) -> Any:
    """The most probable label of each text: :meth:`Classifier.classify` with a model that is kept."""
    return shared(options).classify(texts)


@overload
def labels_of(texts: Texts, **options: Unpack[Options]) -> list[list[str] | None]: ...
@overload
def labels_of(texts: Column, **options: Unpack[Options]) -> Column: ...
def labels_of(texts: Any, **options: Unpack[Options]) -> Any:
    """All labels that hold for each text: :meth:`Classifier.labels_of` with a model that is kept."""
    return shared(options).labels_of(texts)


@overload
def score(texts: Texts, label: str | None = None, **options: Unpack[Options]) -> list[float | None]: ...
@overload
def score(texts: Column, label: str | None = None, **options: Unpack[Options]) -> Column: ...
def score(texts: Any, label: str | None = None, **options: Unpack[Options]) -> Any:
    """The probability of a label for each text: :meth:`Classifier.score` with a model that is kept."""
    return shared(options).score(texts, label)


@overload
def scores(texts: Texts, **options: Unpack[Options]) -> list[dict[str, float] | None]: ...
@overload
def scores(texts: Any, **options: Unpack[Options]) -> Any: ...
def scores(texts: Any, **options: Unpack[Options]) -> Any:
    """The probability of every label for each text: :meth:`Classifier.scores` with a model that is kept."""
    return shared(options).scores(texts)


@overload
def annotate(texts: Texts, **options: Unpack[Options]) -> list[dict[str, Any] | None]: ...
@overload
def annotate(texts: Any, **options: Unpack[Options]) -> Any: ...
def annotate(texts: Any, **options: Unpack[Options]) -> Any:
    """Label, score, scores, tokens and truncated: :meth:`Classifier.annotate` with a model that is kept."""
    return shared(options).annotate(texts)
