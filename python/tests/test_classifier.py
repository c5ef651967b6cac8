"""Models and their options, errors, threads and interrupts."""

import _thread
import json
import math
import signal
import threading
from pathlib import Path

import pytest

import datafusion_emotion
from datafusion_emotion import Classifier

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"


def test_scores_agree_with_hugging_face():
    golden = json.loads((GOLDEN / "default.json").read_text())
    texts = json.loads((GOLDEN / "texts.json").read_text())
    for scores, logits in zip(datafusion_emotion.scores(texts), golden["logits"], strict=True):
        exponentials = [math.exp(logit) for logit in logits]
        expected = [exponential / sum(exponentials) for exponential in exponentials]
        assert list(scores.values()) == pytest.approx(expected, abs=1e-4)


def test_score_of_a_label():
    texts = ["I like you."]
    (scores,) = datafusion_emotion.scores(texts)
    assert datafusion_emotion.score(texts, "joy") == [scores["joy"]]
    assert datafusion_emotion.score(texts) == [max(scores.values())]


def test_options_change_what_the_model_sees():
    text = "I like you, and you like me, and so we like each other."
    (short,) = datafusion_emotion.annotate([text], max_length=8)
    assert (short["tokens"], short["truncated"]) == (8, True)
    (whole,) = datafusion_emotion.annotate([text], max_length=8, long_text="window")
    assert whole["tokens"] > 8
    assert not whole["truncated"]


def test_a_multi_label_model():
    model = Classifier(model=GOLDEN / "multi-label", threshold=0.0)
    (labels,) = model.labels_of(["I like you."])
    (scores,) = model.scores(["I like you."])
    assert labels == sorted(model.labels, key=lambda label: -scores[label])
    assert labels[0] == model.classify(["I like you."])[0]
    assert Classifier(model=GOLDEN / "multi-label", threshold=1.0).labels_of(["I like you."]) == [[]]
    assert model.labels_of(["I like you."], threshold=1) == [[]]


def test_labels_of_a_single_label_model():
    texts = ["I like you.", "The meeting is on Tuesday.", None]
    classifier = Classifier()
    assert classifier.labels_of(texts) == [label and [label] for label in classifier.classify(texts)]
    assert classifier.labels_of(texts, threshold=0.6) == [["love"], [], None]


def test_a_threshold_leaves_texts_without_a_label():
    texts = ["I like you.", "The meeting is on Tuesday.", None]
    classifier = Classifier()
    assert None not in classifier.classify(texts[:2])
    assert classifier.classify(texts, threshold=0.6) == ["love", None, None]
    assert Classifier(threshold=0.6).classify(texts) == ["love", None, None]
    assert Classifier(threshold=0.6).classify(texts[1:2], threshold=0) == classifier.classify(texts[1:2])
    assert datafusion_emotion.classify(texts, threshold=0.6) == ["love", None, None]
    (row,) = classifier.annotate(texts[1:2], threshold=0.6)
    assert row["label"] is None
    assert row["score"] == classifier.score(texts[1:2])[0]
    with pytest.raises(ValueError, match="probability"):
        classifier.classify(texts, threshold=1.5)


def test_models_of_the_candle_backend():
    (labels,) = Classifier(model=GOLDEN / "modernbert-mean", threshold=0.0).labels_of(["I like you."])
    assert sorted(labels) == ["a", "b", "c", "d", "e"]
    assert set(Classifier(model=GOLDEN / "deberta-v3").classify(["I like you."])) <= {"negative", "neutral", "positive"}


def test_both_backends_agree():
    texts = ["I like you.", "Go away!", "a cat"]
    candle = datafusion_emotion.scores(texts, backend="candle", cache_entries=0)
    for packed, reference in zip(datafusion_emotion.scores(texts), candle, strict=True):
        assert packed == pytest.approx(reference, abs=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int4"}, "emotion.precision cannot be 'int4'.*int8"),
        ({"backend": "onnx"}, "emotion.backend cannot be 'onnx'.*candle"),
        ({"device": "metal"}, "build it with the feature 'metal'"),
        ({"model": GOLDEN / "modernbert", "backend": "packed"}, "does not know ModernBERT"),
        ({"max_length": 100_000}, "512"),
        ({"max_length": -1}, "whole number"),
        ({"threshold": 2}, "probability"),
        ({"model": "no/such-folder-or-model/here"}, "no/such-folder-or-model/here"),
    ],
    ids=str,
)
def test_wrong_options(options, message):
    with pytest.raises(ValueError, match=message):
        datafusion_emotion.classify(["x"], **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "metal"}, "build it with the feature 'metal'"),
        ({"backend": "candle", "precision": "int8"}, "does not compute DistilBERT in int8 on 'cpu'"),
    ],
    ids=str,
)
def test_wrong_options_are_found_before_the_first_text(options, message):
    with pytest.raises(ValueError, match=message):
        Classifier(**options)


def test_unknown_options_and_labels():
    with pytest.raises(TypeError, match="no option 'maxlength'; there are model"):
        Classifier(maxlength=3)
    with pytest.raises(ValueError, match="did you mean 'joy'"):
        datafusion_emotion.score(["x"], "jog")


def test_a_broken_model(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match="not a model configuration"):
        Classifier(model=tmp_path)
    (tmp_path / "config.json").write_bytes((GOLDEN / "one-head" / "config.json").read_bytes())
    with pytest.raises(ValueError, match=r"has no model\.safetensors"):
        Classifier(model=tmp_path)


def test_other_threads_run_meanwhile():
    """A thread of Python makes progress while another infers."""
    classifier = Classifier(cache_entries=0)
    texts = [f"This is text number {number}, and it is a happy one." for number in range(2000)]
    done = threading.Event()
    worker = threading.Thread(target=lambda: (classifier.classify(texts), done.set()))
    worker.start()
    ticks = 0
    while not done.wait(0.001):
        ticks += 1
    worker.join()
    assert ticks > 20


def test_an_interrupt_ends_it():
    classifier = Classifier(cache_entries=0)
    texts = [f"This is text number {number}, and it is a happy one." for number in range(50_000)]
    timer = threading.Timer(0.5, _thread.interrupt_main)
    # A shell starts what runs in the background with interrupts ignored.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            classifier.classify(texts)
    finally:
        signal.signal(signal.SIGINT, handler)
