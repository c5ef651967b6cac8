from collections import Counter

import pytest
from datasets import Dataset

import datafusion_emotion


@pytest.fixture
def dataset(reviews, tmp_path):
    return Dataset.from_parquet(reviews, cache_dir=str(tmp_path))


def test_map(dataset, counts):
    labeled = dataset.map(lambda batch: {"emotion": datafusion_emotion.classify(batch["text"])}, batched=True)
    assert Counter(labeled["emotion"]) == counts


def test_map_of_arrow_without_copies(dataset, counts):
    def label(table):
        return table.append_column("emotion", datafusion_emotion.classify(table["text"]))

    labeled = dataset.with_format("arrow").map(label, batched=True).with_format(None)
    assert Counter(labeled["emotion"]) == counts


def test_pipeline(dataset, counts):
    texts = [text for text in dataset["text"] if text is not None]
    pipe = datafusion_emotion.pipeline()
    labels = [ranked[0]["label"] for ranked in pipe(texts, top_k=None)]
    assert Counter(labels) == counts - Counter({None: counts[None]})
