"""The functions in PySpark 4.1 and later, with Spark or with Sail.

>>> import datafusion_emotion.spark
>>> datafusion_emotion.spark.register(spark)
>>> spark.sql("SELECT emotion_classify('I like you.') AS emotion").first().emotion
'love'
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pyarrow as pa

from ._options import Options
from ._shared import shared

if sys.version_info >= (3, 11):
    from typing import Unpack
else:
    from typing_extensions import Unpack

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def register(spark: SparkSession, *, prefix: str = "emotion", **options: Unpack[Options]) -> None:
    """Register the functions of a model in a session of Spark.

    They are ``emotion_classify(text)``, ``emotion_labels(text)``, ``emotion_score(text)``,
    ``emotion_scores(text)`` and ``emotion_annotate(text)``, with another ``prefix`` if one is given.
    NULL gives NULL. The package must be installed where Spark runs Python. Each Python worker loads the
    model once, and infers on one thread, as Spark gives a task one core; ``threads`` sets another number.
    """
    from pyspark.sql.functions import arrow_udf
    from pyspark.sql.pandas.types import from_arrow_type

    of_worker: Options = {"threads": 1, **options}
    classifier = shared(of_worker)
    for name in classifier._functions:
        returned = from_arrow_type(classifier._type(name))
        spark.udf.register(f"{prefix}_{name}", arrow_udf(_vectorized(name, of_worker), returned))


def _vectorized(name: str, options: Options) -> Callable[[pa.Array], pa.Array]:
    """A function that is pickled without its model."""

    def run(texts: pa.Array) -> pa.Array:
        from datafusion_emotion._shared import shared

        return shared(options)._run(name, texts)

    return run
