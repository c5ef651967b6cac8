"""The functions in sessions of the package datafusion, as it comes from PyPI."""

from importlib import metadata
from pathlib import Path

import pyarrow as pa
import pytest
from datafusion import SessionConfig, SessionContext

import datafusion_emotion
from datafusion_emotion import Classifier

ROOT = Path(__file__).parents[2]
REVIEWS = ROOT / "data" / "reviews.parquet"


@pytest.fixture
def ctx():
    ctx = SessionContext()
    datafusion_emotion.register(ctx)
    return ctx


@pytest.mark.parametrize("readme", ["README.md", "python/README.md"])
def test_readme(readme, monkeypatch, capfd):
    """The first program of the page does what it says."""
    monkeypatch.chdir(ROOT)
    program = (ROOT / readme).read_text().split("```python\n")[1].split("```")[0]
    exec(program, {})
    assert "| surprise" in capfd.readouterr().out


def test_registering_keeps_the_session():
    """Tables, options and data frames of before stay, however often functions are registered."""
    ctx = SessionContext(SessionConfig().with_target_partitions(3).with_information_schema(True))
    ctx.from_pydict({"text": ["I like you."]}, "texts")
    frame = ctx.table("texts")
    datafusion_emotion.register(ctx)
    datafusion_emotion.register(ctx, prefix="other", precision="int8")
    assert ctx.sql("SELECT emotion_classify(text) AS a, other_classify(text) AS b FROM texts").to_pydict() == {
        "a": ["love"],
        "b": ["love"],
    }
    assert ctx.sql("SHOW datafusion.execution.target_partitions").to_pydict()["value"] == ["3"]
    assert frame.count() == 1
    assert ctx.sql(f"SELECT count(*) AS rows FROM '{REVIEWS}'").to_pydict() == {"rows": [282]}
    with pytest.raises(ValueError, match="not found"):
        ctx.sql("SELECT 1 FROM 'nowhere.parquet'")


def test_counts_of_the_sample(ctx):
    ctx.register_parquet("reviews", str(REVIEWS))
    rows = ctx.sql("SELECT emotion_classify(text) AS emotion, count(*) AS texts FROM reviews GROUP BY 1").to_pylist()
    counts = {row["emotion"]: row["texts"] for row in rows}
    readme = (ROOT / "README.md").read_text()
    lines = (line.split("|") for line in readme.splitlines() if line.startswith("| "))
    cells = ([cell.strip() for cell in line] for line in lines)
    shown = {line[1]: line[2] for line in cells if len(line) == 4 and line[2].isdigit()}
    assert {str(emotion or "NULL"): str(texts) for emotion, texts in counts.items()} == shown


def test_sql_and_python_agree(ctx):
    ctx.register_parquet("reviews", str(REVIEWS))
    table = ctx.sql(
        "SELECT text, emotion_classify(text) AS label, emotion_score(text) AS score,"
        " emotion_score(text, 'joy') AS joy, emotion_scores(text) AS scores, emotion_annotate(text) AS annotation"
        " FROM reviews"
    ).to_arrow_table()
    texts = table["text"].combine_chunks()
    expected = {
        "label": datafusion_emotion.classify(texts),
        "score": datafusion_emotion.score(texts),
        "joy": datafusion_emotion.score(texts, "joy"),
        "scores": datafusion_emotion.scores(texts),
        "annotation": datafusion_emotion.annotate(texts),
    }
    for name, column in expected.items():
        assert table[name].combine_chunks().to_pylist() == column.to_pylist(), name


def test_every_string_type(ctx):
    for of in ("Utf8", "LargeUtf8", "Utf8View", "Dictionary(Int32, Utf8)"):
        query = f"SELECT emotion_classify(arrow_cast(t, '{of}')) AS e FROM (VALUES ('I like you.'), (NULL)) AS v(t)"
        assert ctx.sql(query).to_pydict() == {"e": ["love", None]}, of


def test_labels_of_rows(ctx):
    query = (
        "SELECT emotion_score(t, l) > 0.5 AS e FROM (VALUES ('I like you.', 'love'), ('I like you.', 'joy')) AS v(t, l)"
    )
    assert ctx.sql(query).to_pydict() == {"e": [True, False]}


def test_many_partitions_agree():
    texts = pa.table({"text": [f"I am number {number} and I feel fine." for number in range(3000)]})
    results = []
    for partitions in (1, 4):
        ctx = SessionContext(SessionConfig().with_target_partitions(partitions).with_batch_size(100))
        datafusion_emotion.register(ctx)
        ctx.from_arrow(texts, "texts")
        results.append(ctx.sql("SELECT text, emotion_score(text) AS s FROM texts ORDER BY text").to_pydict())
    assert results[0] == results[1]


def test_another_model_beside_the_first(ctx):
    Classifier(model=ROOT / "tests" / "golden" / "multi-label", threshold=0.0).register(ctx, prefix="topic")
    row = ctx.sql(
        "SELECT emotion_classify(t) AS e, topic_labels(t) AS l FROM (VALUES ('I like you.')) AS v(t)"
    ).to_pydict()
    assert row["e"] == ["love"]
    assert len(row["l"][0]) > 1


def test_a_threshold_in_sql():
    ctx = SessionContext()
    datafusion_emotion.register(ctx, threshold=0.6)
    query = (
        "SELECT emotion_classify(t) AS e, emotion_score(t) < 0.6 AS low"
        " FROM (VALUES ('I like you.'), ('The meeting is on Tuesday.')) AS v(t)"
    )
    assert ctx.sql(query).to_pydict() == {"e": ["love", None], "low": [False, True]}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("SELECT emotion_classify(1)", "takes a text .a string column., not Int64"),
        ("SELECT emotion_score('x', 'jog')", "did you mean 'joy'"),
        ("SELECT emotion_classify('x', 'y', 'z')", "not with 3 arguments"),
        ("SELECT emotion_score(t, l) FROM (VALUES ('x', 'jog')) AS v(t, l)", "did you mean 'joy'"),
    ],
)
def test_wrong_queries(ctx, query, message):
    with pytest.raises(Exception, match=message):
        ctx.sql(query).collect()


def test_another_release_of_datafusion_is_refused(monkeypatch):
    monkeypatch.setattr(metadata, "version", lambda package: "54.1.0")
    with pytest.raises(ImportError, match=r"works with datafusion 55, but 54\.1\.0 is installed: pip install"):
        datafusion_emotion.register(SessionContext())
