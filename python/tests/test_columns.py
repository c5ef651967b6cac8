"""Texts of every kind in, labels of the same kind out."""

from pathlib import Path

import pandas
import polars
import pyarrow as pa
import pytest

import datafusion_emotion
from datafusion_emotion import Classifier, _columns

TEXTS = ["I like you.", None, "", "Go away!", "I like you."]
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def labels():
    labels = datafusion_emotion.classify(TEXTS)
    assert (labels[0], labels[1], labels[3]) == ("love", None, "anger")
    return labels


@pytest.mark.parametrize(
    "of", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int8(), pa.string())], ids=str
)
def test_arrays_of_every_string_type(labels, of):
    texts = pa.array(TEXTS, pa.string()).cast(of)
    result = datafusion_emotion.classify(texts)
    assert result.type == pa.string()
    assert result.to_pylist() == labels


def test_sliced_and_chunked_arrays(labels):
    texts = pa.array(TEXTS)
    assert datafusion_emotion.classify(texts[3:]).to_pylist() == labels[3:]
    chunked = pa.chunked_array([texts[:2], texts[2:]])
    result = datafusion_emotion.classify(chunked)
    assert isinstance(result, pa.ChunkedArray)
    assert result.to_pylist() == labels


def test_tuples_and_generators(labels):
    assert datafusion_emotion.classify(tuple(TEXTS)) == labels
    assert datafusion_emotion.classify(text for text in TEXTS) == labels


@pytest.mark.parametrize("dtype", ["str", "object", "category", "string[pyarrow]"])
def test_pandas_series(labels, dtype):
    texts = pandas.Series(TEXTS, dtype=dtype, name="text", index=[9, 8, 7, 6, 5])
    result = datafusion_emotion.classify(texts)
    assert (result.name, list(result.index)) == ("text", [9, 8, 7, 6, 5])
    assert [None if pandas.isna(label) else label for label in result] == labels


def test_pandas_frames_of_scores():
    texts = pandas.Series(TEXTS, index=list("abcde"))
    frame = datafusion_emotion.scores(texts)
    assert list(frame.columns) == Classifier().labels
    assert list(frame.index) == list("abcde")
    assert frame.loc["b"].isna().all()
    assert frame.loc["a"].sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("dtype", [polars.String, polars.Categorical])
def test_polars_series(labels, dtype):
    result = datafusion_emotion.classify(polars.Series("text", TEXTS, dtype=dtype))
    assert isinstance(result, polars.Series)
    assert (result.name, result.to_list()) == ("text", labels)


def test_polars_structs():
    result = datafusion_emotion.annotate(polars.Series("text", TEXTS))
    assert result.struct.fields == ["label", "score", "scores", "tokens", "truncated"]
    assert result[1] is None


class OnlyTheInterface:
    def __init__(self, array):
        self.array = array

    def __arrow_c_array__(self, requested_schema=None):
        return self.array.__arrow_c_array__(requested_schema)


def test_anything_with_the_arrow_interface(labels):
    result = datafusion_emotion.classify(OnlyTheInterface(pa.array(TEXTS)))
    assert result.to_pylist() == labels


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a long enough text to count"] * 1000),
        pa.chunked_array([["a long enough text to count"] * 1000]),
        pandas.Series(["a long enough text to count"] * 1000, dtype="string[pyarrow]"),
        polars.Series(["a long enough text to count"] * 1000),
    ],
    ids=lambda column: type(column).__module__,
)
def test_columns_are_not_copied(column):
    _columns.read(column)
    before = pa.total_allocated_bytes()
    texts, _ = _columns.read(column)
    assert len(texts) == 1000
    assert pa.total_allocated_bytes() - before < 1000


@pytest.mark.parametrize("empty", [[], pa.array([], pa.string()), polars.Series([], dtype=polars.String)], ids=type)
def test_no_texts(empty):
    assert len(datafusion_emotion.classify(empty)) == 0
    assert len(datafusion_emotion.annotate(empty)) == 0


def test_only_nulls():
    assert datafusion_emotion.classify([None, None]) == [None, None]
    assert datafusion_emotion.classify(pa.nulls(2)).to_pylist() == [None, None]


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("I like you.", "many, not one"),
        ([1, 2], "strings or None"),
        (["a", b"b", 3.0], "strings or None"),
        (pa.array([1]), "not int64"),
        (polars.Series([1.5]), "not double"),
        (pandas.Series([1]), "not int64"),
        (7, "not int"),
    ],
)
def test_what_is_no_text(texts, message):
    with pytest.raises(TypeError, match=message):
        datafusion_emotion.classify(texts)
