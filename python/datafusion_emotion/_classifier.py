"""A model with its options, and what it says of texts."""

import sys
from collections.abc import Sequence
from functools import lru_cache
from importlib import metadata
from os import PathLike, fspath
from typing import Any, Literal, TypedDict, TypeVar, overload
from weakref import WeakSet

import pyarrow as pa
from datafusion import SessionContext, udf

from . import _columns, _native

if sys.version_info >= (3, 11):
    from typing import Unpack
else:
    from typing_extensions import Unpack

_naming_files: WeakSet[SessionContext] = WeakSet()

Column = TypeVar("Column")
Texts = Sequence[str | None]


class Options(TypedDict, total=False):
    """The options of a model; the last three change no result on the CPU."""

    model: str | PathLike[str]
    """A folder in Hugging Face layout, or a hub id; by default the model that is built in."""
    precision: Literal["float32", "bfloat16", "int8"]
    """What the model computes in; ``float32`` by default, which is Hugging Face's answer."""
    backend: Literal["auto", "packed", "candle"]
    """What computes the model; ``auto`` by default: the packed kernels where they know it, else candle."""
    device: str
    """Where the model computes: ``cpu``, which is the default, ``cuda``, ``cuda:1`` and so on, or ``metal``."""
    max_length: int
    """Tokens that the model sees at once; by default as many as it can."""
    long_text: Literal["truncate", "window"]
    """What becomes of a text with more tokens: it is cut, which is the default, or averaged over windows."""
    threshold: float
    """Probability from which a label holds; by default 0.5 for a multi-label model and 0 for others."""
    batch_tokens: int
    """Tokens that go through the model together; 512 by default."""
    threads: int
    """Threads that infer; by default one for each core."""
    cache_entries: int
    """Texts that the process remembers; 100000 by default, 0 for none."""


class Classifier:
    """A model with its options. Threads may share it, and it releases the GIL while it infers.

    A wrong option is a ``ValueError``, and so is a folder or hub id that holds no model.

    >>> from datafusion_emotion import Classifier
    >>> classifier = Classifier(precision="int8", max_length=128)
    >>> classifier.labels
    ['sadness', 'joy', 'love', 'anger', 'fear', 'surprise']
    >>> classifier.classify(["I like you.", "Go away!"])
    ['love', 'anger']
    """

    def __init__(self, **options: Unpack[Options]) -> None:
        """Load the model."""
        unknown = sorted(set(options) - set(Options.__annotations__))
        if unknown:
            raise TypeError(f"there is no option {unknown[0]!r}; there are {', '.join(Options.__annotations__)}")
        self._options = {name: _text(value) for name, value in options.items() if value is not None}
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
        scores = self._functions["scores"](pa.array([], pa.string())).type
        return [field.name for field in scores]

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
        limit = None if threshold is None else _text(threshold)
        return results(pa.chunked_array([function(chunk, label, limit) for chunk in chunks]))

    def register(self, ctx: SessionContext, *, prefix: str = "emotion") -> None:
        """Register the functions in a session of DataFusion, as ``{prefix}_classify`` and so on.

        File names are tables in it from then on.
        """
        _check_datafusion()
        _name_files(ctx)
        for function in self._named(prefix).values():
            ctx.register_udf(udf(function))


def _text(value: object) -> str:
    return fspath(value) if isinstance(value, PathLike) else str(value)


def _name_files(ctx: SessionContext) -> None:
    """Let SQL name files as tables, once; it could read them by ``CREATE EXTERNAL TABLE`` anyway."""
    if ctx not in _naming_files:
        ctx.ctx = ctx.enable_url_table().ctx
        _naming_files.add(ctx)


def _check_datafusion() -> None:
    """Refuse a release of ``datafusion`` whose foreign function interface is another."""
    ours, theirs = _native.DATAFUSION_VERSION.split(".")[0], metadata.version("datafusion")
    if theirs.split(".")[0] != ours:
        raise ImportError(
            f"datafusion-emotion {_native.VERSION} works with datafusion {ours}, but {theirs} is installed: "
            f"pip install 'datafusion=={ours}.*', or a datafusion-emotion for {theirs}"
        )


@lru_cache(maxsize=8)
def _shared(options: frozenset[tuple[str, Any]]) -> Classifier:
    return Classifier(**dict(options))


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
    _shared(frozenset(options.items())).register(ctx, prefix=prefix)


@overload
def classify(texts: Texts, **options: Unpack[Options]) -> list[str | None]: ...
@overload
def classify(texts: Column, **options: Unpack[Options]) -> Column: ...
def classify(texts: Any, **options: Unpack[Options]) -> Any:
    """The most probable label of each text: :meth:`Classifier.classify` with a model that is kept."""
    return _shared(frozenset(options.items())).classify(texts)


@overload
def score(texts: Texts, label: str | None = None, **options: Unpack[Options]) -> list[float | None]: ...
@overload
def score(texts: Column, label: str | None = None, **options: Unpack[Options]) -> Column: ...
def score(texts: Any, label: str | None = None, **options: Unpack[Options]) -> Any:
    """The probability of a label for each text: :meth:`Classifier.score` with a model that is kept."""
    return _shared(frozenset(options.items())).score(texts, label)


@overload
def scores(texts: Texts, **options: Unpack[Options]) -> list[dict[str, float] | None]: ...
@overload
def scores(texts: Any, **options: Unpack[Options]) -> Any: ...
def scores(texts: Any, **options: Unpack[Options]) -> Any:
    """The probability of every label for each text: :meth:`Classifier.scores` with a model that is kept."""
    return _shared(frozenset(options.items())).scores(texts)


@overload
def annotate(texts: Texts, **options: Unpack[Options]) -> list[dict[str, Any] | None]: ...
@overload
def annotate(texts: Any, **options: Unpack[Options]) -> Any: ...
def annotate(texts: Any, **options: Unpack[Options]) -> Any:
    """Label, score, scores, tokens and truncated: :meth:`Classifier.annotate` with a model that is kept."""
    return _shared(frozenset(options.items())).annotate(texts)
