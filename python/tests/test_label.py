"""Labeling of files: what is written, progress, interrupts and errors."""

import _thread
import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pyarrow.parquet as pq
import pytest

import datafusion_emotion
from datafusion_emotion import LabelError, _progress

ROOT = Path(__file__).parents[2]
REVIEWS = ROOT / "data" / "reviews.parquet"
PROGRAM = os.environ.get("EMOTION_PROGRAM")
TEXTS = ["I like you.", "Go away!", "I am so sad today.", "Boo!"]


def csv_file(path, texts):
    path.write_text("id,text\n" + "".join(f'{number},"{text}"\n' for number, text in enumerate(texts)))
    return path


def test_every_byte_of_the_input_is_kept(tmp_path):
    reviews = csv_file(tmp_path / "reviews.csv", TEXTS)
    summary = datafusion_emotion.label(reviews, text="text", output=tmp_path / "out.csv", columns="label=emotion")
    header, *rows = reviews.read_text().splitlines()
    labels = datafusion_emotion.classify(TEXTS)
    expected = [f"{header},emotion", *(f"{row},{label}" for row, label in zip(rows, labels, strict=True))]
    assert (tmp_path / "out.csv").read_text().splitlines() == expected
    assert (summary["rows"], summary["files"], summary["set_aside"]) == (4, 1, [])
    assert summary["labels"] == {label: labels.count(label) for label in labels}


@pytest.mark.skipif(not PROGRAM, reason="EMOTION_PROGRAM does not name the program")
@pytest.mark.parametrize(
    "options",
    [{}, {"columns": "scores,truncated", "max_length": 16, "compression": "gzip"}, {"format": "json"}],
    ids=str,
)
def test_the_same_bytes_as_the_program(tmp_path, options):
    datafusion_emotion.label(REVIEWS, text="text", output=tmp_path / "python", **options)
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [PROGRAM, "label", REVIEWS, "--text", "text", "-o", tmp_path / "program", "-q", *arguments]
    subprocess.run(command, check=True)
    files = {path.name for path in (tmp_path / "program").iterdir() if path.is_file()}
    assert files and files == {path.name for path in (tmp_path / "python").iterdir() if path.is_file()}
    for name in files:
        assert (tmp_path / "python" / name).read_bytes() == (tmp_path / "program" / name).read_bytes(), name


def test_counts_of_the_sample(tmp_path):
    summary = datafusion_emotion.label([REVIEWS], text="text", output=tmp_path / "labeled.parquet")
    table = pq.read_table(tmp_path / "labeled.parquet")
    assert table.num_rows == summary["rows"] == 282
    assert table["label"].to_pylist() == datafusion_emotion.classify(table["text"]).to_pylist()


class Interrupting:
    """A display that interrupts the job in its midst."""

    def __init__(self, is_shown):
        self.is_interrupted = False

    def show(self, counts):
        if counts.rows_labeled > 200 and not self.is_interrupted:
            self.is_interrupted = True
            _thread.interrupt_main()

    def say(self, line):
        assert "make the same call again" in line

    def close(self):
        assert self.is_interrupted


def test_an_interrupt_keeps_what_is_done(tmp_path, monkeypatch):
    """The next call goes on, and its output has the bytes of a job that was not interrupted."""
    texts = [f"This is text number {number}, and it is a happy one that goes on for a while." for number in range(3000)]
    reviews, output = csv_file(tmp_path / "reviews.csv", texts), tmp_path / "out.csv"
    job = {"text": "text", "commit_every": 0.1}
    # A shell starts what runs in the background with interrupts ignored.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("datafusion_emotion._label.Progress", Interrupting)
            datafusion_emotion.label(reviews, output=output, **job)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert not output.exists()
    summary = datafusion_emotion.label(reviews, output=output, **job)
    assert 0 < round(summary["rows_per_second"] * summary["seconds"]) < 3000 == summary["rows"]
    datafusion_emotion.label(reviews, output=tmp_path / "whole.csv", **job)
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_job_that_is_done_does_nothing(tmp_path):
    job = {"text": "text", "output": tmp_path / "out"}
    datafusion_emotion.label(REVIEWS, **job)
    before = (tmp_path / "out" / "reviews.parquet").stat().st_mtime_ns
    assert datafusion_emotion.label(REVIEWS, **job)["rows_per_second"] == 0
    assert (tmp_path / "out" / "reviews.parquet").stat().st_mtime_ns == before


def test_other_threads_run_meanwhile(tmp_path):
    texts = [f"This is text number {number}, and it is a sad one." for number in range(1000)]
    reviews = csv_file(tmp_path / "reviews.csv", texts)
    is_done = threading.Event()

    def run():
        datafusion_emotion.label(reviews, text="text", output=tmp_path / "out.csv")
        is_done.set()

    worker = threading.Thread(target=run)
    worker.start()
    ticks = 0
    while not is_done.wait(0.001) and worker.is_alive():
        ticks += 1
    worker.join()
    assert is_done.is_set()
    assert ticks > 20


