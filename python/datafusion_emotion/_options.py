"""The options of a model, and their values as the native module takes them."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any, Literal, TypedDict


class ModelOptions(TypedDict, total=False):
    """The options of a model that change its results."""

    model: str | PathLike[str]
    """A folder in Hugging Face layout, or a hub id; by default the model that is built in."""
    precision: Literal["float32", "bfloat16", "float16", "int8"]
    """What the model computes in; ``float32`` by default, which is Hugging Face's answer. ``int8`` is for the CPU, and
    ``float16`` for GPUs."""
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


class Options(ModelOptions, total=False):
    """The options of a model and of its execution, of which the latter change no result on the CPU."""

    batch_tokens: int
    """Tokens that go through the model together; by default 512 on the CPU and 8192 on a GPU."""
    threads: int
    """Threads that infer; by default one for each core."""
    cache_entries: int
    """Texts that the process remembers; 100000 by default, 0 for none."""


def texts_of(options: Mapping[str, Any], known: type) -> dict[str, str]:
    """The values of options as texts, without those that are ``None``; a ``TypeError`` for a name that is not known."""
    names = known.__annotations__
    unknown = sorted(set(options) - set(names))
    if unknown:
        raise TypeError(f"there is no option {unknown[0]!r}; there are {', '.join(names)}")
    return {name: _text(value) for name, value in options.items() if value is not None}


def _text(value: object) -> str:
    return fspath(value) if isinstance(value, PathLike) else str(value)
