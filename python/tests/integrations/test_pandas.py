from collections import Counter

import pandas as pd

import datafusion_emotion.pandas  # noqa: F401


def test_counts(reviews, counts):
    frame = pd.read_parquet(reviews)
    labels = frame["text"].emotion.classify()
    assert labels.index.equals(frame.index)
    assert Counter(None if pd.isna(label) else label for label in labels) == counts


def test_every_method():
    emotion = pd.Series(["I like you.", None], index=["a", "b"]).emotion
    assert list(emotion.labels_of()["a"]) == ["love"]
    assert emotion.score()["a"] == emotion.score("love")["a"] == emotion.scores().loc["a", "love"]
    assert emotion.annotate(max_length=5).loc["a", "truncated"]
    assert emotion.scores().loc["b"].isna().all()
