"""Python's kinds of columns, as Arrow arrays and back."""

from collections.abc import Callable, Iterable
from typing import Any

import pyarrow as pa

Results = Callable[[pa.ChunkedArray], Any]


def read(texts: Any) -> tuple[pa.ChunkedArray, Results]:
    """The texts of a column, and what makes a column of its kind of their results.

    Columns that speak the Arrow C data interface are not copied.
    """
    if isinstance(texts, str | bytes):
        raise TypeError(f"texts must be many, not one: [{texts!r}]")
    try:
        column, results = _read(texts)
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise TypeError(f"texts must be strings or None: {error}") from None
    if not _is_text(column.type):
        raise TypeError(f"texts must be strings, not {column.type}")
    return column, results


def _read(texts: Any) -> tuple[pa.ChunkedArray, Results]:
    if isinstance(texts, pa.Array):
        return pa.chunked_array([texts]), _combined
    if isinstance(texts, pa.ChunkedArray):
        return texts, _itself
    package = type(texts).__module__.partition(".")[0]
    if package == "pandas":
        return _chunked(pa.array(texts, from_pandas=True)), lambda results: _pandas(texts, results)
    if hasattr(texts, "__arrow_c_stream__"):
        column = pa.chunked_array(texts)
        return column, (lambda results: _polars(texts, results)) if package == "polars" else _itself
    if hasattr(texts, "__arrow_c_array__"):
        return pa.chunked_array([pa.array(texts)]), _combined
    if not isinstance(texts, Iterable):
        raise TypeError(f"texts must be a list, array or series of strings, not {type(texts).__name__}")
    return pa.chunked_array([pa.array(texts if isinstance(texts, list) else list(texts), pa.string())]), _list


def _chunked(column: pa.Array | pa.ChunkedArray) -> pa.ChunkedArray:
    return column if isinstance(column, pa.ChunkedArray) else pa.chunked_array([column])


def _is_text(of: pa.DataType) -> bool:
    if pa.types.is_dictionary(of):
        of = of.value_type
    strings = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    return any(is_one(of) for is_one in strings)


def _itself(results: pa.ChunkedArray) -> pa.ChunkedArray:
    return results


def _combined(results: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(results.chunks)


def _list(results: pa.ChunkedArray) -> list[Any]:
    values: list[Any] = results.to_pylist()
    return values


def _pandas(texts: Any, results: pa.ChunkedArray) -> Any:
    """A series, or of structs a frame with a column for each field."""
    import pandas

    if pa.types.is_struct(results.type):
        columns = [
            pa.chunked_array([chunk.flatten()[at] for chunk in results.chunks]) for at in range(results.type.num_fields)
        ]
        frame = pandas.DataFrame(
            {field.name: column.to_pandas() for field, column in zip(results.type, columns, strict=True)}
        )
        return frame.set_axis(texts.index)
    return results.to_pandas().set_axis(texts.index).rename(texts.name)


def _polars(texts: Any, results: pa.ChunkedArray) -> Any:
    import polars

    return polars.Series(texts.name, results)
