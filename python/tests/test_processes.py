"""Classifiers in other processes."""

import multiprocessing
import pickle
import sys

import pytest

import datafusion_emotion
from datafusion_emotion import Classifier

TEXTS = ["I like you.", None, "Go away!"]
LABELS = ["love", None, "anger"]


def test_a_classifier_is_pickled_by_its_options():
    pickled = pickle.dumps(Classifier(max_length=16, threshold=0.25))
    assert len(pickled) < 300
    restored = pickle.loads(pickled)
    assert repr(restored) == "Classifier(max_length='16', threshold='0.25')"
    assert restored.classify(TEXTS) == LABELS
    assert pickle.loads(pickled) is restored


def test_a_spawned_process():
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(Classifier().classify, (TEXTS,)) == LABELS


def forked(classifier, results):
    try:
        results.put(classifier.classify(TEXTS))
    except RuntimeError as error:
        results.put(str(error))


@pytest.mark.skipif(sys.platform != "linux", reason="no fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_process_does_not_wait_for_threads_that_are_not_there():
    assert datafusion_emotion.classify(TEXTS) == LABELS
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=forked, args=(Classifier(), results))
    process.start()
    message = results.get(timeout=60)
    process.join()
    assert "'spawn' or 'forkserver'" in message
