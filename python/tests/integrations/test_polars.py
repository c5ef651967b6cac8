from collections import Counter

import polars as pl
import pytest

import datafusion_emotion.polars  # noqa: F401


def test_counts(reviews, counts):
    labels = pl.read_parquet(reviews).select(pl.col("text").emotion.classify())
    assert labels.schema == {"text": pl.String}
    assert Counter(labels["text"].to_list()) == counts


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_counts_of_lazy_frames(reviews, counts, engine):
    labels = pl.scan_parquet(reviews).select(pl.col("text").emotion.classify()).collect(engine=engine)
    assert Counter(labels["text"].to_list()) == counts


def test_series(reviews, counts):
    labels = pl.read_parquet(reviews)["text"].emotion.classify()
    assert Counter(labels.to_list()) == counts


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_every_method(engine):
    texts = pl.LazyFrame({"text": ["I like you.", None]})
    emotion = pl.col("text").emotion
    query = texts.select(
        labels=emotion.labels_of(),
        score=emotion.score(),
        love=emotion.score("love"),
        scores=emotion.scores(),
        annotation=emotion.annotate(max_length=5),
    )
    result = query.collect(engine=engine)
    assert query.collect_schema() == result.schema
    love, null = result.rows()
    assert love[0] == ["love"]
    assert love[1] == love[2] == love[3]["love"] > 0.5
    assert love[4]["truncated"]
    assert null[:3] == (None, None, None)


def test_a_wrong_label():
    with pytest.raises(Exception, match="did you mean 'joy'"):
        pl.DataFrame({"text": ["x"]}).select(pl.col("text").emotion.score("jog"))
