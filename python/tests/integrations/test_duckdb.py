import duckdb
import pytest

import datafusion_emotion.duckdb


@pytest.fixture
def con(reviews):
    con = duckdb.connect()
    datafusion_emotion.duckdb.register(con)
    con.execute(f"CREATE VIEW reviews AS FROM '{reviews}'")
    return con


def test_counts(con, counts):
    rows = con.sql("SELECT emotion_classify(text) AS emotion, count(*) FROM reviews GROUP BY 1").fetchall()
    assert dict(rows) == counts


def test_every_function(con):
    query = """
        SELECT emotion_labels(t), emotion_score(t), emotion_scores(t).love, emotion_annotate(t).label,
            emotion_annotate(t).tokens
        FROM (VALUES ('I like you.'), (NULL)) v(t)
    """
    (labels, score, love, label, tokens), nulls = con.sql(query).fetchall()
    assert (labels, label, tokens) == (["love"], "love", 6)
    assert score == love > 0.5
    assert nulls == (None,) * 5


def test_many_threads_agree(con):
    texts = "SELECT 'I am number ' || i || ' and I feel fine.' AS t, i FROM range(20000) r(i)"
    results = []
    for threads in (1, 4):
        con.execute(f"SET threads = {threads}")
        results.append(
            con.sql(f"SELECT i % 7, sum(hash(emotion_score(t))) FROM ({texts}) GROUP BY 1 ORDER BY 1").fetchall()
        )
    assert results[0] == results[1]


def test_other_models_and_registering_again(con):
    datafusion_emotion.duckdb.register(con, threshold=0.6)
    datafusion_emotion.duckdb.register(con, prefix="short", max_length=8)
    assert con.sql("SELECT emotion_classify('The meeting is on Tuesday.')").fetchall() == [(None,)]
    assert con.sql("SELECT short_annotate('one two three four five six seven').truncated").fetchall() == [(True,)]
