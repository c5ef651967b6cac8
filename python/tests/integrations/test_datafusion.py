from collections import Counter

from datafusion import SessionContext

import datafusion_emotion


def test_counts(reviews, counts):
    ctx = SessionContext()
    datafusion_emotion.register(ctx)
    rows = ctx.sql(f"SELECT emotion_classify(text) AS e, count(*) AS n FROM '{reviews}' GROUP BY 1").to_pylist()
    assert Counter({row["e"]: row["n"] for row in rows}) == counts