def test_a_broken_file(tmp_path):
    csv_file(tmp_path / "good.csv", TEXTS)
    (tmp_path / "bad.csv").write_text('id,text\n1,"never closed\n')
    job = {"text": "text", "output": tmp_path / "out", "progress": False}
    with pytest.raises(LabelError, match=r"bad\.csv.*keep_going=True"):
        datafusion_emotion.label([tmp_path / "bad.csv", tmp_path / "good.csv"], **job)
    summary = datafusion_emotion.label([tmp_path / "bad.csv", tmp_path / "good.csv"], keep_going=True, **job)
    assert [Path(entry["file"]).name for entry in summary["set_aside"]] == ["bad.csv"]
    listed = json.loads((tmp_path / "out" / "_errors.jsonl").read_text())
    assert listed == {**summary["set_aside"][0], "written_by": "emotion label"}
    assert len(list(csv.reader((tmp_path / "out" / "good.csv").open()))) == 5


def test_another_job_on_the_same_output(tmp_path):
    job = {"text": "text", "output": tmp_path / "out"}
    datafusion_emotion.label(REVIEWS, **job)
    with pytest.raises(LabelError, match=r"columns= was .*restart=True"):
        datafusion_emotion.label(REVIEWS, columns="label", **job)
    datafusion_emotion.label(REVIEWS, columns="label", restart=True, **job)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": "lable"}, "columns cannot be 'lable'"),
        ({"format": "xml"}, "format cannot be 'xml': it must be 'parquet'"),
        ({"compression": "rar"}, "compression cannot be 'rar'"),
        ({"delimiter": ";;"}, "one ASCII character"),
        ({"encoding": "klingon"}, "name of an encoding"),
        ({"threshold": 2}, "probability"),
        ({"commit_every": -1}, "number of seconds"),
        ({"precision": "int4"}, "precision cannot be 'int4'"),
        ({"model": "no/such-folder-or-model/here"}, "no/such-folder-or-model/here"),
    ],
    ids=str,
)
def test_wrong_options(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        datafusion_emotion.label(REVIEWS, text="text", output=tmp_path / "out", **options)


def test_unknown_options(tmp_path):
    with pytest.raises(TypeError, match=r"no option 'colums'; there are model, .*, columns, "):
        datafusion_emotion.label(REVIEWS, text="text", output=tmp_path / "out", colums="label")


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("nowhere.parquet", "text", r"nowhere\.parquet"),
        (REVIEWS, "body", "(?s)no column 'body'.*with text="),
        (REVIEWS, "Text", "use text='text'"),
    ],
    ids=["input", "column", "case"],
)
def test_wrong_names(tmp_path, name, column, message):
    with pytest.raises(LabelError, match=message):
        datafusion_emotion.label(name, text=column, output=tmp_path / "out")


class Counts:
    files, files_started, rows, rows_before, rows_labeled = 3, 1, 1000, 200, 600


def test_the_bar():
    after = "| 600/1000 rows [00:04<00:04, 100.0 rows/s, file 1 of 3]"
    assert _progress.bar(Counts, 4.0, 80) == f" 60%|{'█' * 10}{'▊'}{' ' * 7}{after}"
    assert len(_progress.bar(Counts, 4.0, 30)) == 29


def test_where_the_bar_is_shown(tmp_path, capfd):
    datafusion_emotion.label(REVIEWS, text="text", output=tmp_path / "one")
    assert capfd.readouterr().err == ""
    datafusion_emotion.label(REVIEWS, text="text", output=tmp_path / "two", progress=True)
    shown = capfd.readouterr().err
    assert shown.startswith("\r")
    assert shown.endswith("\n")
    assert "100%|" in shown
    assert "282/282 rows" in shown


def test_the_bar_in_a_notebook(tmp_path, monkeypatch, capfd):
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    datafusion_emotion.label(REVIEWS, text="text", output=tmp_path / "out")
    assert "282/282 rows" in capfd.readouterr().err


@pytest.mark.skipif(os.name != "posix", reason="needs a pseudo-terminal")
def test_the_bar_on_a_terminal(tmp_path):
    import pty

    code = "import datafusion_emotion, sys; datafusion_emotion.label(sys.argv[1], text='text', output='out')"
    ours, theirs = pty.openpty()
    process = subprocess.Popen([sys.executable, "-c", code, REVIEWS], stderr=theirs, cwd=tmp_path)
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):
        while some := os.read(ours, 4096):
            shown += some
    assert process.wait() == 0
    assert "282/282 rows" in shown.decode()
