"""Labeling of whole files, as ``emotion label`` does it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from os import PathLike, fspath
from typing import Literal, TypedDict

from . import _native
from ._options import ModelOptions, texts_of
from ._progress import Progress

if sys.version_info >= (3, 11):
    from typing import Unpack
else:
    from typing_extensions import Unpack

Path = str | PathLike[str]


class LabelOptions(ModelOptions, total=False):
    """The options of a labeling job, which are those of ``emotion label``."""

    columns: str
    """Columns to add, with other names after ``=``: ``label``, ``labels``, ``score``, ``scores`` and ``truncated``;
    ``"label,score"`` by default."""
    format: Literal["parquet", "csv", "tsv", "json", "arrow"]
    """Format of the output; by default that of the input, or of the name of the output."""
    compression: Literal["zstd", "snappy", "gzip", "brotli", "lz4", "none"]
    """Compression of Parquet; by default as in the input, or zstd."""
    row_group_rows: int
    """Rows of a Parquet row group; by default as in the input."""
    delimiter: str
    """Read the files as CSV with this character between fields."""
    escape: str
    """Character before a quote within a quoted field of a CSV file; by default quotes are doubled."""
    encoding: str
    """Encoding of CSV files; by default that of the byte order mark, or UTF-8."""
    keep_going: bool
    """Leave out files and row groups that cannot be read, and list them in a file of errors."""
    restart: bool
    """Label files again that were labeled with other options or have changed."""
    commit_every: float
    """Seconds between commits to the journal, and thus the most work that a kill costs; 10 by default."""


class SetAside(TypedDict):
    """A file, or a row group of a Parquet file, that ``keep_going`` left out."""

    file: str
    row_group: int | None
    rows: int | None
    error: str


class Summary(TypedDict):
    """Figures of all files of a job, and the time of this call."""

    output: str
    files: int
    """Labeled files, with those of earlier calls."""
    other_files: int
    """Files in the folders that are not tables."""
    rows: int
    null: int
    """Rows without a text, which have no label."""
    empty: int
    truncated: int
    repeated: int
    """Rows whose text had occurred before, so that its prediction was reused."""
    tokens: int
    labels: dict[str, int]
    """Rows of each label."""
    seconds: float
    rows_per_second: float
    """Rows per second that this call labeled."""
    set_aside: list[SetAside]


def label(
    inputs: Path | Iterable[Path],
    *,
    text: str,
    output: Path,
    progress: bool | None = None,
    **options: Unpack[LabelOptions],
) -> Summary:
    """Label the column ``text`` of files: every column, type and row is kept, and labels are added.

    An input is a file, a folder with all that is in it, or a pattern; the output is a folder, or for one
    input a file. The output has the same bytes as that of ``emotion label``. Finished labels are kept in a
    journal beside the output. After an interruption, an error or the end of the process, the same call
    continues from there and ends with the same bytes. A call for a job that is done does nothing.

    ``progress`` shows a bar or hides it; by default it is shown on a terminal and in a notebook. Other
    threads run meanwhile. Ctrl-C raises ``KeyboardInterrupt`` as soon as the finished labels are kept.

    A job that cannot be done raises :class:`LabelError`, whose message says what to do. An invalid option
    raises ``ValueError``, and an unknown one ``TypeError``.

    >>> import datafusion_emotion
    >>> summary = datafusion_emotion.label("reviews/", text="body", output="labeled/")  # doctest: +SKIP
    >>> summary["labels"]["joy"]  # doctest: +SKIP
    69
    """
    display = Progress(is_shown=progress)
    try:
        summary = _native.label(names_of(inputs), text, fspath(output), texts_of(options, LabelOptions), display)
    except KeyboardInterrupt:
        display.say("Stopped; the finished labels are kept: make the same call again to continue.")
        raise
    finally:
        display.close()
    result: Summary = json.loads(summary)
    return result


def names_of(inputs: Path | Iterable[Path]) -> list[str]:
    """The names of one or more inputs as texts."""
    names = [inputs] if isinstance(inputs, str | PathLike) else inputs
    return [fspath(name) for name in names]
