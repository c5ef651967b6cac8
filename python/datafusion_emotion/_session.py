"""The functions in a session of the package ``datafusion``, which is optional."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from typing import TYPE_CHECKING
from weakref import WeakSet

from . import _native

if TYPE_CHECKING:
    from datafusion import SessionContext

_with_file_tables: WeakSet[SessionContext] = WeakSet()


def register(ctx: SessionContext, functions: Iterable[_native.Function]) -> None:
    """Register functions in a session, and let SQL name files as tables in it."""
    _check_datafusion()
    from datafusion import udf

    _name_files(ctx)
    for function in functions:
        ctx.register_udf(udf(function))


def _name_files(ctx: SessionContext) -> None:
    """Let SQL name files as tables, once per session; it could read them by ``CREATE EXTERNAL TABLE`` anyway."""
    if ctx not in _with_file_tables:
        ctx.ctx = ctx.enable_url_table().ctx
        _with_file_tables.add(ctx)


def _check_datafusion() -> None:
    """Refuse a release of ``datafusion`` whose foreign function interface is another, or its absence."""
    ours = _native.DATAFUSION_VERSION.split(".")[0]
    try:
        theirs = metadata.version("datafusion")
    except metadata.PackageNotFoundError:
        raise ImportError(
            f"register needs the package datafusion {ours}, which is not installed: pip install 'datafusion=={ours}.*'"
        ) from None
    if theirs.split(".")[0] != ours:
        raise ImportError(
            f"datafusion-emotion {_native.VERSION} works with datafusion {ours}, but {theirs} is installed: "
            f"pip install 'datafusion=={ours}.*', or a datafusion-emotion for {theirs}"
        )
