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
    """The number format of the computation, by default ``float32``, which reproduces the predictions of Hugging Face.
    ``int8`` is for the CPU only, and ``float16`` for GPUs only."""
    backend: Literal["auto", "packed", "candle"]
    """The backend; ``auto``, the default, uses ``packed`` if it supports the model and the device, and ``candle``
    otherwise."""
    device: str
    """The device of the computation: ``cpu``, which is the default, ``cuda``, ``cuda:1`` and so on, or ``metal``."""
    max_length: int
    """Maximum number of tokens per forward pass of a text, by default that of the model."""
    long_text: Literal["truncate", "window"]
    """How a text with more tokens is handled: it is cut, which is the default, or its predictions are averaged over
    overlapping windows."""
    threshold: float
    """Probability from which a label holds; by default 0.5 for a multi-label model and 0 for others."""


class Options(ModelOptions, total=False):
    """The options of a model and of its execution, of which the latter change no result on the CPU."""

    batch_tokens: int
    """Tokens per micro-batch; by default 512 on the CPU and 8192 on a GPU."""
    threads: int
    """Inference threads, by default and at most one per core."""
    cache_entries: int
    """Number of texts whose predictions the process caches; 100000 by default, 0 for none."""


def texts_of(options: Mapping[str, Any], known: type) -> dict[str, str]:
    """The values of options as texts, without those that are ``None``; a ``TypeError`` for a name that is not known."""
    names = known.__annotations__
    unknown = sorted(set(options) - set(names))
    if unknown:
        raise TypeError(f"there is no option {unknown[0]!r}; there are {', '.join(names)}")
    return {name: _text(value) for name, value in options.items() if value is not None}


def _text(value: object) -> str:
    return fspath(value) if isinstance(value, PathLike) else str(value)
