"""Evaluations and reports: figures, pages, notebooks, interrupts and errors."""

import _thread
import csv
import html
import json
import os
import signal
import subprocess
import threading
from pathlib import Path

import pytest

import datafusion_emotion
from datafusion_emotion import AnalysisError

ROOT = Path(__file__).parents[2]
REVIEWS = ROOT / "data" / "reviews.parquet"
PROGRAM = os.environ.get("EMOTION_PROGRAM")
TEXTS = ["I like you.", "Go away!", "I am so sad today.", "What a wonderful surprise!"]


def labeled(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("text", "feeling"), *rows])
    return path


@pytest.fixture
def known(tmp_path):
    """A file in which the labels of the model are right, but for one."""
    right = datafusion_emotion.classify(TEXTS)
    wrong = "fear" if right[0] != "fear" else "joy"
    return labeled(tmp_path / "known.csv", [(TEXTS[0], wrong), *zip(TEXTS[1:], right[1:], strict=True), ("", None)])


def test_the_figures_of_an_evaluation(known):
    evaluation = datafusion_emotion.eval(known, text="text", label="feeling")
    figures = evaluation.figures
    assert (figures["test_samples"], figures["skipped_rows"], figures["test_accuracy"]) == (4, 1, 0.75)
    assert [entry["label"] for entry in figures["labels"]] == datafusion_emotion.Classifier().labels
    assert sum(map(sum, figures["confusion_matrix"])) == 4
    assert figures["files"] == [str(known)]
    assert repr(evaluation).startswith("<Evaluation of 4 texts: accuracy 0.7500, F1 ")
    assert "<h2>Confusion</h2>" in evaluation.html


@pytest.mark.skipif(not PROGRAM, reason="EMOTION_PROGRAM does not name the program")
@pytest.mark.parametrize("options", [{}, {"threshold": 0.6, "max_length": 16}], ids=str)
def test_the_figures_of_the_program(known, options):
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [PROGRAM, "eval", known, "--text", "text", "--label", "feeling", "--format", "json", *arguments]
    program = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    figures = datafusion_emotion.eval(known, text="text", label="feeling", **options).figures
    differing = {"peak_memory_bytes", "test_runtime", "test_samples_per_second", "test_tokens_per_second"}
    assert set(program) - set(figures) == {"peak_memory_bytes"}
    assert {name: program[name] for name in set(figures) - differing} == {
        name: figures[name] for name in set(figures) - differing
    }


def test_several_files_are_evaluated_together(known, tmp_path):
    other = labeled(tmp_path / "other.csv", [("Go away!", datafusion_emotion.classify(["Go away!"])[0])])
    figures = datafusion_emotion.eval([known, other], text="text", label="feeling").figures
    assert (figures["test_samples"], figures["test_accuracy"]) == (5, 0.8)


def test_a_report_on_texts(tmp_path):
    report = datafusion_emotion.report(REVIEWS, text="text", time="timestamp", by="source", title="A <b>")
    assert report.texts == 270
    assert repr(report) == "<Report on 270 texts>"
    assert report.html.startswith("<!DOCTYPE html>")
    for part in ["<h1>A &lt;b&gt;</h1>", "270 labeled texts", "Lowest scores", "<svg"]:
        assert part in report.html
    report.save(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes().decode() == report.html


def test_a_report_on_labels(tmp_path):
    labels = labeled(tmp_path / "labels.csv", [("a", "joy"), ("b", "joy"), ("c", "anger"), ("d", None)])
    report = datafusion_emotion.report(labels, label="feeling")
    assert report.texts == 3
    assert "66.7 %" in report.html


@pytest.mark.skipif(not PROGRAM, reason="EMOTION_PROGRAM does not name the program")
@pytest.mark.parametrize("options", [{}, {"threshold": 0.6}], ids=str)
def test_the_page_of_the_program(tmp_path, options):
    arguments = [f"--{name}={value}" for name, value in options.items()]
    page = tmp_path / "page.html"
    columns = ["--text", "text", "--time", "timestamp", "--by", "source"]
    subprocess.run([PROGRAM, "report", REVIEWS, *columns, *arguments, "-o", page], check=True)
    report = datafusion_emotion.report(REVIEWS, text="text", time="timestamp", by="source", **options)
    assert page.read_text() == report.html


def test_a_page_in_a_notebook(known):
    """The page is in a frame, so that its styles do not change the notebook."""
    for page in [
        datafusion_emotion.eval(known, text="text", label="feeling"),
        datafusion_emotion.report(known, label="feeling"),
    ]:
        shown = page._repr_html_()
        assert shown.startswith("<iframe ")
        source = shown.split('srcdoc="')[1].split('"')[0]
        assert html.unescape(source) == page.html


def test_an_interrupt(tmp_path):
    texts = [(f"This is text number {number}, and it is a happy one that goes on.", "joy") for number in range(20_000)]
    known = labeled(tmp_path / "known.csv", texts)
    # A shell starts what runs in the background with interrupts ignored.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        for call in [
            lambda: datafusion_emotion.eval(known, text="text", label="feeling"),
            lambda: datafusion_emotion.report(known, text="text"),
        ]:
            threading.Timer(0.5, _thread.interrupt_main).start()
            with pytest.raises(KeyboardInterrupt):
                call()
    finally:
        signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda known: datafusion_emotion.eval("no.csv", text="text", label="feeling"), r"no file 'no\.csv'"),
        (lambda known: datafusion_emotion.eval(known, text="body", label="feeling"), "no column 'body'"),
        (lambda known: datafusion_emotion.eval(known, text="text", label="text"), "text= and label= name the same"),
        (lambda known: datafusion_emotion.eval(known, text="feeling", label="text"), "row 1 has the label"),
        (lambda known: datafusion_emotion.report(known), "with label=, or text="),
        (lambda known: datafusion_emotion.report(known, text="text", score="text"), "score= .* without label="),
        (lambda known: datafusion_emotion.report(known, label="feeling", time="text"), "no value of the column 'text'"),
        (lambda known: datafusion_emotion.report([], label="feeling"), "no file is named"),
    ],
)
def test_what_cannot_be_analyzed(known, call, message):
    with pytest.raises(AnalysisError, match=message):
        call(known)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"threshold": 2}, ValueError, "threshold"),
        ({"precision": "int4"}, ValueError, "int4"),
        ({"long_text": "wrap"}, ValueError, "wrap"),
        ({"delimiter": ";;"}, ValueError, "one ASCII character"),
        ({"colums": "a"}, TypeError, "no option 'colums'"),
    ],
    ids=str,
)
def test_wrong_options(known, options, error, message):
    with pytest.raises(error, match=message):
        datafusion_emotion.eval(known, text="text", label="feeling", **options)
    with pytest.raises(error, match=message):
        datafusion_emotion.report(known, text="text", **options)


def test_a_report_on_labels_uses_no_model(known):
    with pytest.raises(TypeError, match="label= cannot be combined with threshold="):
        datafusion_emotion.report(known, label="feeling", threshold=0.5)
