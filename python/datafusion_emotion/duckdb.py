"""The functions in DuckDB.

>>> import duckdb
>>> import datafusion_emotion.duckdb
>>> con = duckdb.connect()
>>> datafusion_emotion.duckdb.register(con)
>>> con.sql("SELECT emotion_classify('I like you.') AS emotion").fetchall()
[('love',)]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import duckdb
import pyarrow as pa

from ._classifier import Classifier
from ._options import Options
from ._shared import shared

if sys.version_info >= (3, 11):
    from typing import Unpack
else:
    from typing_extensions import Unpack

_TYPES = {
    pa.bool_(): "BOOLEAN",
    pa.float32(): "FLOAT",
    pa.int32(): "INTEGER",
    pa.string(): "VARCHAR",
}


def register(con: duckdb.DuckDBPyConnection, *, prefix: str = "emotion", **options: Unpack[Options]) -> None:
    """Register the functions of a model in a connection of DuckDB.

    They are ``emotion_classify(text)``, ``emotion_labels(text)``, ``emotion_score(text)``,
    ``emotion_scores(text)`` and ``emotion_annotate(text)``, with another ``prefix`` if one is given. A
    function of DuckDB has one number of arguments, so the probability of a label is
    ``emotion_scores(text).joy``. NULL gives NULL. Functions of the same names are replaced.
    """
    classifier = shared(options)
    for name in classifier._functions:
        function = f"{prefix}_{name}"
        with suppress(duckdb.InvalidInputException):
            con.remove_function(function)
        con.create_function(
            function,
            _vectorized(classifier, name),
            [con.type("VARCHAR")],
            con.type(_type(classifier._type(name))),
            type="arrow",
            null_handling="special",
        )


def _vectorized(classifier: Classifier, name: str) -> Callable[[pa.ChunkedArray], pa.ChunkedArray]:
    def run(texts: Any) -> Any:
        return classifier._run(name, texts)

    return run


def _type(of: pa.DataType) -> str:
    """The name that DuckDB has for a type of Arrow."""
    if pa.types.is_struct(of):
        fields = (f"{_quoted(field.name)} {_type(field.type)}" for field in of)
        return f"STRUCT({', '.join(fields)})"
    if pa.types.is_list(of):
        return f"{_type(of.value_type)}[]"
    return _TYPES[of]


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
