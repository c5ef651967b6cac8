"""A model with its options, and its predictions for texts."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload

import pyarrow as pa

from . import _columns, _native
from ._options import Options, texts_of

if sys.version_info >= (3, 11):
    from typing import Unpack
else:
    from typing_extensions import Unpack

if TYPE_CHECKING:
    from datafusion import SessionContext

Column = TypeVar("Column")
Texts = Sequence[str | None]


class Classifier:
    """A model with its options. Threads may share it, and it releases the GIL while it infers.

    An invalid option raises ``ValueError``, and so does a folder or hub id that contains no model.

    >>> from datafusion_emotion import Classifier
    >>> classifier = Classifier(precision="int8", max_length=128)
    >>> classifier.labels
    ['sadness', 'joy', 'love', 'anger', 'fear', 'surprise']
    >>> classifier.classify(["I like you.", "Go away!"])
    ['love', 'anger']
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        """Load the model."""
        self._options = texts_of(options, Options)
        self._functions = self._named("emotion")

    def _named(self, prefix: str) -> dict[str, _native.Function]:
        functions = _native.functions(prefix, self._options)
        return {function.name.removeprefix(f"{prefix}_"): function for function in functions}

    def __repr__(self) -> str:
        """Its options, as they were given."""
        options = ", ".join(f"{name}={value!r}" for name, value in self._options.items())
        return f"Classifier({options})"

    @property
    def labels(self) -> list[str]:
        """The model's labels, in the order of their ids."""
        return [field.name for field in self._type("scores")]

    def _type(self, name: str) -> pa.DataType:
        """The type of a function's results."""
        return self._functions[name](pa.array([], pa.string())).type

    @overload
    def classify(self, texts: Texts, *, threshold: float | None = None) -> list[str | None]: ...
    @overload
    def classify(self, texts: Column, *, threshold: float | None = None) -> Column: ...
    def classify(self, texts: Any, *, threshold: float | None = None) -> Any:
        """The most probable label of each text; ``None`` for ``None``, and if it is less probable than ``threshold``.

        Without a ``threshold``, that of the classifier's options holds.

        ``texts`` is a list, a pyarrow array or chunked array, a pandas or polars series, or anything
        else with the Arrow C data interface. The result is of the same kind, with a series' name and
        index.
        """
        return self._run("classify", texts, threshold=threshold)

    @overload
    def labels_of(self, texts: Texts, *, threshold: float | None = None) -> list[list[str] | None]: ...
    @overload
    def labels_of(self, texts: Column, *, threshold: float | None = None) -> Column: ...
    def labels_of(self, texts: Any, *, threshold: float | None = None) -> Any:
        """All labels that hold for each text, the most probable first; ``None`` for ``None``.

        A list may be empty. Of a single-label model it holds at most one label, that of :meth:`classify`.
        """
        return self._run("labels", texts, threshold=threshold)

    @overload
    def score(self, texts: Texts, label: str | None = None) -> list[float | None]: ...
    @overload
    def score(self, texts: Column, label: str | None = None) -> Column: ...
    def score(self, texts: Any, label: str | None = None) -> Any:
        """The probability of a label for each text; without one, of the most probable label."""
        return self._run("score", texts, label)

    @overload
    def scores(self, texts: Texts) -> list[dict[str, float] | None]: ...
    @overload
    def scores(self, texts: Any) -> Any: ...
    def scores(self, texts: Any) -> Any:
        """The probability of every label for each text, as structs: dictionaries, or a pandas frame."""
        return self._run("scores", texts)

    @overload
    def annotate(self, texts: Texts, *, threshold: float | None = None) -> list[dict[str, Any] | None]: ...
    @overload
    def annotate(self, texts: Any, *, threshold: float | None = None) -> Any: ...
    def annotate(self, texts: Any, *, threshold: float | None = None) -> Any:
        """Label, score, scores, tokens and truncated of each text, as structs: dictionaries, or a pandas frame."""
        return self._run("annotate", texts, threshold=threshold)

    def _run(self, name: str, texts: Any, label: str | None = None, threshold: float | None = None) -> Any:
        column, results = _columns.read(texts)
        chunks = column.chunks or [pa.array([], column.type)]
        function = self._functions[name]
        limit = None if threshold is None else str(threshold)
        return results(pa.chunked_array([function(chunk, label, limit) for chunk in chunks]))

    def register(self, ctx: SessionContext, *, prefix: str = "emotion") -> None:
        """Register the functions in a session of DataFusion, as ``{prefix}_classify`` and so on.

        File names are tables in it from then on. Without ``datafusion`` 55, it raises ``ImportError``.
        """
        from ._session import register

        register(ctx, self._named(prefix).values())
