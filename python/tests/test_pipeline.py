"""The form of the results is that of transformers.pipeline("text-classification")."""

import pytest

import datafusion_emotion

TEXTS = ["I like you.", "Go away!"]


@pytest.fixture(scope="module")
def pipe():
    return datafusion_emotion.pipeline()


def test_one_text(pipe):
    (best,) = pipe(TEXTS[0])
    assert best == {"label": "love", "score": pytest.approx(datafusion_emotion.score(TEXTS)[0])}
    assert pipe(TEXTS[0], top_k=1) == [best]
    assert len(pipe(TEXTS[0], top_k=None)) == 6


def test_many_texts(pipe):
    assert [best["label"] for best in pipe(TEXTS)] == ["love", "anger"]
    assert pipe(TEXTS, top_k=1) == [[best] for best in pipe(TEXTS)]
    every = pipe(TEXTS, top_k=None)
    assert [ranked[:2] for ranked in every] == pipe(TEXTS, top_k=2)
    for ranked, scores in zip(every, datafusion_emotion.scores(TEXTS), strict=True):
        assert {one["label"]: one["score"] for one in ranked} == scores
        assert [one["score"] for one in ranked] == sorted(scores.values(), reverse=True)
    assert pipe([]) == []


def test_parameters_of_other_pipelines(pipe):
    assert pipe(TEXTS, batch_size=8, truncation=True) == pipe(TEXTS)
    with pytest.raises(TypeError, match="no parameter 'topk'; there are top_k"):
        pipe(TEXTS, topk=1)
    with pytest.raises(TypeError, match="must be strings"):
        pipe([None])
    with pytest.raises(ValueError, match="no task 'translation'"):
        datafusion_emotion.pipeline("translation")


def test_options():
    assert datafusion_emotion.pipeline("sentiment-analysis", precision="int8")(TEXTS[0])[0]["label"] == "love"
